package nft

import "net/netip"

// origin is an address that a service's backend speaks from, and the listener
// whose answers these are.
type origin struct {
	at       netip.AddrPort
	listener netip.AddrPort
	probed   bool // the service has its backends probed
}

// originsOf notes where a service's answers come from in a family.
func (c *compiler) originsOf(s *service) {
	ls := s.listeners()
	for i := range s.Service.Backends {
		b := &s.Service.Backends[i]
		if a := b.Address(s.v6); a.IsValid() && len(ls) > 0 {
			c.origins = append(c.origins, origin{netip.AddrPortFrom(a, b.Port), ls[0], s.Service.Health != nil})
		}
	}
}

// answers fills the maps by which a backend's own first packet leaves as the
// listener, where its address and port serve just one service, and those by
// which Go learns of refusals, of however many services a backend is one.
func (c *compiler) answers(parts []*part) {
	type owner struct {
		part     *part
		listener netip.AddrPort
		shared   bool
		probed   bool
	}
	n := 0
	for _, p := range parts {
		n += len(p.origins)
	}
	owners := make(map[netip.AddrPort]int, n)
	list := make([]owner, 0, n)
	order := make([]netip.AddrPort, 0, n)
	for _, p := range parts {
		for _, o := range p.origins {
			i, known := owners[o.at]
			if !known {
				owners[o.at] = len(list)
				list = append(list, owner{part: p, listener: o.listener, probed: o.probed})
				order = append(order, o.at)
				continue
			}
			list[i].shared = list[i].shared || list[i].part != p
			list[i].probed = list[i].probed || o.probed
		}
	}
	for i, at := range order {
		e := Element{Key: addrPortKey(at)}
		m := c.sharedFrom[fam(at.Addr().Is6())]
		if !list[i].shared {
			e.Data = addrPortKey(list[i].listener)
			m = c.answersFrom[fam(at.Addr().Is6())]
		}
		m.Elements = append(m.Elements, e)
		if list[i].probed {
			m := c.probed[fam(at.Addr().Is6())]
			m.Elements = append(m.Elements, Element{Key: e.Key})
		}
	}
}
