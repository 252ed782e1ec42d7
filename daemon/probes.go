package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/health"
)

const (
	// firstProbes is how long a start waits for the first probes at most.
	firstProbes = 5 * time.Second
	// healthRetry is the pause before a change that failed is tried again.
	healthRetry = time.Second
)

// servingIn says who takes new sessions in a snapshot; nil: nobody yet.
func servingIn(s *balancer.Snapshot) func(*balancer.Service, uint16) bool {
	return func(svc *balancer.Service, id uint16) bool {
		if s == nil {
			return false
		}
		v := s.View(svc.Name)
		return v != nil && v.State(id) == balancer.Up
	}
}

// lookAt is the outlook of services as things are now.
func (d *Daemon) lookAt(services []balancer.Service) outlook {
	return look(services, d.drained, d.probes.Standings(), servingIn(d.snapshot.Load()))
}

// aimProbes has the backends of services probed. before is the snapshot of
// before they were.
func (d *Daemon) aimProbes(services []balancer.Service, before *balancer.Snapshot) {
	serving := servingIn(before)
	var targets []health.Target
	for i := range services {
		svc := &services[i]
		for j := range svc.Backends {
			b := &svc.Backends[j]
			if b.Admin == balancer.AdminDown || b.Admin == balancer.AdminDrain && d.drained[b.ID] {
				continue
			}
			if t, ok := health.NewTarget(svc, b); ok {
				t.Serving = serving(svc, b.ID)
				targets = append(targets, t)
			}
		}
	}
	d.probes.Set(targets)
}

// awaitProbes waits until every backend has been probed once, so that a start
// does not take sessions from those that are well, nor give them to others.
func (d *Daemon) awaitProbes(ctx context.Context) {
	limit := time.NewTimer(firstProbes)
	defer limit.Stop()
	select {
	case <-ctx.Done():
	case <-d.probes.Settled():
	case <-limit.C:
		d.log.Warn("not every backend has been probed yet; the others take no new sessions until they are", "waited", firstProbes)
	}
}

// followHealth makes the data plane what the probes say until ctx ends.
func (d *Daemon) followHealth(ctx context.Context) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.probes.Changed():
		case <-retry.C:
		}
		if err := d.takeHealth(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("take in what the probes say, trying again", "error", err)
			retry.Reset(healthRetry)
		}
	}
}

func (d *Daemon) takeHealth(ctx context.Context) error {
	d.change.Lock()
	defer d.change.Unlock()
	if d.degraded.Load() != nil {
		return ErrDegraded // not before that is mended
	}
	found := d.findings.take()
	services := d.store.State().Services
	if !d.lookAt(services).equal(d.outlook) {
		if err := d.switchTo(context.WithoutCancel(ctx), services, func() error { return nil }); err != nil {
			d.findings.putBack(found)
			return err
		}
	}
	for _, f := range found {
		f.tell.Delay = time.Duration(d.now() - f.at)
		d.events.add(f.tell)
	}
	return nil
}

// finding is what probes have found, and when.
type finding struct {
	tell event.Event
	at   int64 // on the daemon's clock
}

// findings are told of once the data plane has followed.
type findings struct {
	mu   sync.Mutex // guards list
	list []finding
}

func (f *findings) add(one finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, one)
}

func (f *findings) take() []finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.list
	f.list = nil
	return list
}

func (f *findings) putBack(list []finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(list, f.list...)
}

// tellKept tells of services that keep backends which are all down, and of
// those that do so no longer.
func (d *Daemon) tellKept(before, now map[string]bool) {
	tell := func(names, but map[string]bool, reason, detail string) {
		for name := range names {
			if !but[name] {
				d.events.add(event.Event{Kind: event.BackendState, Service: name, Reason: reason, Detail: detail})
			}
		}
	}
	tell(now, before, "all-down", "no backend answers: all are kept, as all_down says")
	tell(before, now, "not-all-down", "a backend answers again: probes count")
}

// foundHealth takes in what the probes have found. A backend that is up or down
// becomes an event when the data plane has followed.
func (d *Daemon) foundHealth(t health.Transition) {
	e := event.Event{
		Kind: event.BackendState, Service: t.Target.Service, Backend: t.Target.Backend,
		State: t.State.String(), Reason: string(t.Reason), Detail: t.Detail,
	}
	switch t.Reason {
	case health.Answered, health.Failed:
		d.findings.add(finding{tell: e, at: d.now()})
		return
	case health.Refused:
		e.State = "suspect"
	}
	d.events.add(e)
}

// Standings is what probes say of the backends of services that have some, by
// id. It may be called from any goroutine once Run has called Options.Ready.
func (d *Daemon) Standings() map[uint16]health.Standing { return d.probes.Standings() }
