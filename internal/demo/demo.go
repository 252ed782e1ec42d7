// Package demo shows what roamlb does on networks that it makes for that
// purpose: network namespaces with a load balancer, three backends and clients,
// the real daemon in the load balancer's and, beside it, a network with plain
// nftables for comparison.
//
// A scene measures something, shows it and makes claims about it. No line
// repeats what ought to be: each says what was measured just then, and a claim
// that does not hold fails the demo.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/internal/lab"
)

// Options is what a demo needs from its caller. Out and Serve must be set.
type Options struct {
	Out  io.Writer // takes the show
	Look Look      // how the show is written
	Size Size      // how much is shown
	Keep bool      // stay up after the show until ctx ends
	// Front, where Keep is set, is the host's listener for the API and the
	// dashboard, as [OpenFront] has opened it; nil for none. Run closes it.
	Front     *os.File
	Dashboard bool // whether there is one in this program
	// Serve returns the command that serves a configuration file: the real
	// daemon. It says "msg=serving" in its log, the standard error, once it
	// balances. Run starts the command, perhaps several times.
	Serve func(config string) *exec.Cmd
}

// Size is how much is shown.
type Size struct {
	Sessions  int           // that are spread over the backends
	Roams     int           // of the one client whose way is shown
	Stale     int           // stale entries whose end is timed
	Takeovers int           // of client addresses
	Rate      int           // datagrams a second while the daemon is killed
	Traffic   time.Duration // how long they are sent, in whole seconds, at least 4
}

// FullSize takes about half a minute.
var FullSize = Size{Sessions: 2000, Roams: 12, Stale: 200, Takeovers: 50, Rate: 4000, Traffic: 8 * time.Second}

// BrokenError says that the show ran to its end and some of its claims did not
// hold.
type BrokenError struct {
	Broken []string // the claims, as they were shown
	Claims int      // how many there were
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("%d of %d claims did not hold, the first: %s", len(e.Broken), e.Claims, e.Broken[0])
}

// show is a running demo.
type show struct {
	*screen
	opts     Options
	dir      string // for the daemon's files; removed at the end
	settings *settings
	bed      *bed // the network that roamlb balances
	plain    *bed // the network that plain nftables balances
	daemon   *daemon
	front    *front      // lets the host's browsers in; nil for none
	entries  *entryTable // conntrack of bed's load balancer
	places   places      // of clients that are shown one by one
	crowd    places      // of all others
	begun    time.Time
}

// Run shows everything and returns nil if all claims held, a *BrokenError if
// not, and another error if it could not go on. The caller is inside namespaces
// that [lab.Reexec] made. When ctx ends Run tidies up and returns ctx's error;
// when that happens after the show, with Options.Keep, it returns as if it had
// ended there.
func Run(ctx context.Context, opts Options) (err error) {
	s := &show{screen: newScreen(opts.Out, opts.Look), opts: opts, crowd: places{last: 10_000}, begun: time.Now()}
	caller := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() {
		s.clear()
		if errors.Is(err, context.Canceled) && caller.Err() == nil {
			err = context.Cause(ctx) // the daemon has ended
		}
		err = errors.Join(err, s.close())
	}()
	if err := s.open(ctx, cancel); err != nil {
		return err
	}
	if err := s.play(ctx); err != nil {
		return err
	}
	if opts.Keep {
		if err := s.keep(ctx); caller.Err() == nil {
			return err
		}
	} else {
		s.text("\"roamlb demo --keep\" leaves the network running, for you to look around.")
	}
	if broken := s.broken(); len(broken) > 0 {
		return &BrokenError{Broken: broken, Claims: len(s.claims)}
	}
	return nil
}

// play shows all scenes.
func (s *show) play(ctx context.Context) error {
	for i, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"Sessions spread over the backends by weight", s.spread},
		{"A client roams again and again, and keeps its backend", s.roam},
		{"What it leaves behind in conntrack is deleted at once", s.stale},
		{"Somebody else gets the old address and port: roamlb and plain DNAT", s.takeover},
		{"Two sessions in one socket have two backends", s.oneSocket},
		{"The daemon is killed under traffic, and started again", s.kill},
	} {
		s.heading(i+1, scene.title)
		if err := scene.play(ctx); err != nil {
			return err
		}
		s.pause(ctx, 2*time.Second)
	}
	s.summary(time.Since(s.begun))
	return nil
}

// open makes the networks and starts the daemon. cancel is called if that ends
// by itself.
func (s *show) open(ctx context.Context, cancel context.CancelCauseFunc) (err error) {
	s.sketch()
	s.progress("making two networks")
	if s.dir, err = os.MkdirTemp("", "roamlb-demo-"); err != nil {
		return err
	}
	if s.settings, err = newSettings(s.dir, s.opts.Keep); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() (err error) { s.bed, err = newBed(); return err })
	g.Go(func() (err error) { s.plain, err = newBed(); return err })
	if err := g.Wait(); err != nil {
		return err
	}
	if s.entries, err = openEntries(s.bed.LB); err != nil {
		return err
	}
	if err := addPlainRules(s.plain.LB, s.settings); err != nil {
		return err
	}
	// Not every kernel lets a user namespace do that; it is for the eyes of
	// those who list the entries by hand.
	_ = s.bed.LB.SetSysctl("net.netfilter.nf_conntrack_timestamp", "1")
	made := time.Since(s.begun)
	s.progress("starting the daemon")
	s.daemon = &daemon{network: s.bed.LB, serve: s.opts.Serve, settings: s.settings, lost: cancel}
	took, err := s.daemon.start(ctx)
	if err != nil {
		return err
	}
	if err := s.openFront(); err != nil {
		return err
	}
	s.text("Two networks made in %s; %q, process %d, serving after %s more.", span(made), "roamlb serve", s.daemon.pid(), span(took))
	s.pause(ctx, 2*time.Second)
	return nil
}

// close ends everything that open has made, as far as it came.
func (s *show) close() error {
	var errs []error
	if s.front != nil {
		errs = append(errs, s.front.close())
	}
	if s.daemon != nil {
		errs = append(errs, s.daemon.stop())
	}
	if s.entries != nil {
		errs = append(errs, s.entries.close())
	}
	for _, b := range []*bed{s.bed, s.plain} {
		if b != nil {
			errs = append(errs, b.close())
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// sketch draws the network.
func (s *show) sketch() {
	s.title("roamlb demo: UDP clients roam, and keep their backend")
	g := s.glyphs
	v4, v6 := s.addresses()
	t := table{{width: 16}, {width: 3}, {width: 20}, {width: 3}, {width: 29}}
	s.row(t, dim.of("clients"), dim.of(""), dim.of("load balancer"), dim.of(""), dim.of("backends"))
	for i, branch := range []string{g.forkTop, g.fork, g.forkLast} {
		left := [][3]string{{lab.ClientsIPv4.String(), g.line, v4}, {lab.ClientsIPv6.String(), "", v6}, {}}[i]
		s.row(t, normal.of("%s", left[0]), dim.of("%s", left[1]), normal.of("%s", left[2]), dim.of("%s", branch),
			inkOf(i).of("%s  %-13s weight %d", serverName(i), lab.BackendIPv4(i+1), weights[i]))
	}
	s.blank()
	s.text("The key, a session's identity, is 8 bytes of each datagram's payload. What follows is measured while you look, " +
		"in network namespaces that only this process has.")
}

// addresses are the listeners of the first service.
func (s *show) addresses() (v4, v6 string) {
	return listener(vpnPort, false).String(), listener(vpnPort, true).String()
}

// pause gives people time to read; where nobody watches there is none.
func (s *show) pause(ctx context.Context, d time.Duration) {
	if s.look.Live {
		sleep(ctx, d)
	}
}

// sleep waits for a time or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
