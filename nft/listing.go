package nft

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// listing is a table as the text shows it, gathered from the messages by which
// the kernel lists it or by which we would make it: they are the same.
type listing struct {
	name     string
	found    bool
	flags    uint32
	comment  string
	objects  []shownObject
	sets     []*shownSet
	chains   []*shownChain
	setNamed map[string]*shownSet
	chainOf  map[string]*shownChain
}

func newListing(name string) *listing {
	return &listing{name: name, setNamed: make(map[string]*shownSet), chainOf: make(map[string]*shownChain)}
}

// message adds what one message says; one about another table says nothing.
func (l *listing) message(typ uint16, body []byte) {
	a := parseAttrs(body)
	const table = 1 // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and so on
	if a.str(table) != l.name {
		return
	}
	switch typ {
	case msgNewTable:
		const flags, userdata = unix.NFTA_TABLE_FLAGS, 6 // NFTA_TABLE_USERDATA
		l.found, l.flags, l.comment = true, a.u32(flags), udataText(a[userdata], 0)
	case msgNewObj:
		l.objects = append(l.objects, decodeObject(&a))
	case msgNewSet:
		s := decodeSet(&a)
		l.sets = append(l.sets, s)
		l.setNamed[s.name] = s
	case msgNewSetElem:
		s := l.set(a.str(unix.NFTA_SET_ELEM_LIST_SET))
		eachAttr(a[unix.NFTA_SET_ELEM_LIST_ELEMENTS], func(_ uint16, d []byte) { s.elements = append(s.elements, decodeShownElement(d)) })
	case msgNewChain:
		c := decodeShownChain(&a)
		l.chains = append(l.chains, c)
		l.chainOf[c.name] = c
	case msgNewRule:
		if c := l.chainOf[a.str(unix.NFTA_RULE_CHAIN)]; c != nil {
			c.rules = append(c.rules, shownRule{comment: udataText(a[unix.NFTA_RULE_USERDATA], userdataComment), exprs: a[unix.NFTA_RULE_EXPRESSIONS]})
		}
	}
}

// set finds a set by name; one that is not there is taken for one with keys of
// a register's length.
func (l *listing) set(name string) *shownSet {
	if s := l.setNamed[name]; s != nil {
		return s
	}
	return &shownSet{name: name, key: shownType{id: typeInteger, length: regBytes}, data: shownType{id: typeInteger, length: regBytes}, count: -1}
}

// write writes the text.
func (l *listing) write(w io.Writer, o TextOptions) error {
	st := o.style()
	if st.loadable {
		l.findKeys()
	}
	b := bufio.NewWriter(w) // keeps an error until Flush
	fmt.Fprintf(b, "table inet %s {\n", printable(l.name))
	first := l.head(b)
	part := func(lines ...string) {
		if !first {
			fmt.Fprintln(b)
		}
		first = false
		for _, line := range lines {
			fmt.Fprintln(b, line)
		}
	}
	for i := range l.objects {
		part(l.objects[i].lines(st)...)
	}
	for _, s := range l.sets {
		if s.flags&setAnonymous == 0 {
			part(s.head(st)...)
			s.writeElements(b, st)
			fmt.Fprint(b, "\t}\n")
		}
	}
	for _, c := range l.chains {
		part(c.head()...)
		for i := range c.rules {
			fmt.Fprintf(b, "\t\t%s\n", l.rule(&c.rules[i], st))
		}
		fmt.Fprint(b, "\t}\n")
	}
	fmt.Fprint(b, "}\n")
	return b.Flush()
}

// head writes what is said of the table itself, and says whether what follows
// comes without an empty line.
func (l *listing) head(b *bufio.Writer) bool {
	flags := l.flagLines()
	for _, line := range flags {
		fmt.Fprintln(b, line)
	}
	if l.comment != "" {
		fmt.Fprintf(b, "\tcomment \"%s\"\n", printable(l.comment))
	}
	return flags == nil
}

// flagLines is the line of the table's flags, where it has some.
func (l *listing) flagLines() []string {
	names := []string{"dormant", "owner", "persist"} // enum nft_table_flags
	var flags []string
	for i, name := range names {
		if l.flags&(1<<i) != 0 {
			flags = append(flags, name)
		}
	}
	if flags == nil {
		return nil
	}
	return []string{"\tflags " + strings.Join(flags, ",")}
}

// rule writes a rule.
func (l *listing) rule(r *shownRule, st style) string {
	d := disassembler{find: l.set, style: st}
	text := d.disassemble(decodeInstructions(r.exprs))
	if r.comment != "" {
		text += ` comment "` + printable(r.comment) + `"`
	}
	return text
}
