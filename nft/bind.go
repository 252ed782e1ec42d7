package nft

import (
	"github.com/roamlb/roamlb/balancer"
)

// bindChains: what a packet of an unknown session meets behind the queue. Go's
// decision stands in its mark; without one the kernel decides by the same
// hash. Either way the packet's zone is set and the session recorded.
func (c *compiler) bindChains(s *service) {
	svc := s.Service.Name
	record := "record" + s.name
	fallback := "fallback" + s.name
	m := c.marks
	nobody := c.nobody(s)

	rules := []Rule{
		// meta mark & fresh != 0 ct original zone set meta mark & id map @zones
		{Comment: svc + ": Go has decided", Exprs: join(markHas(m.Fresh()), markMasked(0, m.Mask), lookup(0, 0, c.zones.Name), zoneSet(0))},
		// ct state new goto record
		{Comment: svc + ": the zone is set", Exprs: join(ctStateNew(), jumpTo(record))},
		// meta mark & (fresh | id) == fresh reject
		{Comment: svc + ": Go knows nobody who could serve it", Exprs: join(markIs(m.Fresh()|m.Mask, m.Fresh()), nobody)},
	}
	for i := range s.layouts {
		p := &s.layouts[i]
		// ct original zone set jhash KEY mod slots seed s map @slots
		rules = append(
			rules,
			Rule{Comment: svc + ": the kernel decides", Exprs: join(p.match, p.key,
				jhash(0, p.end(), p.n, s.Service.Slots, s.Service.Seed), lookup(p.end(), 0, s.slots), zoneSet(0))},
			Rule{Comment: svc + ": the zone is set", Exprs: join(ctStateNew(), jumpTo(record))},
			Rule{Comment: svc + ": it has a key, and nobody could serve it", Exprs: join(p.match, p.key, nobody)},
		)
		if !p.last {
			rules = append(rules, Rule{Comment: svc + ": too short for its key", Exprs: join(p.match, jumpTo(fallback))})
		}
	}
	rules = append(rules, Rule{Comment: svc + ": no key", Exprs: jumpTo(fallback)})
	c.addChain("bind"+s.name, rules...)
	c.dispatch(c.bind, s, "bind"+s.name)
	c.addChain(fallback, c.fallback(s, record)...)
	c.addChain(record, c.record(s)...)
}

// nobody is the end of a packet that no backend can serve.
func (c *compiler) nobody(s *service) [][]byte {
	if s.Service.NoBackend == balancer.NoBackendDrop {
		return join(counter(), drop())
	}
	return join(counter(), reject())
}

// fallback: a packet without a key goes by its source.
func (c *compiler) fallback(s *service, record string) []Rule {
	svc := s.Service.Name
	if s.Service.Key.Fallback == balancer.FallbackDrop {
		return []Rule{{Comment: svc + ": no key, dropped", Exprs: join(counter(), drop())}}
	}
	load, n := c.sourceKey(s)
	end := reg(0).after(n)
	return []Rule{
		// ct original zone set jhash ip saddr mod slots seed s map @slots
		{Comment: svc + ": by the source", Exprs: join(load, jhash(0, end, n, s.Service.Slots, s.Service.Seed), lookup(end, 0, s.slots), zoneSet(0))},
		{Comment: svc + ": the zone is set", Exprs: join(ctStateNew(), jumpTo(record))},
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

// record learns key -> zone, for long where a backend has answered the
// session. The fresh and long bits stay until track.
func (c *compiler) record(s *service) []Rule {
	svc := s.Service.Name
	m := c.marks
	rules := []Rule{{Comment: svc + ": our bits have done their work", Exprs: markSet(0, m.Mask|m.Miss(), 0)}}
	for i := range s.layouts {
		p := &s.layouts[i]
		zone := p.end()
		learn := func(comment string, when [][]byte, ms int64) Rule {
			return Rule{Comment: svc + ": " + comment, Exprs: join(p.match, when, p.key, loadZone(zone), update(s.sessions[p.n].Name, 0, zone, ms))}
		}
		rules = append(
			rules,
			learn("a session that a backend has answered", markHas(m.Long()), ConfirmedTimeout.Milliseconds()),
			learn("a new session", markIs(m.Long(), 0), UnconfirmedTimeout.Milliseconds()),
		)
		if !p.last {
			rules = append(rules, Rule{Comment: svc + ": recorded", Exprs: join(p.match, accept())})
		}
	}
	return rules
}
