package api

import (
	"slices"
	"testing"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/store"
)

// The tag of the whole must change with every service, and with nothing else:
// else a client overwrites what it has not seen, or is told that it would.
func TestTagOfAllServices(t *testing.T) {
	service := func(name string, change func(*balancer.Service)) balancer.Service {
		s := config.DefaultService()
		s.Name, s.Seed = name, 1
		s.Backends = []balancer.Backend{config.DefaultBackend()}
		if change != nil {
			change(&s)
		}
		return s
	}
	a, b := service("a", nil), service("b", nil)
	weighed := service("b", func(s *balancer.Service) { s.Backends[0].Weight = 2 })
	seeded := service("a", func(s *balancer.Service) { s.Seed = 2 })
	var kept tags
	seen := make(map[string]int)
	for i, c := range []struct {
		services []balancer.Service
		same     int // the first step with the same services
	}{
		{[]balancer.Service{a, b}, 0},
		{[]balancer.Service{b, a}, 0}, // the order is nobody's concern
		{[]balancer.Service{a, weighed}, 2},
		{[]balancer.Service{seeded, weighed}, 3},
		{[]balancer.Service{weighed}, 4},
		{nil, 5},
		{[]balancer.Service{b}, 6},
		{[]balancer.Service{a, b}, 0},
		{[]balancer.Service{seeded, weighed}, 3},
	} {
		st := store.State{Revision: uint64(i + 1), Secret: []byte("secret"), Services: slices.Clone(c.services)}
		got := kept.all(&st)
		if fresh := new(tags).all(&st); got != fresh {
			t.Errorf("step %d: the tag is %s, made anew %s", i, got, fresh)
		}
		if again := kept.all(&st); again != got {
			t.Errorf("step %d: the tag of the same state is another the second time", i)
		}
		if first, known := seen[got]; known && first != c.same {
			t.Errorf("step %d has the tag of step %d, want that of %d", i, first, c.same)
		} else if !known && c.same != i {
			t.Errorf("step %d has a tag of its own, want that of step %d", i, c.same)
		} else if !known {
			seen[got] = i
		}
	}
}
