package nft

import (
	"bytes"
	"slices"
)

// plan is what turns one table into another: what others have made in the place
// of ours goes first; then maps are made and filled before anything refers to
// them; then comes the transaction that switches and takes away what nothing
// refers to any more.
type plan struct {
	clear  []request
	fill   [][]request // each a transaction of its own
	made   []string    // maps that fill makes
	change []request
	// drops says that the change destroys a rule that sets a zone, a timeout
	// object or a base chain. The kernel (the first two: 6.18.y, and what was
	// backported from it) then drops what waits in the namespace's queues:
	// packets there may still refer to it. Where a listener's packets meet other
	// rules than before nothing is to wait either: what was decided for one kind of
	// pinning does not fit another's. When a base chain comes, what waits is only
	// asked about once more.
	drops bool
}

// diff plans the way from have to want. Chains and maps that stay keep what
// they hold; a chain whose rules differ gets all its rules anew.
func diff(have, want *Table) *plan {
	p := &plan{}
	if have.base != nil && have.base == want.base {
		have, want = apart(have, want)
	}
	indexHave := newIndex(have)
	indexWant := newIndex(want)
	if have.flags != 0 {
		p.change = append(p.change, addTable(want.Name)) // wakes one that is dormant
	}
	p.clearWay(have, indexHave, want)
	p.maps(indexHave, want)
	p.timeouts(indexHave, want)
	for _, c := range want.Chains {
		if h := indexHave.chains[c.Name]; h != nil && h.Drops && sameHook(h.Hook, c.Hook) {
			p.change = append(p.change, addChain(want.Name, c)) // with its policy
		}
		if h := indexHave.chains[c.Name]; h != nil && !sameHook(h.Hook, c.Hook) {
			p.change = append(p.change, flushChain(want.Name, c.Name), delChain(want.Name, c.Name))
			p.drops = true
			delete(indexHave.chains, c.Name)
		}
		if indexHave.chains[c.Name] == nil {
			p.change = append(p.change, addChain(want.Name, c))
		}
	}
	for _, c := range want.Chains {
		h := indexHave.chains[c.Name]
		if h != nil && sameRules(h.Rules, c.Rules) {
			continue
		}
		if h != nil && len(h.Rules) > 0 {
			p.change = append(p.change, flushChain(want.Name, c.Name))
			p.drops = p.drops || h.Hook == nil || slices.ContainsFunc(h.Rules, setsZone)
		}
		for i := range c.Rules {
			p.change = append(p.change, addRule(want.Name, c.Name, &c.Rules[i]))
		}
	}
	p.elements(indexHave, want)
	p.remove(have, indexWant)
	return p
}

// clearWay plans what must go before ours can come under its name: maps and
// timeouts of another make. What refers to them is no rule of ours any more.
func (p *plan) clearWay(have *Table, x index, want *Table) {
	var odd []request
	for _, m := range want.Maps {
		if h := x.maps[m.Name]; h != nil && h != m && !h.sameMake(m) {
			odd = append(odd, delMap(want.Name, m.Name))
			delete(x.maps, m.Name)
		}
	}
	for _, t := range want.Timeouts {
		if h, ok := x.timeouts[t.Name]; ok && !h.same(t) {
			odd = append(odd, delTimeout(want.Name, t.Name))
			delete(x.timeouts, t.Name)
		}
	}
	if len(odd) == 0 {
		return
	}
	wanted := newIndex(want).chains
	for _, c := range have.Chains {
		if w := wanted[c.Name]; len(c.Rules) > 0 && (w == nil || !sameRules(c.Rules, w.Rules)) {
			p.clear = append(p.clear, flushChain(want.Name, c.Name))
			x.chains[c.Name] = &Chain{Name: c.Name, Hook: c.Hook, Drops: c.Drops}
		}
	}
	p.clear = append(p.clear, odd...)
}

type index struct {
	chains   map[string]*Chain
	maps     map[string]*Map
	timeouts map[string]Timeout
}

func newIndex(t *Table) index {
	x := index{
		chains: make(map[string]*Chain, len(t.Chains)), maps: make(map[string]*Map, len(t.Maps)),
		timeouts: make(map[string]Timeout, len(t.Timeouts)),
	}
	for _, c := range t.Chains {
		x.chains[c.Name] = c
	}
	for _, m := range t.Maps {
		x.maps[m.Name] = m
	}
	for _, o := range t.Timeouts {
		x.timeouts[o.Name] = o
	}
	return x
}

// maps makes the maps that are missing; large ones are filled in transactions
// of their own before anything refers to them.
func (p *plan) maps(have index, want *Table) {
	var batch []request
	size := 0
	push := func(r request) {
		batch = append(batch, r)
		if size += len(r.body); size > batchBytes {
			p.fill = append(p.fill, batch)
			batch, size = nil, 0
		}
	}
	for i, m := range want.Maps {
		if have.maps[m.Name] != nil {
			continue
		}
		p.made = append(p.made, m.Name)
		push(addMap(want.Name, m, uint32(i+1)))
		if m.late() {
			continue
		}
		for _, r := range elements(msgNewSetElem, want.Name, m.Name, m.all()) {
			push(r)
		}
	}
	if len(batch) > 0 {
		p.fill = append(p.fill, batch)
	}
}

// timeouts adds the objects that are missing. Their names carry their values:
// the kernel cannot change one in place.
func (p *plan) timeouts(have index, want *Table) {
	for _, t := range want.Timeouts {
		if _, ok := have.timeouts[t.Name]; !ok {
			p.change = append(p.change, addTimeout(want.Name, t))
		}
	}
}

// elements brings the maps that stay up to date, and fills new ones that wait
// for their rules.
func (p *plan) elements(have index, want *Table) {
	for _, m := range want.Maps {
		if m.Learned {
			continue
		}
		h := have.maps[m.Name]
		if h == nil {
			if !m.late() {
				continue
			}
			h = &Map{}
		}
		p.mapElements(want.Name, h, m)
	}
}

// mapElements brings a map from what h has to what m has.
func (p *plan) mapElements(table string, h, m *Map) {
	add, del := elementChanges(h, m)
	p.drops = p.drops || m.Data.ID == typeVerdict && len(del) > 0
	// a value cannot be changed in place: it goes and comes in one transaction
	if m.Intervals && len(del) > 0 {
		p.change = append(p.change, emptyMap(table, m.Name)) // nft has added ends that do not go one by one
	} else {
		p.change = append(p.change, elements(msgDelSetElem, table, m.Name, del)...)
	}
	p.change = append(p.change, elements(msgNewSetElem, table, m.Name, add)...)
}

// elementChanges lists what to add to, and before that to delete from, have. A
// set of intervals is rewritten whole.
func elementChanges(have, want *Map) (add, del []Element) {
	if have == want {
		return nil, nil
	}
	was, is := have.all(), want.all()
	if want.Intervals {
		same := len(was) == len(is)
		for i := 0; same && i < len(is); i++ {
			same = hasInterval(was, is[i])
		}
		if same {
			return nil, nil
		}
		return is, was
	}
	old := make(map[string]*Element, len(was))
	for i := range was {
		old[string(was[i].Key)] = &was[i]
	}
	for _, w := range is {
		h := old[string(w.Key)]
		delete(old, string(w.Key))
		if h != nil && bytes.Equal(h.Data, w.Data) && h.Goto == w.Goto {
			continue
		}
		if h != nil {
			del = append(del, *h)
		}
		add = append(add, w)
	}
	for _, e := range was {
		if old[string(e.Key)] != nil {
			del = append(del, e)
		}
	}
	return add, del
}

func hasInterval(es []Element, w Element) bool {
	for _, e := range es {
		if e.End == w.End && bytes.Equal(e.Key, w.Key) {
			return true
		}
	}
	return false
}

// setsZone reports whether a rule sets a zone. Of one that was read back nobody
// knows.
func setsZone(r Rule) bool {
	return r.Exprs == nil || slices.ContainsFunc(r.Exprs, func(e []byte) bool { return bytes.Equal(e, settingZone) })
}

// settingZone is the one expression that sets a zone.
var settingZone = zoneSet(0)[0]

// remove takes away what is no longer wanted.
func (p *plan) remove(have *Table, want index) {
	for _, c := range have.Chains {
		if want.chains[c.Name] == nil {
			p.change = append(p.change, flushChain(have.Name, c.Name))
			p.drops = true
		}
	}
	for _, m := range have.Maps {
		if want.maps[m.Name] == nil {
			p.change = append(p.change, delMap(have.Name, m.Name))
		}
	}
	for _, c := range have.Chains {
		if want.chains[c.Name] == nil {
			p.change = append(p.change, delChain(have.Name, c.Name))
		}
	}
	for _, t := range have.Timeouts {
		if _, ok := want.timeouts[t.Name]; !ok {
			p.change = append(p.change, delTimeout(have.Name, t.Name))
			p.drops = true
		}
	}
	for _, s := range have.strays {
		p.change = append(p.change, delStray(have.Name, s))
	}
}
