package ctsync

import (
	"math"
	"time"

	"github.com/roamlb/roamlb/event"
)

// tick does what time alone asks for: roams that nobody answered, sessions
// that have ended, a part of them at a time.
func (c *core) tick(now int64) {
	const sweepAtOnce, reapAtOnce = 1024, 16384
	c.expire(now)
	c.retry(now)
	c.reap(reapAtOnce, now)
	c.sweep(sweepAtOnce, now)
}

// sweep looks at n more places for sessions, at each at most once.
func (c *core) sweep(n int, now int64) {
	for range len(c.tables) - 1 {
		c.sweeping = c.sweeping%(len(c.tables)-1) + 1
		t := c.tables[c.sweeping]
		if t == nil || t.view == nil {
			continue
		}
		for range shardCount {
			if n <= 0 {
				c.sweeping-- // the same table goes on next time
				return
			}
			n -= c.sweepShard(t, n, now)
		}
	}
}

// sweepShard looks at up to n places of one shard, then goes to the next one.
// It returns how many it looked at.
func (c *core) sweepShard(t *Table, n int, now int64) int {
	sh := &t.shards[t.swept.shard()]
	sh.mu.Lock()
	size := sh.records.size
	sh.mu.Unlock()
	done := 0
	for i := max(t.swept.number(), 1); ; i++ {
		if i >= size {
			t.swept = makeHandle((t.swept.shard()+1)%shardCount, 0)
			return max(done, 1)
		}
		if done >= n {
			t.swept = makeHandle(t.swept.shard(), i)
			return done
		}
		c.examine(t, makeHandle(t.swept.shard(), i), now)
		done++
	}
}

// examine ends the session in a place if its time is over: it lives while an
// entry of it does, else session_ttl after its last decision or its last
// entry's end.
func (c *core) examine(t *Table, h handle, now int64) {
	sh := &t.shards[h.shard()]
	sh.mu.Lock()
	r := sh.records.at(h.number())
	live, gen, end := r.live(), r.gen, r.seen
	sh.mu.Unlock()
	tr := t.known(h)
	if tr != nil && tr.gen != 0 && (!live || tr.gen != gen) {
		c.forget(t, h, tr, flowForgotten) // evicted
		return
	}
	if !live {
		return
	}
	if tr != nil && tr.gen != 0 {
		ended, alive := c.lastEnd(tr)
		if alive {
			return
		}
		end = max(end, ended)
	}
	ttl := int64(t.view.Service.SessionTTL)
	if now-end <= ttl {
		return
	}
	sh.mu.Lock()
	over := r.live() && r.gen == gen && now-r.seen > ttl
	if over {
		t.remove(sh, h.number())
	}
	sh.mu.Unlock()
	if over && tr != nil && tr.gen != 0 {
		c.forget(t, h, tr, 0)
	}
}

// lastEnd is whether an entry of a session lives, and else when its last one
// ended.
func (c *core) lastEnd(tr *track) (ended int64, alive bool) {
	ended = math.MinInt64
	look := func(i uint32) {
		if fl := c.flows.at(i); fl.dead() {
			ended = max(ended, fl.turned)
		} else {
			alive = true
		}
	}
	if tr.base != 0 {
		look(tr.base)
	}
	for r := tr.roams; r != 0; r = c.roams.at(r).next {
		look(c.roams.at(r).flow)
	}
	return ended, alive
}

// tellEvicted tells, at most once in a while, how many sessions had to go to
// stay within max_sessions.
func (c *core) tellEvicted() {
	for _, t := range c.tables[1:] {
		if t == nil {
			continue
		}
		if n := t.evicted.Load(); n != t.toldEvicted {
			c.tell(event.Event{Kind: event.Evicted, Service: t.name, Count: int(n - t.toldEvicted)})
			t.toldEvicted = n
		}
	}
}

// The pace of what is done again and again.
const (
	tickEvery = 50 * time.Millisecond
	tellEvery = time.Second
)
