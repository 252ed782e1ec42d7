package balancer

import (
	"slices"
	"testing"

	"github.com/roamlb/roamlb/hashing"
)

func owned(r Ring, id uint16) int {
	n := 0
	for _, at := range r {
		if at == id {
			n++
		}
	}
	return n
}

// A backend that comes back is not to be flooded, and the others' slots move to
// it little by little, no more of them than it gets.
func TestWeighed(t *testing.T) {
	v := view(func(s *Service) { s.Slots = 4093; s.Backends[2].Admin = AdminUp }, nil)
	if w := v.Weighed(map[uint16]int{1: 100, 2: 100}); !slices.Equal(w.Ring(false), v.Ring(false)) {
		t.Error("a whole share of every weight makes another ring")
	}
	for _, c := range []struct{ share, low, high int }{
		{10, 180, 210}, // a tenth beside two whole: 1/21 of the slots
		{50, 800, 830}, // 1/5
	} {
		w := v.Weighed(map[uint16]int{1: c.share})
		if n := owned(w.Ring(false), 1); n < c.low || n > c.high {
			t.Errorf("with %d %% of its weight a backend owns %d slots, want %d to %d", c.share, n, c.low, c.high)
		}
		gets := owned(v.Ring(false), 1) - owned(w.Ring(false), 1)
		if moved := hashing.Diff(w.Ring(false), v.Ring(false)); moved > gets+len(v.Ring(false))/50 {
			t.Errorf("from %d %% to all of its weight %d slots move, and it gets %d", c.share, moved, gets)
		}
	}
	if owned(v.Weighed(map[uint16]int{1: 1, 2: 0}).Ring(true), 1) != 4093 {
		t.Error("the only backend of a family has not all of its slots, whatever its share")
	}
	if v.Service.Backends[0].Weight != 1 {
		t.Error("the service's own weights have changed")
	}
}
