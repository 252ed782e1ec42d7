package balancer

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What an operator is told must be what the packet path does.
func TestExplainAgreesWithDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := view(func(s *Service) {
			s.Key = Key{
				Fallback: rapid.SampledFrom([]Fallback{FallbackSource, FallbackSourcePort, FallbackDrop}).Draw(t, "fallback"),
				Variants: []Variant{
					{Match: []Match{{Offset: 0, Mask: []byte{0xf0}, Value: []byte{0x40}}}, Fields: []Field{{Offset: 1, Length: 3}, {Offset: 6, Length: 2, Mask: []byte{0x0f, 0xff}}}},
					{Fields: []Field{{Offset: 2, Length: 4}}},
				},
			}
		}, map[uint16]State{uint16(rapid.IntRange(1, 3).Draw(t, "a backend")): State(rapid.IntRange(0, 2).Draw(t, "its state"))})
		client := rapid.SampledFrom([]netip.AddrPort{clientIPv4, clientIPv6}).Draw(t, "client")
		payload := rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(t, "payload")
		if rapid.Bool().Draw(t, "a live session") {
			if key, _, ok := v.Extractor.Extract(nil, payload); ok {
				v.Bindings.(bound)[string(key)] = uint16(rapid.IntRange(1, 3).Draw(t, "its backend"))
			}
		}
		before := fmt.Sprint(v.Bindings)
		e := v.Explain(client, payload)
		if after := fmt.Sprint(v.Bindings); after != before {
			t.Fatalf("explaining has changed the sessions: %s, were %s", after, before)
		}
		d := v.Decide(0, client, payload, make([]byte, 64))
		if e.Backend != d.Backend || e.Reason != d.Reason || e.Variant != d.Variant || e.Hash != d.Hash {
			t.Fatalf("explained as %+v, decided as %+v", e, d)
		}
	})
}

func TestExplainSteps(t *testing.T) {
	v := view(func(s *Service) {
		s.Key.Variants = []Variant{{Fields: []Field{{Offset: 1, Length: 2}, {Offset: 4, Length: 1, Mask: []byte{0x0f}}}}}
		s.Deny = []netip.Prefix{netip.MustParsePrefix("198.18.9.0/24")}
	}, nil)
	e := v.Explain(clientIPv4, []byte{0, 0xaa, 0xbb, 0, 0xcd})
	want := []FieldValue{
		{Field{Offset: 1, Length: 2}, []byte{0xaa, 0xbb}},
		{Field{Offset: 4, Length: 1, Mask: []byte{0x0f}}, []byte{0x0d}},
	}
	if diff := cmp.Diff(want, e.Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]byte{0xaa, 0xbb, 0, 0, 0x0d, 0, 0, 0}, e.Key); diff != "" {
		t.Errorf("key as nft lays it (-want +got):\n%s", diff)
	}
	if !e.Hashed || e.Slot != v.Ring(false).Slot(e.Hash) || e.Bound || e.Short {
		t.Errorf("%+v", e)
	}
	if e := v.Explain(clientIPv4, []byte{0, 1}); !e.Short || e.Key != nil || e.Reason != ByFallback {
		t.Errorf("too short: %+v", e)
	}
	if e := v.Explain(netip.MustParseAddrPort("198.18.9.4:1"), []byte("12345678")); !e.Refused || e.Backend != 0 || e.Hashed {
		t.Errorf("a source that is refused: %+v", e)
	}
}

func TestAdmits(t *testing.T) {
	prefix := netip.MustParsePrefix
	s := &Service{Allow: []netip.Prefix{prefix("198.18.0.0/15"), prefix("2001:db8::/32")}, Deny: []netip.Prefix{prefix("198.18.9.0/24")}}
	for addr, want := range map[string]bool{"198.18.1.1": true, "198.18.9.1": false, "192.0.2.1": false, "2001:db8::1": true, "2001:db9::1": false} {
		if got := s.Admits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if !(&Service{}).Admits(netip.MustParseAddr("192.0.2.1")) {
		t.Error("without allow and deny everybody is served")
	}
}

// An operator decides by the preview: it must say what a change then does.
func TestCompareRings(t *testing.T) {
	have := view(nil, nil)
	slots := len(have.Ring(false))
	count := func(v *View, id uint16) (n int) {
		for _, s := range v.Ring(false) {
			if s == id {
				n++
			}
		}
		return n
	}
	if c := CompareRings(have, view(nil, nil), false); c.Moved != 0 || len(c.Moves) != 0 || c.Slots != slots {
		t.Errorf("nothing changes: %+v", c)
	}
	gone := view(func(s *Service) { s.Backends = s.Backends[:1] }, nil)
	c := CompareRings(have, gone, false)
	if diff := cmp.Diff([]Move{{From: "b", To: "a", Count: count(have, 2)}}, c.Moves); diff != "" || c.Moved != count(have, 2) {
		t.Errorf("b goes (-want +got):\n%s", diff)
	}
	if c := CompareRings(nil, have, false); c.Moved != slots || c.Moves[0].From != "" {
		t.Errorf("a new service: %+v", c)
	}
	none := view(func(s *Service) { s.Backends = nil }, nil)
	if c := CompareRings(have, none, false); c.Moved != slots || c.Moves[0].To != "" {
		t.Errorf("nobody is left: %+v", c)
	}
	// Other keys fall to every slot: a fourth stays on a, a fourth on b.
	reseeded := CompareRings(have, view(func(s *Service) { s.Seed++ }, nil), false)
	if share := float64(reseeded.Moved) / float64(slots); share < 0.45 || share > 0.55 {
		t.Errorf("another seed moves %.2f of two equal backends' keys, want half", share)
	}
}

// What CompareRings says of slots is true of keys.
func TestCompareRingsOfDifferentSizes(t *testing.T) {
	have := view(nil, nil)
	next := view(func(s *Service) { s.Slots = 509 }, nil)
	moved, keys := 0, 40000
	for i := range keys {
		key := fmt.Appendf(nil, "%d", i)
		if have.Ring(false).At(have.Hash(key)) != next.Ring(false).At(next.Hash(key)) {
			moved++
		}
	}
	c := CompareRings(have, next, false)
	told, actual := float64(c.Moved)/float64(c.Slots), float64(moved)/float64(keys)
	if told < actual-0.03 || told > actual+0.03 {
		t.Errorf("told that %.3f of the keys move, %.3f do", told, actual)
	}
}

func TestMoves(t *testing.T) {
	have := view(nil, nil)
	next := view(func(s *Service) { s.Backends = s.Backends[:1] }, nil)
	if from, to := Moves(have, next, []byte("KEY!"), 1, false); from != "a" || to != "a" {
		t.Errorf("a session of a backend that stays: %s to %s", from, to)
	}
	if from, to := Moves(have, next, []byte("KEY!"), 2, false); from != "b" || to != "a" {
		t.Errorf("a session of a backend that goes: %s to %s", from, to)
	}
	if from, to := Moves(have, next, []byte("KEY!"), 3, false); from != "c" || to != "a" {
		t.Errorf("a session of a draining backend that goes: %s to %s", from, to)
	}
}
