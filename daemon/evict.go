package daemon

import (
	"context"
	"net/netip"
	"slices"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
)

// evict sends away what backends hold that serve nobody any more, and deletes
// the entries that would go on to where the change leads no longer.
func (d *Daemon) evict(ctx context.Context, old, mid *balancer.Snapshot) error {
	var list []ctsync.Eviction
	for _, v := range old.Views {
		now := mid.View(v.Service.Name)
		if now == v {
			continue
		}
		left := withoutListeners(v, now)
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			switch {
			case now == nil:
				list = append(list, ctsync.Eviction{View: v, Backend: b.ID, Reason: "service-removed"})
			case now.State(b.ID) == balancer.Down && v.State(b.ID) != balancer.Down:
				list = append(list, ctsync.Eviction{View: v, Backend: b.ID, Reason: d.whyDown(now, b.ID), Sessions: true})
			case moved(b, now.Backend(b.ID)):
				list = append(list, ctsync.Eviction{View: v, Backend: b.ID, Reason: "backend-moved"})
			case v.Pinning != now.Pinning:
				list = append(list, ctsync.Eviction{View: v, Backend: b.ID, Reason: "pinning-changed", Kind: v.Pinning})
			case left != nil:
				list = append(list, ctsync.Eviction{View: left, Backend: b.ID, Reason: "listener-removed"})
			}
		}
	}
	_, err := d.sync.Evict(ctx, list)
	return err
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

func moved(a, b *balancer.Backend) bool {
	return a.Port != b.Port || a.Address(false) != b.Address(false) || a.Address(true) != b.Address(true)
}
