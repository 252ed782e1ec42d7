package ctsync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/roamlb/roamlb/event"
)

// DeleteForeign deletes the conntrack entries in zone 0 to listeners that are
// neither marked by us nor translated, and returns how many there were: they
// are older than the service and would bypass it as long as packets come.
func (s *Sync) DeleteForeign(ctx context.Context, listeners []netip.AddrPort) (int, error) {
	_, ours, ok := s.numbers()
	if !ok || len(listeners) == 0 {
		return 0, nil
	}
	foreign := &ending{reason: reasonForeign}
	to := make(map[netip.AddrPort]bool, len(listeners))
	for _, l := range listeners {
		to[l] = true
	}
	return s.purge(ctx, 0, ours, func(e *Entry) *ending {
		if e.Zone == 0 && e.Status&DstNAT == 0 && to[e.Listener] {
			return foreign
		}
		return nil
	})
}

// ending is what is told of an entry's deletion.
type ending struct {
	reason  string
	service string // "": whose listener it is
	backend string
}

// purge deletes the entries with mark & mask == value that of names an ending
// for, each exactly, and tells of each. It returns how many it deleted.
func (s *Sync) purge(ctx context.Context, value, mask uint32, of func(*Entry) *ending) (int, error) {
	const atOnce = 256
	began := s.opts.Now()
	n := 0
	var failed error
	var batch []Entry
	var endings []*ending // as many
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
				s.core.purged(&batch[i], endings[i], now, at, began)
			case !errors.Is(err, ErrNotFound):
				failed = err
			}
		}
		s.unlock()
		batch, endings = batch[:0], endings[:0]
	}
	err := s.opts.Conntrack.Dump(value, mask, func(e *Entry) bool {
		if end := of(e); end != nil {
			batch, endings = append(batch, *e), append(endings, end)
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
func (c *core) purged(e *Entry, end *ending, now, at, cause int64) {
	told := event.Event{
		Kind: event.StaleDeleted, Service: end.service, Backend: end.backend,
		OldClient: e.Client, Reason: end.reason, Delay: age(now, cause),
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
