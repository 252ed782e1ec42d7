package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMissingFileIsTheEmptyState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not", "there", "state.json")
	s := mustOpen(t, path)
	if diff := cmp.Diff(State{}, s.State(), comparer); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	assertFiles(t, path, "state.json.lock")
}

// What a commit answered is there after a restart, and only then.
func TestWriteIsTwoSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s := mustOpen(t, path)
	next := fullState()
	next.Revision = 0

	p, err := s.Prepare(next)
	if err != nil {
		t.Fatal(err)
	}
	assertFiles(t, path, "state.json.lock", "state.json.tmp")
	if got := s.State().Revision; got != 0 {
		t.Errorf("revision %d before the commit, want 0", got)
	}
	if _, err := s.Prepare(next); !errors.Is(err, ErrPending) {
		t.Errorf("second Prepare: %v, want ErrPending", err)
	}
	p.Abort()
	assertFiles(t, path, "state.json.lock")
	if err := p.Commit(); !errors.Is(err, ErrClosed) {
		t.Errorf("commit after abort: %v, want ErrClosed", err)
	}

	mustCommit(t, s, next)
	if got := s.State().Revision; got != 1 {
		t.Errorf("revision %d after the commit, want 1", got)
	}
	assertFiles(t, path, "state.json", "state.json.lock")
	if _, err := s.Prepare(next); !errors.Is(err, ErrStale) {
		t.Errorf("Prepare from an old revision: %v, want ErrStale", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(s.State()); !errors.Is(err, ErrClosed) {
		t.Errorf("Prepare after Close: %v, want ErrClosed", err)
	}

	next.Revision = 1
	if diff := cmp.Diff(next, mustOpen(t, path).State(), comparer); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func TestCloseAbortsAPendingWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s := mustOpen(t, path)
	p, err := s.Prepare(State{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); !errors.Is(err, ErrClosed) {
		t.Errorf("commit after Close: %v, want ErrClosed", err)
	}
	p.Abort()
	assertFiles(t, path, "state.json.lock")
}

// A state that could not be read back must not be written.
func TestPrepareRefusesAContradiction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s := mustOpen(t, path)
	next := fullState()
	next.Revision = 0
	next.Freed[0].ID = 1
	if _, err := s.Prepare(next); err == nil {
		t.Error("an id given twice was written")
	}
	assertFiles(t, path, "state.json.lock")
}

// Seeds are secrets: who knows one can aim at a backend.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state.json")
	s := mustOpen(t, path)
	mustCommit(t, s, State{})
	for name, want := range map[string]fs.FileMode{path: 0o600, path + ".lock": 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

// A crash while writing leaves a temporary file; it must not stop the next write,
// nor be written through if it is a link to another file.
func TestLeftoverIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path+".tmp"); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, mustOpen(t, path), State{})
	assertFiles(t, path, "state.json", "state.json.lock")
	if got := string(mustRead(t, other)); got != "precious" {
		t.Errorf("the link's target holds %q", got)
	}
}

// A failed rename leaves the old state current, on disk and in memory.
func TestCommitThatFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s := mustOpen(t, path)
	mustCommit(t, s, State{})
	old := mustRead(t, path)
	p, err := s.Prepare(s.State())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".tmp"); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("commit: %v, want fs.ErrNotExist", err)
	}
	if got := s.State().Revision; got != 1 {
		t.Errorf("revision %d, want 1", got)
	}
	if string(mustRead(t, path)) != string(old) {
		t.Error("the file has changed")
	}
	mustCommit(t, s, s.State())
}
