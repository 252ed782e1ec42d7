package balancer

import (
	"net/netip"
	"slices"

	"github.com/roamlb/roamlb/hashing"
)

// Explanation is how a packet that came now would be decided, and by what.
// Members that were not reached are zero.
type Explanation struct {
	Refused bool // the service does not serve the source address: nothing else was looked at
	Variant int  // of the key, as counted from 0; -1 for none
	Short   bool // the payload is too short for the variant's fields
	Fields  []FieldValue
	Key     []byte // nil: the packet has no key
	Hashed  bool   // Hash and Slot say something
	Hash    uint32 // of the key or the source
	Slot    uint32
	Ring    uint16  // the slot's backend, 0 for nobody
	Bound   bool    // a live session has the key
	Binding Binding // of that session; its backend is 0 where that one serves it no longer
	Backend uint16  // 0 for nobody
	Reason  Reason
}

// FieldValue is what a field of the key holds in a payload.
type FieldValue struct {
	Field
	Value []byte // after the mask
}

// Explain says what [View.Decide] would decide of a packet, and why, without
// making a session or touching one. In flow pinning a flow that is established
// goes where it went, whatever its later packets hold; that is conntrack's
// knowledge and not here.
func (v *View) Explain(client netip.AddrPort, payload []byte) Explanation {
	e := Explanation{Variant: -1}
	if !v.Service.Admits(client.Addr()) {
		e.Refused, e.Reason = true, ByDrop
		return e
	}
	v6 := client.Addr().Is6()
	key, variant, ok := v.Extractor.Extract(nil, payload)
	e.Variant, e.Short = variant, variant >= 0 && !ok
	if !ok {
		v.explainSource(&e, client)
		return e
	}
	e.Key, e.Fields = key, v.fieldValues(variant, payload)
	v.hashed(&e, v.Hash(key), v6)
	if v.Bindings != nil {
		e.Binding, e.Bound = v.Bindings.Find(key, v, v6)
	}
	e.Backend, e.Reason = e.Ring, ByRing
	if e.Bound && e.Binding.Backend != 0 {
		e.Backend, e.Reason = e.Binding.Backend, ByBinding
	}
	if e.Backend == 0 {
		e.Reason = ByNobody
	}
	return e
}

func (v *View) explainSource(e *Explanation, client netip.AddrPort) {
	if v.Service.Key.Fallback == FallbackDrop {
		e.Reason = ByDrop
		return
	}
	v.hashed(e, v.SourceHash(client), client.Addr().Is6())
	e.Backend, e.Reason = e.Ring, ByFallback
	if e.Backend == 0 {
		e.Reason = ByNobody
	}
}

func (v *View) hashed(e *Explanation, hash uint32, v6 bool) {
	ring := v.Ring(v6)
	e.Hashed, e.Hash, e.Slot, e.Ring = true, hash, ring.Slot(hash), ring.At(hash)
}

// fieldValues are a variant's fields in a payload that is long enough for them.
func (v *View) fieldValues(variant int, payload []byte) []FieldValue {
	fields := v.Service.Key.Variants[variant].Fields
	out := make([]FieldValue, len(fields))
	for i, f := range fields {
		one := hashing.NewLayout([]hashing.Variant{{Fields: []hashing.Field{{Offset: f.Offset, Length: f.Length, Mask: f.Mask}}}})
		value, _, _ := one.Extract(nil, payload)
		out[i] = FieldValue{Field: f, Value: value}
	}
	return out
}

// Admits reports whether the service serves a source address: deny wins over
// allow, and without an allow everybody may.
func (s *Service) Admits(source netip.Addr) bool {
	within := func(p netip.Prefix) bool { return p.Contains(source) }
	if slices.ContainsFunc(s.Deny, within) {
		return false
	}
	return len(s.Allow) == 0 || slices.ContainsFunc(s.Allow, within)
}
