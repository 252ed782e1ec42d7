package ctsync

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// ErrNotFound says that conntrack has no such entry, or none with this id.
var ErrNotFound = errors.New("no such conntrack entry")

// Conntrack is the kernel's table of UDP entries. Its methods may be called
// from any goroutine.
type Conntrack interface {
	// Get looks entries up by their original tuples. Both results are as long
	// as tuples: the entry, or the error that stands in its place, ErrNotFound
	// where there is none.
	Get(tuples []Tuple) ([]Entry, []error)
	// Delete deletes entries by original tuple, zone and id, each one only if
	// its id is still the same. The result is as long as entries; ErrNotFound
	// says that the entry was gone, or another one stood in its place.
	Delete(entries []Entry) []error
	// Dump hands fn every entry with mark & mask == value until fn returns
	// false.
	Dump(value, mask uint32, fn func(*Entry) bool) error
	// Events hands fn what becomes of entries with mark & mask != 0, until ctx
	// ends: first replies, further changes, ends. It calls ready once it
	// listens, and lost whenever the kernel had to drop events. fn must not
	// keep the slice.
	Events(ctx context.Context, mask uint32, ready func(), fn func([]Event), lost func()) error
	// Timeouts are the namespace's timeouts of UDP entries: of those that
	// talked just now or one way only, and of streams.
	Timeouts() (unreplied, replied time.Duration)
}

// Tuple is how conntrack finds an entry: the original direction of a UDP flow.
type Tuple struct {
	Client   netip.AddrPort // source
	Listener netip.AddrPort // destination, before translation
	Zone     uint16         // of the original direction; 0 for none
}

// Entry is a conntrack entry as the kernel showed it.
type Entry struct {
	Tuple
	Backend netip.AddrPort // where replies come from: the destination after translation
	ID      uint32
	Mark    uint32
	Status  Status
	Timeout time.Duration // how long it has left, in whole seconds, rounded down
	Packets uint64        // of the original direction
	Counted bool          // Packets is known: nf_conntrack_acct is on
}

// Status is the state of an entry, from enum ip_conntrack_status of the
// kernel's include/uapi/linux/netfilter/nf_conntrack_common.h.
type Status uint32

// The bits of a Status that matter here.
const (
	SeenReply Status = 1 << 1 // IPS_SEEN_REPLY
	Assured   Status = 1 << 2 // IPS_ASSURED: of a UDP entry, a stream
	DstNAT    Status = 1 << 5 // IPS_DST_NAT
)

// Event is something that became of an entry.
type Event struct {
	Entry
	Destroyed bool // the entry is gone; else it has changed
}
