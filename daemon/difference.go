package daemon

import (
	"fmt"
	"reflect"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

// Differences says in words where want is not as have is; none: nowhere. Ids,
// and seeds that want leaves open, do not count.
func Differences(have, want []balancer.Service) []string {
	var out []string
	old := make(map[string]*balancer.Service, len(have))
	for i := range have {
		old[have[i].Name] = &have[i]
	}
	for i := range want {
		w := &want[i]
		h := old[w.Name]
		delete(old, w.Name)
		if h != nil && h.Equal(w) {
			continue
		}
		if h == nil {
			out = append(out, "service "+w.Name+" is new")
			continue
		}
		out = append(out, serviceDifferences(h, w)...)
	}
	for i := range have {
		if old[have[i].Name] != nil {
			out = append(out, "service "+have[i].Name+" is gone")
		}
	}
	return out
}

func serviceDifferences(h, w *balancer.Service) []string {
	var out []string
	a, b := *h, *w
	if b.Seed == 0 {
		b.Seed = a.Seed
	}
	was := make(map[string]balancer.Backend, len(a.Backends))
	for _, be := range a.Backends {
		was[be.Name] = be
	}
	for _, be := range b.Backends {
		before, ok := was[be.Name]
		delete(was, be.Name)
		before.ID = be.ID
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("service %s: backend %s is new", w.Name, be.Name))
		case !reflect.DeepEqual(before, be):
			out = append(out, fmt.Sprintf("service %s: backend %s differs", w.Name, be.Name))
		}
	}
	for _, be := range a.Backends {
		if _, gone := was[be.Name]; gone {
			out = append(out, fmt.Sprintf("service %s: backend %s is gone", w.Name, be.Name))
		}
	}
	a.Backends, b.Backends = nil, nil
	for _, name := range config.DifferentMembers(&a, &b) {
		out = append(out, fmt.Sprintf("service %s: %s differs", w.Name, name))
	}
	return out
}

// needRestart names the members outside services that differ: they take effect
// at a start only.
func needRestart(have, want *config.File) []string {
	var out []string
	for _, m := range []struct {
		name string
		x, y any
	}{
		{"api", have.API, want.API},
		{"state", have.State, want.State},
		{"netns", have.NetNS, want.NetNS},
		{"nft", have.NFT, want.NFT},
		{"queues", have.Queues, want.Queues},
		{"mark_mask", have.MarkMask, want.MarkMask},
		{"zone_base", have.ZoneBase, want.ZoneBase},
		{"log", have.Log, want.Log},
	} {
		if !reflect.DeepEqual(m.x, m.y) {
			out = append(out, m.name)
		}
	}
	return out
}
