package daemon

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

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

// repair puts right what others changed in our table, and reports whether it
// is as it should be.
func (d *Daemon) repair(ctx context.Context) bool {
	begin := d.now()
	diff, err := d.rules.Verify()
	if err != nil {
		d.log.Warn("compare table", "error", err)
		return false
	}
	if len(diff) == 0 {
		return true
	}
	d.events.add(event.Event{Kind: event.Drift, Count: len(diff), Detail: strings.Join(diff, "; ")})
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.rules.Repair(); err != nil {
		d.log.Error("repair table", "error", err)
		return false
	}
	s := d.snapshot.Load()
	d.deleteForeign(ctx, s)
	if err := d.writeOffRing(s, s); err != nil {
		d.log.Warn("write sessions off the ring", "error", err)
	}
	d.sync.Reconcile()
	d.events.add(event.Event{Kind: event.Repaired, Count: len(diff), Delay: time.Duration(d.now() - begin)})
	return true
}
