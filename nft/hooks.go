package nft

import (
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// translateChain: the first packet of a flow is given its backend's address,
// and its entry our ct mark, events and timeouts. Only new flows come here.
func (c *compiler) translateChain(s *service) {
	svc := s.Service
	m := c.marks
	i := fam(s.v6)
	ours := m.Ours()
	if svc.SNAT == balancer.SNATMasquerade {
		ours |= m.Masquerade()
	}
	// ct mark set ct mark & ~ours | ours ct event set reply,destroy
	rules := []Rule{{Comment: svc.Name + ": the entry is ours", Exprs: join(ctMarkSet(m.CTAll(), ours), ctEvents())}}
	if svc.Timeouts.Unreplied > 0 {
		t := Timeout{V6: s.v6, Unreplied: svc.Timeouts.Unreplied, Replied: svc.Timeouts.Replied}
		t.Name = fmt.Sprintf("timeouts%s-%.0f-%.0f", s.name, t.Unreplied.Seconds(), t.Replied.Seconds())
		c.table.Timeouts = append(c.table.Timeouts, t)
		rules = append(rules, Rule{Comment: svc.Name + ": its own timeouts", Exprs: ctTimeout(t.Name)})
	}
	if s.Pinning == balancer.PinSession {
		rules = append(
			rules,
			Rule{Comment: svc.Name + ": our bits of the mark end here", Exprs: markSet(0, m.All(), 0)},
			// dnat to ct zone map @targets
			Rule{Comment: svc.Name + ": to the zone's backend", Exprs: join(loadZone(0), lookup(0, 0, c.targets[i].Name), nat(expr.NATTypeDestNAT, s.v6))},
			// an entry without translation would poison the flow
			Rule{Comment: svc.Name + ": a backend that is gone", Exprs: join(counter(), drop())},
		)
	} else {
		rules = append(rules, c.translateFlow(s)...)
	}
	c.addChain("translate"+s.name, rules...)
	c.dispatch(c.translate, s, "translate"+s.name)
}

// translateFlow: Go's decision stands in the mark of a flow's first packet.
// Without one the kernel decides by the same hash where it can load the key,
// and else by the source.
func (c *compiler) translateFlow(s *service) []Rule {
	svc := s.Service
	m := c.marks
	dnat := nat(expr.NATTypeDestNAT, s.v6)
	clean := markSet(reg(8), m.All(), 0)
	rules := []Rule{
		{Comment: svc.Name + ": Go knows nobody who could serve it", Exprs: join(markIs(m.Fresh()|m.Mask, m.Fresh()), c.nobody(s))},
		// dnat to meta mark & (fresh | id) map @flowtargets; the mark is cleaned on the way
		{Comment: svc.Name + ": Go has decided", Exprs: join(markHas(m.Fresh()), markMasked(0, m.Fresh()|m.Mask), clean, lookup(0, 0, c.flowTargets[fam(s.v6)].Name), dnat)},
		{Comment: svc.Name + ": our bits of the mark end here", Exprs: markSet(0, m.All(), 0)},
	}
	fallback := "fallback" + s.name
	rules = append(rules, c.byKey(s, fallback, dnat)...)
	c.addChain(fallback, c.fallback(s, "without Go, by the source", dnat)...)
	return append(rules, Rule{Comment: svc.Name + ": without its key", Exprs: jumpTo(fallback)})
}

// entrances are where packets come in. Clients and backends on this host count
// too: what they send meets the same rules at output.
var entrances = []struct {
	name string
	hook uint32
}{{"prerouting", hookPrerouting}, {"output", hookOutput}}

func (c *compiler) addBase(name, typ string, hook uint32, prio int32, rules []Rule) {
	c.table.Chains = append(c.table.Chains, &Chain{Name: name, Hook: &Hook{Type: typ, Hook: hook, Priority: prio}, Rules: rules})
}

// hooks adds the base chains. Every packet on the host pays for those before
// conntrack, so that they are there only if a service needs them: steered.
func (c *compiler) hooks(steered bool) {
	for _, at := range entrances {
		if steered {
			c.addBase(at.name+"-steer", "filter", at.hook, prioSteer, c.steerRules())
			c.addBase(at.name+"-bind", "filter", at.hook, prioBind, c.bindRules())
		}
		c.addBase(at.name+"-track", "filter", at.hook, prioTrack, c.trackRules())
		c.addBase(at.name+"-translate", "nat", at.hook, prioDNAT, c.translateRules())
	}
	c.addBase("postrouting", "nat", hookPostrouting, prioSNAT, c.postroutingRules(true))
	c.addBase("input", "nat", hookInput, prioSNAT, c.postroutingRules(false))
}

// both adds one rule a family.
func both(rule func(v6 bool) Rule) []Rule { return []Rule{rule(false), rule(true)} }

// dispatchRules send packets to a listener to its service's chain. To find one
// in a map takes as long as several comparisons: of few listeners each has a rule.
func (c *compiler) dispatchRules(comment string, maps [2]*Map, when [][]byte) []Rule {
	if !c.few {
		return c.mapRules(comment, maps, when)
	}
	var rules []Rule
	for _, v6 := range []bool{false, true} {
		n := addrLen(v6)
		for _, e := range maps[fam(v6)].Elements {
			// WHEN ip daddr A udp dport P goto CHAIN
			to := encode(loadDest(0, v6), cmp(0, true, e.Key[:n]), transport(0, 2, 2), cmp(0, true, e.Key[n:n+2]))
			rules = append(rules, Rule{Comment: comment, Exprs: join(when, udp(v6), to, jumpTo(e.Goto))})
		}
	}
	return rules
}

// mapRules send packets to a listener to its service's chain by a map. A chain
// that sets a zone itself has these always: see plan.drops.
func (c *compiler) mapRules(comment string, maps [2]*Map, when [][]byte) []Rule {
	return both(func(v6 bool) Rule {
		// WHEN ip daddr . udp dport vmap @MAP
		return Rule{Comment: comment, Exprs: join(when, udp(v6), dest(v6), vmap(maps[fam(v6)].Name))}
	})
}

func (c *compiler) steerRules() []Rule {
	rules := c.dispatchRules("to a service", c.steer, nil)
	return append(rules, both(func(v6 bool) Rule { return c.errorsRule(v6, errorsChain) })...)
}

func (c *compiler) bindRules() []Rule {
	m := c.marks
	rules := []Rule{{Comment: "not ours, or decided", Exprs: join(markIs(m.Miss(), 0), accept())}}
	rules = append(rules, c.mapRules("of an unknown session", c.bind, nil)...)
	return append(
		rules,
		Rule{Comment: "the flow that an error is about", Exprs: join(markHas(m.Fresh()), markMasked(0, m.Mask), lookup(0, 0, c.zones.Name), zoneSet(0))},
		Rule{Comment: "our bits of the mark end here", Exprs: markSet(0, m.All(), 0)},
	)
}

func (c *compiler) trackRules() []Rule {
	m := c.marks
	seen := m.Miss() | m.Fresh()
	// ct mark & ours != 0 meta mark & (miss | fresh) == 0 meta l4proto udp accept
	rules := []Rule{{Comment: "an established flow", Exprs: join(ctMarkHas(m.Ours()), markIs(seen, 0), l4proto(unix.IPPROTO_UDP), accept())}}
	rules = append(rules, both(func(v6 bool) Rule { return c.errorsRule(v6, refusedChain) })...)
	// meta mark & (miss | fresh) != 0
	rules = append(rules, c.dispatchRules("of a session that was unknown", c.records, markHas(seen))...)
	rules = append(rules, both(func(v6 bool) Rule {
		// ct direction original ip daddr . udp dport @listeners queue
		return Rule{Comment: "a new flow", Exprs: join(ctOriginal(), udp(v6), dest(v6), in(c.listeners[fam(v6)].Name), c.toGo())}
	})...)
	rules = append(rules, both(func(v6 bool) Rule {
		// ct direction original ip daddr . udp dport @copied goto told
		return Rule{Comment: "a new flow that the kernel decides", Exprs: join(ctOriginal(), udp(v6), dest(v6), in(c.copied[fam(v6)].Name),
			jumpTo(toldChain))}
	})...)
	return append(rules, both(func(v6 bool) Rule {
		// ct state new ct direction original ip saddr . udp sport @answersdropped drop
		return Rule{Comment: "a backend of several services speaks first", Exprs: join(ctStateNew(), ctOriginal(), udp(v6), source(v6),
			in(c.sharedFrom[fam(v6)].Name), drop())}
	})...)
}

func (c *compiler) translateRules() []Rule {
	return c.dispatchRules("a new flow", c.translate, nil)
}

// postroutingRules: a backend's own first packet leaves as the listener, and
// its entry is born expired: it must not stand in the way of the client's next
// packet. At input the same, for a client on this host.
func (c *compiler) postroutingRules(post bool) []Rule {
	m := c.marks
	var rules []Rule
	if post {
		rules = append(rules, Rule{Comment: "services with masquerading", Exprs: join(ctMarkHas(m.Masquerade()), masquerade())})
	}
	return append(rules, both(func(v6 bool) Rule {
		// ct mark & ours == 0 ct timeout set "answers" snat to ip saddr . udp sport map @answers
		return Rule{Comment: "a backend speaks first", Exprs: join(ctMarkLacks(m.Ours()), udp(v6), source(v6),
			lookup(0, 0, c.answersFrom[fam(v6)].Name), ctTimeout("answers"+suffix(v6)), nat(expr.NATTypeSourceNAT, v6))}
	})...)
}
