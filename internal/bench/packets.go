package bench

import (
	"encoding/binary"
	"net/netip"

	"github.com/roamlb/roamlb/internal/lab"
)

// A datagram is a byte, the key of its session, and the number of its flow.
//
//	0  0x48   1  key, 8 bytes   9  number, 4 bytes, big endian
const (
	keyOffset    = 1
	keyLength    = 8
	numberOffset = keyOffset + keyLength
	payloadLen   = numberOffset + 4
)

const port = 1194

var listener = netip.AddrPortFrom(lab.ListenerIPv4(0), port)

// sessionKey is the key of a numbered session, spread over all eight bytes.
func sessionKey(session int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(session+1)*0x9e3779b97f4a7c15)
}

// clientAddrs of the clients' addresses are in use; further flows take further
// ports of them.
const (
	clientAddrs = 100_000
	firstPort   = 20_000
)

// clientOf is the client of a numbered flow, which no other flow has.
func clientOf(flow int) netip.AddrPort {
	return netip.AddrPortFrom(lab.ClientIPv4(flow%clientAddrs), uint16(firstPort+flow/clientAddrs))
}

var firstClient = lab.ClientIPv4(0).As4()

// flowOf is the number of a client's flow; what is no client of ours gives one
// that no flow has.
func flowOf(client netip.AddrPort) int {
	if !client.Addr().Is4() || client.Port() < firstPort {
		return -1
	}
	a := client.Addr().As4()
	return int(binary.BigEndian.Uint32(a[:])-binary.BigEndian.Uint32(firstClient[:])) + clientAddrs*int(client.Port()-firstPort)
}

// packet is the packet of a session from the client of a flow.
func packet(session, flow int) []byte {
	payload := append(make([]byte, 0, payloadLen), 0x48)
	payload = append(payload, sessionKey(session)...)
	payload = binary.BigEndian.AppendUint32(payload, uint32(flow))
	return lab.UDPPacket(clientOf(flow), listener, payload, lab.PacketOptions{})
}

// packets are those of as many sessions, each from a client of its own, from
// the numbered one on.
func packets(first, count int) [][]byte {
	list := make([][]byte, count)
	for i := range list {
		list[i] = packet(first+i, first+i)
	}
	return list
}

// numberOf is the number in a payload, false where it is none of ours.
func numberOf(payload []byte) (int, bool) {
	if len(payload) < payloadLen {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(payload[numberOffset:])), true
}
