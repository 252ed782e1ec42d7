package ctsync

import (
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// track is one session as the flows see it: where it is and where it may be
// going. It stands under the session's handle, beside the packet path's record.
type track struct {
	lastAt     int64  // of the newest fact that counted
	turnsSince int64  // when the first of the turns was
	gen        uint32 // of the session; 0 for none. The record's may be another by now
	base       uint32 // the flow it is on, 0 for none
	roams      uint32 // head of its roams: at most one that waits, and one shared
	left       uint32 // hash of the client that it left last; in turnsMask, how often it has alternated
}

// turnsMask is the low bits of a track's left.
const turnsMask = 7

// roam is a session's way to another flow, or the second flow of one that is
// shared by two clients.
type roam struct {
	table      *Table
	session    handle
	gen        uint32 // of this record: who remembers its number tells by it whether it is still the same
	flow       uint32
	next       uint32 // of the same session
	prevOnFlow uint32
	nextOnFlow uint32
	at         int64         // when the session was seen there
	deadline   int64         // when its timer runs out; other timers of its are void
	packets    uint64        // that the base's client had sent when the roam began
	quiet      time.Duration // for how long the base of a shared session was, as seen last
	flags      roamFlags
}

type roamFlags uint8

const (
	roamLive    roamFlags = 1 << iota
	roamShared            // both flows stay; else the answer is awaited
	roamWeak              // the flow may be older than the roam: only an answer that is seen to come is a proof
	roamCounted           // packets is how many the base flow's client had sent
)

func (r *roam) has(bits roamFlags) bool { return r.flags&bits != 0 }

// tracked is what the flows know of a table's sessions. Guarded by Sync.mu.
type tracked struct {
	id      uint16         // in core.tables; 0 once the table is dropped
	view    *balancer.View // the newest one known; nil before the first
	loaded  bool           // from a snapshot, and not asked for yet
	tracks  [shardCount][]*[chunkSize]track
	swept   handle // where the sweeper goes on
	renewAt int64  // when the off-ring elements are written again; 0: not set yet

	shared, waiting int // roams of each kind
	toldEvicted     uint64

	// Since the start, see ServiceStats.
	roamed, deleted, takeovers, joins uint64
}

// track is the track of a handle; made if need be.
func (t *Table) track(h handle) *track {
	chunks, c := &t.tracks[h.shard()], h.number()>>chunkBits
	for int(c) >= len(*chunks) {
		*chunks = append(*chunks, nil)
	}
	if (*chunks)[c] == nil {
		(*chunks)[c] = new([chunkSize]track)
	}
	return &(*chunks)[c][h.number()&(chunkSize-1)]
}

// known is the track of a handle; nil where none was made.
func (t *Table) known(h handle) *track {
	chunks, c := t.tracks[h.shard()], h.number()>>chunkBits
	if int(c) >= len(chunks) || chunks[c] == nil {
		return nil
	}
	return &chunks[c][h.number()&(chunkSize-1)]
}

func refHandle(r balancer.SessionRef) handle { return makeHandle(r.Shard, r.Index) }
