package nft

import (
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// boundChain ends the way of a packet whose zone bind has set.
const boundChain = "bound"

// bindChains: what a packet of an unknown session meets behind the queue. Go's
// decision stands in its mark; without one the kernel decides by the same
// hash. Either way the packet's zone is set.
func (c *compiler) bindChains(s *service) {
	svc := s.Service.Name
	fallback := "fallback" + s.name
	m := c.marks
	nobody := c.nobody(s)
	zoneIsSet := Rule{Comment: svc + ": the zone is set", Exprs: join(ctStateNew(), jumpTo(boundChain))}

	rules := []Rule{
		// meta mark & fresh != 0 ct original zone set meta mark & id map @zones
		{Comment: svc + ": Go has decided", Exprs: join(markHas(m.Fresh()), markMasked(0, m.Mask), lookup(0, 0, c.zones.Name), zoneSet(0))},
		zoneIsSet,
		// meta mark & (fresh | id) == fresh reject
		{Comment: svc + ": Go knows nobody who could serve it", Exprs: join(markIs(m.Fresh()|m.Mask, m.Fresh()), nobody)},
	}
	rules = append(rules, c.byKey(s, fallback, zoneSet(0), zoneIsSet)...)
	rules = append(rules, Rule{Comment: svc + ": no key", Exprs: jumpTo(fallback)})
	c.addChain("bind"+s.name, rules...)
	c.dispatch(c.bind, s, "bind"+s.name)
	c.addChain(fallback, c.fallback(s, "by the source", zoneSet(0), zoneIsSet)...)
	c.addChain("record"+s.name, c.record(s)...)
	c.dispatch(c.records, s, "record"+s.name)
}

// bound adds the chain that ends bind: the helper bits stay until track.
func (c *compiler) bound() {
	c.addChain(boundChain, Rule{Comment: "the id has done its work", Exprs: markSet(0, c.marks.Mask, 0)})
}

// nobody is the end of a packet that no backend can serve.
func (c *compiler) nobody(s *service) [][]byte {
	if s.Service.NoBackend == balancer.NoBackendDrop {
		return join(counter(), drop())
	}
	return join(counter(), reject())
}

// byKey: without Go the kernel decides by the same hash. What the ring says for
// the key goes to then; settled is what follows where the packet is not done by
// that. A packet that is too short for its variant's key goes to fallback.
func (c *compiler) byKey(s *service, fallback string, then [][]byte, settled ...Rule) []Rule {
	svc := s.Service.Name
	var rules []Rule
	for i := range s.layouts {
		p := &s.layouts[i]
		// THEN jhash KEY mod slots seed s map @slots
		rules = append(rules, Rule{Comment: svc + ": the kernel decides", Exprs: join(p.match, p.key, s.slot(p.n), then)})
		rules = append(rules, settled...)
		rules = append(rules, Rule{Comment: svc + ": it has a key, and nobody could serve it", Exprs: join(p.match, p.key, c.nobody(s))})
		if !p.last {
			rules = append(rules, Rule{Comment: svc + ": too short for its key", Exprs: join(p.match, jumpTo(fallback))})
		}
	}
	return rules
}

// fallback: a packet without a key goes by its source, and so does every packet
// whose key nft cannot load; then and settled are as byKey's.
func (c *compiler) fallback(s *service, comment string, then [][]byte, settled ...Rule) []Rule {
	svc := s.Service.Name
	if s.Loadable && s.Service.Key.Fallback == balancer.FallbackDrop {
		return []Rule{{Comment: svc + ": no key, dropped", Exprs: join(counter(), drop())}}
	}
	load, n := c.sourceKey(s)
	// THEN jhash ip saddr mod slots seed s map @slots
	rules := append([]Rule{{Comment: svc + ": " + comment, Exprs: join(load, s.slot(n), then)}}, settled...)
	return append(rules, Rule{Comment: svc + ": nobody could serve it", Exprs: c.nobody(s)})
}

// slot loads what the ring says for the n bytes from register 0 on.
func (s *service) slot(n int) [][]byte {
	end := reg(0).after(n)
	return join(jhash(0, end, n, s.Service.Slots, s.Service.Seed), lookup(end, 0, s.slots))
}

// sourceKey loads what a packet without a key is hashed by, and says how many
// bytes that is.
func (c *compiler) sourceKey(s *service) ([][]byte, int) {
	if s.Service.Key.Fallback == balancer.FallbackSourcePort {
		return source(s.v6), addrLen(s.v6) + regBytes
	}
	return encode(loadSource(0, s.v6)), addrLen(s.v6)
}

// record: behind conntrack, where a packet's zone can be read, the kernel
// learns key -> zone, for long where a backend has answered the session. What
// Go has not seen yet goes to it.
func (c *compiler) record(s *service) []Rule {
	svc := s.Service.Name
	var rules []Rule
	end := recordedChain
	if s.Datapath == balancer.DatapathKernel {
		end = toldChain
	}
	for i := range s.layouts {
		p := &s.layouts[i]
		rules = append(rules, c.learn(s, p)...)
		if !p.last {
			rules = append(rules, Rule{Comment: svc + ": recorded", Exprs: join(p.match, jumpTo(end))})
		}
	}
	return append(rules, Rule{Comment: svc + ": recorded", Exprs: jumpTo(end)})
}

// learn: a session that Go has decided takes the place of what the map held
// of it. One that the kernel has decided was not in the map just now; should
// Go have written it meanwhile, that stays.
func (c *compiler) learn(s *service, p *variantPayload) []Rule {
	m := c.marks
	sessions := s.sessions[p.n].Name
	rule := func(comment string, when [][]byte, write func(string, reg, reg, time.Duration) [][]byte, timeout time.Duration) Rule {
		return Rule{Comment: s.Service.Name + ": " + comment, Exprs: join(p.match, when, p.key, loadZone(p.end()), write(sessions, 0, p.end(), timeout))}
	}
	rules := []Rule{rule("a session that a backend has answered", markHas(m.Long()), replace, ConfirmedTimeout)}
	if s.Datapath != balancer.DatapathKernel {
		return append(rules, rule("a new session", markIs(m.Long()|m.Hold(), 0), replace, UnconfirmedTimeout))
	}
	return append(
		rules,
		rule("a new session", markIs(m.Long()|m.Hold(), 0), add, UnconfirmedTimeout),
		rule("a session whose flow is answered", ctStateEstablished(), refresh, ConfirmedTimeout),
	)
}

// recordedChain sends on what record has dealt with.
const recordedChain = "recorded"

func (c *compiler) recorded() {
	m := c.marks
	helpers := m.Miss() | m.Fresh() | m.Long() | m.Hold()
	c.addChain(recordedChain,
		Rule{Comment: "Go has just seen it", Exprs: join(markHas(m.Fresh()), markSet(0, helpers, 0), accept())},
		Rule{Comment: "a flow that is known", Exprs: join(ctMarkHas(m.Ours()), markSet(0, helpers, 0), accept())},
		Rule{Comment: "Go has not seen it", Exprs: join(markSet(0, helpers, 0), queue(c.features.NativeQueue, c.queues.First, c.queues.Count))},
	)
}
