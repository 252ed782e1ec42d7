package nft

import (
	"fmt"
	"slices"
	"strings"
)

// What an operator's table must have for a configuration. Names and places of
// base chains are the operator's, as far as conntrack and our own order allow,
// and rules of his own may stand between ours.

// RulesError says that the operator's table lacks rules that a configuration
// needs.
type RulesError struct {
	Lacks []Difference // Want is what lacks
	Rules string       // what to load beside what there is: no rule that is there goes
}

// Error says it without what tells seeds: not by their full names.
func (e *RulesError) Error() string { return withoutSecrets(e.Exactly()) }

// Exactly says it by the names that the printed rules have, for the operator's
// eyes only.
func (e *RulesError) Exactly() string {
	const most = 10
	var lacks []string
	for _, d := range e.Lacks[:min(most, len(e.Lacks))] {
		line := d.String()
		if len(d.Want) > 0 {
			line += ": " + strings.Join(d.Want, "; ")
		}
		lacks = append(lacks, line)
	}
	if more := len(e.Lacks) - most; more > 0 {
		lacks = append(lacks, fmt.Sprintf("and %d more", more))
	}
	return seeds.ReplaceAllString("table inet "+TableName+" lacks what the configuration needs: "+strings.Join(lacks, ", "), "seed (hidden)")
}

// plainStyle is how rules are compared: as nft reads and lists them.
var plainStyle = style{stateless: true, loadable: true}

// lacking says what want has of rules, chains and maps and have has not, and names
// the chains of want whose rules it takes.
func lacking(have, want *listing) (lacks []Difference, chains map[string]bool) {
	chains = make(map[string]bool)
	if !have.found {
		for _, w := range want.chains {
			chains[w.name] = true
		}
		return []Difference{{Object: "table inet " + want.name, What: "is missing"}}, chains
	}
	have.findKeys()
	want.findKeys()
	d := &differ{}
	for i := range want.objects {
		o := &want.objects[i]
		if !slices.ContainsFunc(have.objects, func(h shownObject) bool {
			return h.name == o.name && slices.Equal(h.lines(plainStyle), o.lines(plainStyle))
		}) {
			d.add("ct timeout "+o.name, "is missing", nil, trimmed(o.lines(plainStyle)))
		}
	}
	for _, w := range want.sets {
		head := trimmed(w.head(plainStyle)[1:])
		if h := have.setNamed[w.name]; h == nil {
			d.add("map "+w.name, "is missing", nil, head)
		} else if !h.serves(w) {
			d.add("map "+w.name, "is of another make", trimmed(h.head(plainStyle)[1:]), head)
		}
	}
	for _, w := range want.chains {
		if !w.hooked {
			chains[w.name] = d.lackingChain(have, want, w)
		}
	}
	d.lackingHooks(have, want, chains)
	return d.found, chains
}

// serves reports whether a map can hold w's elements and be asked as it.
func (s *shownSet) serves(w *shownSet) bool {
	const makes = setInterval | setMap | setTimeout | setDynamic
	verdicts := w.data.id == typeVerdict
	return s.flags&makes == w.flags&makes && s.key.length == w.key.length && (s.data.id == typeVerdict) == verdicts &&
		(verdicts || s.data.length == w.data.length) && s.size == w.size && len(s.stateful) == len(w.stateful)
}

// lackingChain reports whether a chain must be loaded.
func (d *differ) lackingChain(have, want *listing, w *shownChain) bool {
	h := have.chainOf[w.name]
	if h == nil || h.hooked {
		d.add("chain "+w.name, "is missing", nil, want.plainRules(w))
		return true
	}
	missing := without(have.plainRules(h), want.plainRules(w))
	if len(missing) > 0 {
		d.add("chain "+w.name, "lacks rules", nil, missing)
	}
	return len(missing) > 0
}

// lackingHooks looks for the rules of each base chain in those that stand at the
// same hook.
func (d *differ) lackingHooks(have, want *listing, chains map[string]bool) {
	before := make(map[uint32]int32) // where steer stands, by hook
	for _, w := range want.chains {
		if !w.hooked {
			continue
		}
		rules := want.plainRules(w)
		best, at := rules, (*shownChain)(nil)
		for _, h := range have.chains {
			if !h.hooked || h.hook != w.hook || h.typ != w.typ || !w.mayStand(h.priority) {
				continue
			}
			if after, ok := before[w.hook]; ok && w.priority == prioBind && h.priority <= after {
				continue // bind takes up what steer has sent to the queue
			}
			missing := without(have.plainRules(h), rules)
			if len(missing) == len(rules) && h.name != w.name {
				continue // another chain of the operator's
			}
			if at == nil || len(missing) < len(best) || len(missing) == len(best) && h.name == w.name {
				best, at = missing, h
			}
		}
		chains[w.name] = at == nil || len(best) > 0
		switch {
		case at == nil:
			d.add("chain "+w.name, "is missing", nil, append(trimmed(w.head()[1:]), rules...))
		case len(best) > 0:
			d.add("chain "+at.name, "lacks rules", nil, best)
		case w.priority == prioSteer:
			before[w.hook] = at.priority
		}
	}
}

// mayStand reports whether a chain's rules do their work at a priority: before
// conntrack (-200) what sets the zone, behind it what looks at the entry.
func (c *shownChain) mayStand(p int32) bool {
	switch c.priority {
	case prioSteer, prioBind:
		return p < -200
	case prioTrack:
		return p > -200 && p < 0
	}
	return true // nat: the kernel sees to it
}

// plainRules are a chain's rules without their comments.
func (l *listing) plainRules(c *shownChain) []string {
	out := make([]string, len(c.rules))
	for i := range c.rules {
		r := c.rules[i]
		r.comment = ""
		out[i] = joinedByNFT.Replace(l.rule(&r, plainStyle))
	}
	return out
}

// joinedByNFT undoes what nft does to an ICMP error's type and code when it reads
// them: it compares both at once, and then takes them for a port.
var joinedByNFT = strings.NewReplacer(
	"th sport 771", "icmp type destination-unreachable icmp code port-unreachable",
	"th sport 260", "icmpv6 type destination-unreachable icmpv6 code port-unreachable",
)

// without are the rules of want that have has not, in this order.
func without(have, want []string) []string {
	var missing []string
	for _, w := range want {
		if i := slices.Index(have, w); i >= 0 {
			have = have[i+1:]
		} else {
			missing = append(missing, w)
		}
	}
	return missing
}
