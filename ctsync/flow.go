package ctsync

import "net/netip"

// flow is a client that talks to a listener and is translated to a backend:
// what conntrack has, or had, an entry of. Its number is used again once
// nothing refers to it.
type flow struct {
	client     [16]byte // IPv4 addresses as IPv4-mapped ones; the family is the listener's
	born       int64    // when it was announced or found, nanoseconds on the daemon's clock
	turned     int64    // when its backend answered first; once it is dead, when its entry ended
	port       uint16   // of the client
	listener   uint16   // number in flows.listeners
	backend    uint16
	table      uint16 // of the session first
	id         uint32 // of the entry; 0 while unknown
	bases      uint32 // sessions whose base it is
	roams      uint32 // head of the roams onto it
	first      handle // a session whose base it is, so that an answer confirms it at once
	firstGen   uint32 // 0 for none
	prev, next uint32 // in flows.idle, while nobody uses it
	flags      flowFlags
	epoch      uint8 // of the last dump that showed it, or that ran when it came
	tries      uint8 // flows in a row that a session was seen on, this the latest, and none of them answered
}

type flowFlags uint16

const (
	flowLive      flowFlags = 1 << iota // the record is in use
	flowZoned                           // the entry stands in its backend's zone, else in zone 0
	flowReplied                         // its backend has answered
	flowWitnessed                       // its first answer was seen to come
	flowDead                            // its entry has ended
	flowClaimed                         // a session was seen on it
	flowForgotten                       // a session that was forgotten alive may be on it
	flowLeft                            // the last session left it with proof, but it was not silent yet
	flowBusy                            // a job is about it, the record must stay
	flowDoomed                          // its entry is being deleted this moment
)

func (f *flow) has(bits flowFlags) bool { return f.flags&bits != 0 }

// witnessed reports whether the flow's first answer was seen to come, and not
// before at.
func (f *flow) witnessed(at int64) bool { return f.has(flowWitnessed) && !f.dead() && f.turned >= at }

func (f *flow) dead() bool { return f.has(flowDead) }
func (f *flow) used() bool { return f.bases != 0 || f.roams != 0 }

// flowKey is what tells flows apart.
type flowKey struct {
	client   netip.AddrPort
	listener netip.AddrPort
	backend  uint16
	zoned    bool
}

// setFirst notes a session whose base the flow is.
func (f *flow) setFirst(t *Table, h handle, gen uint32) {
	f.table, f.first, f.firstGen = t.id, h, gen
}

func (f *flow) isFirst(t *Table, h handle) bool {
	return f.firstGen != 0 && f.table == t.id && f.first == h
}
