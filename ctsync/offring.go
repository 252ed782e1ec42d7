package ctsync

import (
	"context"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// OffRing is the elements of the live sessions of a service whose binding is
// not what v's ring names, for each family that a session is known in, with
// session_ttl as their timeout: written before a ring switches, they let the
// kernel keep these sessions too.
func (s *Sync) OffRing(v *balancer.View) []balancer.Element {
	return offRing(v, 0)
}

// offRing leaves out sessions with any of some flags.
func offRing(v *balancer.View, without recordFlags) []balancer.Element {
	t, ok := v.Bindings.(*Table)
	if !ok {
		return nil
	}
	es := t.elements(without, func(key []byte, backend uint16, v6 bool) bool {
		return v.Serves(backend, v6) && v.Ring(v6).At(v.Hash(key)) != backend
	})
	for i := range es {
		es[i].Timeout = v.Service.SessionTTL
	}
	return es
}

// elements is the bindings that match accepts of live sessions without certain
// flags. match must not keep the key.
func (t *Table) elements(without recordFlags, match func(key []byte, backend uint16, v6 bool) bool) []balancer.Element {
	var es []balancer.Element
	var arena []byte // holds the keys: one allocation for many
	for at := range t.shards {
		sh := &t.shards[at]
		for i, more := uint32(1), true; more; {
			sh.mu.Lock()
			end := min(i|(chunkSize-1)+1, sh.records.size)
			for ; i < end; i++ {
				r := sh.records.at(i)
				if !r.live() || r.flags&without != 0 {
					continue
				}
				for fam, backend := range r.backend {
					if v6 := fam == 1; backend != 0 && match(sh.key(i), backend, v6) {
						if cap(arena)-len(arena) < t.stride {
							arena = make([]byte, 0, chunkSize*max(t.stride, 1))
						}
						from := len(arena)
						arena = append(arena, sh.key(i)...)
						es = append(es, balancer.Element{Key: arena[from:len(arena):len(arena)], V6: v6, Backend: backend})
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

// renew writes the elements of off-ring sessions again at half their time, once
// soon after the start, and soon after one was found that the kernel does not
// know.
func (s *Sync) renew(ctx context.Context) {
	const look, first, pause = time.Second, 10 * time.Second, 10 * time.Second
	for sleep(ctx, look) {
		snap := s.opts.Snapshot()
		if snap == nil {
			continue
		}
		for _, v := range snap.Views {
			t, ok := v.Bindings.(*Table)
			if !ok || v.Pinning != balancer.PinSession || ctx.Err() != nil {
				continue
			}
			now := s.opts.Now()
			s.mu.Lock()
			if t.renewAt == 0 {
				t.renewAt = now + int64(min(first, v.Service.SessionTTL/2))
			}
			due := t.stray.Swap(false) || t.renewAt <= now
			if due {
				t.renewAt = now + int64(max(v.Service.SessionTTL/2, look))
			}
			s.mu.Unlock()
			if !due {
				continue
			}
			without := recordHidden // they are to come to the queue
			if v.Datapath == balancer.DatapathKernel {
				without = 0 // there is none
			}
			es := offRing(v, without)
			if len(es) == 0 {
				continue
			}
			if err := s.opts.Elements.Put(v, snap.ZoneBase, es); err != nil {
				s.opts.Log.Warn("sessions off the ring not renewed, trying again", "service", v.Service.Name, "error", err)
				s.mu.Lock()
				t.renewAt = now + int64(pause)
				s.mu.Unlock()
			}
		}
	}
}
