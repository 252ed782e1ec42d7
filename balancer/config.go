// Package balancer is the domain of roamlb: what a service, a key, a backend
// and a ring are, and how one packet's backend is decided. It does no I/O,
// starts no goroutine, reads no clock and writes no log.
package balancer

import (
	"net/netip"
	"time"
)

// Config is what the data plane is asked to do: every default filled in, every
// backend with its id and every service with its seed. It is treated as
// immutable once built.
type Config struct {
	// MarkMask is the contiguous run of packet mark bits that may carry a
	// backend's id between two of our chains. Helper bits sit just above it.
	MarkMask uint32
	// ZoneBase is added to a backend's id to give its conntrack zone.
	ZoneBase uint16
	Queues   Queues
	// Services are sorted by name; names are unique.
	Services []Service
}

// Queues says which NFQUEUE numbers are ours.
type Queues struct {
	First  uint16 // number of the first queue
	Count  uint16 // how many; never 0 once resolved (the file's 0 means one a CPU)
	Length uint32 // packets that may wait in one queue before it fails open
}

// LogGroup is the NFLOG group that takes copies of the packets which the kernel
// has decided by itself.
const LogGroup = 29811

// Resolved is q with one queue a CPU where the number is left open.
func (q Queues) Resolved(cpus int) Queues {
	if q.Count == 0 {
		q.Count = uint16(min(cpus, 256))
	}
	return q
}

// Service is a set of listeners that share a key, a ring and backends.
type Service struct {
	Name           string
	Listen         []netip.AddrPort // at least one; unique over all services
	Key            Key
	Pinning        Pinning // as asked for; what is in effect is in a View
	Datapath       Datapath
	Slots          uint32 // prime
	Seed           uint32 // of jhash; 0 in a file means "make one", never 0 once resolved
	SessionTTL     time.Duration
	MaxSessions    int
	Stale          Stale
	ConfirmTimeout time.Duration
	SNAT           SNAT
	NoBackend      NoBackend
	AllDown        AllDown
	DrainTimeout   time.Duration
	Allow          []netip.Prefix // empty: everybody
	Deny           []netip.Prefix // wins over Allow
	Health         *Health        `json:",omitempty"` // nil: backends are not probed
	Timeouts       Timeouts
	Backends       []Backend // in the file's order; names are unique within the service
}

// Backend is a server of a service.
type Backend struct {
	ID        uint16 // 1..65535; 0 until the store has given one
	Name      string
	Addresses []netip.Addr // one or two, at most one of each family
	Port      uint16
	Weight    int // 0 and above; 0 owns no slots
	Admin     Admin
}

// Address returns the backend's address of the wanted family; the zero Addr
// where it has none.
func (b *Backend) Address(v6 bool) netip.Addr {
	for _, a := range b.Addresses {
		if a.Is6() == v6 {
			return a
		}
	}
	return netip.Addr{}
}

// Key says where in a payload a session's identity stands.
type Key struct {
	Variants []Variant // at least one; the first that matches counts
	Fallback Fallback  // for packets without a key
}

// Variant is one way a payload can carry the key.
type Variant struct {
	Name   string // unique within the key; "" for the short form's only variant
	Match  []Match
	Fields []Field // at least one
}

// Match is a condition on payload bytes: payload[Offset+i] & Mask[i] == Value[i].
type Match struct {
	Offset int
	Mask   []byte // as long as Value; nil: all ones
	Value  []byte // bits outside Mask are zero
}

// Field is a run of payload bytes that belongs to the key.
type Field struct {
	Offset int
	Length int
	Mask   []byte // nil or Length long; ANDed to the bytes
}

// Timeouts are conntrack's UDP timeouts for one service's flows. Zero: the
// namespace's own. Either both are set or none.
type Timeouts struct {
	Unreplied time.Duration
	Replied   time.Duration
}

// Pinning says what binds a packet to its backend.
type Pinning string

// The pinnings. PinAuto is only ever a wish; the effective one is one of the others.
const (
	PinAuto    Pinning = "auto"
	PinSession Pinning = "session"
	PinFlow    Pinning = "flow"
)

// Datapath says who decides a session's first packet.
type Datapath string

// The data paths.
const (
	DatapathQueue  Datapath = "queue"  // Go, asked through NFQUEUE
	DatapathKernel Datapath = "kernel" // nft's own jhash; Go is told by NFLOG
)

// Stale says when the conntrack entry that a roamed session left is deleted.
type Stale string

// The policies for stale entries.
const (
	StaleOnReply   Stale = "on-reply"
	StaleImmediate Stale = "immediate"
	StaleNever     Stale = "never"
)

// SNAT says under which source address a packet reaches its backend.
type SNAT string

// The kinds of source NAT.
const (
	SNATNone       SNAT = "none"
	SNATMasquerade SNAT = "masquerade"
)

// NoBackend says what a client gets when no backend can serve it.
type NoBackend string

// The answers to a packet that nobody can serve.
const (
	NoBackendReject NoBackend = "reject" // ICMP port unreachable
	NoBackendDrop   NoBackend = "drop"
)

// AllDown says what happens when every backend is down by health.
type AllDown string

// AllDownAsNoBackend is the default; AllDownKeep sends to all of them.
const (
	AllDownAsNoBackend AllDown = ""
	AllDownKeep        AllDown = "keep"
)

// Fallback says what decides for a packet without a key.
type Fallback string

// The fallbacks.
const (
	FallbackSource     Fallback = "source"      // hash of the source address
	FallbackSourcePort Fallback = "source-port" // hash of source address and port
	FallbackDrop       Fallback = "drop"
)

// Admin is a backend's state as the operator set it.
type Admin string

// The administrative states.
const (
	AdminUp    Admin = "up"
	AdminDrain Admin = "drain" // keeps its sessions, takes no new ones
	AdminDown  Admin = "down"
)
