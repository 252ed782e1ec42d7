package event

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"sync"
	"time"
)

// Entry is an event with its place in a Log. Numbers begin at 1 and have no
// gaps.
type Entry struct {
	Seq uint64
	Event
}

// Log holds the events that came last, for those who read them at their own
// pace: who is too slow misses some, and is told how many. Safe for concurrent
// use; no reader makes Add wait.
type Log struct {
	boot string

	mu      sync.Mutex // guards the following
	entries []Event    // a ring: the event of a number is at the number modulo its length
	last    uint64
	counts  map[Kind]uint64 // since the start
	changed chan struct{}   // closed with the next event, and made anew
}

// NewLog holds up to size events.
func NewLog(size int) *Log {
	var boot [6]byte
	rand.Read(boot[:]) // never fails
	return &Log{boot: hex.EncodeToString(boot[:]), entries: make([]Event, size), counts: make(map[Kind]uint64), changed: make(chan struct{})}
}

// Boot names this log among those of other runs.
func (l *Log) Boot() string { return l.boot }

// Add appends an event; one without a time gets the present one. It is a Sink.
func (l *Log) Add(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.counts[e.Kind]++
	l.entries[l.last%uint64(len(l.entries))] = e
	close(l.changed)
	l.changed = make(chan struct{})
}

// Last is the number of the event that came last, 0 before the first.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Counts is how many events of each kind there were, the forgotten ones too. A
// kind without any is left out.
func (l *Log) Counts() map[Kind]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

// Since returns up to most of the events behind a number, oldest first, and how
// many behind it are no longer held.
func (l *Log) Since(seq uint64, most int) (entries []Entry, missed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq >= l.last {
		return nil, 0
	}
	from := seq + 1
	if size := uint64(len(l.entries)); l.last-seq > size {
		from = l.last - size + 1
		missed = from - seq - 1
	}
	n := min(l.last-from+1, uint64(max(most, 0)))
	entries = make([]Entry, 0, n)
	for i := from; i < from+n; i++ {
		entries = append(entries, Entry{Seq: i, Event: l.entries[i%uint64(len(l.entries))]})
	}
	return entries, missed
}

// Wait returns nil once there is an event behind a number, or ctx's error.
func (l *Log) Wait(ctx context.Context, seq uint64) error {
	for {
		l.mu.Lock()
		last, changed := l.last, l.changed
		l.mu.Unlock()
		if last > seq {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
