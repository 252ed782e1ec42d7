package ctsync

import (
	"context"
	"slices"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

const (
	// unconfirmedTimeout is how long the kernel lets an element of a session
	// live that no backend has answered: one that has longer left was answered.
	unconfirmedTimeout = 30 * time.Second

	// The pace in which elements are deleted so that their sessions show
	// themselves: each one's next packet comes to the queue.
	takeoverAtOnce = 200
	takeoverPause  = 100 * time.Millisecond
	// takeoverRest is the least pause between two takeovers.
	takeoverRest = 10 * time.Second
)

// takeOver gets to know the bindings that the kernel made or kept without Go,
// after a dump that follows the start, lost facts or somebody's wish.
func (s *Sync) takeOver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.takeover:
		}
		snap := s.opts.Snapshot()
		if snap == nil {
			continue
		}
		pause, whole := takeoverRest, true
		for _, v := range snap.Views {
			busy, err := s.takeOverView(ctx, v, snap.ZoneBase)
			whole = whole && err == nil
			if err != nil && ctx.Err() == nil {
				s.opts.Log.Warn("takeover of the kernel's sessions broke off, trying again", "service", v.Service.Name, "error", err)
				s.Reconcile()
			}
			pause = max(pause, busy*dumpShare)
		}
		if whole && ctx.Err() == nil {
			s.took.Store(true)
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// Holds reports whether a backend still has sessions or live flows of v. Until
// the bindings that the kernel made before the start have been taken over
// nobody can say that it has none.
func (s *Sync) Holds(v *balancer.View, id uint16) bool {
	if t, ok := v.Bindings.(*Table); !ok || t.Bound(id) > 0 || !s.took.Load() {
		return true
	}
	s.mu.Lock()
	defer s.unlock()
	s.catchUp()
	return s.core.flows.lead(id)
}

// hidden is a session that the kernel serves, and whose client may be another
// than Go thinks.
type hidden struct {
	session handle
	gen     uint32
	v6      bool
	differs bool // Go's binding is another
}

// takeOverView takes over a service's bindings, and returns how long reading
// them took.
func (s *Sync) takeOverView(ctx context.Context, v *balancer.View, zoneBase uint16) (time.Duration, error) {
	t, ok := v.Bindings.(*Table)
	if !ok || v.Pinning != balancer.PinSession {
		return 0, nil
	}
	began := s.opts.Now()
	var found []hidden
	var orphans []balancer.Element
	err := s.opts.Elements.Dump(v, zoneBase, func(e balancer.Element) bool {
		if !v.Serves(e.Backend, e.V6) {
			e.Key = slices.Clone(e.Key)
			orphans = append(orphans, e)
		} else if h, ok := t.take(s.opts.Now(), e, v.Service.MaxSessions); ok {
			found = append(found, h)
		}
		return ctx.Err() == nil
	})
	busy := age(s.opts.Now(), began)
	if err != nil {
		return busy, err
	}
	s.opts.Log.Debug("sessions taken over", "service", t.name, "sessions", len(found), "of nobody", len(orphans), "took", busy)
	for part := range slices.Chunk(orphans, elementsAtOnce) {
		there, err := s.unchanging(t, func(v *balancer.View) error {
			part = slices.DeleteFunc(part, func(e balancer.Element) bool { return v.Serves(e.Backend, e.V6) })
			return s.deleteElements(ctx, v, part)
		})
		if !there || err != nil {
			return busy, err
		}
	}
	if v.Datapath == balancer.DatapathKernel {
		t.strays.addAll()
	}
	doubtful := s.doubtful()
	for part := range slices.Chunk(found, takeoverAtOnce) {
		n := 0
		there, err := s.unchanging(t, func(v *balancer.View) error {
			es := s.hiding(v, t, part, began, doubtful)
			n = len(es)
			return s.deleteElements(ctx, v, es)
		})
		if !there || err != nil || n > 0 && !sleep(ctx, takeoverPause) {
			return busy, err
		}
	}
	return busy, nil
}

// unchanging calls do with the view by which a table's sessions are decided, and
// keeps it from changing meanwhile. It reports whether there is one.
func (s *Sync) unchanging(t *Table, do func(*balancer.View) error) (there bool, err error) {
	s.opts.Changes.Lock()
	defer s.opts.Changes.Unlock()
	snap := s.opts.Snapshot()
	if snap == nil {
		return false, nil
	}
	v := snap.View(t.name)
	if v == nil || v.Bindings != balancer.Bindings(t) || v.Pinning != balancer.PinSession {
		return false, nil
	}
	return true, do(v)
}

// take takes over one binding of the kernel's. Go's own wins where its session
// was answered or bound by hand; else the kernel's, by which conntrack has
// been translating. There is no session where there is no room for it.
func (t *Table) take(now int64, e balancer.Element, limit int) (hidden, bool) {
	if len(e.Key) > t.stride {
		return hidden{}, false
	}
	at, hash := t.locate(e.Key)
	sh := &t.shards[at]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(hash, e.Key)
	if i == 0 {
		kind := unanswered
		if e.Timeout > unconfirmedTimeout {
			kind = answered
		}
		if t.Len() >= limit || kind == unanswered && t.counts[unanswered].Load() >= int64(limit/4) {
			return hidden{}, false
		}
		t.counts[kind].Add(1)
		i = sh.insert(hash, e.Key, now)
		if kind == answered {
			sh.confirm(i)
		}
		sh.records.at(i).flags |= recordHidden
	}
	r := sh.records.at(i)
	h := hidden{session: makeHandle(at, i), gen: r.gen, v6: e.V6}
	switch b := r.backend[family(e.V6)]; {
	case b == e.Backend:
	case b == 0 || !r.confirmed() && r.flags&recordPlaced == 0:
		to := r.backend
		to[family(e.V6)] = e.Backend
		sh.bindTo(i, to)
	default:
		h.differs = true
	}
	return h, true
}

// offRing reports whether the ring names another backend for a session than
// the one it is bound to.
func (t *Table) offRing(h hidden, v *balancer.View) bool {
	sh := &t.shards[h.session.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.records.at(h.session.number())
	if !r.live() || r.gen != h.gen {
		return false
	}
	return v.Ring(h.v6).At(v.Hash(sh.key(h.session.number()))) != r.backend[family(h.v6)]
}

// doubtful is the backends that have entries which no session was seen on:
// some session of theirs has moved unseen.
func (s *Sync) doubtful() map[uint16]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.core
	ids := make(map[uint16]bool)
	for i := c.flows.idle.head; i != 0; i = c.flows.at(i).next {
		if fl := c.flows.at(i); fl.has(flowZoned) && !fl.has(flowClaimed) {
			ids[fl.backend] = true
		}
	}
	return ids
}

// hiding is the elements to delete so that sessions show themselves: of those
// that were not seen since, and whose client is not known for sure. Where the
// kernel decides it would do so by the ring alone: whom that sends elsewhere
// stays.
func (s *Sync) hiding(v *balancer.View, t *Table, sessions []hidden, since int64, doubtful map[uint16]bool) []balancer.Element {
	var es []balancer.Element
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUp()
	for _, h := range sessions {
		if tr := t.known(h.session); tr != nil && tr.gen == h.gen && !h.differs {
			if tr.lastAt >= since {
				continue
			}
			if tr.base != 0 {
				if fl := s.core.flows.at(tr.base); !fl.dead() && !doubtful[fl.backend] {
					continue
				}
			}
		}
		if v.Datapath == balancer.DatapathKernel && t.offRing(h, v) {
			continue
		}
		if key := t.hide(h); key != nil {
			es = append(es, balancer.Element{Key: key, V6: h.v6})
		}
	}
	return es
}

// hide marks a session as one whose client is to show itself, and returns its
// key; nil where it lives no longer.
func (t *Table) hide(h hidden) []byte {
	sh := &t.shards[h.session.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.records.at(h.session.number())
	if !r.live() || r.gen != h.gen {
		return nil
	}
	r.flags |= recordHidden
	t.hides.Store(true)
	return slices.Clone(sh.key(h.session.number()))
}
