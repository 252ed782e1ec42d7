package ctsync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/roamlb/roamlb/balancer"
)

// elementsAtOnce is how many elements of a sessions map one call changes.
const elementsAtOnce = 1000

// Eviction is what a backend loses: the conntrack entries to View's listeners
// that lead to it.
type Eviction struct {
	View    *balancer.View // before the change; the packet path decides by the one after
	Backend uint16
	Reason  string // for the events of the deletions
	// Kind is whose entries alone go; none: both kinds'. After a change of a
	// service's pinning those of the other kind are new.
	Kind balancer.Pinning
	// Sessions takes all else, too, of a backend that serves nobody any longer:
	// its bindings, their elements of the kernel's sessions maps, and every entry
	// in its zone. Its sessions are decided anew with their next packet.
	Sessions bool
}

// Evict carries evictions out, and returns how many entries it deleted: first
// elements go, then bindings, then entries, in one pass over conntrack however
// many backends it is. What cannot be deleted does not keep the rest from it.
func (s *Sync) Evict(ctx context.Context, list []Eviction) (int, error) {
	zoneBase, ours, ok := s.numbers()
	if !ok || len(list) == 0 {
		return 0, nil
	}
	var failed []error
	for v, ids := range serviceless(list) {
		if v.Pinning == balancer.PinSession {
			if err := s.evictElements(ctx, v, zoneBase, ids); err != nil {
				failed = append(failed, fmt.Errorf("service %s: %w", v.Service.Name, err))
			}
		}
		if t, ok := v.Bindings.(*Table); ok {
			t.unbind(ids)
		}
	}
	if ctx.Err() != nil {
		return 0, errors.Join(append(failed, ctx.Err())...)
	}
	n, err := s.purge(ctx, ours, ours, newDoom(list, zoneBase).of)
	return n, errors.Join(append(failed, err)...)
}

// serviceless are the backends that serve nobody any longer, by view.
func serviceless(list []Eviction) map[*balancer.View]map[uint16]bool {
	out := make(map[*balancer.View]map[uint16]bool)
	for _, e := range list {
		if !e.Sessions {
			continue
		}
		if out[e.View] == nil {
			out[e.View] = make(map[uint16]bool)
		}
		out[e.View][e.Backend] = true
	}
	return out
}

// doom knows which entries go by evictions.
type doom struct {
	zones     map[uint16][]*doomed         // of those in a backend's zone
	listeners map[netip.AddrPort][]*doomed // of those in zone 0
}

// doomed is the entries that go by one eviction.
type doomed struct {
	*Eviction
	ending
	addresses []netip.AddrPort // where the backend answers from
}

func newDoom(list []Eviction, zoneBase uint16) *doom {
	d := &doom{zones: make(map[uint16][]*doomed), listeners: make(map[netip.AddrPort][]*doomed)}
	for i := range list {
		e := &list[i]
		x := &doomed{Eviction: e, ending: ending{reason: e.Reason, service: e.View.Service.Name, backend: backendName(e.View, e.Backend)}}
		if b := e.View.Backend(e.Backend); b != nil {
			for _, a := range b.Addresses {
				x.addresses = append(x.addresses, netip.AddrPortFrom(a, b.Port))
			}
		}
		d.zones[zoneBase+e.Backend] = append(d.zones[zoneBase+e.Backend], x)
		for _, l := range e.View.Service.Listen {
			d.listeners[l] = append(d.listeners[l], x)
		}
	}
	return d
}

// of is why an entry goes; nil for one that stays.
func (d *doom) of(e *Entry) *ending {
	if e.Zone == 0 {
		for _, x := range d.listeners[e.Listener] {
			if x.Kind != balancer.PinSession && slices.Contains(x.addresses, e.Backend) {
				return &x.ending
			}
		}
		return nil
	}
	for _, x := range d.zones[e.Zone] {
		if x.Sessions || x.Kind != balancer.PinFlow && slices.Contains(x.View.Service.Listen, e.Listener) && slices.Contains(x.addresses, e.Backend) {
			return &x.ending
		}
	}
	return nil
}

// numbers is where zones begin and what our mark is.
func (s *Sync) numbers() (zoneBase uint16, ours uint32, ok bool) {
	snap := s.opts.Snapshot()
	if snap == nil {
		return 0, 0, false
	}
	return snap.ZoneBase, snap.Marks.Ours(), true
}

// evictElements takes backends out of the kernel's sessions maps of their
// service: first the sessions that are known, then whatever else the maps hold
// of them.
func (s *Sync) evictElements(ctx context.Context, v *balancer.View, zoneBase uint16, ids map[uint16]bool) error {
	var known []balancer.Element
	if t, ok := v.Bindings.(*Table); ok {
		known = t.elements(everybody, func(_ []byte, r *record, v6 bool) uint16 {
			if id := r.backend[family(v6)]; ids[id] {
				return id
			}
			return 0
		})
	}
	// While no packet could come to Go the kernel may have decided some anew.
	del := func(part []balancer.Element) error { return s.opts.Elements.DeleteBound(v, zoneBase, part) }
	if err := inParts(ctx, known, del); err != nil {
		return fmt.Errorf("evict sessions: %w", err)
	}
	var rest []balancer.Element
	err := s.opts.Elements.Dump(v, zoneBase, func(e balancer.Element) bool {
		if ids[e.Backend] {
			e.Key = slices.Clone(e.Key)
			rest = append(rest, e)
		}
		return ctx.Err() == nil
	})
	if err != nil {
		return fmt.Errorf("evict sessions: %w", err)
	}
	if err := inParts(ctx, rest, del); err != nil {
		return fmt.Errorf("evict sessions: %w", err)
	}
	return nil
}

func (s *Sync) deleteElements(ctx context.Context, v *balancer.View, es []balancer.Element) error {
	return inParts(ctx, es, func(part []balancer.Element) error { return s.opts.Elements.Delete(v, part) })
}

// inParts hands elements to do, some at a time.
func inParts(ctx context.Context, es []balancer.Element, do func([]balancer.Element) error) error {
	for part := range slices.Chunk(es, elementsAtOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do(part); err != nil {
			return err
		}
	}
	return nil
}
