package daemon

import (
	"maps"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/health"
)

// outlook is what backends are beside their admin members: by the probes, and
// by drains that are over.
type outlook struct {
	states map[uint16]balancer.State // of those that are not what their admin member says
	shares map[uint16]int            // percent of their weight, of those that have not all of it
	kept   map[string]bool           // services that keep backends which are all down
}

func (o outlook) equal(p outlook) bool {
	return maps.Equal(o.states, p.states) && maps.Equal(o.shares, p.shares) && maps.Equal(o.kept, p.kept)
}

// weighed is v with the rings that the shares of its backends make.
func (o outlook) weighed(v *balancer.View) *balancer.View {
	for _, b := range v.Service.Backends {
		if o.shares[b.ID] != 0 {
			return v.Weighed(o.shares)
		}
	}
	return v
}

// look is the outlook of services. serving says whether a backend has taken new
// sessions until now: one that has not, and that no probe has asked yet, waits
// for its first answer.
func look(
	services []balancer.Service, drained map[uint16]bool, standings map[uint16]health.Standing, serving func(*balancer.Service, uint16) bool,
) outlook {
	o := outlook{states: make(map[uint16]balancer.State), shares: make(map[uint16]int), kept: make(map[string]bool)}
	for i := range services {
		svc := &services[i]
		probed := svc.Health != nil
		if probed && svc.AllDown == balancer.AllDownKeep && allDown(svc, standings, serving) {
			o.kept[svc.Name], probed = true, false
		}
		for _, b := range svc.Backends {
			switch {
			case b.Admin == balancer.AdminDown:
			case b.Admin == balancer.AdminDrain && drained[b.ID]:
				o.states[b.ID] = balancer.Down
			case probed:
				o.probed(&b, stateOf(svc, b.ID, standings, serving), standings[b.ID].Share)
			}
		}
	}
	return o
}

// probed takes in what the probes say of a backend.
func (o outlook) probed(b *balancer.Backend, st health.State, share int) {
	switch st {
	case health.Down:
		o.states[b.ID] = balancer.Down
	case health.Waiting:
		o.states[b.ID] = balancer.Draining
	case health.Up:
		if b.Admin == balancer.AdminUp && share > 0 && share < 100 {
			o.shares[b.ID] = share
		}
	}
}

// stateOf is what the probes say of a backend, or would.
func stateOf(svc *balancer.Service, id uint16, standings map[uint16]health.Standing, serving func(*balancer.Service, uint16) bool) health.State {
	if st, ok := standings[id]; ok {
		return st.State
	}
	if serving(svc, id) {
		return health.Up
	}
	return health.Waiting
}

// allDown reports whether every backend that could have new sessions is down by
// its probes, or waits for its first answer. A service without any such backend
// has nobody for another reason.
func allDown(svc *balancer.Service, standings map[uint16]health.Standing, serving func(*balancer.Service, uint16) bool) bool {
	found := false
	for _, b := range svc.Backends {
		if b.Admin != balancer.AdminUp || b.Weight == 0 {
			continue
		}
		if stateOf(svc, b.ID, standings, serving) == health.Up {
			return false
		}
		found = true
	}
	return found
}
