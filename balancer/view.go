package balancer

import (
	"net/netip"
	"slices"

	"github.com/roamlb/roamlb/hashing"
)

// State is what a backend is to the decision: the operator's wish and its
// health together.
type State uint8

// The states of a backend.
const (
	Down     State = iota // serves nobody
	Draining              // serves its sessions, takes no new ones
	Up
)

// String is the state's name in the API and in events.
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Draining:
		return "drain"
	default:
		return "down"
	}
}

// View is one service as decisions see it. Immutable.
type View struct {
	Service    *Service
	Pinning    Pinning // in effect
	PinReason  string
	Loadable   bool     // nft can load the key, whatever the pinning
	Datapath   Datapath // in effect
	PathReason string
	Extractor  hashing.Extractor
	Bindings   Bindings
	backends   map[uint16]backendView
	ring4      Ring
	ring6      Ring
	weighed    bool
}

type backendView struct {
	backend *Backend
	state   State
	v4, v6  bool
}

// Ring maps a slot to a backend's id; 0 where nobody serves. All slots are 0
// or none is.
type Ring []uint16

// Slot is the ring's slot of a hashed key.
func (r Ring) Slot(hash uint32) uint32 { return hashing.Scale(hash, uint32(len(r))) }

// At is the backend of a hashed key; 0 for nobody.
func (r Ring) At(hash uint32) uint16 { return r[r.Slot(hash)] }

// Empty reports whether nobody serves on this ring.
func (r Ring) Empty() bool { return len(r) == 0 || r[0] == 0 }

// Ring is the service's ring for packets of a family.
func (v *View) Ring(v6 bool) Ring {
	if v6 {
		return v.ring6
	}
	return v.ring4
}

// Serves reports whether the backend may keep a session's packets of a family.
func (v *View) Serves(id uint16, v6 bool) bool {
	b, ok := v.backends[id]
	return ok && b.state != Down && (v6 && b.v6 || !v6 && b.v4)
}

// Backend is the backend with this id, nil where the service has none.
func (v *View) Backend(id uint16) *Backend { return v.backends[id].backend }

// State is the state of the backend with this id; Down where there is none.
func (v *View) State(id uint16) State { return v.backends[id].state }

// Hash is the slot hash of a key of this service.
func (v *View) Hash(key []byte) uint32 { return hashing.Jhash(key, v.Service.Seed) }

// Listens reports whether the service listens on a family.
func (v *View) Listens(v6 bool) bool {
	return slices.ContainsFunc(v.Service.Listen, func(l netip.AddrPort) bool { return l.Addr().Is6() == v6 })
}

// Families is those that the service listens on, IPv4 first: true for IPv6.
func (v *View) Families() []bool {
	return slices.DeleteFunc([]bool{false, true}, func(v6 bool) bool { return !v.Listens(v6) })
}

// NewView compiles a service. states holds the backends that are not what
// their Admin member says, by id; nil for none.
func NewView(s *Service, caps Capabilities, states map[uint16]State, b Bindings) *View {
	v := &View{Service: s, Bindings: b, Extractor: layout(&s.Key), backends: make(map[uint16]backendView, len(s.Backends))}
	beyond := s.Key.beyond(caps)
	v.Loadable = beyond == ""
	v.Pinning, v.PinReason = effectivePinning(s.Pinning, beyond)
	v.Datapath, v.PathReason = effectiveDatapath(s, v.Pinning, caps)
	for i := range s.Backends {
		be := &s.Backends[i]
		st, ok := states[be.ID]
		if !ok {
			st = be.Admin.State()
		}
		v.backends[be.ID] = backendView{backend: be, state: st, v4: be.Address(false).IsValid(), v6: be.Address(true).IsValid()}
	}
	v.makeRings(nil)
	return v
}

// Weighed is v with rings in which backends have only so many percent of their
// weight, by id; those that shares lacks have all of it. A backend with a
// weight keeps some.
func (v *View) Weighed(shares map[uint16]int) *View {
	w := *v
	w.weighed = true
	w.makeRings(shares)
	return &w
}

// IsWeighed reports whether backends have not all of their weight in v's rings.
func (v *View) IsWeighed() bool { return v.weighed }

func (v *View) makeRings(shares map[uint16]int) {
	s := v.Service
	var m4, m6 []hashing.Member
	for i := range s.Backends {
		be := &s.Backends[i]
		bv := v.backends[be.ID]
		if bv.state != Up {
			continue
		}
		m := hashing.Member{ID: be.ID, Identity: be.Name, Weight: be.Weight}
		if len(shares) > 0 { // a ring whose weights have a factor in common is the same ring
			share, ok := shares[be.ID]
			if !ok {
				share = fullShare
			}
			m.Weight *= share
		}
		if bv.v4 {
			m4 = append(m4, m)
		}
		if bv.v6 {
			m6 = append(m6, m)
		}
	}
	v.ring4 = hashing.Maglev(m4, s.Slots)
	v.ring6 = v.ring4
	if len(m4) != len(m6) || !sameMembers(m4, m6) {
		v.ring6 = hashing.Maglev(m6, s.Slots)
	}
}

// fullShare is a backend's whole weight, in percent.
const fullShare = 100

func sameMembers(a, b []hashing.Member) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// State is the state that an administrative setting asks for.
func (a Admin) State() State {
	switch a {
	case AdminDrain:
		return Draining
	case AdminDown:
		return Down
	default:
		return Up
	}
}

func layout(k *Key) *hashing.Layout {
	vs := make([]hashing.Variant, len(k.Variants))
	for i, v := range k.Variants {
		for _, m := range v.Match {
			vs[i].Match = append(vs[i].Match, hashing.Match{Offset: m.Offset, Mask: m.Mask, Value: m.Value})
		}
		for _, f := range v.Fields {
			vs[i].Fields = append(vs[i].Fields, hashing.Field{Offset: f.Offset, Length: f.Length, Mask: f.Mask})
		}
	}
	return hashing.NewLayout(vs)
}

// Snapshot is everything the packet path decides by. Immutable; a change makes
// a new one.
type Snapshot struct {
	Marks     Marks
	ZoneBase  uint16
	Views     []*View // sorted by service name
	listeners map[netip.AddrPort]*View
	byName    map[string]*View
	probed    map[netip.AddrPort][]Probed
}

// Probed is a backend that is probed, as one service's.
type Probed struct {
	View *View
	ID   uint16
}

// NewSnapshot joins views.
func NewSnapshot(marks Marks, zoneBase uint16, views []*View) *Snapshot {
	s := &Snapshot{
		Marks: marks, ZoneBase: zoneBase, Views: views,
		listeners: make(map[netip.AddrPort]*View),
		byName:    make(map[string]*View, len(views)),
		probed:    make(map[netip.AddrPort][]Probed),
	}
	for _, v := range views {
		s.byName[v.Service.Name] = v
		for _, l := range v.Service.Listen {
			s.listeners[l] = v
		}
		if v.Service.Health == nil {
			continue
		}
		for i := range v.Service.Backends {
			b := &v.Service.Backends[i]
			for _, a := range b.Addresses {
				at := netip.AddrPortFrom(a, b.Port)
				s.probed[at] = append(s.probed[at], Probed{v, b.ID})
			}
		}
	}
	return s
}

// Probed are the probed backends at an address; several services can share one.
func (s *Snapshot) Probed(at netip.AddrPort) []Probed { return s.probed[at] }

// Lookup is the service that listens on an address; nil for none.
func (s *Snapshot) Lookup(listener netip.AddrPort) *View { return s.listeners[listener] }

// View is the service of this name; nil for none.
func (s *Snapshot) View(name string) *View { return s.byName[name] }

// Zone is the conntrack zone of a backend.
func (s *Snapshot) Zone(id uint16) uint16 { return s.ZoneBase + id }

// CopyRange is how many bytes of a packet the queues must copy so that every
// service's key is within them, however many headers stand before it.
func (s *Snapshot) CopyRange() uint32 {
	end := 0
	for _, v := range s.Views {
		end = max(end, v.Extractor.End())
	}
	return uint32(min(end+headerRoom, maxCopy))
}

const (
	headerRoom = 40 + 512 + 8 // IPv6, extension headers, UDP
	maxCopy    = 65531        // NFQUEUE's own limit
)
