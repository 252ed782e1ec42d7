package demo

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/roamlb/roamlb/internal/lab"
)

// A payload is one byte, the session, a number that makes it unlike any other:
//
//	0  '1'   1  session   9  number
const (
	keyOffset = 1
	keyLength = 8
)

// session is the key of one.
type session [keyLength]byte

func newSession() (s session) {
	binary.BigEndian.PutUint64(s[:], rand.Uint64())
	return s
}

// String is the beginning of the key: enough to tell sessions apart.
func (s session) String() string { return hex.EncodeToString(s[:4]) }

// datagrams numbers them: how many payloads there have been.
var datagrams atomic.Uint64

// payload returns the payload of the session's next datagram.
func (s session) payload() []byte {
	p := append([]byte{'1'}, s[:]...)
	return binary.BigEndian.AppendUint64(p, datagrams.Add(1))
}

// sessionOf returns the payload's session, nil if it is too short for one.
func sessionOf(payload []byte) []byte {
	if len(payload) < keyOffset+keyLength {
		return nil
	}
	return payload[keyOffset : keyOffset+keyLength]
}

// places hands out client addresses that nobody has had yet, or not for a long
// time: after the last one that there is the first one comes again.
type places struct{ first, last int }

// lastPlace is below the number of client addresses, and strollPlaces beyond
// those that the show uses.
const (
	lastPlace    = 130_000
	strollPlaces = 60_000
)

// ports is how many source ports are in use: each costs a socket.
const ports = 32

// fresh returns a client of the family with an address and a port that are
// not the last one's.
func (p *places) fresh(v6 bool) netip.AddrPort {
	if p.last++; p.last > lastPlace {
		p.last = p.first
	}
	if v6 {
		return netip.AddrPortFrom(lab.ClientIPv6(p.last), port(p.last))
	}
	return netip.AddrPortFrom(lab.ClientIPv4(p.last), port(p.last))
}

// port returns a port that looks as if a NAT had picked it.
func port(i int) uint16 { return uint16(20000 + i%ports*1237) }
