package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// childHolds keeps the state open until its standard input ends.
func childHolds(path string) error {
	s, err := Open(path)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Two daemons on one state would overwrite each other's ids.
func TestOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if pid, running, err := Owner(path); pid != 0 || running || err != nil {
		t.Errorf("owner before anything: %d %v %v", pid, running, err)
	}
	cmd, out := startChild(t, "hold", path)
	if !out.Scan() {
		t.Fatalf("child: %v", cmd.Wait())
	}

	_, err := Open(path)
	var locked *LockedError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || locked.Path != path {
		t.Errorf("open: %v, want a LockedError that names %s and process %d", err, path, cmd.Process.Pid)
	}
	if pid, running, err := Owner(path); pid != cmd.Process.Pid || !running || err != nil {
		t.Errorf("owner: %d %v %v, want %d", pid, running, err, cmd.Process.Pid)
	}

	// The lock must go with its owner, however that dies.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, running, err := Owner(path); running || err != nil {
		t.Errorf("owner after its death: %v %v", running, err)
	}
	s := mustOpen(t, path)
	if pid, running, err := Owner(path); pid != os.Getpid() || !running || err != nil {
		t.Errorf("owner: %d %v %v, want ourselves", pid, running, err)
	}
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("second open in one process: %v, want ErrLocked", err)
	}
	s.Close()
	mustOpen(t, path)
}

func TestFailedOpenGivesTheLockBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(path, []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Fatal("a damaged file was opened")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

// Asking takes no lock, not even for a moment: a daemon that starts while
// `roamlb check` runs must start.
func TestOwnerDoesNotDisturb(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	mustOpen(t, path).Close()
	stop, asked := make(chan struct{}), make(chan error)
	go func() {
		var err error
		for err == nil {
			select {
			case <-stop:
				asked <- nil
				return
			default:
				_, _, err = Owner(path)
			}
		}
		asked <- err
	}()
	for range 500 {
		s, err := Open(path)
		if err != nil {
			t.Error(err)
			break
		}
		s.Close()
	}
	close(stop)
	if err := <-asked; err != nil {
		t.Error(err)
	}
}

func TestLockedErrorWithoutPID(t *testing.T) {
	err := &LockedError{Path: "/p"}
	if !strings.Contains(err.Error(), "/p is in use by another process") {
		t.Error(err)
	}
}
