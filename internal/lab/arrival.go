package lab

import (
	"net/netip"
	"sync"
	"time"
)

// Arrival is a datagram that reached an [Echo].
type Arrival struct {
	From    netip.AddrPort // who sent it, as the backend sees it
	At      netip.AddrPort // the Echo's address that it came to
	Payload []byte         // valid during the call that hands it out
	Time    time.Time      // when it was read
}

// Seen sums up what has arrived with one key.
type Seen struct {
	Count uint64         // datagrams
	From  netip.AddrPort // the sender of the last one
	At    netip.AddrPort // the address the last one came to
	Time  time.Time      // when the last one was read
}

// Arrivals counts datagrams, in all and by key. Its methods may be called from
// any goroutine.
type Arrivals struct {
	mu    sync.Mutex // guards total and byKey
	total uint64
	byKey map[string]*Seen
}

// add counts one datagram; a nil key is counted in the total only. The caller
// holds mu.
func (a *Arrivals) add(key []byte, arrival Arrival) {
	a.total++
	if key == nil {
		return
	}
	seen := a.byKey[string(key)]
	if seen == nil {
		if a.byKey == nil {
			a.byKey = make(map[string]*Seen)
		}
		seen = &Seen{}
		a.byKey[string(key)] = seen
	}
	seen.Count++
	seen.From, seen.At, seen.Time = arrival.From, arrival.At, arrival.Time
}

// Total returns how many datagrams have arrived.
func (a *Arrivals) Total() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
}

// Seen returns what has arrived with the key; the zero Seen if nothing has.
func (a *Arrivals) Seen(key []byte) Seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	if seen := a.byKey[string(key)]; seen != nil {
		return *seen
	}
	return Seen{}
}

// SeenAll returns what has arrived with each key. The map is the caller's.
func (a *Arrivals) SeenAll() map[string]Seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[string]Seen, len(a.byKey))
	for key, seen := range a.byKey {
		all[key] = *seen
	}
	return all
}

// Reset forgets everything that has arrived.
func (a *Arrivals) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total, a.byKey = 0, nil
}
