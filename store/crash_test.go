package store

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/roamlb/roamlb/balancer"
)

// stateOf is a state that tells its revision by its content, and large enough
// that a write is not over at once.
func stateOf(revision uint64) State {
	svc := fullService()
	svc.Name = "vpn-" + strconv.FormatUint(revision, 10)
	svc.Backends = nil
	s := State{Revision: revision, LastID: 2000}
	for id := uint16(1); id <= s.LastID; id++ {
		svc.Backends = append(svc.Backends, balancer.Backend{ID: id, Name: fmt.Sprintf("%s-%d", svc.Name, id), Port: 1})
	}
	s.Services = []balancer.Service{svc}
	return s
}

// childWrites writes one revision after another until it is killed, and says
// each that was committed.
func childWrites(path string) error {
	s, err := Open(path)
	if err != nil {
		return err
	}
	for {
		next := stateOf(s.State().Revision + 1)
		next.Revision--
		p, err := s.Prepare(next)
		if err != nil {
			return err
		}
		if err := p.Commit(); err != nil {
			return err
		}
		fmt.Println(s.State().Revision)
	}
}

// After kill -9 at any moment the file holds the last state that was answered
// or the one after it, whole.
func TestKilledWriterLeavesOldOrNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	writes := uint64(0)
	for kill := 0; kill < 15 || writes < 100; kill++ {
		cmd, out := startChild(t, "write", path)
		answered := uint64(0)
		// The child runs on while the kill is on its way: where in a write
		// it strikes differs from round to round.
		for range 1 + kill*3%11 {
			if !out.Scan() {
				t.Fatalf("child: %v", cmd.Wait())
			}
			answered, _ = strconv.ParseUint(out.Text(), 10, 64)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for out.Scan() {
			if n, err := strconv.ParseUint(strings.TrimSpace(out.Text()), 10, 64); err == nil {
				answered = n
			}
		}
		_ = cmd.Wait()

		s, err := Open(path)
		if err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
		got := s.State()
		if got.Revision != answered && got.Revision != answered+1 {
			t.Fatalf("after kill %d: revision %d, the last one answered was %d", kill, got.Revision, answered)
		}
		if want := stateOf(got.Revision); got.Services[0].Name != want.Services[0].Name || got.LastID != want.LastID {
			t.Fatalf("after kill %d: revision %d holds %s", kill, got.Revision, got.Services[0].Name)
		}
		writes = got.Revision
		s.Close()
	}
}
