package daemon

import (
	"context"
	"net/netip"
	"slices"

	"github.com/roamlb/roamlb/balancer"
)

// evict sends away what backends hold that serve nobody any more, and deletes
// the entries that would go on to where the change leads no longer.
func (d *Daemon) evict(ctx context.Context, old, mid *balancer.Snapshot, warn func(string, error)) {
	for _, v := range old.Views {
		now := mid.View(v.Service.Name)
		if now == v {
			continue
		}
		left := withoutListeners(v, now)
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			purge := func(of *balancer.View, reason string) {
				_, err := d.sync.DeleteEntriesOf(ctx, of, b.ID, addresses(b), reason)
				warn("delete entries of backend "+b.Name, err)
			}
			switch {
			case now == nil:
				purge(v, "service-removed")
			case now.State(b.ID) == balancer.Down && v.State(b.ID) != balancer.Down:
				warn("evict backend "+b.Name, d.sync.EvictBackend(ctx, v, b.ID, d.whyDown(now, b.ID)))
			case moved(b, now.Backend(b.ID)):
				purge(v, "backend-moved")
			case v.Pinning != now.Pinning:
				purge(v, "pinning-changed")
			case left != nil:
				purge(left, "listener-removed")
			}
		}
	}
}

// whyDown is why a backend serves nobody any more, for the events.
func (d *Daemon) whyDown(now *balancer.View, id uint16) string {
	b := now.Backend(id)
	if _, down := d.outlook.states[id]; down || b.Admin == balancer.AdminDown {
		return "backend-down"
	}
	return "backend-removed"
}

// withoutListeners is v with those of its listeners that are not now's any
// more; nil for none.
func withoutListeners(v, now *balancer.View) *balancer.View {
	if now == nil {
		return nil
	}
	svc := *v.Service
	svc.Listen = slices.DeleteFunc(slices.Clone(svc.Listen), func(l netip.AddrPort) bool { return slices.Contains(now.Service.Listen, l) })
	if len(svc.Listen) == 0 {
		return nil
	}
	left := *v
	left.Service = &svc
	return &left
}

func addresses(b *balancer.Backend) []netip.AddrPort {
	out := make([]netip.AddrPort, len(b.Addresses))
	for i, a := range b.Addresses {
		out[i] = netip.AddrPortFrom(a, b.Port)
	}
	return out
}

func moved(a, b *balancer.Backend) bool {
	return a.Port != b.Port || a.Address(false) != b.Address(false) || a.Address(true) != b.Address(true)
}
