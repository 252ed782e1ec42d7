package api

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter bounds how often each client address may do something. Safe for
// concurrent use; of many addresses it remembers the ones that came last.
type limiter struct {
	rate  rate.Limit // a second
	burst int

	mu      sync.Mutex // guards the following
	clients map[netip.Addr]*rate.Limiter
	before  map[netip.Addr]*rate.Limiter // those of the generation before
}

// limiterSize is how many addresses a generation holds: whoever floods from
// more than that is not one client.
const limiterSize = 4096

func newLimiter(r rate.Limit, burst int) *limiter {
	return &limiter{rate: r, burst: burst, clients: make(map[netip.Addr]*rate.Limiter)}
}

// of is a client's own limiter. IPv6 clients share one a /64, which is the
// least that one of them has.
func (l *limiter) of(client netip.Addr) *rate.Limiter {
	client = client.Unmap()
	if client.Is6() {
		p, _ := client.Prefix(64) // 64 is within an IPv6 address
		client = p.Addr()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.clients[client]; one != nil {
		return one
	}
	if len(l.clients) >= limiterSize {
		l.clients, l.before = make(map[netip.Addr]*rate.Limiter), l.clients
	}
	one := l.before[client]
	if one == nil {
		one = rate.NewLimiter(l.rate, l.burst)
	}
	l.clients[client] = one
	return one
}

// take counts one deed of a client now. When it is one too many it says after
// what time to try again.
func (l *limiter) take(client netip.Addr, now time.Time) (wait time.Duration, ok bool) {
	r := l.of(client).ReserveN(now, 1)
	if !r.OK() {
		return time.Second, false
	}
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// exhausted reports whether a client has nothing left, without counting.
func (l *limiter) exhausted(client netip.Addr, now time.Time) bool {
	return l.of(client).TokensAt(now) < 1
}
