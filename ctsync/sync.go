package ctsync

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// Options is what a Sync works with. Every member must be set.
type Options struct {
	Conntrack Conntrack                 // the kernel's table, see NewKernel
	Elements  Elements                  // the kernel's sessions maps
	Events    event.Sink                // is told of roams, deletions and the like; must not block
	Snapshot  func() *balancer.Snapshot // what the packet path decides by now; nil while there is nothing
	Changes   sync.Locker               // held by whoever changes the snapshot and the kernel's rules together
	Now       func() int64              // nanoseconds on the daemon's monotonic clock
	Log       *slog.Logger
}

// Sync holds the sessions of every service and the flows they are on. All
// methods may be called from any goroutine.
type Sync struct {
	opts  Options
	inbox inbox
	work  chan struct{} // one buffered: there are jobs

	reconcile chan struct{} // one buffered: conntrack is to be dumped soon
	takeover  chan struct{} // one buffered: the sessions maps are to be taken over

	maps atomic.Bool // they are to be, after the next dump
	took atomic.Bool // they were, all of them, at least once

	missed atomic.Bool // packets went past Go since makeGood has looked

	mu       sync.Mutex // guards everything below, and the tracked part of tables; taken before a shard's
	core     *core
	byName   map[string]*Table
	batch    batch  // taken from the inbox
	toldLost losses // as told last
	owed     owed
	tickedAt int64
	toldAt   int64
	dumps    dumpStats
}

// New returns a Sync that knows no session. It does nothing until Run.
func New(o Options) *Sync {
	return &Sync{
		opts:      o,
		inbox:     newInbox(),
		work:      make(chan struct{}, 1),
		reconcile: make(chan struct{}, 1),
		takeover:  make(chan struct{}, 1),
		core:      newCore(),
		byName:    make(map[string]*Table),
	}
}

// Table returns the session table of a service: the one that is kept for its
// name, or a new and empty one where there is none or the key's layout has
// changed. maxKeyLen is the length in bytes of the longest key; layout is a
// fingerprint of how keys are laid out.
func (s *Sync) Table(service *balancer.Service, maxKeyLen int, layout string) *Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table(service.Name, maxKeyLen, layout)
	t.loaded = false
	return t
}

func (s *Sync) table(name string, maxKeyLen int, layout string) *Table {
	if t := s.kept(name, maxKeyLen, layout); t != nil {
		return t
	}
	if t := s.byName[name]; t != nil {
		s.drop(t)
	}
	t := s.newTable(name, maxKeyLen, layout)
	s.byName[name] = t
	return t
}

// kept is the table of a name if its keys are laid out so, nil else.
func (s *Sync) kept(name string, maxKeyLen int, layout string) *Table {
	if t := s.byName[name]; t != nil && t.layout == layout && t.stride == maxKeyLen {
		return t
	}
	return nil
}

// newTable is an empty table that is nobody's yet.
func (s *Sync) newTable(name string, maxKeyLen int, layout string) *Table {
	t := newTable(s, name, maxKeyLen, layout)
	s.core.adopt(t)
	return t
}

// DropTable forgets a service's sessions. Their conntrack entries stay.
func (s *Sync) DropTable(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.byName[name]; t != nil {
		s.drop(t)
	}
}

// dropLoaded drops the tables of services that were saved and are no longer.
func (s *Sync) dropLoaded() {
	if s.core.snap == nil || s.dumps.done == 0 {
		return
	}
	for _, t := range s.byName {
		if t.loaded {
			s.drop(t)
		}
	}
}

func (s *Sync) drop(t *Table) {
	delete(s.byName, t.name)
	s.core.abandon(t)
}

// Put tells of decisions. It never blocks, and copies what it keeps; what does
// not fit is counted as lost, and a reconcile follows.
func (s *Sync) Put(facts []balancer.Fact) { s.inbox.putFacts(facts) }

// Reconcile asks for a comparison with conntrack and for a takeover of the
// kernel's sessions maps soon. It never blocks.
func (s *Sync) Reconcile() {
	s.maps.Store(true)
	signal(s.reconcile)
}

// TakeOver asks for a takeover alone: at once, or when the first comparison is
// done.
func (s *Sync) TakeOver() {
	s.mu.Lock()
	defer s.unlock()
	if s.dumps.done > 0 {
		signal(s.takeover)
	} else {
		s.maps.Store(true)
	}
}

// ClientFlow is the backend of the latest live flow between a client and a
// listener.
func (s *Sync) ClientFlow(client, listener netip.AddrPort) (backend uint16, ok bool) {
	s.mu.Lock()
	defer s.unlock()
	s.catchUp() // the flow may be so young that its fact still waits
	born := int64(0)
	s.core.flows.search(client, listener, func(f *flow) bool {
		if !f.dead() && (!ok || f.born > born) {
			backend, born, ok = f.backend, f.born, true
		}
		return false
	})
	return backend, ok
}

// Missed says that packets went past Go. What they set off is made good once no
// more do, as after Reconcile. It never blocks.
func (s *Sync) Missed() { s.missed.Store(true) }

// Run follows conntrack, deletes stale entries and reconciles until ctx ends;
// then it returns nil. It is called once. Who has put the first services into
// the kernel calls TakeOver.
func (s *Sync) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, task := range []func(context.Context){s.follow, s.listen, s.deleteStale, s.compare, s.takeOver, s.renew} {
		g.Go(func() error { task(ctx); return nil })
	}
	return g.Wait()
}

// gather is how long what is told is left to come together: to wake up for each
// burst of each queue would take more of a processor than the work itself.
const gather = time.Millisecond

// follow feeds the core.
func (s *Sync) follow(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.inbox.wake:
			time.Sleep(gather)
		case <-tick.C:
		}
		for s.step() {
		}
	}
}

// step feeds the core with some of what waits, and with time. It reports
// whether there may be more.
func (s *Sync) step() bool {
	const atOnce = 256 // ClientFlow and the like wait for no more
	s.mu.Lock()
	more := s.feed(atOnce)
	now := s.opts.Now()
	if now-s.tickedAt >= int64(tickEvery) {
		s.tickedAt = now
		s.core.tick(now)
	}
	if now-s.toldAt >= int64(tellEvery) {
		s.toldAt = now
		s.tellLosses()
		s.makeGood(now)
		s.inbox.letGo(&s.batch)
		s.core.tellEvicted()
		s.dropLoaded()
	}
	s.unlock()
	return more
}

// feed hands the core up to n of the facts, and of the events, that wait. The
// facts come first: what they speak of was there before an event could be.
// s.mu is locked.
func (s *Sync) feed(n int) (more bool) {
	s.core.use(s.opts.Snapshot())
	b := &s.batch
	if b.done() {
		s.inbox.refill(b)
	}
	end := min(b.fact+n, len(b.facts))
	for i := b.fact; i < end; i++ {
		s.core.fact(&b.facts[i])
		b.facts[i] = balancer.Fact{} // lets its view go
	}
	if b.fact = end; end < len(b.facts) {
		return true
	}
	end = min(b.event+n, len(b.events))
	for i := b.event; i < end; i++ {
		s.core.event(&b.events[i].Event, b.events[i].at)
	}
	b.event = end
	return end < len(b.events)
}

// catchUp hands the core all that waits. s.mu is locked.
func (s *Sync) catchUp() {
	s.feed(maxFacts)
	s.feed(maxFacts)
}

// unlock unlocks s.mu, tells what the core has to tell, and sees to its jobs.
func (s *Sync) unlock() {
	out := s.core.out
	s.core.out = nil
	jobs := s.core.jobs.len() > 0
	s.mu.Unlock()
	if jobs {
		signal(s.work)
	}
	if len(out) == 0 {
		return
	}
	now := time.Now()
	for _, e := range out {
		e.Time = now
		s.opts.Events(e)
	}
}

// tellLosses tells what was lost since the last time. s.mu is locked.
func (s *Sync) tellLosses() {
	lost, told := s.batch.lost, s.toldLost
	if lost == told {
		return
	}
	s.toldLost = lost
	s.owed.note(s.opts.Now(), lost.facts != told.facts)
	s.core.tell(event.Event{
		Kind: event.Overflow, Count: int(lost.facts - told.facts + lost.events - told.events + lost.drops - told.drops),
		Detail: fmt.Sprintf("facts %d, conntrack events %d, drops in the kernel %d",
			lost.facts-told.facts, lost.events-told.events, lost.drops-told.drops),
	})
}

// listen reads conntrack's events, again and again if that fails.
func (s *Sync) listen(ctx context.Context) {
	const pause = time.Second
	for {
		mask := uint32(0)
		if snap := s.opts.Snapshot(); snap != nil {
			mask = snap.Marks.Ours()
		}
		if mask != 0 {
			// What was before is known only by a dump.
			ready := func() { signal(s.reconcile) }
			err := s.opts.Conntrack.Events(ctx, mask, ready, func(es []Event) { s.inbox.putEvents(es, s.opts.Now()) }, s.inbox.dropped)
			if ctx.Err() != nil {
				return
			}
			s.opts.Log.Warn("conntrack events ended, listening again", "error", err)
			s.inbox.dropped()
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// sleep waits; it is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
