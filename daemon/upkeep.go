package daemon

import (
	"errors"
	"io/fs"
	"strings"
	"time"

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
