// Package daemon joins the rooms of roamlb into the program that serves: the
// state on disk, the nftables table, the queues, the session tables and the
// log of what happened. A test runs the same code as the command.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/check"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/health"
	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

// Options is what a daemon needs from its caller.
type Options struct {
	File *config.File
	// Reload reads the configuration file again, on SIGHUP.
	Reload func() (*config.File, error)
	// HUP delivers a value for each wish to reload; nil: none comes.
	HUP <-chan struct{}
	Log *slog.Logger
	// Ready is called once packets are balanced; nil: nobody is told.
	Ready func()
	// Events takes every event beside the log; nil: the log alone.
	Events event.Sink
	// API answers the daemon's API until its context ends; nil: there is none.
	// It is called once the state has been read, before packets are balanced, and
	// calls listening, once, when requests can come: the daemon is not ready before.
	API func(ctx context.Context, d *Daemon, listening func()) error
	// FirstToken is told the secret of the first token, which is kept nowhere;
	// nil: none is made.
	FirstToken func(secret string)
	// Supervisor is told how the daemon is.
	Supervisor Supervisor
	// Checks looks at the host for a configuration; nil: nobody looks.
	Checks func(context.Context, *config.File) []check.Result
}

// Daemon balances the services of one network namespace.
type Daemon struct {
	opts    Options
	file    *config.File
	log     *slog.Logger
	events  *eventLog
	kept    *event.Log
	started time.Time

	listening chan struct{} // closed once the API's requests can come
	ready     atomic.Bool
	degraded  atomic.Pointer[string] // why no change is taken; nil while one is
	lacks     atomic.Pointer[string] // of the operator's rules, while the start waits for them; nil: nothing
	broken    atomic.Pointer[string] // why the table is not repaired yet; nil while it is as applied
	round     atomic.Int64           // when housekeeping began its last round, on now's clock

	reloads struct{ done, failed atomic.Uint64 }

	store     *store.Store
	rules     *nft.Ruleset
	table     table // rules, but for tests in which the kernel refuses something
	conntrack *ctsync.Kernel
	claim     net.Listener // of the network namespace
	sync      *ctsync.Sync
	queue     *nfq.Queues
	probes    *health.Checker
	findings  findings    // of the probes, not told yet
	copies    *nfq.Copies // of what the kernel decides by itself; nil where it cannot send any

	snapshot atomic.Pointer[balancer.Snapshot]
	change   sync.Mutex // held while the configuration changes, and by ctsync for moments in which it must not; guards the following
	outlook  outlook
	draining map[uint16]time.Time // since when
	compiler *nft.Compiler
	drained  map[uint16]bool // whose drain is over
	undone   undone          // the change that degraded the daemon
	drift    string          // what was told of the table last; empty while it is as applied
	closed   bool
}

// undone is a change that could be neither made nor taken back.
type undone struct{ old, mid *balancer.Snapshot }

// table is what a change makes use of in the kernel's.
type table interface {
	Require(want *nft.Table) error
	Switch(want *nft.Table, before func() error) error
	Put(v *balancer.View, zoneBase uint16, es []balancer.Element) error
}

// New prepares a daemon: it locks and reads the state and finds out what the
// kernel can do. It must be called, and Run too, in the data plane's network
// namespace. Nothing in the kernel has changed yet when it returns.
func New(opts Options) (*Daemon, error) {
	d := &Daemon{
		opts: opts, file: opts.File, log: opts.Log, started: time.Now(), kept: event.NewLog(eventsKept),
		draining: make(map[uint16]time.Time), drained: make(map[uint16]bool), listening: make(chan struct{}),
	}
	st, err := store.Open(opts.File.State)
	if err != nil {
		return nil, err
	}
	// Before the kernel is tried: that alone would cost another daemon packets.
	claim, err := claimNetNS()
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	rules, err := nft.Open()
	if err != nil {
		return nil, errors.Join(err, claim.Close(), st.Close())
	}
	conntrack, err := ctsync.NewKernel()
	if err != nil {
		return nil, errors.Join(err, rules.Close(), claim.Close(), st.Close())
	}
	d.store, d.rules, d.table, d.conntrack, d.claim = st, rules, rules, conntrack, claim
	f := rules.Features()
	d.compiler = nft.NewCompiler(d.queues(), f)
	if d.external() {
		rules.SetExternal()
		d.compiler = nft.NewExternalCompiler(d.queues(), f)
	}
	d.log.Info("kernel", "queue", queueKind(f), "payload_offset", f.PayloadOffset, "key_bytes", f.KeyBytes, "destroy_elements", f.DestroyElements)
	return d, nil
}

// claimNetNS makes this the only daemon in its network namespace: two would
// fight over the table. An abstract socket belongs to the namespace and goes
// with the process.
func claimNetNS() (net.Listener, error) {
	l, err := net.Listen("unix", "@roamlb")
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, errors.New("another roamlb serves this network namespace")
	}
	if err != nil {
		return nil, fmt.Errorf("claim the network namespace: %w", err)
	}
	return l, nil
}

func queueKind(f nft.Features) string {
	if f.NativeQueue {
		return "nft queue expression"
	}
	return "xt target NFQUEUE"
}

// now is the daemon's monotonic clock, in nanoseconds.
func (d *Daemon) now() int64 { return int64(time.Since(d.started)) }

func (d *Daemon) queues() balancer.Queues { return d.file.Queues.Resolved(runtime.NumCPU()) }

// Run serves until ctx ends, and then leaves the table as it is: the kernel
// goes on by itself. It returns nil on cancel.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.close()
	next, err := d.startState()
	if err != nil {
		return err
	}
	watcher, err := d.rules.Watch() // here, where the thread is in the right namespace
	if err != nil {
		return err
	}
	d.events = newEventLog(d.log, d.file.Log.Keys, next.Secret, d.kept, d.opts.Events)
	d.sync = ctsync.New(ctsync.Options{
		Conntrack: d.conntrack, Elements: d.rules, Events: d.events.add,
		Snapshot: d.snapshot.Load, Changes: &d.change, Now: d.now, Log: d.log,
	})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() { d.tell("STOPPING=1") })()
	d.probes = health.New(health.Options{Tell: d.foundHealth, Log: d.log})
	g.Go(named("health", func() error { return d.probes.Run(ctx) }))
	d.aimProbes(next.Services, nil)
	d.awaitProbes(ctx)
	d.outlook = d.lookAt(next.Services)
	d.snapshot.Store(d.build(next.Services, nil, balancer.Down, func(v *balancer.View) balancer.Bindings {
		return d.sync.Table(v.Service, v.Extractor.MaxLen(), nft.KeyFingerprint(&v.Service.Key))
	}))
	d.loadSessions()

	// The queues must outlive what their decisions are told to.
	syncCtx, stopSync := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(named("ctsync", func() error { return d.sync.Run(syncCtx) }))
	if err := d.openQueues(); err != nil {
		stopSync()
		stop()
		return errors.Join(err, g.Wait(), watcher.Close())
	}
	if d.copies != nil {
		g.Go(named("copies", func() error { return d.copies.Run(ctx) }))
	}
	d.rules.Quiesce(func(change func() error) error {
		defer d.sync.Reconcile() // what went past Go meanwhile
		return d.queue.WhileEmpty(change)
	})
	g.Go(named("queues", func() error {
		defer stopSync()
		defer d.saySessions()
		defer d.sayQueues()
		return d.queue.Run(ctx)
	}))
	g.Go(named("start", func() error { return d.start(ctx, next, watcher) }))
	if d.opts.API != nil {
		g.Go(named("API", func() error { return d.opts.API(ctx, d, func() { close(d.listening) }) }))
	} else {
		close(d.listening)
	}
	return g.Wait()
}

// queueEvent tells of an event of the queues. After packets went past Go there
// are sessions and roams that it has not seen.
func (d *Daemon) queueEvent(e event.Event) {
	d.events.add(e)
	d.sync.Missed()
}

// openQueues takes the queues, and the copies that services with datapath
// kernel send.
func (d *Daemon) openQueues() error {
	queue, err := nfq.Open(nfq.Options{
		Queues: d.queues(), Snapshot: d.snapshot.Load, Facts: d.sync.Put, Flows: d.sync.ClientFlow, Refused: d.probes.Refused,
		Now: d.now, Keeper: true, Log: d.log, Events: d.queueEvent,
	})
	if err != nil {
		return err
	}
	d.queue = queue
	if !d.rules.Features().Copies {
		return nil
	}
	d.copies, err = nfq.OpenCopies(nfq.CopiesOptions{
		Group: balancer.LogGroup, Snapshot: d.snapshot.Load, Facts: d.sync.Put, Now: d.now,
		Lost: d.sync.Reconcile, Log: d.log, Events: d.events.add,
	})
	if err != nil {
		ended, end := context.WithCancel(context.Background())
		end()
		return errors.Join(err, queue.Run(ended)) // which closes them
	}
	return nil
}

// start puts the state into the kernel and then keeps it there until ctx ends.
func (d *Daemon) start(ctx context.Context, next store.State, watcher *nft.Watcher) error {
	if err := d.installWhenReady(ctx, next); ctx.Err() != nil {
		return watcher.Close() // what it lacked was taken from it by the end
	} else if err != nil {
		return errors.Join(err, watcher.Close())
	}
	d.ready.Store(true)
	if err := d.firstToken(ctx); err != nil {
		return errors.Join(err, watcher.Close())
	}
	select {
	case <-d.listening:
	case <-ctx.Done():
		return watcher.Close()
	}
	d.sayServices(d.snapshot.Load())
	d.log.Info("serving", "services", len(next.Services), "queues", d.queues().Count)
	d.tell("READY=1", "STATUS="+d.status())
	if d.opts.Ready != nil {
		d.opts.Ready()
	}
	drift := make(chan struct{}, 1) // full: a look is due already
	g, ctx := errgroup.WithContext(ctx)
	g.Go(named("watch", func() error {
		return watcher.Run(ctx, func() {
			select {
			case drift <- struct{}{}:
			default:
			}
		})
	}))
	g.Go(func() error { // a dump, which under load takes its time
		d.deleteForeign(ctx, listeners(d.snapshot.Load()))
		return nil
	})
	g.Go(named("follow health", func() error { return d.followHealth(ctx) }))
	g.Go(named("housekeeping", func() error { return d.housekeeping(ctx, drift) }))
	if d.opts.Supervisor.Tell != nil {
		g.Go(named("supervisor", func() error { return d.reassure(ctx) }))
	}
	return g.Wait()
}

// sayQueues logs what the queues have done.
func (d *Daemon) sayQueues() {
	for _, q := range d.queue.Stats() {
		d.log.Info("queue", "number", q.Queue, "packets", q.Packets, "bursts", q.Bursts, "verdicts", q.Verdicts)
	}
	if d.copies != nil {
		c := d.copies.Stats()
		d.log.Info("copies", "packets", c.Copies, "losses", c.Losses)
	}
}

// saySessions logs what the services' sessions have come to.
func (d *Daemon) saySessions() {
	for name, s := range d.sync.Stats().Services {
		d.log.Info("sessions", "service", name, "sessions", s.Sessions, "unanswered", s.Unanswered,
			"roams", s.Roams, "deleted", s.Deleted, "evicted", s.Evicted)
	}
}

// sayServices logs how each service is pinned, and why.
func (d *Daemon) sayServices(s *balancer.Snapshot) {
	for _, v := range s.Views {
		d.log.Info("service", "name", v.Service.Name, "pinning", v.Pinning, "reason", v.PinReason,
			"datapath", v.Datapath, "datapath_reason", v.PathReason, "backends", len(v.Service.Backends))
	}
}

func named(name string, task func() error) func() error {
	return func() error {
		if err := task(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
}

// close waits for a change that is under way: none is broken off halfway.
func (d *Daemon) close() {
	d.change.Lock()
	defer d.change.Unlock()
	d.closed = true
	if err := errors.Join(d.conntrack.Close(), d.rules.Close(), d.claim.Close(), d.store.Close()); err != nil {
		d.log.Warn("close", "error", err)
	}
}

// housekeeping reacts to drift and reload wishes, and does what is due from
// time to time. One task at a time: none of it is urgent to a packet.
func (d *Daemon) housekeeping(ctx context.Context, drift <-chan struct{}) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	save := time.NewTimer(saveEvery)
	defer save.Stop()
	for {
		d.round.Store(d.now())
		select {
		case <-ctx.Done():
			if d.copies != nil {
				<-d.copies.Ended() // they belong to it
			}
			d.saveSessions()
			return nil
		case <-drift:
			d.mend(ctx)
		case <-d.opts.HUP:
			done := d.tellReloading()
			if err := d.Reload(ctx); err != nil {
				d.log.Error("reload: nothing has changed", "error", err)
			}
			done()
		case <-second.C:
			if d.broken.Load() != nil || d.degraded.Load() != nil {
				d.mend(ctx)
			}
			d.endDrains(ctx)
		case <-save.C:
			save.Reset(max(saveEvery, 50*d.saveSessions()))
		}
	}
}
