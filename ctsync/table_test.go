package ctsync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

func TestBindKeepsASession(t *testing.T) {
	w := newWorld(t, nil)
	v, table := w.view(), w.table()
	b := table.Bind(1, key(1), v, false, 2)
	if b.Backend != 2 || !b.Created || b.Confirmed || b.Session.Gen == 0 {
		t.Fatalf("first packet: %+v", b)
	}
	again := table.Bind(2, key(1), v, false, 3)
	if again.Backend != 2 || again.Created || again.Session != b.Session {
		t.Errorf("the ring changed, and the session is on %+v, was on %+v", again, b)
	}
	if f, ok := table.Find(key(1), v, false); !ok || f.Backend != 2 || f.Created {
		t.Errorf("found %+v, %v", f, ok)
	}
	if _, ok := table.Find(key(2), v, false); ok {
		t.Error("found a session that nobody made")
	}
	if b := table.Bind(1, key(3), v, false, 0); b != (balancer.Binding{}) || table.Len() != 1 {
		t.Errorf("nobody serves: %+v, %d sessions", b, table.Len())
	}
	// Down: another one, or none.
	w.states = map[uint16]balancer.State{2: balancer.Down}
	w.publish()
	if b := table.Bind(3, key(1), w.view(), false, 0); b.Backend != 0 {
		t.Errorf("a backend that is down: %+v", b)
	}
	if b := table.Bind(3, key(1), w.view(), false, 1); b.Backend != 1 || !b.Created {
		t.Errorf("a backend that is down: %+v", b)
	}
	if b := table.Bind(3, make([]byte, 9), v, false, 1); b.Backend != 1 || b.Session.Gen != 0 {
		t.Errorf("a key longer than the layout's: %+v", b)
	}
}

func TestKeysOfDifferentLength(t *testing.T) {
	w := newWorld(t, nil)
	table := w.s.Table(&balancer.Service{Name: "mixed"}, 8, "")
	v := w.view()
	for n := range 9 {
		if b := table.Bind(1, make([]byte, n), v, false, uint16(n%3+1)); !b.Created {
			t.Errorf("a key of %d zero bytes is taken for a shorter one", n)
		}
	}
	for n := range 9 {
		if b, ok := table.Find(make([]byte, n), v, false); !ok || b.Backend != uint16(n%3+1) {
			t.Errorf("key of %d bytes: %+v, %v", n, b, ok)
		}
	}
}

func TestFloodEvictsTheNeverAnsweredFirst(t *testing.T) {
	const limit = 400
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = limit })
	crowd(w, limit/2)
	for n := range 10 * limit { // session ids made up, from addresses made up
		w.clock += int64(time.Millisecond)
		w.decide(key(10000+n), clientC)
		if got := w.table().Len(); got > limit {
			t.Fatalf("%d sessions, max_sessions is %d", got, limit)
		}
	}
	st := w.s.Stats().Services["vpn"]
	if st.Unanswered > limit/4 {
		t.Errorf("the never-answered hold %d of %d places, more than a quarter", st.Unanswered, limit)
	}
	for i := range limit / 2 {
		if _, ok := w.table().Find(key(i), w.view(), false); !ok {
			t.Fatalf("session %d was answered, and was evicted by a flood", i)
		}
	}
	if st.Evicted == 0 {
		t.Error("evictions are not counted")
	}
	// The newest of the flood is there: a new client is not locked out by it.
	if _, ok := w.table().Find(key(10000+10*limit-1), w.view(), false); !ok {
		t.Error("the newest session was not made")
	}
	w.pass(time.Minute)
	w.check()
}

func TestFullTableEvictsTheLongestUnseen(t *testing.T) {
	const limit = 320
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = limit })
	for i := range 2 * limit {
		w.reply(client(i), w.first(key(i), client(i)))
		w.clock += int64(time.Millisecond)
	}
	if n := w.table().Len(); n > limit || n < limit*9/10 {
		t.Errorf("%d sessions, max_sessions is %d", n, limit)
	}
	for i := range limit {
		if _, ok := w.table().Find(key(limit+i), w.view(), false); !ok {
			t.Fatalf("session %d was seen among the last %d, and is lost", limit+i, limit)
		}
	}
	w.pass(time.Second)
	w.check()
}

func TestRoomThatShrankIsWonBack(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 200)
	w.service.MaxSessions = 50
	w.publish()
	for i := range 100 {
		w.decide(key(1000+i), clientA)
	}
	if n := w.table().Len(); n > 50 {
		t.Errorf("%d sessions, max_sessions is 50 now", n)
	}
}

func TestEach(t *testing.T) {
	w := newWorld(t, nil)
	crowd(w, 300)
	seen := make(map[string]int)
	cursor, pages := uint64(0), 0
	for {
		n := 0
		cursor = w.table().Each(cursor, func(s Session) bool {
			seen[string(s.Key)]++
			n++
			return n < 7
		})
		pages++
		if cursor == 0 {
			break
		}
		if n != 7 {
			t.Fatalf("a page of %d sessions, and not the last", n)
		}
	}
	if len(seen) != 300 || pages < 300/7 {
		t.Errorf("%d sessions on %d pages", len(seen), pages)
	}
	for k, n := range seen {
		if n != 1 {
			t.Fatalf("session %x came %d times", k, n)
		}
	}
	s, ok := w.table().Session(key(3))
	if !ok || s.Client != client(3) || s.Listener != listener4 || !s.Live || !s.Confirmed || s.Shared || s.Backend4 == 0 || s.Backend6 != 0 {
		t.Errorf("session %+v, %v", s, ok)
	}
}

func TestManyQueuesAgree(t *testing.T) {
	const goroutines, keys, rounds = 8, 500, 20
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = 400 })
	v, table := w.view(), w.table()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() { // the owner at work beside them
		for {
			select {
			case <-stop:
				return
			default:
				w.s.step()
				w.s.ClientFlow(clientA, listener4)
				w.s.Stats()
				table.Each(0, func(Session) bool { return true })
			}
		}
	})
	var queues sync.WaitGroup
	for g := range goroutines {
		queues.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			facts := make([]balancer.Fact, 0, 16)
			for range rounds * keys {
				k := key(r.IntN(keys))
				c := client(r.IntN(1000))
				b := table.Bind(int64(r.IntN(100)), k, v, false, uint16(r.IntN(3)+1))
				if b.Session.Gen == 0 {
					continue
				}
				facts = append(facts, balancer.Fact{View: v, Session: b.Session, Client: c, Listener: listener4, Backend: b.Backend, NewFlow: r.IntN(2) == 0, At: w.clock})
				if len(facts) == cap(facts) {
					w.s.Put(facts)
					facts = facts[:0]
				}
			}
		})
	}
	queues.Wait()
	close(stop)
	wg.Wait()
	if n := table.Len(); n > 400+goroutines {
		t.Errorf("%d sessions, max_sessions is 400", n)
	}
	w.clock += int64(time.Second)
	w.settle()
	w.pass(3 * time.Second)
	w.check()
	if err := table.consistent(); err != nil {
		t.Error(err)
	}
}

func TestFirstCallerWins(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = 100000 })
	v, table := w.view(), w.table()
	const goroutines, keys = 4, 2000
	got := make([][]uint16, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		got[g] = make([]uint16, keys)
		wg.Go(func() {
			for n := range keys {
				got[g][n] = table.Bind(1, key(n), v, false, uint16((g+n)%3+1)).Backend
			}
		})
	}
	wg.Wait()
	for n := range keys {
		for g := range goroutines {
			if got[g][n] != got[0][n] {
				t.Fatalf("session %d: one queue says backend %d, another one %d", n, got[0][n], got[g][n])
			}
		}
	}
	if table.Len() != keys {
		t.Errorf("%d sessions, want %d", table.Len(), keys)
	}
}

// consistent recounts a table's sessions.
func (t *Table) consistent() error {
	var counts [2]int64
	for at := range t.shards {
		sh := &t.shards[at]
		listed := 0
		for kind := range sh.lists {
			prev := uint32(0)
			for i := sh.lists[kind].head; i != 0; i = sh.records.at(i).next {
				r := sh.records.at(i)
				if !r.live() || listOf(r) != kind || r.prev != prev {
					return fmt.Errorf("shard %d: list %d is broken", at, kind)
				}
				_, hash := t.locate(sh.key(i))
				if sh.find(hash, sh.key(i)) != i {
					return fmt.Errorf("shard %d: a session is not found by its key", at)
				}
				prev = i
				listed++
				counts[kind]++
			}
			if sh.lists[kind].tail != prev {
				return fmt.Errorf("shard %d: list %d ends elsewhere", at, kind)
			}
		}
		if listed != sh.records.held() || listed != sh.index.used {
			return fmt.Errorf("shard %d: %d listed, %d held, %d indexed", at, listed, sh.records.held(), sh.index.used)
		}
	}
	for kind := range counts {
		if got := t.counts[kind].Load(); got != counts[kind] {
			return fmt.Errorf("list %d: %d counted, there are %d", kind, got, counts[kind])
		}
	}
	return t.boundConsistent()
}

// boundConsistent recounts who is bound where.
func (t *Table) boundConsistent() error {
	bound := make(map[uint16]int)
	t.Each(0, func(s Session) bool {
		bound[s.Backend4]++
		if s.Backend6 != s.Backend4 {
			bound[s.Backend6]++
		}
		return true
	})
	for id := uint16(1); id < 16; id++ {
		if got := t.Bound(id); got != bound[id] {
			return fmt.Errorf("%d sessions are bound to backend %d, counted %d", bound[id], id, got)
		}
	}
	return nil
}

// A draining backend must not be let go while somebody is there, and must be
// once nobody is.
func TestHolds(t *testing.T) {
	w := newWorld(t, nil)
	holds := func(want bool, when string) {
		t.Helper()
		if got := w.s.Holds(w.view(), 2); got != want {
			t.Errorf("%s: holds is %v", when, got)
		}
		if err := w.table().consistent(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	holds(true, "before the kernel's bindings were taken over")
	w.s.took.Store(true)
	holds(false, "nobody came")
	w.table().Bind(1, key(1), w.view(), false, 2)
	w.table().Bind(1, key(1), w.view(), true, 2)
	holds(true, "a session is bound")
	if n := w.table().Bound(2); n != 1 {
		t.Errorf("a session of both families counts %d times", n)
	}
	if _, err := w.table().Place(context.Background(), w.view(), w.clock, key(1), 1); err != nil {
		t.Fatal(err)
	}
	holds(false, "it is placed elsewhere")
	w.s.took.Store(true)
	n := 2
	for w.first(key(n), clientA) != 2 {
		n++
	}
	w.settle()
	holds(true, "a session has an entry")
	if _, err := w.table().Delete(context.Background(), w.view(), key(n)); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.pass(time.Minute)
	holds(false, "its session and its entry are gone")
}

func TestBindDoesNotAllocate(t *testing.T) {
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = 1 << 20 })
	v, table := w.view(), w.table()
	k := key(1)
	table.Bind(1, k, v, false, 1)
	if n := testing.AllocsPerRun(1000, func() { table.Bind(2, k, v, false, 2) }); n != 0 {
		t.Errorf("%v allocations for a packet of a known session, want none", n)
	}
	n := 0
	per := testing.AllocsPerRun(20000, func() {
		n++
		k[0], k[1], k[2] = byte(n), byte(n>>8), byte(n>>16)
		table.Bind(2, k, v, false, 2)
	})
	if per > 0.1 {
		t.Errorf("%v allocations for a new session, want a tenth of one at most", per)
	}
	f := []balancer.Fact{w.decide(key(5), clientA)}
	w.s.Put(f)
	w.settle()
	if n := testing.AllocsPerRun(1000, func() { w.s.Put(f); w.s.step() }); n != 0 {
		t.Errorf("%v allocations for a fact of a known session, want none", n)
	}
}

func TestMemoryOfASession(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	const sessions = 200_000
	w := newWorld(t, func(s *balancer.Service) { s.MaxSessions = 4 * sessions })
	facts := make([]balancer.Fact, 64)
	k := key(0)
	fill := func(from, to int) {
		for i := from; i < to; {
			facts = facts[:0]
			for ; len(facts) < cap(facts) && i < to; i++ {
				k[0], k[1], k[2], k[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
				c := netipClient(i)
				b := w.table().Bind(w.clock, k, w.view(), false, uint16(i%3+1))
				// No two sessions share a flow: the dearest case.
				facts = append(facts, balancer.Fact{View: w.view(), Session: b.Session, Client: c, Listener: listener4, Backend: b.Backend, At: w.clock})
			}
			w.s.Put(facts)
			for w.s.step() {
			}
			for _, f := range facts { // answered, so that the flood rule keeps them
				w.ct.onEvent([]Event{{Entry: Entry{Tuple: w.tuple(f.Client, f.Backend), ID: 1, Mark: w.snap.Marks.Ours(), Status: SeenReply}}})
			}
			for w.s.step() {
			}
		}
	}
	fill(0, 1000) // what does not grow with the sessions
	before := heap()
	fill(1000, sessions+1000)
	per := float64(heap()-before) / sessions
	if n := w.table().Len(); n != sessions+1000 {
		t.Fatalf("%d sessions", n)
	}
	if n := w.s.Stats().Flows; n != sessions+1000 {
		t.Fatalf("%d flows", n)
	}
	t.Logf("%.1f bytes a session with its flow", per)
	if per > 200 {
		t.Errorf("%.1f bytes a session with its flow, want at most 200", per)
	}
	runtime.KeepAlive(w)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
