package nft

import (
	"bufio"
	"fmt"
	"io"
	"slices"
)

// Print writes what of the table is static as a file for `nft -f`: maps without
// elements, chains, rules. It may be loaded any number of times, and over what is
// there: maps keep what they hold, chains get their rules anew, all in one
// transaction.
func (t *Table) Print(w io.Writer) error { return t.print(w, nil) }

// print writes the file with some of the chains; nil: with all.
func (t *Table) print(w io.Writer, only map[string]bool) error {
	l := t.static()
	l.findKeys() // by all rules, or nft takes a map for another than the one it knows
	if only != nil {
		l.chains = slices.DeleteFunc(l.chains, func(c *shownChain) bool { return !only[c.name] })
	}
	st := style{stateless: true, loadable: true}
	b := bufio.NewWriter(w) // keeps an error until Flush
	lines := func(lines ...string) {
		for _, line := range lines {
			fmt.Fprintln(b, line)
		}
	}
	lines("# Rules of roamlb, with secrets in them: chmod 600. Its daemon, with nft: external,", "# fills the maps. Load this file by itself, again at will.", "table inet "+printable(l.name)+" {")
	for i := range l.objects {
		lines(l.objects[i].lines(st)...)
	}
	for _, s := range l.sets {
		lines(s.head(st)...)
		lines("\t}")
	}
	for _, c := range l.chains {
		lines(c.head()...)
		lines("\t}")
	}
	lines("}", "")
	for _, c := range l.chains {
		lines("flush chain inet " + printable(l.name) + " " + printable(c.name))
	}
	lines("", "table inet "+printable(l.name)+" {")
	for i, c := range l.chains {
		if i > 0 {
			lines("")
		}
		lines("\tchain " + printable(c.name) + " {")
		for i := range c.rules {
			lines("\t\t" + l.rule(&c.rules[i], st))
		}
		lines("\t}")
	}
	lines("}")
	return b.Flush()
}

// static is the table without its elements.
func (t *Table) static() *listing {
	l := newListing(t.Name)
	for _, r := range t.declarations() {
		l.message(r.typ, r.body)
	}
	for _, s := range l.sets {
		s.left = true
	}
	return l
}

// declarations are the requests that make what of the table is static.
func (t *Table) declarations() []request {
	reqs := []request{addTable(t.Name)}
	for _, obj := range t.Timeouts {
		reqs = append(reqs, addTimeout(t.Name, obj))
	}
	for i, m := range t.Maps {
		reqs = append(reqs, addMap(t.Name, m, uint32(i+1)))
	}
	for _, c := range t.Chains {
		reqs = append(reqs, addChain(t.Name, c))
	}
	for _, c := range t.Chains {
		for i := range c.Rules {
			reqs = append(reqs, addRule(t.Name, c.Name, &c.Rules[i]))
		}
	}
	return reqs
}
