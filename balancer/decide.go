package balancer

import (
	"encoding/binary"
	"net/netip"

	"github.com/roamlb/roamlb/hashing"
)

// Reason says why a decision came out as it did.
type Reason uint8

// The reasons.
const (
	ByNobody   Reason = iota // no backend can serve the packet
	ByBinding                // a live session keeps its backend
	ByRing                   // the ring's slot of the key
	ByFallback               // no key: the slot of the source
	ByDrop                   // no key, and the service drops such packets
)

// String is the reason in words.
func (r Reason) String() string {
	switch r {
	case ByBinding:
		return "binding"
	case ByRing:
		return "ring"
	case ByFallback:
		return "fallback"
	case ByDrop:
		return "drop"
	default:
		return "nobody"
	}
}

// Decision is where one packet goes.
type Decision struct {
	Backend   uint16 // 0 for nobody
	Reason    Reason
	Variant   int // the key's variant, -1 for none
	Session   SessionRef
	Confirmed bool   // a backend has answered the session
	Young     bool   // see Binding
	Hash      uint32 // of the key or the source; 0 where none was needed
}

// HasKey reports whether the packet belongs to a session.
func (d *Decision) HasKey() bool { return d.Session.Gen != 0 }

// Decide picks the backend of a packet to one of v's listeners: key, live
// binding, slot, in this order. now is in nanoseconds on the daemon's
// monotonic clock; scratch is at least MaxLen of the extractor and is
// overwritten. It does not allocate.
func (v *View) Decide(now int64, client netip.AddrPort, payload, scratch []byte) Decision {
	v6 := client.Addr().Is6()
	key, variant, ok := v.Extractor.Extract(scratch, payload)
	if !ok {
		return v.decideSource(client, variant)
	}
	d := Decision{Variant: variant, Hash: v.Hash(key)}
	candidate := v.Ring(v6).At(d.Hash)
	b := v.Bindings.Bind(now, key, v, v6, candidate)
	d.Backend, d.Session, d.Confirmed, d.Young = b.Backend, b.Session, b.Confirmed, b.Young
	switch {
	case b.Backend == 0:
		d.Reason = ByNobody
	case b.Created:
		d.Reason = ByRing
	default:
		d.Reason = ByBinding
	}
	return d
}

func (v *View) decideSource(client netip.AddrPort, variant int) Decision {
	d := Decision{Variant: variant, Reason: ByDrop}
	if v.Service.Key.Fallback == FallbackDrop {
		return d
	}
	d.Hash = v.SourceHash(client)
	d.Backend = v.Ring(client.Addr().Is6()).At(d.Hash)
	d.Reason = ByFallback
	if d.Backend == 0 {
		d.Reason = ByNobody
	}
	return d
}

// SourceHash is the slot hash of a packet without a key: of the source address
// and, with fallback source-port, the port in two bytes padded to four, as nft
// lays them in its registers.
func (v *View) SourceHash(client netip.AddrPort) uint32 {
	var buf [20]byte
	n := 0
	if a := client.Addr(); a.Is6() {
		b := a.As16()
		n = copy(buf[:], b[:])
	} else {
		b := a.As4()
		n = copy(buf[:], b[:])
	}
	if v.Service.Key.Fallback == FallbackSourcePort {
		binary.BigEndian.PutUint16(buf[n:], client.Port())
		n += 4
	}
	return hashing.Jhash(buf[:n], v.Service.Seed)
}
