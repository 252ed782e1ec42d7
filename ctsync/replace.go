package ctsync

import "github.com/roamlb/roamlb/balancer"

// Replacement returns the table that a changed service is to have: the one that
// is kept for its name where the key's layout stays, else a new and empty one
// beside it, which the caller then gives to Keep or to Discard.
func (s *Sync) Replacement(service *balancer.Service, maxKeyLen int, layout string) *Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.kept(service.Name, maxKeyLen, layout); t != nil {
		t.loaded = false
		return t
	}
	return s.newTable(service.Name, maxKeyLen, layout)
}

// Keep makes a table the one of its service, and drops the one before it.
func (s *Sync) Keep(t *Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byName[t.name]
	if old == t {
		return
	}
	if old != nil {
		s.drop(old)
	}
	s.byName[t.name] = t
}

// Discard gives up a table that was not kept.
func (s *Sync) Discard(t *Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[t.name] != t {
		s.core.abandon(t)
	}
}
