package event

import (
	"context"
	"crypto/rand"
	"sync"
)

// DefaultLogSize is how many events a Log keeps where nothing else is asked
// for.
const DefaultLogSize = 4096

// Entry is an event in a Log.
type Entry struct {
	Seq uint64 // 1 for the first since the process started, each next one more
	Event
}

// Log keeps the latest events for whoever wants to read them. A reader comes
// when it likes: Add waits for none. Safe for concurrent use.
type Log struct {
	boot string

	mu      sync.Mutex // guards the following; held for no longer than a copy
	entries []Entry    // a ring once it is full: entry seq is at (seq-1) % size
	size    int
	last    uint64
	added   chan struct{} // closed by the next Add; nil while nobody waits
}

// NewLog makes an empty log that keeps the latest size events; 0 and below:
// DefaultLogSize.
func NewLog(size int) *Log {
	if size <= 0 {
		size = DefaultLogSize
	}
	return &Log{boot: rand.Text()[:bootLen], size: size}
}

// bootLen is how many characters name a process: five bits each.
const bootLen = 16

// Boot names this log, and so this run of the process: sequence numbers mean
// something only beside it.
func (l *Log) Boot() string { return l.boot }

// Add keeps an event, in the oldest one's place where there is no room. It
// waits for no reader. The event's session must not change any more.
func (l *Log) Add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	entry := Entry{Seq: l.last, Event: e}
	if len(l.entries) < l.size {
		l.entries = append(l.entries, entry)
	} else {
		l.entries[l.at(l.last)] = entry
	}
	if l.added != nil {
		close(l.added)
		l.added = nil
	}
}

// at is where the entry of a number is.
func (l *Log) at(seq uint64) int { return int((seq - 1) % uint64(l.size)) }

// Last is the number of the latest event; 0 before the first.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Since returns the events after seq, the oldest first, at most most of them (0
// and below: all). missed is how many after seq there were that are no longer
// kept. A seq that is still to come has none after it.
func (l *Log) Since(seq uint64, most int) (entries []Entry, missed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq >= l.last {
		return nil, 0
	}
	kept := uint64(len(l.entries))
	if gone := l.last - kept; seq < gone {
		missed, seq = gone-seq, gone
	}
	n := l.last - seq
	if most > 0 {
		n = min(n, uint64(most))
	}
	entries = make([]Entry, n)
	for i := range entries {
		entries[i] = l.entries[l.at(seq+1+uint64(i))]
	}
	return entries, missed
}

// Wait returns nil once there is an event after seq, or ctx's error.
func (l *Log) Wait(ctx context.Context, seq uint64) error {
	for {
		l.mu.Lock()
		if l.last > seq {
			l.mu.Unlock()
			return nil
		}
		if l.added == nil {
			l.added = make(chan struct{})
		}
		added := l.added
		l.mu.Unlock()
		select {
		case <-added:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
