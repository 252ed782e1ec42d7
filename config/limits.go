package config

import (
	"math"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// Bounds on the text itself, so that a hostile or broken file costs a bounded
// time and no stack. A file that follows the format stays far below all but
// the first.
const (
	maxFileSize    = 8 << 20
	maxDepth       = 24     // of objects and lists in each other; the format has 8
	maxSiblings    = 128    // members of one block object; the format has 27
	maxNameLength  = 64     // of a member's name
	maxTextLength  = 4096   // of a scalar; a path has no more
	maxEmpty       = 64     // members and entries without a value, each an error
	maxAnchors     = 1024   // YAML anchors
	maxAliased     = 100000 // values that YAML aliases stand for, all together
	maxProblems    = 100    // that are kept; the rest is counted
	maxShownLength = 48     // of a value that a message repeats
)

// Bounds on counts.
const (
	maxServices  = 4096
	maxListeners = 1024 // of a service
	maxBackends  = 4096 // of a service
	maxPrefixes  = 16384
	maxVariants  = 16
	maxFields    = 15 // an nft concatenation holds no more
	maxMatches   = 16
	maxMatchSize = 16 // bytes
	maxKeySize   = 256
	maxSend      = 1400 // bytes of a probe: one packet on any path
	maxExpected  = 1400 // bytes of its answer
)

// Bounds on where a key may stand.
const (
	maxOffset = 65400
	// NFQUEUE copies at most 65531 bytes of a packet, from the IP header on:
	// this is what remains behind 40 bytes of IPv6 and 8 of UDP.
	maxPayloadEnd = 65531 - 40 - 8
)

// Bounds on what the kernel is given.
const (
	minMarkBits = 4                   // of mark_mask
	helperBits  = balancer.HelperBits // of ours, just above mark_mask
	maxID       = math.MaxUint16      // of a backend: a conntrack zone has 16 bits
	queueSpace  = 1 << 16             // NFQUEUE numbers
	maxSocket   = 107                 // bytes of a Unix socket's path: sun_path without its NUL
)

// span is a range of numbers, both ends included.
type span struct{ lo, hi int64 }

func (s span) holds(v int64) bool { return s.lo <= v && v <= s.hi }

// The ranges of numeric members.
var (
	portSpan        = span{1, math.MaxUint16}
	queueFirstSpan  = span{0, math.MaxUint16}
	queueCountSpan  = span{0, 256}
	queueLengthSpan = span{1, math.MaxUint16}
	markMaskSpan    = span{1, math.MaxUint32}
	zoneBaseSpan    = span{0, maxID - 1}
	offsetSpan      = span{0, maxOffset}
	lengthSpan      = span{1, maxKeySize}
	slotsSpan       = span{2, 131071} // both are primes
	seedSpan        = span{1, math.MaxUint32}
	sessionsSpan    = span{1, 16_000_000}
	weightSpan      = span{0, math.MaxUint16}
	thresholdSpan   = span{1, 100} // probes in a row
	jitterSpan      = span{0, 50}  // percent
)

// The ranges of durations, in nanoseconds.
var (
	sessionTTLSpan     = span{int64(time.Second), int64(720 * time.Hour)}
	confirmTimeoutSpan = span{int64(100 * time.Millisecond), int64(10 * time.Minute)}
	drainTimeoutSpan   = span{int64(time.Second), int64(720 * time.Hour)}
	flowTimeoutSpan    = span{int64(time.Second), int64(720 * time.Hour)}
	probeIntervalSpan  = span{int64(100 * time.Millisecond), int64(time.Hour)}
	probeTimeoutSpan   = span{int64(10 * time.Millisecond), int64(time.Minute)}
	slowStartSpan      = span{0, int64(time.Hour)}
)
