package suite

import (
	"maps"
	"net/netip"
	"sync"

	"github.com/roamlb/roamlb/internal/lab"
)

// arrivals remembers which session reached which backend.
type arrivals struct {
	mu    sync.Mutex // guards byKey
	byKey map[string]*arrival
}

type arrival struct {
	count    map[int]int // datagrams by backend
	last     int         // the backend of the last one
	from     netip.AddrPort
	ordered  bool // sequence numbers only rose
	sequence uint32
}

func newArrivals() *arrivals { return &arrivals{byKey: make(map[string]*arrival)} }

func (a *arrivals) add(backend int, d lab.Arrival) {
	k := keyOf(d.Payload)
	if k == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.byKey[string(k)]
	if r == nil {
		r = &arrival{count: make(map[int]int), ordered: true}
		a.byKey[string(k)] = r
	}
	if len(d.Payload) >= keyOffset+keyLength+4 {
		seq := uint32(d.Payload[9])<<24 | uint32(d.Payload[10])<<16 | uint32(d.Payload[11])<<8 | uint32(d.Payload[12])
		r.ordered = r.ordered && (len(r.count) == 0 || seq > r.sequence)
		r.sequence = seq
	}
	r.count[backend]++
	r.last, r.from = backend, d.From
}

// of is what has arrived of a session.
func (a *arrivals) of(session int) arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.byKey[string(sessionKey(session))]
	if r == nil {
		return arrival{}
	}
	out := *r
	out.count = maps.Clone(r.count)
	return out
}

// total is how many datagrams of a session have arrived.
func (a arrival) total() int {
	n := 0
	for _, c := range a.count {
		n += c
	}
	return n
}
