package ctsync

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a world whose Sync runs by itself, on the time of a synctest
// bubble.
type running struct {
	*world
	stop func()
}

func run(t *testing.T, w *world) *running {
	t.Helper()
	r := &running{world: w}
	w.ct.now = func() int64 { return time.Now().UnixNano() }
	events := make(chan event.Event, 100000)
	w.s.opts.Now = w.ct.now
	w.s.opts.Events = func(e event.Event) { events <- e }
	w.ct.onEvent = nil
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	w.s.TakeOver() // as the daemon does, once the kernel has its services
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v, want nil", err)
		}
		close(events)
		for e := range events {
			w.told = append(w.told, e)
		}
	}
	r.rest()
	return r
}

// rest waits until nothing is left to do with what was told so far.
func (r *running) rest() {
	time.Sleep(gather)
	synctest.Wait()
	r.clock = r.ct.now()
}

// at lets time pass.
func (r *running) at(d time.Duration) {
	time.Sleep(d)
	r.rest()
}

func (r *running) fact(k []byte, n int, newFlow bool) balancer.Fact {
	r.clock = r.ct.now()
	f := r.decide(k, client(n))
	f.NewFlow = newFlow
	r.packet(client(n), f.Backend)
	return f
}

// answerAll is each backend's answer to clients from, ..., from+n-1.
func (r *running) answerAll(facts []balancer.Fact) {
	var events []Event
	r.ct.mu.Lock()
	for _, f := range facts {
		if e := r.ct.entries[r.tuple(f.Client, f.Backend)]; e.Status&SeenReply == 0 {
			events = append(events, r.answer(e))
		}
	}
	listen := r.ct.onEvent
	r.ct.mu.Unlock()
	listen(events)
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = 10 * n })
		r := run(t, w)
		var facts []balancer.Fact
		for i := range n {
			facts = append(facts, r.fact(key(i), i, false))
		}
		r.s.Put(facts)
		r.rest()
		r.answerAll(facts)
		r.at(5 * time.Second)
		facts = facts[:0]
		for i := range n { // all roam at once
			facts = append(facts, r.fact(key(i), n+i, true))
		}
		r.s.Put(facts)
		r.rest()
		if got := len(r.ct.entries); got != 2*n {
			t.Fatalf("%d entries before the answers, want %d", got, 2*n)
		}
		r.answerAll(facts)
		r.rest()
		if got := len(r.ct.entries); got != n {
			t.Fatalf("%d entries after the answers, want %d", got, n)
		}
		dumps := r.s.Stats().Dumps
		r.at(5 * time.Minute)
		if got := r.s.Stats().Dumps - dumps; got < 8 || got > 11 {
			t.Errorf("%d dumps in 5 minutes without losses, want one each 30 s", got)
		}
		r.stop()
		deleted := r.tells(event.StaleDeleted)
		if len(deleted) != n {
			t.Errorf("told of %d deletions, want %d", len(deleted), n)
		}
		r.check()
	})
}

func TestRunTriesDeletionsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := run(t, w)
		first := []balancer.Fact{r.fact(key(1), 1, false)}
		r.s.Put(first)
		r.rest()
		r.answerAll(first)
		r.at(5 * time.Second)
		next := []balancer.Fact{r.fact(key(1), 2, true)}
		r.s.Put(next)
		r.rest()
		r.ct.mu.Lock()
		r.ct.fail = errors.New("no memory")
		r.ct.mu.Unlock()
		r.answerAll(next)
		r.at(100 * time.Millisecond)
		r.ct.mu.Lock()
		r.ct.fail = nil
		r.ct.mu.Unlock()
		r.at(time.Second)
		if got := len(r.ct.entries); got != 1 {
			t.Errorf("%d entries, want one", got)
		}
		r.stop()
	})
}

func TestRunDumpsAfterLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := run(t, w)
		r.at(10 * time.Second)
		dumps := r.s.Stats().Dumps
		r.ct.mu.Lock()
		lost := r.ct.onLost
		r.ct.mu.Unlock()
		lost()
		r.at(3 * time.Second)
		if got := r.s.Stats(); got.Dumps != dumps+1 || got.KernelDrops != 1 {
			t.Errorf("%d dumps after a loss, want one; %d losses counted", got.Dumps-dumps, got.KernelDrops)
		}
		r.stop()
		if e := r.tells(event.Overflow); len(e) != 1 || e[0].Count != 1 {
			t.Errorf("told %+v, want one overflow", e)
		}
	})
}

func TestRunTakesOverAndRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *balancer.Service) { s.SessionTTL = 10 * time.Minute; s.MaxSessions = 5000 })
		const n = 1000
		for i := range n {
			w.learn(balancer.Element{Key: key(i), Backend: 2, Timeout: 9 * time.Minute})
		}
		r := run(t, w)
		r.at(200 * time.Millisecond)
		left := func() int {
			r.elements.mu.Lock()
			defer r.elements.mu.Unlock()
			return len(r.elements.maps)
		}
		if l := left(); l == 0 || l == n {
			t.Errorf("after 200 ms %d of %d elements are left, want some: the queue must not be flooded", l, n)
		}
		r.at(5 * time.Second)
		if l := left(); l != 0 {
			t.Errorf("%d elements are left", l)
		}
		if got := r.table().Len(); got != n {
			t.Errorf("%d sessions were taken over, want %d", got, n)
		}
		// Each shows itself, on the backend that the kernel had chosen.
		var facts []balancer.Fact
		for i := range n {
			f := r.fact(key(i), i, false)
			if f.Backend != 2 {
				t.Fatalf("session %d is on backend %d, the kernel had it on 2", i, f.Backend)
			}
			facts = append(facts, f)
		}
		r.s.Put(facts)
		r.at(11 * time.Second)
		off := len(r.s.OffRing(r.view()))
		if l := left(); l != off || off == 0 {
			t.Errorf("%d elements were written, %d sessions are off the ring", l, off)
		}
		r.stop()
	})
}

func TestRunWaitsForASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var snap atomic.Pointer[balancer.Snapshot]
		w.s.opts.Snapshot = snap.Load
		r := run(t, w)
		r.at(3 * time.Second)
		if st := r.s.Stats(); st.Dumps != 0 {
			t.Errorf("%d dumps without services", st.Dumps)
		}
		snap.Store(w.snap)
		r.at(3 * time.Second)
		if st := r.s.Stats(); st.Dumps == 0 {
			t.Error("no dump")
		}
		r.stop()
	})
}
