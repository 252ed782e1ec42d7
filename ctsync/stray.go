package ctsync

import (
	"slices"
	"sync"

	"github.com/roamlb/roamlb/balancer"
)

// strays are the sessions of a service with datapath kernel whom the kernel
// alone would send elsewhere, and whose elements are to be written soon.
type strays struct {
	mu   sync.Mutex // guards the following
	keys [][]byte   // at most straysKept
	all  bool       // there may be others: whoever is off the ring is one
}

// straysKept is how many keys are noted until they are written. With more than
// that a second a walk through all sessions is cheaper to wait for than to avoid.
const straysKept = 16384

// add notes a session. The key is copied.
func (s *strays) add(key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) < straysKept {
		s.keys = append(s.keys, slices.Clone(key))
	} else {
		s.all = true
	}
}

// addAll notes all that are off the ring.
func (s *strays) addAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = true
}

// take gives what was noted, and forgets it.
func (s *strays) take() (keys [][]byte, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, all = s.keys, s.all
	s.keys, s.all = nil, false
	return keys, all
}

// elsewhere reports whether the kernel alone would send packets of a key to
// another backend than this one, in some family that v listens on.
func elsewhere(v *balancer.View, key []byte, backend uint16) bool {
	hash := v.Hash(key)
	for _, v6 := range [...]bool{false, true} {
		if v.Serves(backend, v6) && v.Ring(v6).At(hash) != backend && v.Listens(v6) {
			return true
		}
	}
	return false
}

// offRingOf is what OffRing says of some sessions.
func (t *Table) offRingOf(v *balancer.View, keys [][]byte) []balancer.Element {
	backend, timeout := offRingBackend(v), offRingTimeout(v)
	var es []balancer.Element
	for _, key := range keys {
		at, hash := t.locate(key)
		sh := &t.shards[at]
		sh.mu.Lock()
		if i := sh.find(hash, key); i != 0 {
			for _, v6 := range [...]bool{false, true} {
				if id := backend(key, sh.records.at(i), v6); id != 0 {
					es = append(es, balancer.Element{Key: key, V6: v6, Backend: id, Timeout: timeout})
				}
			}
		}
		sh.mu.Unlock()
	}
	return es
}
