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
func (r *Ruleset) Apply(want *Table) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.applied != nil
	err := r.apply(want)
	if err != nil && known {
		// What others did to the table may be in the way: once more from what
		// there really is.
		r.applied = nil
		err = r.apply(want)
	}
	return err
}

func (r *Ruleset) apply(want *Table) error {
	if r.applied == nil {
		have, err := r.read()
		if err != nil {
			return err
		}
		r.applied = have
	}
	p := diff(r.applied, want)
	if len(r.applied.Chains) == 0 && len(r.applied.Maps) == 0 {
		p.fill = append([][]request{{addTable(want.Name)}}, p.fill...)
	}
	carryOut := func() error { return r.carryOut(p) }
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

// carryOut makes the transactions of a plan: all, or none and an error.
func (r *Ruleset) carryOut(p *plan) error {
	for _, batch := range p.fill {
		if err := r.conn.commit(batch); err != nil {
			return r.undo(p, fmt.Errorf("fill maps: %w", err))
		}
	}
	if err := r.change(p); err != nil {
		return r.undo(p, fmt.Errorf("change table: %w", err))
	}
	return nil
}

// change commits the transaction that switches. Should the kernel refuse it
// for a rule behind others that set a zone, it takes those back and drops what
// waits in the queues, as where such rules are destroyed (see plan.drops). A
// transaction of ours is refused so rarely that none is held up for that.
func (r *Ruleset) change(p *plan) error {
	if !p.drops || r.quiesce == nil {
		return r.conn.commit(p.change)
	}
	return r.quiesce(func() error {
		if err := r.conn.commit(p.change); err != nil {
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
	for range 5 {
		t, err := read(r.conn, TableName)
		if !errors.Is(err, errInterrupted) {
			return t, err
		}
	}
	return nil, fmt.Errorf("list table: %w", errInterrupted)
}

// Verify compares the kernel's table with what was applied last and says in
// words what others have changed; none: nothing.
func (r *Ruleset) Verify() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted == nil {
		return nil, nil
	}
	have, err := r.read()
	if err != nil {
		return nil, err
	}
	return Differences(have, r.wanted), nil
}

// Repair brings the kernel's table back to what was applied last, whatever
// became of it.
func (r *Ruleset) Repair() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted == nil {
		return nil
	}
	r.applied = nil
	if err := r.apply(r.wanted); err != nil {
		return fmt.Errorf("repair table: %w", err)
	}
	return nil
}

// Flush removes the table with all it has learned. It is no error if there is
// none.
func (r *Ruleset) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied, r.wanted = nil, nil
	err := r.conn.commit([]request{delTable(TableName)})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
