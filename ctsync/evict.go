package ctsync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// elementsAtOnce is how many elements of a sessions map one call changes.
const elementsAtOnce = 1000

// EvictBackend lets go of a backend that serves nobody any longer: its
// elements of the kernel's sessions maps, then the bindings to it, then its
// conntrack entries. Its sessions are decided anew with their next packet.
// v is the view before the removal, the packet path already decides by the
// one after. reason is for the events of the deletions. What cannot be deleted
// does not keep the rest from it.
func (s *Sync) EvictBackend(ctx context.Context, v *balancer.View, id uint16, reason string) error {
	zoneBase, ours, ok := s.numbers()
	if !ok {
		return nil
	}
	var failed error
	if v.Pinning == balancer.PinSession {
		failed = s.evictElements(ctx, v, zoneBase, id)
	}
	if t, ok := v.Bindings.(*Table); ok {
		t.unbind(id)
	}
	if ctx.Err() != nil {
		return errors.Join(failed, ctx.Err())
	}
	var addresses []netip.AddrPort
	if b := v.Backend(id); b != nil {
		for _, a := range b.Addresses {
			addresses = append(addresses, netip.AddrPortFrom(a, b.Port))
		}
	}
	_, err := s.purge(ctx, purge{
		value: ours, mask: ours, reason: reason, service: v.Service.Name, backend: backendName(v, id),
		match: func(e *Entry) bool {
			if e.Zone != 0 {
				return e.Zone == zoneBase+id
			}
			return slices.Contains(v.Service.Listen, e.Listener) && slices.Contains(addresses, e.Backend)
		},
	})
	return errors.Join(failed, err)
}

// numbers is where zones begin and what our mark is.
func (s *Sync) numbers() (zoneBase uint16, ours uint32, ok bool) {
	snap := s.opts.Snapshot()
	if snap == nil {
		return 0, 0, false
	}
	return snap.ZoneBase, snap.Marks.Ours(), true
}

// evictElements takes a backend out of the kernel's sessions maps: first the
// sessions that are known, then whatever else the maps hold of it.
func (s *Sync) evictElements(ctx context.Context, v *balancer.View, zoneBase, id uint16) error {
	var known []balancer.Element
	if t, ok := v.Bindings.(*Table); ok {
		known = t.elements(0, func(_ []byte, backend uint16, _ bool) bool { return backend == id })
	}
	if err := s.deleteElements(ctx, v, known); err != nil {
		return fmt.Errorf("evict sessions: %w", err)
	}
	var rest []balancer.Element
	err := s.opts.Elements.Dump(v, zoneBase, func(e balancer.Element) bool {
		if e.Backend == id {
			e.Key = slices.Clone(e.Key)
			rest = append(rest, e)
		}
		return ctx.Err() == nil
	})
	if err != nil {
		return fmt.Errorf("evict sessions: %w", err)
	}
	if err := s.deleteElements(ctx, v, rest); err != nil {
		return fmt.Errorf("evict sessions: %w", err)
	}
	return nil
}

func (s *Sync) deleteElements(ctx context.Context, v *balancer.View, es []balancer.Element) error {
	for part := range slices.Chunk(es, elementsAtOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.opts.Elements.Delete(v, part); err != nil {
			return err
		}
	}
	return nil
}

// DeleteEntriesOf deletes the conntrack entries to v's listeners that lead to
// a backend at one of its former addresses, and returns how many there were.
// The translation must name the new address already.
func (s *Sync) DeleteEntriesOf(ctx context.Context, v *balancer.View, id uint16, former []netip.AddrPort, reason string) (int, error) {
	zoneBase, ours, ok := s.numbers()
	if !ok {
		return 0, nil
	}
	return s.purge(ctx, purge{
		value: ours, mask: ours, reason: reason, service: v.Service.Name, backend: backendName(v, id),
		match: func(e *Entry) bool {
			return (e.Zone == 0 || e.Zone == zoneBase+id) &&
				slices.Contains(v.Service.Listen, e.Listener) && slices.Contains(former, e.Backend)
		},
	})
}

// DeleteForeign deletes the conntrack entries in zone 0 to listeners that are
// neither marked by us nor translated, and returns how many there were: they
// are older than the service and would bypass it as long as packets come.
func (s *Sync) DeleteForeign(ctx context.Context, listeners []netip.AddrPort) (int, error) {
	_, ours, ok := s.numbers()
	if !ok || len(listeners) == 0 {
		return 0, nil
	}
	return s.purge(ctx, purge{
		value: 0, mask: ours, reason: reasonForeign,
		match: func(e *Entry) bool {
			return e.Zone == 0 && e.Status&DstNAT == 0 && slices.Contains(listeners, e.Listener)
		},
	})
}

// purge is which entries are to be deleted, and what is told of it.
type purge struct {
	value, mask uint32 // mark & mask == value
	match       func(*Entry) bool
	reason      string
	service     string // "": whose listener it is
	backend     string
}

// purge deletes entries, each exactly, and tells of each. It returns how many
// it deleted.
func (s *Sync) purge(ctx context.Context, p purge) (int, error) {
	const atOnce = 256
	began := s.opts.Now()
	n := 0
	var failed error
	var batch []Entry
	flush := func() {
		at := s.opts.Now()
		errs := s.opts.Conntrack.Delete(batch)
		s.mu.Lock()
		s.core.use(s.opts.Snapshot())
		now := s.opts.Now()
		for i, err := range errs {
			switch {
			case err == nil:
				n++
				s.core.purged(&batch[i], &p, now, at, began)
			case !errors.Is(err, ErrNotFound):
				failed = err
			}
		}
		s.unlock()
		batch = batch[:0]
	}
	err := s.opts.Conntrack.Dump(p.value, p.mask, func(e *Entry) bool {
		if p.match(e) {
			batch = append(batch, *e)
		}
		if len(batch) == atOnce {
			flush()
		}
		return ctx.Err() == nil
	})
	flush()
	if err := errors.Join(failed, err, ctx.Err()); err != nil {
		return n, fmt.Errorf("delete conntrack entries: %w", err)
	}
	return n, nil
}

// purged notes and tells that an entry was deleted, at some time after at,
// whoever was on it.
func (c *core) purged(e *Entry, p *purge, now, at, cause int64) {
	told := event.Event{
		Kind: event.StaleDeleted, Service: p.service, Backend: p.backend,
		OldClient: e.Client, Reason: p.reason, Delay: age(now, cause),
	}
	if v := c.snap.Lookup(e.Listener); v != nil && told.Service == "" {
		told.Service = v.Service.Name
	}
	if i := c.flowOf(e); i != 0 {
		fl := c.flows.at(i)
		told.Age = age(now, fl.born)
		if t := c.tables[fl.table]; fl.firstGen != 0 && t != nil {
			told.Session = t.key(fl.first, fl.firstGen)
			t.deleted++
		}
		if fl.born < at { // else it was announced anew since
			c.ended(i, now)
			c.flows.settle(i)
		}
	}
	c.tell(told)
}

// flowOf is the flow of an entry, also where its backend is no longer what it
// was; 0 for none.
func (c *core) flowOf(e *Entry) uint32 {
	if i, _ := c.resolve(e); i != 0 {
		return i
	}
	return c.flows.search(e.Client, e.Listener, func(f *flow) bool {
		return f.has(flowZoned) == (e.Zone != 0) && !f.dead() && f.id == e.ID && e.ID != 0
	})
}
