// Package loglimit keeps a log readable and its disk free when one thing happens
// very often: lines of one message are bounded in their rate, and what is left
// out is told.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	perSecond = 100  // lines of one message
	burst     = 1000 // that may come at once
	tellEvery = 10 * time.Second
)

// kindAttr tells messages of one text apart: events are all called so.
const kindAttr = "kind"

// messagesMost bounds what is remembered. Messages are constants, so there are
// far fewer; those beyond it share a limit.
const messagesMost = 1000

// Handler is a slog.Handler that passes on to another what its limits allow.
// Messages have to be constant: data belongs into attributes. Where level debug
// is enabled everything passes. Safe for concurrent use.
type Handler struct {
	next   slog.Handler
	limits *limits // shared by those that With made
}

// New limits what reaches next. It tells of what it leaves out by lines of its
// own, "lines left out", with the next line of that message, at most every ten
// seconds.
func New(next slog.Handler) *Handler {
	return &Handler{next: next, limits: &limits{now: time.Now, messages: make(map[string]*bucket)}}
}

// limits are those of all messages.
type limits struct {
	now func() time.Time

	mu       sync.Mutex // guards the following
	messages map[string]*bucket
}

// bucket is what one message has left.
type bucket struct {
	tokens float64
	filled time.Time
	left   int // lines left out and not told yet
	told   time.Time
}

// Enabled is of slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs is of slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs), limits: h.limits}
}

// WithGroup is of slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), limits: h.limits}
}

// Handle is of slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if h.next.Enabled(ctx, slog.LevelDebug) {
		return h.next.Handle(ctx, r)
	}
	key := messageOf(&r)
	pass, left := h.limits.take(key)
	if left > 0 {
		note := slog.NewRecord(h.limits.now(), slog.LevelWarn, "lines left out", 0)
		note.AddAttrs(slog.String("message", key), slog.Int("count", left))
		if err := h.next.Handle(ctx, note); err != nil {
			return err
		}
	}
	if !pass {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// messageOf is what a line is counted under.
func messageOf(r *slog.Record) string {
	key := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != kindAttr {
			return true
		}
		key += " " + a.Value.String()
		return false
	})
	return key
}

// take reports whether a line may pass, and how many were left out before it
// that nobody was told of.
func (l *limits) take(key string) (pass bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.messages[key]
	if b == nil {
		if len(l.messages) >= messagesMost {
			key = ""
			b = l.messages[key]
		}
		if b == nil {
			b = &bucket{tokens: burst, filled: now}
			l.messages[key] = b
		}
	}
	b.tokens = min(burst, b.tokens+now.Sub(b.filled).Seconds()*perSecond)
	b.filled = now
	if b.tokens >= 1 {
		b.tokens--
		pass = true
	} else {
		b.left++
	}
	if b.left > 0 && now.Sub(b.told) >= tellEvery {
		left, b.left, b.told = b.left, 0, now
	}
	return pass, left
}
