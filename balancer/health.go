package balancer

import (
	"net/netip"
	"time"
)

// Health says how the backends of a service are probed. It is treated as
// immutable.
type Health struct {
	Kind      ProbeKind
	Interval  time.Duration // from the beginning of a probe to that of the next
	Timeout   time.Duration // of one address's answer
	Rise      int           // answers in a row that bring a backend back
	Fall      int           // failures in a row that take it down
	Jitter    int           // percent of Interval by which pauses are shortened at random, at most
	SlowStart time.Duration // how long the weight of a backend that comes back rises; 0: at once
	Sources   []netip.Addr  // addresses to probe from, at most one of each family; the kernel's choice for others
	Port      uint16        // 0: the backend's
	Send      []byte        // payload of a UDP probe
	Expect    Expect
	Path      string // of an HTTP request
	Host      string // of an HTTP request, and of the certificate; "": the backend's address
	TLS       HealthTLS
}

// ProbeKind says what a probe is.
type ProbeKind string

// The kinds of probe.
const (
	ProbeUDP   ProbeKind = "udp"   // a datagram is answered
	ProbeICMP  ProbeKind = "icmp"  // an echo request is answered
	ProbeTCP   ProbeKind = "tcp"   // a connection is accepted
	ProbeHTTP  ProbeKind = "http"  // a GET is answered
	ProbeHTTPS ProbeKind = "https" // the same over TLS
)

// Expect is what an answer must be. What is not set does not count.
type Expect struct {
	Bytes  []byte // the whole payload of a UDP answer
	Prefix []byte // how the payload of a UDP answer begins
	Match  string // regular expression that a UDP payload or an HTTP body matches
	Status Status // of an HTTP response
}

// Status is a range of HTTP status codes, both ends included.
type Status struct{ From, To int }

// HealthTLS says how an HTTPS probe judges certificates.
type HealthTLS struct {
	SkipVerify bool   // any certificate will do
	CA         string // path of a PEM file; "": the host's authorities
}

// Source is the address to probe an address of a family from; the zero Addr
// leaves it to the kernel.
func (h *Health) Source(v6 bool) netip.Addr {
	for _, a := range h.Sources {
		if a.Is6() == v6 {
			return a
		}
	}
	return netip.Addr{}
}
