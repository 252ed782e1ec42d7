package nft

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Ruleset is our table in the kernel of one network namespace. Safe for
// concurrent use; a change waits for the one before it.
type Ruleset struct {
	conn     *conn
	lister   *conn      // for lists that take long: nothing else waits for them
	mu       sync.Mutex // guards the following, and is held while a change is under way
	applied  *Table     // what the kernel has, as far as we did it; nil: not known
	wanted   *Table     // what it should have: what was applied last
	features Features
	quiesce  func(func() error) error
	watcher  *Watcher // nil: nobody watches
	external bool     // the rules are the operator's
	found    *found   // where they are: what of them was found to be there; nil: nothing yet
}

// Quiesce sets what runs a change for which nothing may wait in a queue; it is
// called before the first Apply under traffic. Nil: nothing waits anyway.
func (r *Ruleset) Quiesce(run func(change func() error) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quiesce = run
}

// Open dials the kernel in the calling thread's network namespace and finds
// out what its nft can do. Nothing is changed.
func Open() (*Ruleset, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	f, err := probe(c)
	if err != nil {
		c.close()
		return nil, err
	}
	lister, err := dial()
	if err != nil {
		c.close()
		return nil, err
	}
	return &Ruleset{conn: c, lister: lister, features: f}, nil
}

// Close closes the sockets. The table stays.
func (r *Ruleset) Close() error { return errors.Join(r.conn.close(), r.lister.close()) }

// Features says what the kernel's nft can do.
func (r *Ruleset) Features() Features { return r.features }

// Apply makes the kernel's table as wanted: all of it, or nothing and an error.
// What is there already is kept, with what it has learned.
func (r *Ruleset) Apply(want *Table) error { return r.Switch(want, nil) }

// Switch is Apply that calls before, if there is one, when all is ready for the packets' way to
// change: where nothing may wait in a queue then (see Quiesce), nothing does. An
// error of it is Switch's, and nothing is changed. It may be called twice, and may
// call Put.
func (r *Ruleset) Switch(want *Table, before func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.applied != nil
	err := r.apply(want, before)
	if err != nil && known {
		// What others did to the table may be in the way: once more from what
		// there really is.
		r.applied = nil
		err = r.apply(want, before)
	}
	return err
}

func (r *Ruleset) apply(want *Table, before func() error) error {
	if r.external {
		return r.applyElements(want, before)
	}
	if r.applied == nil {
		have, err := r.read()
		if err != nil {
			return err
		}
		r.applied = have
	}
	p := diff(r.applied, want)
	if r.applied.empty() {
		p.fill = append([][]request{{addTable(want.Name)}}, p.fill...)
	}
	carryOut := func() error { return r.carryOut(p, before) }
	var err error
	if len(p.fill) > 1 {
		err = r.aside(len(p.fill)+1, carryOut)
	} else {
		err = carryOut()
	}
	if err != nil {
		return err
	}
	r.applied, r.wanted = want, want
	return nil
}

// carryOut makes the transactions of a plan, before first what others are to do
// before the last: all, or none and an error.
func (r *Ruleset) carryOut(p *plan, before func() error) error {
	if err := r.quiet(p.clear, len(p.clear) > 0, nil); err != nil {
		return fmt.Errorf("clear the way: %w", err)
	}
	for _, batch := range p.fill {
		if err := r.conn.commit(batch); err != nil {
			return r.undo(p, fmt.Errorf("fill maps: %w", err))
		}
	}
	if err := r.quiet(p.change, p.drops, before); err != nil {
		return r.undo(p, fmt.Errorf("change table: %w", err))
	}
	return nil
}

// quiet calls before and commits a transaction, while nothing waits in the queues
// where it drops what does (see plan.drops). Should the kernel refuse it for a rule
// behind others that set a zone, it takes those back and drops what waits in the
// queues too. A transaction of ours is refused so rarely that none is held up for that.
func (r *Ruleset) quiet(reqs []request, drops bool, before func() error) error {
	commit := func() error {
		if before != nil {
			if err := before(); err != nil {
				return err
			}
		}
		return r.conn.commit(reqs)
	}
	if !drops || r.quiesce == nil {
		return commit()
	}
	return r.quiesce(func() error {
		if err := commit(); err != nil {
			return err
		}
		return awaitDestruction(r.conn)
	})
}

// undo takes back the maps that were filled for a change that did not happen.
// Nothing refers to them, so that should it fail too only memory is lost until
// the next change, which reads the table anew.
func (r *Ruleset) undo(p *plan, cause error) error {
	r.applied = nil
	have, err := r.read()
	if err != nil {
		return errors.Join(cause, err)
	}
	var reqs []request
	maps := newIndex(have).maps
	for _, name := range p.made {
		if maps[name] != nil {
			reqs = append(reqs, delMap(TableName, name))
		}
	}
	if len(have.Chains) == 0 {
		reqs = []request{delTable(TableName)}
	}
	if err := r.conn.commit(reqs); err != nil && !errors.Is(err, unix.ENOENT) {
		return errors.Join(cause, fmt.Errorf("take back: %w", err))
	}
	return cause
}

// read gives the kernel's table, again where it changed meanwhile.
func (r *Ruleset) read() (*Table, error) {
	t, _, err := r.look(false)
	return t, err
}

// look gives the kernel's table, and if asked for the same one as it is shown.
func (r *Ruleset) look(show bool) (t *Table, shown *listing, err error) {
	for range 5 {
		if show {
			shown = newListing(TableName)
		}
		t, err = read(r.conn, TableName, shown)
		if !errors.Is(err, errInterrupted) {
			return t, shown, err
		}
	}
	return nil, nil, fmt.Errorf("list table: %w", errInterrupted)
}

// Verify compares the kernel's table with what was applied last and says what
// others have changed; none: nothing. Sessions that the kernel has learned are
// nobody's to compare.
func (r *Ruleset) Verify() ([]Difference, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted == nil {
		return nil, nil
	}
	if r.external {
		return r.verifyElements()
	}
	have, err := r.read()
	if err != nil {
		return nil, err
	}
	if len(differences(have, r.wanted, nil)) == 0 {
		return nil, nil
	}
	have, shown, err := r.look(true)
	if err != nil {
		return nil, err
	}
	return differences(have, r.wanted, &listings{have: shown, want: r.wanted.listing(TextOptions{Slots: true})}), nil
}

// Repair brings the kernel's table back to what was applied last, whatever
// became of it.
func (r *Ruleset) Repair() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted == nil {
		return nil
	}
	r.applied, r.found = nil, nil
	if err := r.apply(r.wanted, nil); err != nil {
		return fmt.Errorf("repair table: %w", err)
	}
	return nil
}

// Flush removes the table with all it has learned. It is no error if there is
// none. Where the rules are the operator's it empties the maps that we fill.
func (r *Ruleset) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied, r.wanted, r.found = nil, nil, nil
	if r.external {
		return r.emptyMaps()
	}
	err := r.conn.commit([]request{delTable(TableName)})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
