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
	Slots bool // list the elements of the rings, some thousands a service and family
	// Sessions lists what the kernel has learned. It takes about 300 bytes of
	// memory a session meanwhile, and the kernel a time that grows with the square
	// of their number: 300,000 take half a minute.
	Sessions  bool
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
// Text waits for a change that is under way and holds up the next until it has
// read the table but for the sessions: 0.3 s of processor time for 1,000
// services, a second with their slots. For so long it holds up Put and Delete
// too, but only where they do not leave it the time. It is safe for concurrent
// use.
func (r *Ruleset) Text(w io.Writer, o TextOptions) error {
	l, err := r.listing(o)
	if err != nil {
		return fmt.Errorf("list table: %w", err)
	}
	return l.text(w, o)
}

// text writes what the options let be seen.
func (l *listing) text(w io.Writer, o TextOptions) error {
	if !o.Redact {
		return l.write(w, o)
	}
	var all strings.Builder
	if err := l.write(&all, o); err != nil {
		return err
	}
	_, err := io.WriteString(w, shapes.ReplaceAllString(all.String(), ""))
	return err
}

// listing reads the table. What the kernel learns meanwhile may be in it, once
// or twice, or not.
func (r *Ruleset) listing(o TextOptions) (*listing, error) {
	l, err := r.readAll(o)
	if err != nil {
		return nil, err
	}
	if !l.found {
		return nil, ErrNoTable
	}
	return l, l.readLearned(r.lister)
}

// readAll reads all but what is learned. Every transaction in the namespace
// interrupts a list of anything but elements, whatever it changes: those of Put
// and Delete too.
func (r *Ruleset) readAll(o TextOptions) (*listing, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := newListing(TableName)
	err := l.read(r.lister, o)
	if errors.Is(err, errInterrupted) {
		r.conn.mu.Lock()
		defer r.conn.mu.Unlock()
		l = newListing(TableName)
		err = l.read(r.lister, o) // who interrupts now is somebody else
	}
	return l, err
}

// Text writes the table as Ruleset.Text would if the kernel had it, before a
// packet has met it. It is pure but for w.
func (t *Table) Text(w io.Writer, o TextOptions) error {
	return t.listing(o).text(w, o)
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
	case s.learned():
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

// read lists the table with all elements but those of learned maps.
func (l *listing) read(c *conn, o TextOptions) error {
	table := func(typ uint16) []byte { return appendString(nil, typ, l.name) }
	for _, s := range []struct {
		typ  uint16
		what string
		body []byte
	}{
		{msgGetTable, "list tables", nil},
		{msgGetObj, "list objects", table(unix.NFTA_OBJ_TABLE)},
		{msgGetSet, "list maps", table(unix.NFTA_SET_TABLE)},
		{msgGetChain, "list chains", table(unix.NFTA_CHAIN_TABLE)},
		{msgGetRule, "list rules", table(unix.NFTA_RULE_TABLE)},
	} {
		if err := c.dumpWhole(s.typ, s.what, s.body, l.message); err != nil {
			return err
		}
	}
	for _, s := range l.sets {
		s.left = !o.lists(s)
		if s.left || s.learned() {
			continue
		}
		if err := l.readElements(c, s); err != nil {
			return err
		}
	}
	return nil
}

// readLearned lists the elements of learned maps.
func (l *listing) readLearned(c *conn) error {
	for _, s := range l.sets {
		if s.left || !s.learned() {
			continue
		}
		if err := l.readElements(c, s); err != nil && !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return nil
}

func (l *listing) readElements(c *conn, s *shownSet) error {
	body := appendString(appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, l.name), unix.NFTA_SET_ELEM_LIST_SET, s.name)
	return c.dumpWhole(msgGetSetElem, "list elements of "+s.name, body, l.message)
}
