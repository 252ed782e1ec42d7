package nft

import (
	"fmt"
	"slices"
	"strings"
)

// Where the rules are the operator's, only elements are written, and only into
// the maps that Table.Print declares.

// found is what the operator's table was found to have.
type found struct {
	base   *base
	chains map[string]bool
}

// SetExternal says that chains, rules and the maps themselves are the operator's:
// from now on only elements are changed. It is called before anything else.
func (r *Ruleset) SetExternal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.external = true
}

// Declare does what "nft -f" does with what Table.Print writes: for kernels
// without the expression queue, whose rules nft cannot make. It is one
// transaction; what the maps hold stays.
func (r *Ruleset) Declare(t *Table) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.declare(t)
}

// DeclareLacking does what "nft -f" does with the Rules of a *RulesError: of
// what is there already no rule is made anew.
func (r *Ruleset) DeclareLacking(t *Table) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, shown, err := r.look(true)
	if err != nil {
		return err
	}
	_, chains := lacking(shown, t.static())
	part := *t
	part.Chains = slices.DeleteFunc(slices.Clone(t.Chains), func(c *Chain) bool { return !chains[c.Name] })
	return r.declare(&part)
}

func (r *Ruleset) declare(t *Table) error {
	reqs := t.declarations()
	var rules []request
	for _, c := range t.Chains {
		rules = append(rules, flushChain(t.Name, c.Name))
	}
	at := slices.IndexFunc(reqs, func(q request) bool { return q.typ == msgNewRule })
	if at < 0 {
		at = len(reqs)
	}
	r.applied = nil
	return r.quiet(slices.Concat(reqs[:at], rules, reqs[at:]), true, nil)
}

// Require reports as a *RulesError what the kernel's table lacks for want, which
// a Compiler of NewExternalCompiler made. It does nothing where the rules are
// ours.
func (r *Ruleset) Require(want *Table) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.external || r.covers(want) {
		return nil
	}
	return r.require(want)
}

// covers reports whether the table was found to have what want needs: the names
// of chains tell.
func (r *Ruleset) covers(want *Table) bool {
	if r.found == nil || r.found.base != want.base {
		return false
	}
	return !slices.ContainsFunc(want.Chains, func(c *Chain) bool { return !r.found.chains[c.Name] })
}

// require looks at the kernel's table.
func (r *Ruleset) require(want *Table) error {
	have, shown, err := r.look(true)
	if err != nil {
		return err
	}
	if lacks, chains := lacking(shown, want.static()); len(lacks) > 0 {
		r.found = nil
		var text strings.Builder
		if err := want.print(&text, chains); err != nil {
			return err
		}
		return &RulesError{Lacks: lacks, Rules: text.String()}
	}
	if r.found == nil || r.found.base != want.base {
		r.found = &found{base: want.base, chains: make(map[string]bool)}
	}
	for _, c := range want.Chains {
		r.found.chains[c.Name] = true
	}
	r.applied = have
	return nil
}

// applyElements is apply for a table whose rules are the operator's.
func (r *Ruleset) applyElements(want *Table, before func() error) error {
	if r.applied == nil || !r.covers(want) {
		if err := r.require(want); err != nil {
			return err
		}
	}
	p := elementsPlan(r.applied, want)
	write := func() error {
		for _, batch := range p.fill {
			if err := r.conn.commit(batch); err != nil {
				return err
			}
		}
		return r.quiet(p.change, p.drops, before)
	}
	var err error
	if len(p.fill) > 1 {
		err = r.aside(len(p.fill)+1, write)
	} else {
		err = write()
	}
	if err != nil {
		r.applied = nil
		return fmt.Errorf("write elements: %w", err)
	}
	r.applied, r.wanted = want, want
	return nil
}

// elementsPlan plans the way from have's elements to want's. Maps that nothing
// sends packets to yet are filled first; what sends packets changes in one
// transaction, and in it the maps are emptied that nothing needs any more.
func elementsPlan(have, want *Table) *plan {
	p := &plan{}
	if have.base != nil && have.base == want.base {
		have, want = apart(have, want)
	}
	was, is := newIndex(have), newIndex(want)
	for _, m := range want.Maps {
		if m.Learned {
			continue
		}
		h := was.maps[m.Name]
		if h == nil {
			h = &Map{}
		}
		if !m.Shared && len(h.all()) == 0 {
			for _, r := range elements(msgNewSetElem, want.Name, m.Name, m.all()) {
				p.fill = append(p.fill, []request{r})
			}
			continue
		}
		p.mapElements(want.Name, h, m)
	}
	for _, h := range have.Maps {
		if is.maps[h.Name] == nil && isOurs(h.Name) && (h.Learned || len(h.all()) > 0) {
			p.change = append(p.change, emptyMap(want.Name, h.Name))
		}
	}
	return p
}

// isOurs reports whether a map is a service's by its name.
func isOurs(name string) bool {
	for _, kind := range []string{"sessions", "slots", "allow", "deny"} {
		if strings.HasPrefix(name, kind+suffix(false)+"-") || strings.HasPrefix(name, kind+suffix(true)+"-") {
			return true
		}
	}
	return false
}

// emptyMaps deletes the elements of all maps that are ours to fill.
func (r *Ruleset) emptyMaps() error {
	have, err := r.read()
	if err != nil {
		return err
	}
	x := &compiler{table: &Table{}, zoned: make(map[uint16]bool)}
	x.shared()
	var reqs []request
	for _, m := range have.Maps {
		if isOurs(m.Name) || slices.ContainsFunc(x.common, func(c *Map) bool { return c.Name == m.Name }) {
			reqs = append(reqs, emptyMap(TableName, m.Name))
		}
	}
	return r.conn.commit(reqs)
}

// verifyElements is Verify for a table whose rules are the operator's.
func (r *Ruleset) verifyElements() ([]Difference, error) {
	have, shown, err := r.look(true)
	if err != nil {
		return nil, err
	}
	d := &differ{}
	d.found, _ = lacking(shown, r.wanted.static())
	if len(d.found) > 0 {
		r.found = nil
	}
	if shown.found {
		d.shown = &listings{have: shown, want: r.wanted.listing(TextOptions{Slots: true})}
		d.elements(newIndex(have), r.wanted)
	}
	for i := range d.found {
		d.found[i] = d.found[i].withoutSecrets()
	}
	return d.found, nil
}

// elements compares those of the maps that there are.
func (d *differ) elements(x index, want *Table) {
	for _, w := range want.Maps {
		h := x.maps[w.Name]
		if h == nil || w.Learned {
			continue
		}
		if add, del := elementChanges(h, w); len(add)+len(del) > 0 {
			d.add("map "+title(w.Name), "has other elements", d.elementLines(true, w.Name, del), d.elementLines(false, w.Name, add))
		}
	}
}
