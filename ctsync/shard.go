package ctsync

import (
	"bytes"
	"math"
	"sync"
	"sync/atomic"
)

// shard is a part of a table: the sessions whose hash falls to it.
type shard struct {
	mu      sync.Mutex // guards everything below
	stride  int        // bytes that a key may take
	index   index
	records slab[record]
	keys    [][]byte         // a chunk of keys for each chunk of records
	bound   map[uint16]int   // sessions by the backend that they are bound to; none is 0
	lists   [2]list          // the unanswered and the answered, each by its last decision
	oldest  [2]*atomic.Int64 // when the head of each was seen, for who looks without the lock
}

// nobody is the oldest of an empty list.
const nobody = math.MaxInt64

// list is a list through records, the oldest first.
type list struct{ head, tail uint32 }

const (
	unanswered = 0
	answered   = 1
)

func listOf(r *record) int {
	if r.confirmed() {
		return answered
	}
	return unanswered
}

// key is the bytes of a record's key; they stay the shard's.
func (s *shard) key(i uint32) []byte {
	chunk, at := s.keys[i>>chunkBits], int(i&(chunkSize-1))*s.stride
	n := int(s.records.at(i).keyLen)
	return chunk[at : at+n : at+n]
}

// find is the live record of a key, 0 for none.
func (s *shard) find(hash uint32, key []byte) uint32 {
	for p, ok := s.index.first(hash); ok; p, ok = s.index.next(p) {
		if i := s.index.ref(p, hash); i != 0 && bytes.Equal(s.key(i), key) {
			return i
		}
	}
	return 0
}

// insert makes an unanswered session of a key that has none, unbound.
func (s *shard) insert(hash uint32, key []byte, now int64) uint32 {
	i := s.records.take()
	if int(i>>chunkBits) == len(s.keys) {
		s.keys = append(s.keys, make([]byte, chunkSize*s.stride))
	}
	r := s.records.at(i)
	gen := r.gen + 1
	if gen == 0 {
		gen = 1
	}
	*r = record{seen: now, first: seconds(now), gen: gen, keyLen: uint16(len(key)), flags: recordLive}
	copy(s.key(i), key)
	s.index.insert(hash, i)
	s.push(i)
	return i
}

// remove ends a session. hash is its key's.
func (s *shard) remove(hash, i uint32) {
	s.unlink(i)
	s.index.remove(hash, i)
	s.bindTo(i, [2]uint16{})
	s.records.at(i).flags = 0
	s.records.give(i)
}

// bindTo binds a session to backends, of IPv4 and of IPv6 packets, and counts
// it for each of them once.
func (s *shard) bindTo(i uint32, backend [2]uint16) {
	r := s.records.at(i)
	if r.backend == backend {
		return
	}
	s.count(r.backend, -1)
	s.count(backend, 1)
	r.backend = backend
}

// bindFamily binds a session's packets of a family to a backend, now.
func (s *shard) bindFamily(i uint32, v6 bool, backend uint16, now int64) {
	r := s.records.at(i)
	to := r.backend
	to[family(v6)] = backend
	s.bindTo(i, to)
	r.bound = millis(now)
}

func (s *shard) count(backend [2]uint16, by int) {
	for fam, id := range backend {
		if id == 0 || fam == 1 && id == backend[0] {
			continue
		}
		if s.bound[id] += by; s.bound[id] == 0 {
			delete(s.bound, id)
		}
	}
}

// touch makes a session the one seen last.
func (s *shard) touch(i uint32, now int64) {
	r := s.records.at(i)
	s.unlink(i)
	r.seen = max(r.seen, now)
	s.push(i)
}

// confirm notes that a backend has answered a session; it reports whether that
// is new.
func (s *shard) confirm(i uint32) bool {
	r := s.records.at(i)
	if r.confirmed() {
		return false
	}
	s.unlink(i)
	r.flags |= recordConfirmed
	s.push(i)
	return true
}

func (s *shard) push(i uint32) {
	r := s.records.at(i)
	l := &s.lists[listOf(r)]
	r.prev, r.next = l.tail, 0
	if l.tail != 0 {
		s.records.at(l.tail).next = i
	} else {
		l.head = i
		s.oldest[listOf(r)].Store(r.seen)
	}
	l.tail = i
}

func (s *shard) unlink(i uint32) {
	r := s.records.at(i)
	l := &s.lists[listOf(r)]
	if r.next != 0 {
		s.records.at(r.next).prev = r.prev
	} else {
		l.tail = r.prev
	}
	if r.prev != 0 {
		s.records.at(r.prev).next = r.next
		return
	}
	l.head = r.next
	if l.head != 0 {
		s.oldest[listOf(r)].Store(s.records.at(l.head).seen)
	} else {
		s.oldest[listOf(r)].Store(nobody)
	}
}
