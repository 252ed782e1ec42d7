package suite

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// wallClock is the host's, of a virtual machine that is ours.
type wallClock struct {
	t     *testing.T
	began time.Time
	away  time.Duration // from the true time
}

// newWallClock puts the clock right again when the test ends.
func newWallClock(t *testing.T) *wallClock {
	t.Helper()
	if !lab.Emulated() {
		t.Skip("kernel lacks: a wall clock for each namespace; the host's is set in the virtual machine alone")
	}
	w := &wallClock{t: t, began: time.Now()}
	t.Cleanup(func() { w.step(-w.away) })
	return w
}

// step sets the clock forward, or back.
func (w *wallClock) step(by time.Duration) {
	w.t.Helper()
	w.away += by
	to := w.began.Add(time.Since(w.began)) // by the monotonic clock, which nobody sets
	ts := unix.NsecToTimespec(to.Round(0).Add(w.away).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		w.t.Fatal(err)
	}
}

// clockSteps end where they began.
var clockSteps = []time.Duration{time.Hour, -2 * time.Hour, 25 * time.Hour, -24 * time.Hour}

// Somebody sets the host's clock, or a time server does: sessions must neither
// end nor move for that, roams must be followed as before, and who was where
// must be known after a restart.
func TestClockStepsWhileSessionsRoam(t *testing.T) {
	w := newWallClock(t)
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	live := numbers(0, 40)
	home := b.offRing(live) // who is forgotten moves
	others := numbers(1000, 40)
	chat := b.chat(others, b.settle(others), paced(1000))
	for i, by := range clockSteps {
		w.step(by)
		at := uint16(22000 + i)
		b.stay(fmt.Sprintf("the clock is %v away", w.away), home, from(at, live, 2+3*i))
		waitFor(t, 2*time.Second, "the entries that they left are gone", func() bool { return b.left(at, live) == 0 })
		b.expire()
		b.stay("by the daemon", home, from(at, live, 3+3*i))
		if i%2 == 1 {
			b.daemon.stop()
			w.step(by)
			b.start()
			w.step(-by)
			b.stay("after a restart", home, from(at+10, live, 4+3*i))
			waitFor(t, 20*time.Second, "the entries from before are gone", func() bool { return b.left(at+10, live) == 0 })
		}
	}
	got := chat.toll(func(int) bool { return false })
	t.Logf("%d steps: %d datagrams, %d lost, %d sessions misplaced", len(clockSteps), got.sent, got.othersLost, got.misplaced)
	if got.othersLost > 0 || got.misplaced > 0 {
		t.Error("want none lost and none misplaced")
	}
	b.daemon.stop()
	if got := b.daemon.count("evicted"); got > 0 {
		t.Errorf("%d sessions were evicted", got)
	}
}

// Nor must anything last for ever that is to end, nor end early that is to
// last: a session's time, and that of a slow start.
func TestClockStepsAndTimeouts(t *testing.T) {
	w := newWallClock(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("session_ttl: 1s", "timeouts: {unreplied: 1s, replied: 1s}", probes(", slow_start: 30s")))
	n := 60
	for i, by := range clockSteps {
		b.place(numbers(100*i, n), 0)
		if got := b.metric("roamlb_sessions"); got == 0 {
			t.Error("no session lives")
		}
		w.step(by)
		waitFor(t, 3*time.Second, "the sessions end", func() bool {
			time.Sleep(200 * time.Millisecond)
			b.entries() // the kernel buries those that have run out when it is asked for them
			return b.metric("roamlb_sessions") == 0
		})
	}
	share := func() float64 {
		return b.metric("roamlb_backend_ring_share_ratio", `backend="b2"`, `family="ipv4"`)
	}
	b.kill(2)
	b.awaitState(2, "down", 5*time.Second)
	b.revive(2)
	b.awaitState(2, "up", 5*time.Second)
	back := time.Now()
	for _, by := range clockSteps {
		w.step(by)
		time.Sleep(2 * time.Second)
		if got := share(); got == 0 || got > 0.3 {
			t.Errorf("%v after it came back, the clock is %v away, the backend has %.2f of the ring", time.Since(back), w.away, got)
		}
	}
	waitFor(t, 6*time.Second, "it has its whole share", func() bool {
		time.Sleep(500 * time.Millisecond)
		return share() > 0.3
	})
	t.Logf("the slow start took %v", time.Since(back).Round(time.Second))
}
