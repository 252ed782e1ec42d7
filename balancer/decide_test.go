package balancer

import (
	"net/netip"
	"testing"
)

// bound is a session table of one rule: who is in it stays.
type bound map[string]uint16

func (b bound) Bind(_ int64, key []byte, v *View, v6 bool, candidate uint16) Binding {
	ref := SessionRef{Gen: 1}
	if id := b[string(key)]; id != 0 && v.Serves(id, v6) {
		return Binding{Session: ref, Backend: id}
	}
	if candidate == 0 {
		return Binding{}
	}
	b[string(key)] = candidate
	return Binding{Session: ref, Backend: candidate, Created: true}
}

func (b bound) Told(now int64, key []byte, v *View, v6 bool, backend uint16) Binding {
	return b.Bind(now, key, v, v6, backend)
}

func (b bound) Find(key []byte, v *View, v6 bool) (Binding, bool) {
	id, ok := b[string(key)]
	if !ok {
		return Binding{}, false
	}
	if !v.Serves(id, v6) {
		id = 0
	}
	return Binding{Session: SessionRef{Gen: 1}, Backend: id}, true
}

var (
	clientIPv4 = netip.MustParseAddrPort("198.18.0.1:4000")
	clientIPv6 = netip.MustParseAddrPort("[2001:db8:f::1]:4000")
)

func view(change func(*Service), states map[uint16]State) *View {
	s := &Service{
		Name: "vpn", Slots: 251, Seed: 7, Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.10:1194")},
		Key: Key{Variants: []Variant{{Fields: []Field{{Offset: 1, Length: 4}}}}, Fallback: FallbackSource},
		Backends: []Backend{
			{ID: 1, Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:b::1")}, Port: 1, Weight: 1},
			{ID: 2, Name: "b", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.2")}, Port: 1, Weight: 1},
			{ID: 3, Name: "c", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.3")}, Port: 1, Weight: 1, Admin: AdminDrain},
		},
	}
	if change != nil {
		change(s)
	}
	return NewView(s, Capabilities{PayloadOffset: 255, KeyBytes: 60}, states, bound{})
}

func TestDecide(t *testing.T) {
	payload, short := []byte("xKEY!rest"), []byte("xKE")
	scratch := make([]byte, 16)
	v := view(nil, nil)

	d := v.Decide(0, clientIPv4, payload, scratch)
	if d.Reason != ByRing || d.Backend != v.Ring(false).At(v.Hash([]byte("KEY!"))) || !d.HasKey() || d.Variant != 0 {
		t.Errorf("a new session: %+v", d)
	}
	if again := v.Decide(0, clientIPv4, payload, scratch); again.Reason != ByBinding || again.Backend != d.Backend {
		t.Errorf("a known session: %+v, want backend %d by its binding", again, d.Backend)
	}
	if d := v.Decide(0, clientIPv4, short, scratch); d.Reason != ByFallback || d.HasKey() || d.Backend != v.Ring(false).At(v.SourceHash(clientIPv4)) {
		t.Errorf("no key: %+v", d)
	}
	dropping := view(func(s *Service) { s.Key.Fallback = FallbackDrop }, nil)
	if d := dropping.Decide(0, clientIPv4, short, scratch); d.Reason != ByDrop || d.Backend != 0 {
		t.Errorf("no key, dropped: %+v", d)
	}
	nobody := view(nil, map[uint16]State{1: Down, 2: Down, 3: Down})
	for _, p := range [][]byte{payload, short} {
		if d := nobody.Decide(0, clientIPv4, p, scratch); d.Reason != ByNobody || d.Backend != 0 {
			t.Errorf("nobody: %+v", d)
		}
	}
	if n := testing.AllocsPerRun(100, func() { v.Decide(0, clientIPv4, payload, scratch) }); n != 0 {
		t.Errorf("%v allocations a decision, want none", n)
	}
}

// A draining backend keeps its sessions and gets no new ones; a packet goes to
// an address of its own family.
func TestRingsAndStates(t *testing.T) {
	v := view(nil, nil)
	owners := func(v6 bool) map[uint16]bool {
		out := make(map[uint16]bool)
		for _, id := range v.Ring(v6) {
			out[id] = true
		}
		return out
	}
	if got := owners(false); !got[1] || !got[2] || got[3] || len(got) != 2 {
		t.Errorf("IPv4 ring is owned by %v", got)
	}
	if got := owners(true); !got[1] || len(got) != 1 {
		t.Errorf("IPv6 ring is owned by %v", got)
	}
	if !v.Serves(3, false) || v.Serves(3, true) || v.Serves(9, false) {
		t.Error("the draining backend serves IPv4 only, and 9 is nobody")
	}
	v.Bindings = bound{"KEY!": 2}
	if d := v.Decide(0, clientIPv6, []byte("xKEY!"), make([]byte, 16)); d.Backend != 1 {
		t.Errorf("an IPv6 packet of a session at an IPv4 backend went to %d", d.Backend)
	}
}

func TestSnapshot(t *testing.T) {
	v := view(nil, nil)
	s := NewSnapshot(Marks{Mask: 0xffff}, 100, []*View{v})
	if s.Lookup(v.Service.Listen[0]) != v || s.Lookup(clientIPv4) != nil || s.View("vpn") != v || s.View("x") != nil {
		t.Error("a service is found by its listeners and its name")
	}
	if s.Zone(7) != 107 {
		t.Errorf("zone of backend 7 is %d", s.Zone(7))
	}
	if got := s.CopyRange(); got < 40+8+5 || got > maxCopy {
		t.Errorf("copy range %d does not hold the key", got)
	}
	deep := NewSnapshot(Marks{}, 0, []*View{view(func(s *Service) { s.Key.Variants[0].Fields[0].Offset = 65400 }, nil)})
	if got := deep.CopyRange(); got != maxCopy {
		t.Errorf("copy range %d for the deepest key, want %d", got, maxCopy)
	}
}
