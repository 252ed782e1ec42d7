// Package store keeps the daemon's state on disk: the services with their
// seeds and their backends' ids, and which ids were given back. A change is
// written in two steps, prepared beside the kernel's table and committed by a
// rename, so that a crash at any moment leaves the old state or the new one.
//
// The files hold seeds, which are secrets, and are readable by their owner
// alone.
package store

import (
	"fmt"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// State is what outlives the daemon. It is treated as immutable: a change
// makes a new one, see [Assigner.Assign].
type State struct {
	// Revision counts committed writes; 0 is the empty state that no file
	// holds yet.
	Revision uint64
	// Secret keys the hashes by which logs name sessions; made with the first
	// services, 32 bytes.
	Secret []byte
	// Services are as they were applied, each with its seed, each backend
	// with its id.
	Services []balancer.Service
	// Tokens are those that may use the API, by name.
	Tokens []Token `json:",omitempty"`
	// MarkMask and ZoneBase are what the kernel's table, sessions and entries
	// were made with.
	MarkMask uint32
	ZoneBase uint16
	// LastID is the highest backend id ever given out. Each id up to it is a
	// backend's or stands in Freed.
	LastID uint16
	// Freed are the ids that were given back, oldest first.
	Freed []Freed
	// Draining says since when backends drain, by rising id: those whose admin
	// member says so. States of before there were any lack it.
	Draining []Drain `json:",omitempty"`
}

// Drain is a backend that is drained.
type Drain struct {
	ID    uint16
	Since int64 // in seconds of Unix time
}

// DrainingSince is since when a backend is drained; false for one that is not.
func (s *State) DrainingSince(id uint16) (time.Time, bool) {
	for _, d := range s.Draining {
		if d.ID == id {
			return time.Unix(d.Since, 0), true
		}
	}
	return time.Time{}, false
}

// Freed is a backend id that was given back.
type Freed struct {
	ID uint16
	At int64 // when, in seconds of Unix time
}

// validate reports the first reason why s is no state: names or ids given
// twice, missing or out of range.
func (s *State) validate() error {
	owner := make([]holder, int(s.LastID)+1) // by id
	owners := 0
	take := func(id uint16, by holder) error {
		if id == 0 || id > s.LastID {
			return fmt.Errorf("id %d of %s is not within 1..%d", id, by, s.LastID)
		}
		if owner[id] != (holder{}) {
			return fmt.Errorf("id %d is that of %s and of %s", id, owner[id], by)
		}
		owner[id] = by
		owners++
		return nil
	}
	if err := uniqueNames(s.Services); err != nil {
		return err
	}
	if err := validTokens(s.Tokens); err != nil {
		return err
	}
	for i := range s.Services {
		svc := &s.Services[i]
		if svc.Seed == 0 {
			return fmt.Errorf("service %q has no seed", svc.Name)
		}
		for j := range svc.Backends {
			b := &svc.Backends[j]
			if err := take(b.ID, holder{service: svc, backend: b}); err != nil {
				return err
			}
		}
	}
	for _, f := range s.Freed {
		if err := take(f.ID, holder{freed: true}); err != nil {
			return err
		}
	}
	if err := s.validateDrains(); err != nil {
		return err
	}
	if owners != int(s.LastID) {
		return fmt.Errorf("%d of the %d ids given out are neither a backend's nor freed", int(s.LastID)-owners, s.LastID)
	}
	return nil
}

// holder is who has an id.
type holder struct {
	service *balancer.Service
	backend *balancer.Backend
	freed   bool
}

func (h holder) String() string {
	if h.freed {
		return "the freed ids"
	}
	return fmt.Sprintf("backend %q of service %q", h.backend.Name, h.service.Name)
}

// validateDrains reports a drain that is no draining backend's, or given twice.
func (s *State) validateDrains() error {
	drained := make(map[uint16]bool)
	for i := range s.Services {
		for _, b := range s.Services[i].Backends {
			if b.Admin == balancer.AdminDrain {
				drained[b.ID] = true
			}
		}
	}
	for _, d := range s.Draining {
		if !drained[d.ID] {
			return fmt.Errorf("id %d is said to drain, and is no backend's that does, or is said twice", d.ID)
		}
		delete(drained, d.ID)
	}
	return nil
}

// uniqueNames reports a service's name, or a backend's within its service,
// that occurs twice: ids and seeds are kept by name.
func uniqueNames(services []balancer.Service) error {
	names, backends := make(map[string]bool, len(services)), make(map[string]bool)
	for i := range services {
		svc := &services[i]
		if names[svc.Name] {
			return fmt.Errorf("two services are named %q", svc.Name)
		}
		names[svc.Name] = true
		clear(backends)
		for j := range svc.Backends {
			name := svc.Backends[j].Name
			if backends[name] {
				return fmt.Errorf("two backends of service %q are named %q", svc.Name, name)
			}
			backends[name] = true
		}
	}
	return nil
}
