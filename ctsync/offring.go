package ctsync

import (
	"context"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// OffRing is the elements of the live sessions of a service whose binding is
// not what v's ring names, for each family that a session is known in, with
// session_ttl as their timeout (10 s at least where the kernel decides): written before a ring switches, they let the
// kernel keep these sessions too. Where the kernel decides, it is to know them
// in the other family as well: nobody else looks at a session that roams there.
func (s *Sync) OffRing(v *balancer.View) []balancer.Element { return offRing(v, everybody) }

// OffRingSince is those of OffRing that were bound at a time of the clock in
// Options.Now, or later.
func (s *Sync) OffRingSince(v *balancer.View, since int64) []balancer.Element {
	from := millis(since)
	return offRing(v, func(r *record) bool { return int32(r.bound-from) >= 0 })
}

// HiddenOffRing is those of OffRing whose elements a takeover has deleted so that
// they show themselves to Go: to be written before the kernel decides alone. It is
// called while nothing else changes, see Options.Changes.
func (s *Sync) HiddenOffRing(v *balancer.View) []balancer.Element {
	t, ok := v.Bindings.(*Table)
	if !ok || v.Datapath == balancer.DatapathKernel || !t.hides.Load() {
		return nil
	}
	found := false
	es := offRing(v, func(r *record) bool {
		hidden := r.flags&recordHidden != 0
		found = found || hidden
		return hidden
	})
	t.hides.Store(found)
	return es
}

// Which sessions are meant.
func everybody(*record) bool   { return true }
func shownOnes(r *record) bool { return r.flags&recordHidden == 0 }

// offRing is OffRing of some sessions.
func offRing(v *balancer.View, who func(*record) bool) []balancer.Element {
	t, ok := v.Bindings.(*Table)
	if !ok {
		return nil
	}
	es := t.elements(who, offRingBackend(v))
	timeout := offRingTimeout(v)
	for i := range es {
		es[i].Timeout = timeout
	}
	return es
}

// offRingTimeout is how long the kernel keeps a session off the ring unless it
// is renewed. Where it decides alone it must not forget one between two looks
// of renew, however short session_ttl is.
func offRingTimeout(v *balancer.View) time.Duration {
	if v.Datapath == balancer.DatapathKernel {
		return max(v.Service.SessionTTL, 10*renewLook)
	}
	return v.Service.SessionTTL
}

// offRingBackend returns a function that says where a session's packets of a
// family belong that v's ring would send elsewhere; 0 where it would not.
func offRingBackend(v *balancer.View) func(key []byte, r *record, v6 bool) uint16 {
	var other [2]bool // families for which a session's other binding counts too
	if v.Datapath == balancer.DatapathKernel {
		other[0], other[1] = v.Listens(false), v.Listens(true)
	}
	return func(key []byte, r *record, v6 bool) uint16 {
		id := r.backend[family(v6)]
		if id == 0 && other[family(v6)] {
			id = r.backend[family(!v6)]
		}
		if id == 0 || !v.Serves(id, v6) || v.Ring(v6).At(v.Hash(key)) == id {
			return 0
		}
		return id
	}
}

// elements is an element for each backend that a function names, of the live
// sessions that are meant and of each family; 0 for none. It must not keep the
// key.
func (t *Table) elements(who func(*record) bool, backend func(key []byte, r *record, v6 bool) uint16) []balancer.Element {
	var es []balancer.Element
	var arena []byte // holds the keys: one allocation for many
	for at := range t.shards {
		sh := &t.shards[at]
		for i, more := uint32(1), true; more; {
			sh.mu.Lock()
			end := min(i|(chunkSize-1)+1, sh.records.size)
			for ; i < end; i++ {
				r := sh.records.at(i)
				if !r.live() || !who(r) {
					continue
				}
				for _, v6 := range [...]bool{false, true} {
					if id := backend(sh.key(i), r, v6); id != 0 {
						if cap(arena)-len(arena) < t.stride {
							arena = make([]byte, 0, chunkSize*max(t.stride, 1))
						}
						from := len(arena)
						arena = append(arena, sh.key(i)...)
						es = append(es, balancer.Element{Key: arena[from:len(arena):len(arena)], V6: v6, Backend: id})
					}
				}
			}
			more = i < sh.records.size
			sh.mu.Unlock()
		}
	}
	return es
}

// unbind lets go of backends in every session.
func (t *Table) unbind(ids map[uint16]bool) {
	for at := range t.shards {
		sh := &t.shards[at]
		for i, more := uint32(1), true; more; {
			sh.mu.Lock()
			end := min(i|(chunkSize-1)+1, sh.records.size)
			for ; i < end; i++ {
				to := sh.records.at(i).backend
				for fam, backend := range to {
					if backend != 0 && ids[backend] {
						to[fam] = 0
					}
				}
				sh.bindTo(i, to)
			}
			more = i < sh.records.size
			sh.mu.Unlock()
		}
	}
}

// The pace of renew: it looks every second, for the first time soon after the
// start, and tries again after a pause.
const (
	renewLook  = time.Second
	renewFirst = 10 * time.Second
	renewPause = 10 * time.Second
)

// renew writes the elements of off-ring sessions again at half their time, once
// soon after the start, and soon after one was found that the kernel does not
// know.
func (s *Sync) renew(ctx context.Context) {
	for sleep(ctx, renewLook) {
		snap := s.opts.Snapshot()
		if snap == nil {
			continue
		}
		for _, v := range snap.Views {
			if v.Pinning == balancer.PinSession && ctx.Err() == nil {
				s.renewView(v, snap.ZoneBase)
			}
		}
	}
}

func (s *Sync) renewView(v *balancer.View, zoneBase uint16) {
	t, ok := v.Bindings.(*Table)
	if !ok {
		return
	}
	es := s.due(v, t)
	if len(es) == 0 {
		return
	}
	if err := s.opts.Elements.Put(v, zoneBase, es); err != nil {
		s.opts.Log.Warn("sessions off the ring not renewed, trying again", "service", v.Service.Name, "error", err)
		s.mu.Lock()
		t.renewAt = s.opts.Now() + int64(renewPause)
		s.mu.Unlock()
	}
}

// due is the elements of a service to write now.
func (s *Sync) due(v *balancer.View, t *Table) []balancer.Element {
	some, all := t.strays.take()
	now := s.opts.Now()
	s.mu.Lock()
	if t.renewAt == 0 {
		t.renewAt = now + int64(min(renewFirst, v.Service.SessionTTL/2))
	}
	all = all || t.renewAt <= now
	if all {
		t.renewAt = now + int64(max(v.Service.SessionTTL/2, renewLook))
	}
	s.mu.Unlock()
	switch {
	case !all:
		return t.offRingOf(v, some)
	case v.Datapath == balancer.DatapathKernel:
		return offRing(v, everybody)
	default:
		return offRing(v, shownOnes) // the others are to come to the queue
	}
}
