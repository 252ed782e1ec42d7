package suite

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// keeper is the process that answers the queues when the daemon cannot: its
// only child. 0: there is none just now.
func (d *daemon) keeper() int {
	d.t.Helper()
	children, err := lab.Children(d.cmd.Process.Pid)
	if err != nil {
		d.t.Fatal(err)
	}
	if len(children) == 0 {
		return 0
	}
	return children[0]
}

// Whatever crashes, at whatever moment, must cost no packet but those that
// waited where nobody is left to answer them, and misplace no session.
func TestKilledAtRandomMoments(t *testing.T) {
	rounds := 6
	if long() {
		rounds = 100
	}
	b := newBed(t, bedOptions{})
	b.serve(b.service(seeded, "timeouts: {unreplied: 5s, replied: 5s}"))
	type tally struct{ sent, lost, misplaced, worst int }
	tallies := make(map[string]tally)
	for round := range rounds {
		who := []string{"daemon", "keeper", "both"}[round%3]
		l := b.startLoadByRing(round*100_000, paced(10_000))
		time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
		keeper := b.daemon.keeper()
		if keeper == 0 {
			t.Fatal("the daemon has no keeper")
		}
		if who != "daemon" {
			if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if who != "keeper" {
			b.daemon.kill()
		}
		time.Sleep(rand.N(200 * time.Millisecond))
		if who == "keeper" {
			waitFor(t, 10*time.Second, "the daemon has another keeper", func() bool {
				now := b.daemon.keeper()
				return now != 0 && now != keeper
			})
		} else {
			b.start()
		}
		time.Sleep(200 * time.Millisecond)
		sent, lost, misplaced := l.end()
		c := tallies[who]
		tallies[who] = tally{c.sent + sent, c.lost + lost, c.misplaced + misplaced, max(c.worst, lost)}
	}
	for who, c := range tallies {
		t.Run(who, func(t *testing.T) {
			t.Logf("%d datagrams, %d lost (at most %d in a round), %d sessions misplaced", c.sent, c.lost, c.worst, c.misplaced)
			waiting := 0
			if who == "both" {
				waiting = 2 * 1024 // as many as the queues hold
			}
			if c.worst > waiting || c.misplaced > 0 {
				t.Errorf("want at most %d lost and none misplaced", waiting)
			}
		})
	}
}

// A daemon that can open nothing more must go on with what it has, say what is
// wrong, and be as before when it can.
func TestOutOfDescriptors(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service(seeded))
	pid := b.daemon.cmd.Process.Pid
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	limit := func(soft uint64) {
		t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: before.Max}, nil); err != nil {
			t.Fatal(err)
		}
	}
	l := b.startLoadByRing(0, paced(4000))
	limit(3)
	if refusal := b.reload(b.service(seeded, "session_ttl: 3h")); !strings.Contains(refusal, "too many open files") {
		t.Errorf("the daemon says %q of a file that it cannot open", refusal)
	}
	time.Sleep(slow(time.Second))
	limit(before.Cur)
	if refusal := b.hangUp(); refusal != "" {
		t.Errorf("afterwards the daemon refuses the file: %s", refusal)
	}
	if r, err := b.api().GetServiceWithResponse(t.Context(), "vpn", nil); err != nil || r.JSON200 == nil || r.JSON200.SessionTTL != "3h" {
		t.Errorf("afterwards the API answers %v, %v", r, err)
	}
	t.Logf("%d datagrams", l.stop())
}
