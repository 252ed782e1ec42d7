package ctsync

import "github.com/roamlb/roamlb/balancer"

// record is one session as the packet path sees it.
type record struct {
	seen       int64     // last decision, nanoseconds on the daemon's clock
	gen        uint32    // of the session that lives here, or lived here last; never 0 for one
	prev, next uint32    // in the shard's list of the answered or the unanswered
	backend    [2]uint16 // of IPv4 and of IPv6 packets; 0 while unbound
	bound      uint32    // when it was bound, in wrapping milliseconds, see millis
	first      int32     // when the session was first seen, seconds on the daemon's clock
	keyLen     uint16
	flags      recordFlags
}

type recordFlags uint8

const (
	recordLive      recordFlags = 1 << iota
	recordConfirmed             // a backend has answered the session
	recordPlaced                // bound by hand
	recordHidden                // taken over from the kernel: its client is still to show itself
)

func (r *record) live() bool      { return r.flags&recordLive != 0 }
func (r *record) confirmed() bool { return r.flags&recordConfirmed != 0 }

// serving is the backend that a session's packets of a family go on to, its
// own there or else the other family's; 0 where v has neither serve them.
func (r *record) serving(v *balancer.View, v6 bool) uint16 {
	for _, id := range [...]uint16{r.backend[family(v6)], r.backend[family(!v6)]} {
		if id != 0 && v.Serves(id, v6) {
			return id
		}
	}
	return 0
}

// family is an index into a record's backends.
func family(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

// handle names a session's place in its table: shard and number.
type handle uint32

const (
	shardBits  = 5
	shardCount = 1 << shardBits
	numberBits = 32 - shardBits
	maxNumber  = 1<<numberBits - 1
)

func makeHandle(shard, number uint32) handle { return handle(shard<<numberBits | number) }
func (h handle) shard() uint32               { return uint32(h) >> numberBits }
func (h handle) number() uint32              { return uint32(h) & maxNumber }
