package config

import (
	"net/netip"

	"github.com/roamlb/roamlb/balancer"
)

// backends checks a service's backends: each, and what has to be unique among
// them.
func (c *checker) backends(at string, s *balancer.Service) {
	if len(s.Backends) > maxBackends {
		c.add(at, "has %d backends; at most %d are possible", len(s.Backends), maxBackends)
	}
	names := make(map[string]int)
	targets := make(map[netip.AddrPort]string)
	for i := range s.Backends {
		b, at := &s.Backends[i], index(at, i)
		if c.name(at+"/name", b.Name) {
			if first, again := names[b.Name]; again {
				c.add(at+"/name", "is %s, as that of backend %d", show(b.Name), first)
			} else {
				names[b.Name] = i
			}
		}
		c.number(at+"/port", int64(b.Port), portSpan)
		c.number(at+"/weight", int64(b.Weight), weightSpan)
		oneOf(c, at+"/admin", b.Admin, balancer.AdminUp, balancer.AdminDrain, balancer.AdminDown)
		if !c.backendAddresses(at+"/addresses", b, s.Listen) {
			continue
		}
		for j, a := range b.Addresses {
			target := netip.AddrPortFrom(a, b.Port)
			if other, again := targets[target]; again {
				c.add(index(at+"/addresses", j), "with port %d is also that of backend %s", b.Port, show(other))
			}
			targets[target] = b.Name
		}
	}
}

// backendAddresses checks a backend's own addresses, and that one of them is of a
// family that the service listens on: without it no client reaches the backend.
func (c *checker) backendAddresses(at string, b *balancer.Backend, listen []netip.AddrPort) bool {
	if len(b.Addresses) == 0 {
		c.add(at, "is missing: a backend has one or two addresses")
		return false
	}
	families := [2]string{"IPv4", "IPv6"}
	var has, serves [2]bool
	fine := true
	for i, a := range b.Addresses {
		at := index(at, i)
		if !c.unicast(at, a) {
			fine = false
			continue
		}
		if a.Is6() && a.IsLinkLocalUnicast() {
			c.add(at, "is a link-local address, which packets are not forwarded to")
			fine = false
		}
		family := familyOf(a)
		if has[family] {
			c.add(at, "is a second %s address; a backend has at most one of each family", families[family])
			fine = false
		}
		has[family] = true
	}
	for _, l := range listen {
		if !l.Addr().IsValid() {
			return fine // not known, so any family may be served
		}
		serves[familyOf(l.Addr())] = true
	}
	served := has[0] && serves[0] || has[1] && serves[1]
	if fine && len(listen) > 0 && !served {
		c.add(at, "has no %s address, and the service listens on no other", families[1-familyOf(b.Addresses[0])])
		return false
	}
	return fine
}

// familyOf returns 0 for IPv4 and 1 for IPv6.
func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// addresses checks addresses across services: a listener belongs to one service,
// and a backend that is a listener would send packets round in circles.
func (c *checker) addresses(at string, all []balancer.Service) {
	type owner struct{ service, entry int }
	listeners := make(map[netip.AddrPort]owner)
	for i := range all {
		for j, l := range all[i].Listen {
			if !l.IsValid() || l.Port() == 0 {
				continue
			}
			if first, again := listeners[l]; again {
				c.add(index(index(at, i)+"/listen", j), "is %s, as listener %d of service %s",
					l, first.entry, show(all[first.service].Name))
				continue
			}
			listeners[l] = owner{i, j}
		}
	}
	for i := range all {
		for j := range all[i].Backends {
			b := &all[i].Backends[j]
			for k, a := range b.Addresses {
				if o, found := listeners[netip.AddrPortFrom(a, b.Port)]; found {
					c.add(index(index(index(at, i)+"/backends", j)+"/addresses", k),
						"with port %d is a listener of service %s: packets would go round in circles",
						b.Port, show(all[o.service].Name))
				}
			}
		}
	}
}
