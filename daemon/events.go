package daemon

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/event"
)

// eventLog writes events as log lines, with session keys shown as the operator
// chose, and passes them on. Safe for concurrent use.
type eventLog struct {
	log    *slog.Logger
	full   bool
	secret []byte
	next   event.Sink
}

func newEventLog(log *slog.Logger, keys config.LogKeys, secret []byte, next event.Sink) *eventLog {
	return &eventLog{log: log, full: keys == config.LogKeysFull, secret: secret, next: next}
}

func (l *eventLog) add(e event.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	l.log.LogAttrs(context.Background(), severity(&e), "event", l.attrs(e)...)
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
	case event.Overflow, event.TableFull, event.Drift, event.Keeper, event.Evicted:
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
	return a
}

// session shows a key in hex or as a keyed hash, by which lines about one
// session can be found without telling its id.
func (l *eventLog) session(key []byte) string {
	if len(key) == 0 || l.full {
		return hex.EncodeToString(key)
	}
	h := hmac.New(sha256.New, l.secret)
	h.Write(key)
	return "h:" + hex.EncodeToString(h.Sum(nil)[:8])
}
