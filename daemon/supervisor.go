package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// Supervisor is what started the daemon and wants to know how it is, in the
// words of sd_notify(3). Its zero value wants to know nothing.
type Supervisor struct {
	// Tell takes what there is to say, a line each. It must not block; nil:
	// nobody is told.
	Tell func(state string)
	// Watchdog is the time within which a sign of life is due; 0: none is.
	Watchdog time.Duration
}

const (
	// statusEvery is how often the status is told anew, where it differs.
	statusEvery = 5 * time.Second
	// stuckAfter is how long housekeeping may take for one round: the largest
	// configuration and the longest list of sessions take seconds.
	stuckAfter = 2 * time.Minute
)

func (d *Daemon) tell(lines ...string) {
	if d.opts.Supervisor.Tell != nil {
		d.opts.Supervisor.Tell(strings.Join(lines, "\n"))
	}
}

// tellReloading tells that a reload begins; what it returns tells of its end.
func (d *Daemon) tellReloading() (done func()) {
	var now unix.Timespec
	// The clock is always there.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	d.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
	return func() { d.tell("READY=1", "STATUS="+d.status()) }
}

// status is the daemon's in a line.
func (d *Daemon) status() string {
	if h := d.Health(); len(h.Reasons) > 0 {
		return strings.Join(h.Reasons, "; ")
	}
	s := d.snapshot.Load()
	sessions, down := 0, 0
	for _, one := range d.sync.Stats().Services {
		sessions += one.Sessions
	}
	for _, v := range s.Views {
		for i := range v.Service.Backends {
			if v.State(v.Service.Backends[i].ID) == balancer.Down {
				down++
			}
		}
	}
	text := fmt.Sprintf("%d services, %d sessions", len(s.Views), sessions)
	if down > 0 {
		text += fmt.Sprintf(", %d backends down", down)
	}
	return text
}

// reassure tells the supervisor the status, and that the daemon lives as long as
// that is so, until ctx ends.
func (d *Daemon) reassure(ctx context.Context) error {
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	var alive <-chan time.Time // nil: no sign of life is wanted
	if w := d.opts.Supervisor.Watchdog; w > 0 {
		t := time.NewTicker(w / 3)
		defer t.Stop()
		alive = t.C
	}
	last := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-status.C:
			if text := d.status(); text != last {
				last = text
				d.tell("STATUS=" + text)
			}
		case <-alive:
			if d.alive() {
				d.tell("WATCHDOG=1")
			}
		}
	}
}

// alive reports whether packets are answered and housekeeping goes on. Where it
// does not, only a new start helps.
func (d *Daemon) alive() bool {
	return d.queue.Serving() && d.now()-d.round.Load() < int64(stuckAfter)
}
