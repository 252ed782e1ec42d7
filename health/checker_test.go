package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// world is backends that answer or not, at once or slowly.
type world struct {
	mu     sync.Mutex // guards the following
	dead   map[netip.Addr]error
	slow   time.Duration
	asked  map[netip.Addr]int
	flying int
	most   int // probes at a time
}

func (w *world) Probe(ctx context.Context, to netip.AddrPort) error {
	w.mu.Lock()
	w.asked[to.Addr()]++
	w.flying++
	w.most = max(w.most, w.flying)
	err, slow := w.dead[to.Addr()], w.slow
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.flying--
		w.mu.Unlock()
	}()
	if slow > 0 {
		select {
		case <-ctx.Done():
			return judged(ctx, ctx.Err())
		case <-time.After(slow):
		}
	}
	return err
}

func (w *world) kill(a netip.Addr, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[a] = err
}

func (w *world) count(a netip.Addr) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[a]
}

var errDead = errors.New("no answer in time")

func backendAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }

var spec = &balancer.Health{
	Kind: balancer.ProbeUDP, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
}

func target(id int, serving bool) Target {
	return Target{
		ID: uint16(id), Service: "vpn", Backend: fmt.Sprint("b", id), Spec: spec, Serving: serving,
		Addresses: [2]netip.AddrPort{netip.AddrPortFrom(backendAddr(id), 1194)},
	}
}

// check runs a Checker under a clock of its own, hands it to steps, and demands
// that nothing is left of it.
func check(t *testing.T, steps func(t *testing.T, w *world, c *Checker, told func() []string)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{dead: make(map[netip.Addr]error), asked: make(map[netip.Addr]int)}
		var mu sync.Mutex // guards all
		var all []string
		c := New(Options{
			Prober: func(*balancer.Health) (Prober, error) { return w, nil },
			Tell: func(tr Transition) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, fmt.Sprintf("%s %s %s", tr.Target.Backend, tr.State, tr.Reason))
			},
			Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		steps(t, w, c, func() []string {
			mu.Lock()
			defer mu.Unlock()
			out := all
			all = nil
			return out
		})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func wantStates(t *testing.T, c *Checker, want ...State) {
	t.Helper()
	got := c.Standings()
	if len(got) != len(want) {
		t.Errorf("%d standings, want %d", len(got), len(want))
	}
	for i, s := range want {
		if got[uint16(i+1)].State != s {
			t.Errorf("backend %d is %v, want %v", i+1, got[uint16(i+1)].State, s)
		}
	}
}

// Sessions must not stay where nobody answers for longer than an operator has
// said, nor be torn away sooner.
func TestDownInTimeAndBack(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, told func() []string) {
		c.Set([]Target{target(1, true), target(2, true)})
		pass(time.Second)
		wantStates(t, c, Up, Up)
		w.kill(backendAddr(2), errDead)
		pass(13 * time.Second) // probes at 5 s and 10 s
		wantStates(t, c, Up, Up)
		pass(time.Second + time.Millisecond)
		wantStates(t, c, Up, Down)
		if got := fmt.Sprint(told()); got != "[b2 down probes-failed]" {
			t.Errorf("told %s", got)
		}
		w.kill(backendAddr(2), nil)
		pass(6 * time.Second)
		wantStates(t, c, Up, Down)
		pass(4 * time.Second)
		wantStates(t, c, Up, Up)
		if got := fmt.Sprint(told()); got != "[b2 up probes-answered]" {
			t.Errorf("told %s", got)
		}
		if n := w.count(backendAddr(1)); n != 6 {
			t.Errorf("in 26 s the backend that is up was probed %d times, want 6", n)
		}
	})
}

// A start waits for the first answers, and not for backends that are dead.
func TestFirstProbes(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, told func() []string) {
		w.slow = 100 * time.Millisecond
		w.kill(backendAddr(2), errDead)
		c.Set([]Target{target(1, false), target(2, false), target(3, true)})
		synctest.Wait()
		wantStates(t, c, Waiting, Waiting, Up)
		select {
		case <-c.Settled():
			t.Error("settled before the first probes ended")
		default:
		}
		pass(100 * time.Millisecond)
		select {
		case <-c.Settled():
		default:
			t.Error("not settled when the first probes had ended")
		}
		wantStates(t, c, Up, Waiting, Up)
		pass(3 * time.Second) // it is probed in a hurry
		wantStates(t, c, Up, Down, Up)
		if got := fmt.Sprint(told()); got != "[b1 up probes-answered b2 down probes-failed]" {
			t.Errorf("told %s", got)
		}
	})
}

func TestSettledWithoutTargets(t *testing.T) {
	check(t, func(t *testing.T, _ *world, c *Checker, _ func() []string) {
		c.Set(nil)
		<-c.Settled()
		c.Set([]Target{target(1, false)})
		pass(time.Second)
		wantStates(t, c, Up)
	})
}

// A refused packet must be followed up at once, and must not be a means to have
// us flood a backend, or to take it down.
func TestRefused(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, told func() []string) {
		c.Set([]Target{target(1, true), target(2, true)})
		pass(2 * time.Second)
		w.kill(backendAddr(2), errDead)
		c.Refused(1)
		c.Refused(2)
		c.Refused(3)
		synctest.Wait()
		if a, b := w.count(backendAddr(1)), w.count(backendAddr(2)); a != 2 || b != 2 {
			t.Errorf("probed %d and %d times, want 2 each: at once", a, b)
		}
		if s := c.Standings(); s[1].Suspect || !s[2].Suspect {
			t.Error("the backend that answers is suspect, or the other is not")
		}
		pass(2 * time.Second)
		wantStates(t, c, Up, Down)
		if n := len(told()); n != 3 { // both suspect, one down
			t.Errorf("%d transitions were told, want 3", n)
		}
		for range 1000 {
			c.Refused(1)
			pass(time.Millisecond)
		}
		if n := w.count(backendAddr(1)); n > 4 {
			t.Errorf("1000 refused packets in a second made %d probes", n)
		}
		wantStates(t, c, Up, Down)
	})
}

// A change of the configuration must not forget who is down, nor go on with
// what is known of another address.
func TestSetAgain(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, _ func() []string) {
		w.kill(backendAddr(2), errDead)
		c.Set([]Target{target(1, true), target(2, true), target(3, true)})
		pass(20 * time.Second)
		wantStates(t, c, Up, Down, Up)
		other := *spec
		other.Interval = time.Second
		again := []Target{target(1, true), target(2, false)}
		for i := range again {
			again[i].Spec = &other
		}
		c.Set(again)
		synctest.Wait()
		wantStates(t, c, Up, Down)
		before := w.count(backendAddr(1))
		pass(10 * time.Second)
		if n := w.count(backendAddr(1)) - before; n < 9 {
			t.Errorf("with an interval of a second there were %d probes in 10", n)
		}
		moved := again[1]
		moved.Addresses[0] = netip.AddrPortFrom(backendAddr(7), 1194)
		c.Set([]Target{again[0], moved})
		pass(time.Second)
		wantStates(t, c, Up, Up)
		before = w.count(backendAddr(2))
		pass(10 * time.Second)
		if w.count(backendAddr(2)) != before {
			t.Error("an address that is no target any more is probed")
		}
	})
}

// What this host cannot probe is not the backend's fault.
func TestInconclusive(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, told func() []string) {
		w.kill(backendAddr(1), fmt.Errorf("%w: no descriptor", ErrInconclusive))
		w.kill(backendAddr(2), errDead)
		c.Set([]Target{target(1, false), target(2, true)})
		pass(30 * time.Second)
		wantStates(t, c, Up, Down)
		w.kill(backendAddr(2), fmt.Errorf("%w: no descriptor", ErrInconclusive))
		pass(time.Minute)
		wantStates(t, c, Up, Down)
		if got := fmt.Sprint(told()); got != "[b1 up cannot-probe b2 down probes-failed b2 down cannot-probe]" {
			t.Errorf("told %s", got)
		}
	})
}

// A backend with two addresses is up when both answer: its clients of either
// family have no choice.
func TestBothAddresses(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, _ func() []string) {
		v6 := netip.MustParseAddr("2001:db8:b::1")
		both := target(1, true)
		both.Addresses[1] = netip.AddrPortFrom(v6, 1194)
		w.kill(v6, errDead)
		c.Set([]Target{both})
		pass(15*time.Second + time.Millisecond)
		wantStates(t, c, Down)
		if s := c.Standings()[1]; s.Problem != "[2001:db8:b::1]:1194: no answer in time" {
			t.Errorf("the problem is %q", s.Problem)
		}
	})
}

// Thousands of dead backends must neither take all descriptors nor keep the
// others from being probed.
func TestManyBackends(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, _ func() []string) {
		const n = 3000
		w.slow = time.Second
		var all []Target
		for i := range n {
			all = append(all, target(i+1, true))
			if i%2 == 0 {
				w.kill(backendAddr(i+1), errDead)
			}
		}
		c.Set(all)
		pass(time.Minute)
		if w.most > atOnce {
			t.Errorf("%d probes at a time, want at most %d", w.most, atOnce)
		}
		for i := range n {
			want := Up
			if i%2 == 0 {
				want = Down
			}
			if got := c.Standings()[uint16(i+1)].State; got != want {
				t.Fatalf("backend %d is %v, want %v", i+1, got, want)
			}
			if i > 20 {
				break
			}
		}
	})
}

// Changed must wake the reader for each step of a slow start.
func TestSharesRise(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, _ func() []string) {
		s := *spec
		s.SlowStart = 50 * time.Second
		one := target(1, true)
		one.Spec = &s
		w.kill(backendAddr(1), errDead)
		c.Set([]Target{one})
		pass(20 * time.Second)
		wantStates(t, c, Down)
		w.kill(backendAddr(1), nil)
		var shares []int
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
			select {
			case <-c.Changed():
			case <-time.After(time.Until(end)):
				continue
			}
			if s := c.Standings()[1]; s.State == Up {
				shares = append(shares, s.Share)
			}
		}
		if got := fmt.Sprint(shares); got != "[10 28 46 64 82 100]" {
			t.Errorf("shares %s", got)
		}
	})
}

// Queues, changes and the API call all at once.
func TestCallersAtOnce(t *testing.T) {
	check(t, func(t *testing.T, w *world, c *Checker, _ func() []string) {
		w.kill(backendAddr(2), errDead)
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for i := range 200 {
					c.Set([]Target{target(1, true), target(2, true), target(3+i%2, true)})
					c.Refused(uint16(1 + i%4))
					if s := c.Standings(); len(s) > 5 {
						t.Errorf("%d standings", len(s))
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		callers.Wait()
		pass(20 * time.Second)
		if s := c.Standings(); len(s) != 3 || s[1].State != Up || s[2].State != Down {
			t.Errorf("standings %+v", s)
		}
	})
}
