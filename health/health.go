// Package health probes backends: it asks each, again and again, for an answer
// of the protocol that its service speaks, and says who is up.
//
// A backend is up when every address answers that the service can send its
// clients to: a client has no choice of the family. A probe that this host
// cannot make, for want of a right or a descriptor, says nothing of the
// backend and changes nothing.
package health

import (
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// Target is a backend to be probed. Targets are compared as values.
type Target struct {
	ID        uint16 // of the backend; unique
	Service   string
	Backend   string
	Addresses [2]netip.AddrPort // to probe, IPv4 first; the zero AddrPort for none
	Spec      *balancer.Health
	// Serving tells that the backend takes new sessions already, so that it is
	// to be up until probes fail. It counts for a backend that was not a target
	// before, or had other addresses.
	Serving bool
}

// NewTarget is the target that a service's backend makes: its addresses of the
// families that the service listens on. It reports false for a service without
// probes.
func NewTarget(s *balancer.Service, b *balancer.Backend) (Target, bool) {
	if s.Health == nil {
		return Target{}, false
	}
	t := Target{ID: b.ID, Service: s.Name, Backend: b.Name, Spec: s.Health}
	port := b.Port
	if s.Health.Port != 0 {
		port = s.Health.Port
	}
	for _, l := range s.Listen {
		v6 := l.Addr().Is6()
		if a := b.Address(v6); a.IsValid() {
			t.Addresses[family(v6)] = netip.AddrPortFrom(a, port)
		}
	}
	return t, true
}

func family(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

func (t *Target) thresholds() thresholds {
	h := t.Spec
	return thresholds{rise: h.Rise, fall: h.Fall, interval: h.Interval, jitter: h.Jitter, slowStart: h.SlowStart}
}

// Standing is what is known of a backend.
type Standing struct {
	State   State
	Suspect bool // up, and a packet to it was refused
	Share   int  // of its weight, in percent
	Since   time.Time
	Problem string // why the last probe failed; "" where it did not
}

// Reason says why a standing has changed.
type Reason string

// The reasons.
const (
	Answered    Reason = "probes-answered"
	Failed      Reason = "probes-failed"
	Refused     Reason = "port-unreachable" // a packet to the backend was; it is suspect now
	Unprobeable Reason = "cannot-probe"     // this host cannot make the probe
)

// Transition is a change of what is known of a backend.
type Transition struct {
	Target Target
	State  State // the new one
	Reason Reason
	Detail string // for people
}
