package store

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// Assigner gives backends their ids and services their seeds. It keeps
// nothing between calls.
type Assigner struct {
	// MarkMask and ZoneBase are for the state, as they are.
	MarkMask uint32
	ZoneBase uint16
	// Max is the largest id that may be given out, see balancer.Marks.MaxID.
	Max uint16
	// InUse reports whether a conntrack entry or a sessions element carries
	// the id, so that giving it out would hand another backend's sessions
	// over. It is asked about ids that no backend of the state has; nil: none is
	// in use.
	InUse func(id uint16) bool
	// Rest is how long an id is left alone after it was freed, whatever
	// InUse says: packets that were decided just before may still be queued.
	Rest time.Duration
	// Now is the wall clock's time.
	Now time.Time
	// Rand is where seeds come from; nil: crypto/rand.
	Rand io.Reader
	// SeedsByName gives a new service a seed by its name and the state's secret:
	// asked twice, it gets the same.
	SeedsByName bool
}

// ExhaustedError says that no backend id is left.
type ExhaustedError struct {
	Limit          uint16 // the largest id, as mark_mask and zone_base allow
	Service        string // that wanted one
	Backend        string
	InUse, Resting int // freed ids that cannot be given out yet
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("backend %q of service %q gets no id: mark_mask and zone_base leave %d ids, all others are taken "+
		"(%d by connections of backends that are gone, %d freed only just now)",
		e.Backend, e.Service, e.Limit, e.InUse, e.Resting)
}

type backendName struct{ service, backend string }

// Assign returns the state that prev becomes with the services of cfg, which
// are copied with ids and seeds filled in and are in the result's Services.
//
// A backend keeps its id by the names of service and backend, whatever the ID
// it comes with. New ids rise; only when the highest was given out do freed
// ones come back, the one freed first, first, and never one that is in use,
// rests, or is freed by this very change. A seed in cfg counts; without one a
// service keeps its seed, and a new service gets a random one.
//
// Errors: an *ExhaustedError, names that occur twice, or what Rand answers.
// A backend that is drained as in prev drains since then, another since Now.
//
// The Revision stays prev's: [Store.Prepare] counts. The secret is
// made if prev has none, and tokens stay.
func (a Assigner) Assign(cfg []balancer.Service, prev State) (State, error) {
	if err := uniqueNames(cfg); err != nil {
		return State{}, fmt.Errorf("assign ids: %w", err)
	}
	same := a.unchanged(cfg, &prev)
	ids, seeds := prev.names(same)
	next := State{Revision: prev.Revision, Secret: prev.Secret, Tokens: prev.Tokens, MarkMask: a.MarkMask, ZoneBase: a.ZoneBase, Services: slices.Clone(cfg)}
	if a.SeedsByName { // they are made of the secret
		if err := a.fillSecret(&next); err != nil {
			return State{}, err
		}
	}
	var wanting []*balancer.Backend
	var names []backendName
	for i := range next.Services {
		svc := &next.Services[i]
		if same[svc.Name] {
			continue // and shares its memory with prev's
		}
		if svc.Seed == 0 {
			svc.Seed = seeds[svc.Name]
		}
		if err := a.fillSeed(svc, next.Secret); err != nil {
			return State{}, fmt.Errorf("make a seed: %w", err)
		}
		svc.Backends = slices.Clone(svc.Backends)
		for j := range svc.Backends {
			b := &svc.Backends[j]
			name := backendName{svc.Name, b.Name}
			b.ID = ids[name]
			if b.ID == 0 || b.ID > a.Max { // Max can shrink with mark_mask
				b.ID = 0
				wanting, names = append(wanting, b), append(names, name)
				continue
			}
			delete(ids, name)
		}
	}
	if err := a.fillSecret(&next); err != nil {
		return State{}, err
	}
	pool := a.pool(prev)
	for i, b := range wanting {
		if b.ID = pool.take(); b.ID == 0 {
			return State{}, pool.exhausted(names[i])
		}
	}
	next.LastID = pool.last
	next.Freed = pool.freed
	next.Draining = a.drains(next.Services, &prev)
	gone := make([]uint16, 0, len(ids))
	for _, id := range ids {
		gone = append(gone, id)
	}
	slices.Sort(gone)
	for _, id := range gone {
		next.Freed = append(next.Freed, Freed{ID: id, At: a.Now.Unix()})
	}
	return next, nil
}

// drains are the backends that are drained, and since when.
func (a Assigner) drains(services []balancer.Service, prev *State) []Drain {
	var drains []Drain
	for i := range services {
		for _, b := range services[i].Backends {
			if b.Admin != balancer.AdminDrain {
				continue
			}
			d := Drain{ID: b.ID, Since: a.Now.Unix()}
			if since, ok := prev.DrainingSince(b.ID); ok {
				// A clock that was set back must not make it drain for years.
				d.Since = min(d.Since, since.Unix())
			}
			drains = append(drains, d)
		}
	}
	slices.SortFunc(drains, func(x, y Drain) int { return cmp.Compare(x.ID, y.ID) })
	return drains
}

// unchanged names the services that are as they were, ids and seeds included.
func (a Assigner) unchanged(cfg []balancer.Service, prev *State) map[string]bool {
	had := make(map[string]*balancer.Service, len(prev.Services))
	for i := range prev.Services {
		had[prev.Services[i].Name] = &prev.Services[i]
	}
	same := make(map[string]bool, len(cfg))
	for i := range cfg {
		svc := &cfg[i]
		if was := had[svc.Name]; was != nil && was.Equal(svc) && !slices.ContainsFunc(svc.Backends, func(b balancer.Backend) bool { return b.ID > a.Max }) {
			same[svc.Name] = true
		}
	}
	return same
}

// names are the ids and seeds of services, but for some.
func (s *State) names(but map[string]bool) (ids map[backendName]uint16, seeds map[string]uint32) {
	ids = make(map[backendName]uint16)
	seeds = make(map[string]uint32)
	for i := range s.Services {
		svc := &s.Services[i]
		if but[svc.Name] {
			continue
		}
		seeds[svc.Name] = svc.Seed
		for j := range svc.Backends {
			ids[backendName{svc.Name, svc.Backends[j].Name}] = svc.Backends[j].ID
		}
	}
	return ids, seeds
}

func (a Assigner) source() io.Reader {
	if a.Rand == nil {
		return rand.Reader
	}
	return a.Rand
}

func (a Assigner) fillSecret(s *State) error {
	if len(s.Secret) > 0 {
		return nil
	}
	s.Secret = make([]byte, 32)
	if _, err := io.ReadFull(a.source(), s.Secret); err != nil {
		return fmt.Errorf("make a secret: %w", err)
	}
	return nil
}

func (a Assigner) fillSeed(svc *balancer.Service, secret []byte) error {
	for try := byte(0); svc.Seed == 0; try++ {
		if a.SeedsByName {
			h := hmac.New(sha256.New, secret)
			h.Write(append([]byte("seed of "+svc.Name), try))
			svc.Seed = binary.NativeEndian.Uint32(h.Sum(nil))
			continue
		}
		var b [4]byte
		if _, err := io.ReadFull(a.source(), b[:]); err != nil {
			return err
		}
		svc.Seed = binary.NativeEndian.Uint32(b[:])
	}
	return nil
}

// pool is the ids that can be given out.
type pool struct {
	Assigner
	last           uint16  // the highest id given out
	freed          []Freed // those that stay
	next           int     // freed[next:] has not been looked at
	inUse, resting int     // what take passed over
}

func (a Assigner) pool(prev State) *pool {
	p := &pool{Assigner: a, last: prev.LastID, freed: slices.Clone(prev.Freed)}
	// A clock that was set back must not keep an id for years.
	for i := range p.freed {
		p.freed[i].At = min(p.freed[i].At, a.Now.Unix())
	}
	return p
}

// take returns an id that nobody carries, 0 where there is none.
func (p *pool) take() uint16 {
	for p.last < p.Max {
		p.last++
		if !p.used(p.last) {
			return p.last
		}
		// The kernel knows the id though the state does not: the state file
		// was lost. It counts as freed now.
		p.freed = append(p.freed, Freed{ID: p.last, At: p.Now.Unix()})
	}
	for p.next < len(p.freed) {
		f := p.freed[p.next]
		switch {
		case f.ID > p.Max:
		case p.Now.Sub(time.Unix(f.At, 0)) < p.Rest:
			p.resting++
		case p.used(f.ID):
			p.inUse++
		default:
			p.freed = slices.Delete(p.freed, p.next, p.next+1)
			return f.ID
		}
		p.next++
	}
	return 0
}

func (p *pool) used(id uint16) bool { return p.InUse != nil && p.InUse(id) }

func (p *pool) exhausted(name backendName) error {
	return &ExhaustedError{Limit: p.Max, Service: name.service, Backend: name.backend, InUse: p.inUse, Resting: p.resting}
}
