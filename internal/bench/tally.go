package bench

import (
	"sync/atomic"
)

// tally counts what arrives, and where. Its methods may be called from any
// goroutine.
type tally struct {
	home      []uint8 // by number: the backend where it belongs; 0 for anywhere
	count     []atomic.Uint32
	arrived   atomic.Uint64
	misplaced atomic.Uint64
	strange   atomic.Uint64 // datagrams that nobody sent
}

// newTally expects numbers below n; home says where each belongs, 0 for
// anywhere.
func newTally(n int, home func(int) uint8) *tally {
	t := &tally{home: make([]uint8, n), count: make([]atomic.Uint32, n)}
	for i := range t.home {
		t.home[i] = home(i)
	}
	return t
}

// take counts a datagram that reached a backend.
func (t *tally) take(backend uint8, payload []byte) {
	i, ok := numberOf(payload)
	if !ok || i >= len(t.home) {
		t.strange.Add(1)
		return
	}
	if h := t.home[i]; h != 0 && h != backend {
		t.misplaced.Add(1)
	}
	t.count[i].Add(1)
	t.arrived.Add(1)
}

// reset forgets what has arrived.
func (t *tally) reset() {
	for i := range t.count {
		t.count[i].Store(0)
	}
	t.arrived.Store(0)
	t.misplaced.Store(0)
	t.strange.Store(0)
}

// doubled is how many datagrams arrived beyond once a number.
func (t *tally) doubled() int {
	n := 0
	for i := range t.count {
		if c := t.count[i].Load(); c > 1 {
			n += int(c) - 1
		}
	}
	return n
}
