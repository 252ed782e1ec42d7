package nft

import (
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// boundChain ends the way of a packet whose zone bind has set.
const boundChain = "bound"

// bindChains: what a packet of an unknown session meets behind the queue. Go's
// decision stands in its mark; without one the kernel decides by the same
// hash. Either way the packet's zone is set and the session recorded, by the
// same rule: a zone cannot be read back before conntrack has seen the packet.
func (c *compiler) bindChains(s *service) {
	svc := s.Service.Name
	fallback := "fallback" + s.name
	m := c.marks
	nobody := c.nobody(s)
	zoneIsSet := Rule{Comment: svc + ": the zone is set", Exprs: join(ctStateNew(), jumpTo(boundChain))}

	// meta mark & (fresh | id) == fresh reject
	rules := []Rule{{Comment: svc + ": Go knows nobody who could serve it", Exprs: join(markIs(m.Fresh()|m.Mask, m.Fresh()), nobody)}}
	for i := range s.layouts {
		p := &s.layouts[i]
		zone := p.end()
		learn := func(timeout time.Duration) [][]byte {
			return join(zoneSet(zone), update(s.sessions[p.n].Name, 0, zone, timeout.Milliseconds()))
		}
		decided := join(markMasked(zone, m.Mask), lookup(zone, zone, c.zones.Name))
		rules = append(
			rules,
			// meta mark & (fresh | long) == fresh | long: meta mark & id map @zones -> zone; KEY -> zone
			Rule{Comment: svc + ": Go has decided, and a backend has answered", Exprs: join(p.match, markIs(m.Fresh()|m.Long(), m.Fresh()|m.Long()), p.key, decided, learn(ConfirmedTimeout))},
			Rule{Comment: svc + ": Go has decided", Exprs: join(p.match, markIs(m.Fresh()|m.Long(), m.Fresh()), p.key, decided, learn(UnconfirmedTimeout))},
			zoneIsSet,
			// jhash KEY mod slots seed s map @slots -> zone; KEY -> zone
			Rule{Comment: svc + ": the kernel decides", Exprs: join(p.match, p.key,
				jhash(0, zone, p.n, s.Service.Slots, s.Service.Seed), lookup(zone, zone, s.slots), learn(UnconfirmedTimeout))},
			zoneIsSet,
			Rule{Comment: svc + ": it has a key, and nobody could serve it", Exprs: join(p.match, p.key, nobody)},
		)
		if !p.last {
			rules = append(rules, Rule{Comment: svc + ": too short for its key", Exprs: join(p.match, jumpTo(fallback))})
		}
	}
	rules = append(rules, Rule{Comment: svc + ": no key", Exprs: jumpTo(fallback)})
	c.addChain("bind"+s.name, rules...)
	c.dispatch(c.bind, s, "bind"+s.name)
	c.addChain(fallback, c.fallback(s)...)
}

// bound adds the chain that ends bind: the fresh and long bits stay until
// track.
func (c *compiler) bound() {
	c.addChain(boundChain, Rule{Comment: "our bits have done their work", Exprs: markSet(0, c.marks.Mask|c.marks.Miss(), 0)})
}

// nobody is the end of a packet that no backend can serve.
func (c *compiler) nobody(s *service) [][]byte {
	if s.Service.NoBackend == balancer.NoBackendDrop {
		return join(counter(), drop())
	}
	return join(counter(), reject())
}

// fallback: a packet without a key goes by its source.
func (c *compiler) fallback(s *service) []Rule {
	svc := s.Service.Name
	if s.Service.Key.Fallback == balancer.FallbackDrop {
		return []Rule{{Comment: svc + ": no key, dropped", Exprs: join(counter(), drop())}}
	}
	load, n := c.sourceKey(s)
	end := reg(0).after(n)
	return []Rule{
		// ct original zone set jhash ip saddr mod slots seed s map @slots
		{Comment: svc + ": by the source", Exprs: join(load, jhash(0, end, n, s.Service.Slots, s.Service.Seed), lookup(end, 0, s.slots), zoneSet(0))},
		{Comment: svc + ": the zone is set", Exprs: join(ctStateNew(), jumpTo(boundChain))},
		{Comment: svc + ": nobody could serve it", Exprs: c.nobody(s)},
	}
}

// sourceKey loads what a packet without a key is hashed by, and says how many
// bytes that is.
func (c *compiler) sourceKey(s *service) ([][]byte, int) {
	if s.Service.Key.Fallback == balancer.FallbackSourcePort {
		return source(s.v6), addrLen(s.v6) + regBytes
	}
	return encode(loadSource(0, s.v6)), addrLen(s.v6)
}
