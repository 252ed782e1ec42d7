package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/check"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/daemon"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

// Configuration is what can be changed. Safe for concurrent use.
type Configuration interface {
	// State is what was committed last.
	State() store.State
	// Change makes what edit returns the configuration, on disk and in the
	// kernel or not at all. No other change comes between edit's look and the
	// change; an error of edit is returned as it is.
	Change(ctx context.Context, by event.Actor, edit func(have []balancer.Service) ([]balancer.Service, error)) (store.State, error)
	// ChangeTokens does the same for tokens.
	ChangeTokens(ctx context.Context, by event.Actor, edit func(have []store.Token) ([]store.Token, error)) error
	// Plan is what packets would be decided by, were services the
	// configuration. Nothing changes.
	Plan(services []balancer.Service) (*balancer.Snapshot, error)
}

// DataPlane is what packets are decided by, and what has come of it.
type DataPlane interface {
	Snapshot() *balancer.Snapshot
	Now() int64 // nanoseconds on the clock of sessions' Seen
	Counters() (nft.Counters, error)
	Ruleset(redact bool) (string, error) // nft text, without secrets where redact is set
	Rules() (string, error)              // what is the operator's where nft is external, with secrets
}

// Activity is what the daemon does.
type Activity interface {
	Health() daemon.Health
	SyncStats() ctsync.Stats
	QueueStats() []nfq.Stats
	CopiesStats() nfq.CopiesStats
	Checks(ctx context.Context) []check.Result
	Reloads() (done, failed uint64) // of the configuration file
	ConntrackSize() (entries, most int, ok bool)
	ConntrackDropped() (packets uint64, ok bool)
	// DrainingSince is since when a backend drains; false for one that does not.
	DrainingSince(id uint16) (time.Time, bool)
}

// Daemon is all of it.
type Daemon interface {
	Configuration
	DataPlane
	Activity
	Events() *event.Log
	Tell(event.Event) // to the log, and to who follows the events
	Started() time.Time
}

// Options is what the API works with.
type Options struct {
	File    *config.File // the settings in effect
	Daemon  Daemon
	Version string // of the program
	Log     *slog.Logger
}

// handlers answer the operations. It has no state of its own but what makes
// requests idempotent and bounded.
type handlers struct {
	Daemon
	file     *config.File
	version  string
	log      *slog.Logger
	auth     *authenticator
	contract *contract
	metrics  http.Handler
	requests *requests
	pages    http.Handler // for browsers
	tags     tags
}
