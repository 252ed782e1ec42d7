package daemon

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/store"
)

// saveEvery is how often the sessions are written to disk, so that after a
// crash their next roam is known at once. Writing takes two percent of the
// time at most.
const saveEvery = 10 * time.Second

func (d *Daemon) sessionsFile() string {
	return strings.TrimSuffix(d.file.State, ".json") + ".sessions"
}

// loadSessions gives back who was where. Without it nothing is lost but the
// knowledge of clients, which their next packets bring.
func (d *Daemon) loadSessions() {
	err := store.LoadSnapshot(d.sessionsFile(), d.sync.Load)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("sessions of the last run are not known", "error", err)
	}
}

// saveSessions returns how long it took.
func (d *Daemon) saveSessions() time.Duration {
	begin := time.Now()
	if err := store.SaveSnapshot(d.sessionsFile(), d.sync.Save); err != nil {
		d.log.Warn("write sessions", "error", err)
	}
	return time.Since(begin)
}

// repair puts right what others changed in our table.
func (d *Daemon) repair(ctx context.Context) {
	begin := d.now()
	diff, err := d.rules.Verify()
	if err != nil {
		d.log.Warn("compare table", "error", err)
		return
	}
	if len(diff) == 0 {
		return
	}
	d.events.add(event.Event{Kind: event.Drift, Count: len(diff), Detail: strings.Join(diff, "; ")})
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.rules.Repair(); err != nil {
		d.log.Error("repair table", "error", err)
		return
	}
	s := d.snapshot.Load()
	d.deleteForeign(ctx, s)
	if err := d.writeOffRing(s, s); err != nil {
		d.log.Warn("write sessions off the ring", "error", err)
	}
	d.sync.Reconcile()
	d.events.add(event.Event{Kind: event.Repaired, Count: len(diff), Delay: time.Duration(d.now() - begin)})
}

// noteDrains remembers since when backends drain.
func (d *Daemon) noteDrains(s *balancer.Snapshot) {
	draining := make(map[uint16]time.Time)
	for _, v := range s.Views {
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			if b.Admin != balancer.AdminDrain {
				delete(d.states, b.ID)
				continue
			}
			since, ok := d.draining[b.ID]
			if !ok {
				since = time.Now()
			}
			draining[b.ID] = since
		}
	}
	d.draining = draining
}

// endDrains takes backends down whose time to drain is over.
func (d *Daemon) endDrains(ctx context.Context) {
	d.change.Lock()
	defer d.change.Unlock()
	s := d.snapshot.Load()
	over := false
	for _, v := range s.Views {
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			since, ok := d.draining[b.ID]
			if ok && d.states[b.ID] == balancer.Down {
				_, ok = d.states[b.ID]
				ok = !ok
			}
			if !ok || time.Since(since) < v.Service.DrainTimeout {
				continue
			}
			d.states[b.ID] = balancer.Down
			over = true
			d.log.Info("drain timeout is over", "service", v.Service.Name, "backend", b.Name)
		}
	}
	if !over {
		return
	}
	services := d.store.State().Services
	if err := d.switchTo(ctx, services, func() error { return nil }); err != nil {
		d.log.Error("take drained backends down", "error", err)
	}
}
