package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

var (
	// ErrPending says that another write is prepared and neither committed
	// nor aborted yet.
	ErrPending = errors.New("another write of the state is under way")
	// ErrStale says that a state was made from one that is no longer current.
	ErrStale = errors.New("the state has changed meanwhile")
	// ErrClosed says that the store is closed.
	ErrClosed = errors.New("the state is closed")
	// ErrNotDurable says that a write took effect, but that it may be gone
	// after a power cut.
	ErrNotDurable = errors.New("the state is written, but may not survive a power cut")
)

// Store is an open state file, ours alone until Close. Safe for concurrent use.
type Store struct {
	path  string
	lock  *os.File
	dir   *os.File // the file's directory, opened early: a commit must not fail for want of a descriptor
	state atomic.Pointer[State]

	mu      sync.Mutex // guards the following
	pending *Pending
	closed  bool
	encoder encoder
}

// Open locks the state file at path and reads it. A file that is not there is
// the empty state; its directory is made where it is missing. Errors: a
// *LockedError where another process has it open; a *DamagedError or a
// *NewerError for a file that cannot be read, which stays as it is, since
// without a Store nothing can be written.
func Open(path string) (*Store, error) {
	dirName := filepath.Dir(path)
	if err := os.MkdirAll(dirName, 0o700); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	lock, err := lock(path)
	if err != nil {
		return nil, err
	}
	state, err := read(path)
	if err != nil {
		lock.Close()
		return nil, err
	}
	dir, err := os.Open(dirName)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("open state: %w", err)
	}
	s := &Store{path: path, lock: lock, dir: dir}
	s.state.Store(&state)
	return s, nil
}

func read(path string) (State, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read state: %w", err)
	}
	s, err := decode(data)
	var damaged *DamagedError
	var newer *NewerError
	switch {
	case errors.As(err, &damaged):
		damaged.Path = path
	case errors.As(err, &newer):
		newer.Path = path
	}
	return s, err
}

// State is the last committed state. The caller must not change what it refers to.
func (s *Store) State() State { return *s.state.Load() }

// Prepare writes next beside the state file and puts it on the disk, where it
// has no effect before [Pending.Commit]. next is made from the current state:
// its Revision is that one's, else the error is ErrStale. There is one pending
// write at a time, a second one is refused with ErrPending. After an error, of
// a full disk say, nothing has changed and the store can go on.
func (s *Store) Prepare(next State) (*Pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.pending != nil:
		return nil, ErrPending
	case next.Revision != s.State().Revision:
		return nil, fmt.Errorf("%w: it is at revision %d, the change was made from %d", ErrStale, s.State().Revision, next.Revision)
	}
	next.Revision++
	if err := next.validate(); err != nil {
		return nil, fmt.Errorf("prepare state: %w", err)
	}
	data, err := s.encoder.encode(next)
	if err != nil {
		return nil, fmt.Errorf("prepare state: %w", err)
	}
	r, err := newReplacement(s.path)
	if err != nil {
		return nil, fmt.Errorf("prepare state: %w", err)
	}
	if _, err := r.file.Write(data); err != nil {
		r.discard()
		return nil, fmt.Errorf("prepare state: %w", err)
	}
	if err := r.seal(); err != nil {
		return nil, fmt.Errorf("prepare state: %w", err)
	}
	s.pending = &Pending{store: s, state: next, file: r}
	return s.pending, nil
}

// Close aborts a pending write and gives the state file up.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.pending != nil {
		s.pending.file.discard()
		s.pending = nil
	}
	return errors.Join(s.dir.Close(), s.lock.Close())
}

// Pending is a prepared write. Whoever prepared it commits or aborts it; of
// both, the first call counts.
type Pending struct {
	store *Store
	state State
	file  *replacement
}

// State is what a commit makes current.
func (p *Pending) State() State { return p.state }

// Commit makes the prepared state the current one, by a rename. An error that
// is ErrNotDurable tells of a write that took effect; after any other the old
// state is still the current one. A write that is over answers ErrClosed.
func (p *Pending) Commit() error {
	s := p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != p {
		return fmt.Errorf("commit state: %w", ErrClosed)
	}
	s.pending = nil
	if err := p.file.place(); err != nil {
		return fmt.Errorf("commit state: %w", err)
	}
	s.state.Store(&p.state)
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrNotDurable, err)
	}
	return nil
}

// Abort drops the prepared state. After Commit it does nothing.
func (p *Pending) Abort() {
	s := p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == p {
		s.pending = nil
		p.file.discard()
	}
}
