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
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/event"
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
}

// Daemon balances the services of one network namespace.
type Daemon struct {
	opts    Options
	file    *config.File
	log     *slog.Logger
	events  *eventLog
	started time.Time

	store     *store.Store
	rules     *nft.Ruleset
	conntrack *ctsync.Kernel
	claim     net.Listener // of the network namespace
	sync      *ctsync.Sync
	queue     *nfq.Queues
	copies    *nfq.Copies // of what the kernel decides by itself; nil where it cannot send any

	snapshot atomic.Pointer[balancer.Snapshot]
	change   sync.Mutex // held while the configuration changes; guards the following
	states   map[uint16]balancer.State
	draining map[uint16]time.Time // since when
}

// New prepares a daemon: it locks and reads the state and finds out what the
// kernel can do. It must be called, and Run too, in the data plane's network
// namespace. Nothing in the kernel has changed yet when it returns.
func New(opts Options) (*Daemon, error) {
	d := &Daemon{
		opts: opts, file: opts.File, log: opts.Log, started: time.Now(),
		states: make(map[uint16]balancer.State), draining: make(map[uint16]time.Time),
	}
	st, err := store.Open(opts.File.State)
	if err != nil {
		return nil, err
	}
	rules, err := nft.Open()
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	conntrack, err := ctsync.NewKernel()
	if err != nil {
		return nil, errors.Join(err, rules.Close(), st.Close())
	}
	claim, err := claimNetNS()
	if err != nil {
		return nil, errors.Join(err, conntrack.Close(), rules.Close(), st.Close())
	}
	d.store, d.rules, d.conntrack, d.claim = st, rules, conntrack, claim
	f := rules.Features()
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
	d.events = newEventLog(d.log, d.file.Log.Keys, next.Secret, d.opts.Events)
	d.sync = ctsync.New(ctsync.Options{
		Conntrack: d.conntrack, Elements: d.rules, Events: d.events.add,
		Snapshot: d.snapshot.Load, Now: d.now, Log: d.log,
	})
	d.snapshot.Store(d.build(next.Services, nil, balancer.Down, func(v *balancer.View) balancer.Bindings {
		return d.sync.Table(v.Service, v.Extractor.MaxLen(), nft.KeyFingerprint(&v.Service.Key))
	}))
	d.loadSessions()

	g, ctx := errgroup.WithContext(ctx)
	// The queues must outlive what their decisions are told to.
	syncCtx, stopSync := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(named("ctsync", func() error { return d.sync.Run(syncCtx) }))
	queue, err := nfq.Open(nfq.Options{
		Queues: d.queues(), Snapshot: d.snapshot.Load, Facts: d.sync.Put, Flows: d.sync.ClientFlow,
		Now: d.now, Keeper: true, Log: d.log, Events: d.queueEvent,
	})
	if err != nil {
		stopSync()
		return errors.Join(err, g.Wait())
	}
	d.queue = queue
	if d.copies, err = d.openCopies(); err != nil {
		stop, cancel := context.WithCancel(ctx)
		cancel()
		stopSync()
		return errors.Join(err, queue.Run(stop), g.Wait())
	}
	if d.copies != nil {
		g.Go(named("copies", func() error { return d.copies.Run(ctx) }))
	}
	d.rules.Quiesce(func(change func() error) error {
		defer d.sync.Reconcile() // what went past Go meanwhile
		return queue.WhileEmpty(change)
	})
	g.Go(named("queues", func() error {
		defer stopSync()
		defer d.saySessions()
		defer d.sayQueues()
		return queue.Run(ctx)
	}))
	g.Go(named("start", func() error { return d.start(ctx, next) }))
	return g.Wait()
}

// queueEvent tells of an event of the queues. After packets went past Go there
// are sessions and roams that it has not seen.
func (d *Daemon) queueEvent(e event.Event) {
	d.events.add(e)
	d.sync.Reconcile()
}

// openCopies takes the copies that services with datapath kernel send.
func (d *Daemon) openCopies() (*nfq.Copies, error) {
	if !d.rules.Features().Copies {
		return nil, nil
	}
	return nfq.OpenCopies(nfq.CopiesOptions{
		Group: balancer.LogGroup, Snapshot: d.snapshot.Load, Facts: d.sync.Put, Now: d.now,
		Lost: d.sync.Reconcile, Log: d.log, Events: d.events.add,
	})
}

// start puts the state into the kernel and then keeps it there until ctx ends.
func (d *Daemon) start(ctx context.Context, next store.State) error {
	watcher, err := d.rules.Watch()
	if err != nil {
		return err
	}
	if err := d.install(ctx, next); err != nil {
		return errors.Join(err, watcher.Close())
	}
	d.sayServices(d.snapshot.Load())
	d.log.Info("serving", "services", len(next.Services), "queues", d.queues().Count)
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
	g.Go(named("housekeeping", func() error { return d.housekeeping(ctx, drift) }))
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

func (d *Daemon) close() {
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
	broken := false // the table is not as it should be, and could not be repaired yet
	for {
		select {
		case <-ctx.Done():
			if d.copies != nil {
				<-d.copies.Ended() // they belong to it
			}
			d.saveSessions()
			return nil
		case <-drift:
			broken = !d.repair(ctx)
		case <-d.opts.HUP:
			if err := d.Reload(ctx); err != nil {
				d.log.Error("reload: nothing has changed", "error", err)
			}
		case <-second.C:
			if broken {
				broken = !d.repair(ctx)
			}
			d.endDrains(ctx)
		case <-save.C:
			save.Reset(max(saveEvery, 50*d.saveSessions()))
		}
	}
}
