package config

import (
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// services checks all services, and what has to be unique among them.
func (c *checker) services(at string, all []balancer.Service) {
	if len(all) > maxServices {
		c.add(at, "has %d services; at most %d are possible", len(all), maxServices)
	}
	names := make(map[string]int)
	for i := range all {
		s, at := &all[i], index(at, i)
		if c.name(at+"/name", s.Name) {
			if first, again := names[s.Name]; again {
				c.add(at+"/name", "is %s, as that of service %d", show(s.Name), first)
			} else {
				names[s.Name] = i
			}
		}
		c.service(at, s)
	}
	c.addresses(at, all)
}

// service checks what can be said of one service alone.
func (c *checker) service(at string, s *balancer.Service) {
	c.listeners(at+"/listen", s.Listen)
	c.key(at+"/key", &s.Key)
	oneOf(c, at+"/pinning", s.Pinning, balancer.PinAuto, balancer.PinSession, balancer.PinFlow)
	oneOf(c, at+"/datapath", s.Datapath, balancer.DatapathQueue, balancer.DatapathKernel)
	c.slots(at+"/slots", s)
	c.duration(at+"/session_ttl", s.SessionTTL, sessionTTLSpan)
	c.number(at+"/max_sessions", int64(s.MaxSessions), sessionsSpan)
	oneOf(c, at+"/stale", s.Stale, balancer.StaleOnReply, balancer.StaleImmediate, balancer.StaleNever)
	c.duration(at+"/confirm_timeout", s.ConfirmTimeout, confirmTimeoutSpan)
	oneOf(c, at+"/snat", s.SNAT, balancer.SNATNone, balancer.SNATMasquerade)
	oneOf(c, at+"/no_backend", s.NoBackend, balancer.NoBackendReject, balancer.NoBackendDrop)
	oneOf(c, at+"/all_down", s.AllDown, balancer.AllDownAsNoBackend, balancer.AllDownKeep)
	c.duration(at+"/drain_timeout", s.DrainTimeout, drainTimeoutSpan)
	c.prefixes(at+"/allow", s.Allow)
	c.prefixes(at+"/deny", s.Deny)
	c.health(at+"/health", s.Health)
	c.timeouts(at+"/timeouts", s.Timeouts)
	c.backends(at+"/backends", s)
}

func (c *checker) listeners(at string, all []netip.AddrPort) {
	switch {
	case len(all) == 0:
		c.add(at, "must have at least one listener")
	case len(all) > maxListeners:
		c.add(at, "has %d listeners; at most %d are possible", len(all), maxListeners)
	}
	for i, l := range all {
		c.unicast(index(at, i)+"/address", l.Addr())
		c.number(index(at, i)+"/port", int64(l.Port()), portSpan)
	}
}

func (c *checker) slots(at string, s *balancer.Service) {
	if !c.number(at, int64(s.Slots), slotsSpan) {
		return
	}
	if next := nextPrime(s.Slots); next != s.Slots {
		c.add(at, "must be a prime, not %d; the next one is %d", s.Slots, next)
		return
	}
	if int(s.Slots) < len(s.Backends) {
		c.add(at, "is %d, fewer than the %d backends", s.Slots, len(s.Backends))
	}
}

// nextPrime returns the smallest prime that is not below n.
func nextPrime(n uint32) uint32 {
	for ; ; n++ {
		prime := n >= 2
		for d := uint32(2); prime && d*d <= n; d++ {
			prime = n%d != 0
		}
		if prime {
			return n
		}
	}
}

func (c *checker) prefixes(at string, all []netip.Prefix) {
	if len(all) > maxPrefixes {
		c.add(at, "has %d prefixes; at most %d are possible", len(all), maxPrefixes)
	}
	seen := make(map[netip.Prefix]int)
	for i, p := range all {
		at := index(at, i)
		switch first, again := seen[p]; {
		case !p.IsValid():
			c.add(at, "must be a prefix")
		case p.Addr().Is4In6():
			c.add(at, "is an IPv4 address in IPv6 form: %s", p)
		case p != p.Masked():
			c.add(at, "has bits set beyond its length: write %s", p.Masked())
		case again:
			c.add(at, "is %s, as entry %d", p, first)
		default:
			seen[p] = i
		}
	}
}

// timeouts are set together, and conntrack counts them in seconds.
func (c *checker) timeouts(at string, t balancer.Timeouts) {
	if t == (balancer.Timeouts{}) {
		return
	}
	for _, m := range []struct {
		name  string
		value time.Duration
	}{{"unreplied", t.Unreplied}, {"replied", t.Replied}} {
		at := join(at, m.name)
		if m.value == 0 {
			c.add(at, "is missing: unreplied and replied belong together")
			continue
		}
		if c.duration(at, m.value, flowTimeoutSpan) && m.value%time.Second != 0 {
			c.add(at, "must be whole seconds, not %s", formatDuration(m.value))
		}
	}
}
