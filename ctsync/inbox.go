package ctsync

import (
	"sync"

	"github.com/roamlb/roamlb/balancer"
)

// How many facts and events may wait. What comes on top is lost, counted, and
// made good by a reconcile.
const (
	maxFacts  = 1 << 15
	maxEvents = 1 << 15
)

// inbox holds what waits for the core. Putting never blocks longer than a copy
// takes.
type inbox struct {
	mu     sync.Mutex // guards everything below
	facts  []balancer.Fact
	events []stampedEvent
	lost   losses
	wake   chan struct{} // one buffered: more wakes say nothing more
}

type stampedEvent struct {
	Event
	at int64
}

// losses counts what was lost since the start.
type losses struct {
	facts  uint64 // that found no room
	events uint64 // that found no room
	drops  uint64 // times that the kernel said it had dropped events
}

func newInbox() inbox { return inbox{wake: make(chan struct{}, 1)} }

func (in *inbox) putFacts(facts []balancer.Fact) {
	in.mu.Lock()
	n := min(len(facts), maxFacts-len(in.facts))
	in.facts = append(in.facts, facts[:n]...)
	in.lost.facts += uint64(len(facts) - n)
	in.mu.Unlock()
	signal(in.wake)
}

func (in *inbox) putEvents(events []Event, at int64) {
	in.mu.Lock()
	n := min(len(events), maxEvents-len(in.events))
	for i := range events[:n] {
		in.events = append(in.events, stampedEvent{events[i], at})
	}
	in.lost.events += uint64(len(events) - n)
	in.mu.Unlock()
	signal(in.wake)
}

func (in *inbox) dropped() {
	in.mu.Lock()
	in.lost.drops++
	in.mu.Unlock()
	signal(in.wake)
}

// refill moves all that waits to a batch that is done with.
func (in *inbox) refill(b *batch) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.facts, b.facts = b.facts[:0], in.facts
	in.events, b.events = b.events[:0], in.events
	b.fact, b.event, b.lost = 0, 0, in.lost
}

// roomKept is for how many facts, and events, an inbox keeps room.
const roomKept = 1024

// letGo gives back the room that a burst has taken, once all of it is done with.
func (in *inbox) letGo(b *batch) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !b.done() || len(in.facts) > 0 || len(in.events) > 0 {
		return
	}
	if max(cap(in.facts), cap(b.facts)) > roomKept {
		in.facts, b.facts, b.fact = nil, nil, 0
	}
	if max(cap(in.events), cap(b.events)) > roomKept {
		in.events, b.events, b.event = nil, nil, 0
	}
}

// batch is what was taken from an inbox and is being worked on.
type batch struct {
	facts  []balancer.Fact
	events []stampedEvent
	fact   int // the next one
	event  int
	lost   losses // as of when it was taken
}

func (b *batch) done() bool { return b.fact == len(b.facts) && b.event == len(b.events) }

// signal wakes whoever waits at c, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
