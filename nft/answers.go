package nft

import (
	"net/netip"
	"slices"
)

// By the answers maps a backend's own first packet leaves as the listener, where
// its address and port serve just one service.

// origin is an address that a service's backend speaks from, and the listener
// whose answers these are.
type origin struct {
	at       netip.AddrPort
	listener netip.AddrPort
	probed   bool // the service has its backends probed
}

// originsOf notes where a service's answers come from in a family, and adds
// them, and whose refusals Go is to learn of, as if no other service had a
// backend there.
func (c *compiler) originsOf(s *service) {
	ls := s.listeners()
	seen := make(map[netip.AddrPort]bool, len(s.Service.Backends))
	for i := range s.Service.Backends {
		b := &s.Service.Backends[i]
		a := b.Address(s.v6)
		at := netip.AddrPortFrom(a, b.Port)
		if !a.IsValid() || len(ls) == 0 || seen[at] { // one that leaves can be where another arrives
			continue
		}
		seen[at] = true
		o := origin{at, ls[0], s.Service.Health != nil}
		c.origins = append(c.origins, o)
		m := c.answersFrom[fam(s.v6)]
		m.Elements = append(m.Elements, o.answer())
		if o.probed {
			m := c.probed[fam(s.v6)]
			m.Elements = append(m.Elements, Element{Key: addrPortKey(at)})
		}
	}
}

// answer is the element by which packets from there leave as the listener.
func (o *origin) answer() Element {
	return Element{Key: addrPortKey(o.at), Data: addrPortKey(o.listener)}
}

// owners counts the services that have a backend at an address.
type owners struct {
	of     map[netip.AddrPort]int
	shared int // addresses of several services
}

func newOwners() owners { return owners{of: make(map[netip.AddrPort]int)} }

// change takes parts out of account and others into it, and reports whether
// that makes a difference to the answers.
func (o *owners) change(out, in []*part) bool {
	origins := func(ps []*part) (all []origin) {
		for _, p := range ps {
			all = append(all, p.origins...)
		}
		return all
	}
	was, is := origins(out), origins(in)
	if slices.Equal(was, is) {
		return false
	}
	for _, x := range was {
		switch o.of[x.at]--; o.of[x.at] {
		case 0:
			delete(o.of, x.at)
		case 1:
			o.shared--
		}
	}
	for _, x := range is {
		if o.of[x.at]++; o.of[x.at] == 2 {
			o.shared++
		}
	}
	return true
}

// answers fills these maps for services that share backends: what such a one
// says first could be the answer of any, and is dropped; its refusals are heard
// if one of them has it probed.
func (c *compiler) answers(parts []*part, o *owners) {
	listed, probed := make(map[netip.AddrPort]bool), make(map[netip.AddrPort]bool)
	for _, p := range parts {
		for i := range p.origins {
			x := &p.origins[i]
			f := fam(x.at.Addr().Is6())
			if x.probed && !probed[x.at] {
				probed[x.at] = true
				c.probed[f].Elements = append(c.probed[f].Elements, Element{Key: addrPortKey(x.at)})
			}
			switch {
			case o.of[x.at] == 1:
				c.answersFrom[f].Elements = append(c.answersFrom[f].Elements, x.answer())
			case !listed[x.at]:
				listed[x.at] = true
				c.sharedFrom[f].Elements = append(c.sharedFrom[f].Elements, Element{Key: addrPortKey(x.at)})
			}
		}
	}
}
