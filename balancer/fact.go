package balancer

import (
	"net/netip"
	"time"
)

// SessionRef names a session in its service's table. A reference outlives the
// session: the generation tells.
type SessionRef struct {
	Shard uint32
	Index uint32
	Gen   uint32 // never 0 for a session
}

// Fact is what a decision tells ctsync: this session spoke from this client
// and went to this backend.
type Fact struct {
	View     *View
	Session  SessionRef
	Client   netip.AddrPort
	Listener netip.AddrPort
	Backend  uint16
	NewFlow  bool  // seen at track: conntrack has no entry of ours for this flow
	At       int64 // when it was decided, nanoseconds on the daemon's monotonic clock
}

// Element is one entry of a service's sessions map in the kernel.
type Element struct {
	Key     []byte
	V6      bool // in which family's map
	Backend uint16
	Timeout time.Duration // how long it is to live (writing), or has left (reading)
}

// SettleTime is how long after a session was bound the kernel does not learn it
// yet: its packets that came back to back are on their way through the queue,
// and one that took the short way would overtake them.
const SettleTime = 10 * time.Millisecond

// Binding is what a session table answers: the session's backend.
type Binding struct {
	Session   SessionRef
	Backend   uint16 // 0: nobody can serve it, and no session was made
	Confirmed bool   // a backend has answered this session
	Created   bool   // this call made the session or gave it another backend
	Young     bool   // bound less than SettleTime ago
}

// Bindings is a service's table of live sessions. Safe for concurrent use; no
// method blocks longer than another's access to one session.
type Bindings interface {
	// Bind returns the live session of key if v still serves it from its
	// backend in the packet's family, and else binds it to candidate: compare
	// and set, the first caller wins. now is in nanoseconds on the daemon's
	// monotonic clock. key is not kept.
	Bind(now int64, key []byte, v *View, v6 bool, candidate uint16) Binding
	// Told is Bind for a packet that the kernel has sent to a backend by itself.
	// The session is bound to that one, unless it has been answered by another
	// or was placed there by hand: then the kernel is put right soon.
	Told(now int64, key []byte, v *View, v6 bool, backend uint16) Binding
	// Find returns the live session's binding as Bind would find it, without
	// changing anything: its backend is 0 where Bind would bind it anew.
	Find(key []byte, v *View, v6 bool) (Binding, bool)
}
