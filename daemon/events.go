package daemon

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/event"
)

// eventLog writes events as log lines, with session keys shown as the operator
// chose, keeps them for the API, and passes them on. Safe for concurrent use.
type eventLog struct {
	log    *slog.Logger
	full   bool
	secret []byte
	kept   *event.Log
	next   event.Sink
}

// eventsKept is how many events the API can still show.
const eventsKept = 8192

func newEventLog(log *slog.Logger, keys config.LogKeys, secret []byte, kept *event.Log, next event.Sink) *eventLog {
	return &eventLog{log: log, full: keys == config.LogKeysFull, secret: secret, kept: kept, next: next}
}

func (l *eventLog) add(e event.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	l.log.LogAttrs(context.Background(), severity(&e), "event", l.attrs(e)...)
	l.kept.Add(e)
	if l.next != nil {
		l.next(e)
	}
}

func severity(e *event.Event) slog.Level {
	switch e.Kind {
	case event.BackendState:
		if e.State == "down" && e.Reason != reasonDrained {
			return slog.LevelWarn
		}
		return slog.LevelInfo
	case event.Overflow, event.TableFull, event.Drift, event.Keeper, event.Evicted, event.Degraded:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

func (l *eventLog) attrs(e event.Event) []slog.Attr {
	a := []slog.Attr{slog.String("kind", string(e.Kind))}
	text := func(name, v string) {
		if v != "" {
			a = append(a, slog.String(name, v))
		}
	}
	client := func(name string, v netip.AddrPort) {
		if v.IsValid() {
			a = append(a, slog.String(name, v.String()))
		}
	}
	span := func(name string, v time.Duration) {
		if v != 0 {
			a = append(a, slog.Duration(name, v))
		}
	}
	text("service", e.Service)
	text("session", l.session(e.Session))
	client("old_client", e.OldClient)
	client("new_client", e.NewClient)
	text("backend", e.Backend)
	text("state", e.State)
	text("reason", e.Reason)
	span("age", e.Age)
	span("delay", e.Delay)
	if e.Count != 0 {
		a = append(a, slog.Int("count", e.Count))
	}
	text("detail", e.Detail)
	text("diff", e.Diff)
	text("actor", e.Actor.Name)
	text("from", e.Actor.From)
	return a
}

// session shows a key in hex or as a keyed hash, by which lines about one
// session can be found without telling its id.
func (l *eventLog) session(key []byte) string {
	if len(key) == 0 || l.full {
		return hex.EncodeToString(key)
	}
	return event.HashKey(l.secret, key)
}
