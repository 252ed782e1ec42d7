package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// refuseAndRecover commits a small state, expects a large one to be refused
// with want, the old one to be untouched, and the store to go on once heal has
// been called.
func refuseAndRecover(path string, want error, spoil, heal func() error) error {
	s, err := Open(path)
	if err != nil {
		return err
	}
	defer s.Close()
	commit := func() error {
		next := stateOf(s.State().Revision + 1)
		next.Revision--
		p, err := s.Prepare(next)
		if err != nil {
			return err
		}
		return p.Commit()
	}
	if err := commit(); err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := spoil(); err != nil {
		return err
	}
	if err := commit(); !errors.Is(err, want) {
		return fmt.Errorf("write: %w, want: %w", err, want)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(old) || s.State().Revision != 1 {
		return fmt.Errorf("the old state is not what it was (%w)", err)
	}
	if _, err := os.Stat(path + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the temporary file is still there (%w)", err)
	}
	if err := heal(); err != nil {
		return err
	}
	if err := commit(); err != nil {
		return fmt.Errorf("write after the trouble is over: %w", err)
	}
	return nil
}

// childFillsDisk runs in a mount namespace of its own.
func childFillsDisk(path string) error {
	dir := filepath.Dir(path)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		return err
	}
	ballast := filepath.Join(dir, "ballast")
	return refuseAndRecover(path, unix.ENOSPC, func() error {
		err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600)
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		return fmt.Errorf("the disk is not full: %w", err)
	}, func() error { return os.Remove(ballast) })
}

// childHitsLimit is the disk full for those who may not mount.
func childHitsLimit(path string) error {
	signal.Ignore(unix.SIGXFSZ)
	limit := func(n uint64) func() error {
		return func() error {
			var rl unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &rl); err != nil {
				return err
			}
			rl.Cur = min(n, rl.Max)
			return unix.Setrlimit(unix.RLIMIT_FSIZE, &rl)
		}
	}
	return refuseAndRecover(path, unix.EFBIG, limit(4096), limit(unix.RLIM_INFINITY))
}

// A full disk must cost the change that was asked for and nothing else.
func TestDiskFull(t *testing.T) {
	t.Run("file size limit", func(t *testing.T) {
		out, err := child(t, "limit", filepath.Join(t.TempDir(), "state.json")).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("full tmpfs", func(t *testing.T) {
		cmd := child(t, "full", filepath.Join(t.TempDir(), "state.json"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) {
			t.Log("no mount namespace to be had here: only the file size limit was tried")
			return
		}
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// A directory that may not be written costs the change and nothing else.
func TestReadOnlyDirectory(t *testing.T) {
	dropDirectoryOverride(t)
	dir := t.TempDir()
	err := refuseAndRecover(filepath.Join(dir, "state.json"), fs.ErrPermission,
		func() error { return os.Chmod(dir, 0o500) },
		func() error { return os.Chmod(dir, 0o700) })
	if err != nil {
		t.Error(err)
	}
}

// dropDirectoryOverride makes modes count for root, too, on this thread, which
// ends with the test.
func dropDirectoryOverride(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread is not to be used again
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}
