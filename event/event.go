// Package event holds the facts that roamlb tells operators about: one value
// for each roam, deletion, repair and the like, structured so that a log line
// and an API stream say the same.
package event

import (
	"net/netip"
	"time"
)

// Kind names what happened.
type Kind string

// The kinds of event.
const (
	Roam          Kind = "roam"           // a session arrived from a new client
	StaleDeleted  Kind = "stale-deleted"  // a conntrack entry was deleted
	Takeover      Kind = "takeover"       // a client address that was one session's now carries another
	Shared        Kind = "shared"         // one key from two clients by turns; both flows stay
	Unshared      Kind = "unshared"       // one of a shared session's clients fell silent
	Contested     Kind = "contested"      // one key from many clients that nobody answers; most of them are ignored
	Evicted       Kind = "evicted"        // sessions dropped to stay within max_sessions (rate-limited)
	Overflow      Kind = "overflow"       // facts or kernel events were lost; the reconciler runs
	TableFull     Kind = "table-full"     // a sessions map has no room; the kernel decides without recording
	Drift         Kind = "drift"          // our nft table was changed by somebody else
	Repaired      Kind = "repaired"       // and is as it should be again
	ConfigChanged Kind = "config-changed" // a configuration took effect
	Keeper        Kind = "keeper"         // the keeper answered waiting packets in the daemon's stead
	BackendState  Kind = "backend-state"  // a backend is up, suspect or down by its probes, or drained, or set so by hand
	Audit         Kind = "audit"          // somebody changed something, or signed in
	Degraded      Kind = "degraded"       // a change failed and could not be taken back
)

// Kinds are all kinds, in the order of their declaration.
var Kinds = []Kind{
	Roam, StaleDeleted, Takeover, Shared, Unshared, Contested, Evicted, Overflow, TableFull, Drift, Repaired, ConfigChanged, Keeper, BackendState, Audit, Degraded,
}

// Event is one fact. Members that do not apply are zero.
type Event struct {
	Time      time.Time
	Kind      Kind
	Service   string
	Session   []byte // the key's bytes: a secret, shown as log.keys says
	OldClient netip.AddrPort
	NewClient netip.AddrPort
	Backend   string
	State     string        // of the backend: "up", "suspect", "waiting", "down"
	Reason    string        // e.g. "replied", "never-replied", "immediate", "backend-removed", "reconciled"
	Age       time.Duration // of what was deleted
	Delay     time.Duration // from the cause (the reply, the roam) to the deed
	Count     int           // for kinds that sum up
	Detail    string        // for people
	Diff      string        // lines of what was there, behind a minus, and should be, behind a plus
	Actor     Actor         // who did it, where somebody did
}

// Sink takes events. It must not block and may be called from any goroutine.
type Sink func(Event)
