package daemon

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/roamlb/roamlb/balancer"
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

// noteDrains remembers since when backends drain.
func (d *Daemon) noteDrains(s *balancer.Snapshot) {
	draining := make(map[uint16]time.Time)
	for _, v := range s.Views {
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			if b.Admin != balancer.AdminDrain {
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
	if d.degraded.Load() != nil {
		return // not before that is mended
	}
	var over []uint16
	for _, v := range d.snapshot.Load().Views {
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			since, drains := d.draining[b.ID]
			if _, down := d.states[b.ID]; !drains || down || time.Since(since) < v.Service.DrainTimeout {
				continue
			}
			over = append(over, b.ID)
			d.log.Info("drain timeout is over", "service", v.Service.Name, "backend", b.Name)
		}
	}
	if len(over) == 0 {
		return
	}
	before := d.states
	d.states = maps.Clone(before)
	for _, id := range over {
		d.states[id] = balancer.Down
	}
	if err := d.switchTo(context.WithoutCancel(ctx), d.store.State().Services, func() error { return nil }); err != nil {
		d.states = before
		d.log.Error("take drained backends down", "error", err)
	}
}
