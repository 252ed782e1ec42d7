package ctsync

import "time"

// Stats is what a Sync has, and what it has done since the start.
type Stats struct {
	Services map[string]ServiceStats
	Flows    int // known, whether their entries live or not
	Idle     int // of these: live, and no session's
	Pending  int // deletions and looks at entries that are still to come

	LostFacts    uint64 // decisions that found no room
	LostEvents   uint64 // conntrack events that found no room
	KernelDrops  uint64 // times that the kernel said it had dropped events
	Dumps        uint64
	FailedDumps  uint64
	LastDump     time.Duration // how long the last dump took
	LastDumpSize int           // entries of ours that it showed
}

// ServiceStats is what there is of one service, and what was done.
type ServiceStats struct {
	Sessions   int
	Unanswered int    // of these: never answered by a backend
	Shared     int    // of these: spoken by two clients in turns
	Waiting    int    // roams that no backend has answered yet
	Roams      uint64 // sessions seen from a new client
	Takeovers  uint64 // clients of one session that now carry another
	Deleted    uint64 // conntrack entries
	Joins      uint64 // sessions seen on another's flow, where nothing can be proven
	Evicted    uint64 // sessions that had to go to stay within max_sessions
}

// Stats returns counts of now and since the start.
func (s *Sync) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Services:     make(map[string]ServiceStats, len(s.byName)),
		Flows:        s.core.flows.slab.held(),
		Idle:         s.core.flows.idle.n,
		Pending:      s.core.jobs.len() + len(s.core.later),
		Dumps:        s.dumps.done,
		FailedDumps:  s.dumps.failed,
		LastDump:     s.dumps.last,
		LastDumpSize: s.dumps.entries,
	}
	s.inbox.mu.Lock()
	lost := s.inbox.lost
	s.inbox.mu.Unlock()
	st.LostFacts, st.LostEvents, st.KernelDrops = lost.facts, lost.events, lost.drops
	for name, t := range s.byName {
		st.Services[name] = ServiceStats{
			Sessions: t.Len(), Unanswered: int(t.counts[unanswered].Load()),
			Shared: t.shared, Waiting: t.waiting, Roams: t.roamed, Takeovers: t.takeovers,
			Deleted: t.deleted, Joins: t.joins, Evicted: t.evicted.Load(),
		}
	}
	return st
}
