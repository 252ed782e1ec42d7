package nft

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// TextOptions say what the text of a table holds. The zero value gives
// everything but the elements of the two kinds of large maps.
type TextOptions struct {
	Slots     bool // list the elements of the rings, some thousands a service and family
	Sessions  bool // list what the kernel has learned: up to a million sessions, about 300 bytes of memory each meanwhile
	Stateless bool // without counters and without the time that elements have left, as `nft -s` prints it
	// Redact hides what only those may see who may write: seeds, and by name what
	// could be computed from them. Sessions are never listed then. Such a text
	// cannot be loaded.
	Redact bool
	// Loadable writes what `nft -f` takes where version 1.0.6 lists what it cannot
	// read itself. It still refuses two kinds of keys: of several fields that are
	// together longer than sixteen bytes, and different ones of one length in one
	// service.
	Loadable bool
}

// ErrNoTable says that the kernel has no table of ours.
var ErrNoTable = errors.New("the kernel has no table inet " + TableName)

// Text writes the table as the kernel has it now, whoever made it so, as `nft
// list table inet roamlb` of version 1.0.6 prints it. Two things differ:
// where the kernel lacks the expression queue, the text has what the target in
// its place does, and `nft` nothing; and a map whose elements are not listed has
// a comment in their place, with their number where the kernel tells it (since
// Linux 6.17; those that have just expired may be among them).
//
// Text waits for a change that is under way and holds up the next until the
// table is read, before it writes. With Sessions it also holds up Put and
// Delete, for seconds where there are many. It is safe for concurrent use.
func (r *Ruleset) Text(w io.Writer, o TextOptions) error {
	r.mu.Lock()
	l, err := readListing(r.conn, TableName, o)
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("list table: %w", err)
	}
	if !l.found {
		return ErrNoTable
	}
	return l.write(w, o)
}

// Text writes the table as Ruleset.Text would if the kernel had it, before a
// packet has met it. It is pure but for w.
func (t *Table) Text(w io.Writer, o TextOptions) error {
	return t.listing(o).write(w, o)
}

// listing gathers what would be sent to make the table.
func (t *Table) listing(o TextOptions) *listing {
	l := newListing(t.Name)
	add := func(reqs ...request) {
		for _, r := range reqs {
			l.message(r.typ, r.body)
		}
	}
	add(addTable(t.Name))
	for _, obj := range t.Timeouts {
		add(addTimeout(t.Name, obj))
	}
	for _, m := range t.Maps {
		add(addMap(t.Name, m, 0))
		s := l.set(m.Name)
		if s.count = int64(len(m.all())); o.lists(s) {
			add(elements(msgNewSetElem, t.Name, m.Name, m.all())...)
		} else {
			s.left = true
		}
	}
	for _, c := range t.Chains {
		add(addChain(t.Name, c))
		for i := range c.Rules {
			add(addRule(t.Name, c.Name, &c.Rules[i]))
		}
	}
	return l
}

// lists says whether a set's elements are to be listed.
func (o TextOptions) lists(s *shownSet) bool {
	switch {
	case s.flags&setDynamic != 0:
		return o.Sessions && !o.Redact
	case isSlots(s.name):
		return o.Slots
	}
	return true
}

func isSlots(name string) bool {
	return strings.HasPrefix(name, "slots"+suffix(false)+"-") || strings.HasPrefix(name, "slots"+suffix(true)+"-")
}

func (o TextOptions) style() style {
	return style{stateless: o.Stateless, redact: o.Redact, loadable: o.Loadable}
}

// readListing lists a table. Its elements come one set after the other: what
// the kernel learns meanwhile may be in one and not yet in another.
func readListing(c *conn, name string, o TextOptions) (*listing, error) {
	l := newListing(name)
	table := func(typ uint16) []byte { return appendString(nil, typ, name) }
	steps := []struct {
		typ  uint16
		what string
		body []byte
	}{
		{msgGetTable, "list tables", nil},
		{msgGetObj, "list objects", table(unix.NFTA_OBJ_TABLE)},
		{msgGetSet, "list maps", table(unix.NFTA_SET_TABLE)},
		{msgGetChain, "list chains", table(unix.NFTA_CHAIN_TABLE)},
		{msgGetRule, "list rules", table(unix.NFTA_RULE_TABLE)},
	}
	for _, s := range steps {
		if err := c.dumpWhole(s.typ, s.what, s.body, dumpTries, l.message); err != nil {
			return nil, err
		}
	}
	for _, s := range l.sets {
		if s.left = !o.lists(s); s.left {
			continue
		}
		body := appendString(table(unix.NFTA_SET_ELEM_LIST_TABLE), unix.NFTA_SET_ELEM_LIST_SET, s.name)
		tries := dumpTries
		if s.flags&setDynamic != 0 {
			tries = 1 // others write there all the time, and a list takes long
		}
		err := c.dumpWhole(msgGetSetElem, "list elements of "+s.name, body, tries, l.message)
		if s.torn = s.flags&setDynamic != 0 && errors.Is(err, errInterrupted); err != nil && !s.torn {
			return nil, err
		}
	}
	return l, nil
}
