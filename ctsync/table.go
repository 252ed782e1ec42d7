package ctsync

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// Table is the live sessions of one service. It implements balancer.Bindings.
// All methods may be called from any goroutine.
type Table struct {
	name   string
	layout string
	stride int // bytes of the longest key
	sync   *Sync
	seed   maphash.Seed
	shards [shardCount]shard
	oldest [2][shardCount]atomic.Int64 // see shard.oldest; side by side to be scanned

	counts  [2]atomic.Int64 // sessions that are unanswered, and answered; insertions count before they happen
	evicted atomic.Uint64
	strays  strays
	hides   atomic.Bool // some sessions have been hidden

	tracked // guarded by Sync.mu
}

var _ balancer.Bindings = (*Table)(nil)

func newTable(s *Sync, name string, maxKeyLen int, layout string) *Table {
	t := &Table{name: name, layout: layout, stride: maxKeyLen, sync: s, seed: maphash.MakeSeed()}
	for i := range t.shards {
		sh := &t.shards[i]
		sh.stride = maxKeyLen
		sh.bound = make(map[uint16]int)
		for kind := range sh.oldest {
			sh.oldest[kind] = &t.oldest[kind][i]
			sh.oldest[kind].Store(nobody)
		}
	}
	return t
}

// locate is the shard of a key and its hash there.
func (t *Table) locate(key []byte) (shard, hash uint32) {
	h := maphash.Bytes(t.seed, key)
	return uint32(h >> (64 - shardBits)), uint32(h)
}

// Len is how many sessions live.
func (t *Table) Len() int { return int(t.counts[unanswered].Load() + t.counts[answered].Load()) }

// Bound is how many sessions are bound to a backend.
func (t *Table) Bound(id uint16) int {
	n := 0
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		n += sh.bound[id]
		sh.mu.Unlock()
	}
	return n
}

// Bind is of balancer.Bindings. It does not allocate for a session that lives.
// A session that finds no room is not made; its packet still gets the
// candidate.
func (t *Table) Bind(now int64, key []byte, v *balancer.View, v6 bool, candidate uint16) balancer.Binding {
	if len(key) > t.stride {
		return balancer.Binding{Backend: candidate}
	}
	at, hash := t.locate(key)
	sh := &t.shards[at]
	sh.mu.Lock()
	if i := sh.find(hash, key); i != 0 {
		b := sh.bind(at, i, now, v, v6, candidate)
		sh.mu.Unlock()
		return b
	}
	sh.mu.Unlock()

	if candidate == 0 {
		return balancer.Binding{}
	}
	if !t.makeRoom(unanswered, v.Service.MaxSessions) {
		return balancer.Binding{Backend: candidate}
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if i := sh.find(hash, key); i != 0 { // another queue was first
		t.counts[unanswered].Add(-1)
		return sh.bind(at, i, now, v, v6, candidate)
	}
	return sh.bind(at, sh.insert(hash, key, now), now, v, v6, candidate)
}

// bind answers for the session in record i, and binds it where it is not
// bound, or to a backend that v does not serve it from any longer.
func (s *shard) bind(at, i uint32, now int64, v *balancer.View, v6 bool, candidate uint16) balancer.Binding {
	r := s.records.at(i)
	here, created := r.backend[family(v6)], false
	switch keeps := r.serving(v, v6); {
	case keeps != 0 && keeps == here:
	case keeps != 0:
		here = keeps
		s.bindFamily(i, v6, here, now)
	case candidate == 0:
		return balancer.Binding{}
	default:
		here, created = candidate, true
		s.bindFamily(i, v6, here, now)
	}
	r.flags &^= recordHidden
	s.touch(i, now)
	return balancer.Binding{
		Session:   balancer.SessionRef{Shard: at, Index: i, Gen: r.gen},
		Backend:   here,
		Confirmed: r.confirmed(),
		Created:   created,
		Young:     millis(now)-r.bound < millis(int64(balancer.SettleTime)),
	}
}

// millis is a time in milliseconds; it wraps after 49 days, which makes a
// session young again for a moment.
func millis(ns int64) uint32 { return uint32(ns / int64(time.Millisecond)) }

// seconds is a time in seconds; below 0 it is before the daemon's start.
func seconds(ns int64) int32 { return int32(ns / int64(time.Second)) }

// Find is of balancer.Bindings.
func (t *Table) Find(key []byte, v *balancer.View, v6 bool) (balancer.Binding, bool) {
	at, hash := t.locate(key)
	sh := &t.shards[at]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(hash, key)
	if i == 0 {
		return balancer.Binding{}, false
	}
	r := sh.records.at(i)
	return balancer.Binding{
		Session:   balancer.SessionRef{Shard: at, Index: i, Gen: r.gen},
		Backend:   r.serving(v, v6),
		Confirmed: r.confirmed(),
	}, true
}

// makeRoom counts one session more, of one of the two kinds, and evicts others
// until the table is within its bounds again: the never-answered first, which
// may hold a quarter. It reports false, and counts nothing, when there is
// nothing to evict. No shard may be locked.
func (t *Table) makeRoom(kind, limit int) bool {
	t.counts[kind].Add(1)
	limit = max(limit, 1)
	quarter := max(limit/4, 1)
	for range 4 { // the room may have shrunk: it is won back little by little
		strangers, known := t.counts[unanswered].Load(), t.counts[answered].Load()
		if strangers <= int64(quarter) && strangers+known <= int64(limit) {
			return true
		}
		if t.evict(unanswered) {
			continue
		}
		if strangers+known <= int64(limit) {
			return true // a shard's newcomers are counted and not yet there
		}
		if !t.evict(answered) {
			t.counts[kind].Add(-1)
			return false
		}
	}
	return true
}

// evict ends the session of a kind that was seen the longest ago. It reports
// false where there is none.
func (t *Table) evict(kind int) bool {
	for range 2 * shardCount { // others may be faster
		oldest, at := int64(nobody), 0
		for i := range t.oldest[kind] {
			if seen := t.oldest[kind][i].Load(); seen < oldest {
				oldest, at = seen, i
			}
		}
		if oldest == nobody {
			return false
		}
		sh := &t.shards[at]
		sh.mu.Lock()
		i := sh.lists[kind].head
		if i != 0 {
			t.remove(sh, i)
		}
		sh.mu.Unlock()
		if i != 0 {
			t.evicted.Add(1)
			return true
		}
	}
	return false
}

// remove ends the session of a locked shard.
func (t *Table) remove(sh *shard, i uint32) {
	_, hash := t.locate(sh.key(i))
	t.counts[listOf(sh.records.at(i))].Add(-1)
	sh.remove(hash, i)
}

// confirm notes that a backend has answered the session.
func (t *Table) confirm(h handle, gen uint32) {
	sh := &t.shards[h.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r := sh.records.at(h.number()); !r.live() || r.gen != gen {
		return
	}
	if sh.confirm(h.number()) {
		t.counts[unanswered].Add(-1)
		t.counts[answered].Add(1)
	}
}

// key is a copy of the session's key; nil where it lives no longer, or there
// is none (gen 0).
func (t *Table) key(h handle, gen uint32) []byte {
	if gen == 0 {
		return nil
	}
	sh := &t.shards[h.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r := sh.records.at(h.number()); !r.live() || r.gen != gen {
		return nil
	}
	return append([]byte(nil), sh.key(h.number())...)
}
