package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked is what a *LockedError is.
var ErrLocked = errors.New("state is in use")

// LockedError says that another process has the state open.
type LockedError struct {
	Path string // of the state file
	PID  int    // of the other process, 0 where it could not be read
}

func (e *LockedError) Error() string {
	by := "another process"
	if e.PID != 0 {
		by = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("state file %s is in use by %s: stop it, or give this one a state of its own", e.Path, by)
}

// Is makes a *LockedError an [ErrLocked].
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// lockName is beside the state, which itself is replaced with each write. The
// file stays when the lock goes: removing it would let two processes each lock
// a file of this name.
func lockName(path string) string { return path + ".lock" }

// exclusive is a write lock on the whole file. As an open file description's
// lock (fcntl_locking(2)) it ends with the process however that dies, and
// unlike flock(2) it can be asked about without taking it for a moment, which
// could make a daemon that starts right then give up.
func exclusive() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
}

// lock takes the lock of the state at path and writes our pid into it.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(lockName(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, exclusive())
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = &LockedError{Path: path, PID: readPID(f)}
		f.Close()
		return nil, err
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock state %s: %w", path, err)
	}
	// Only for people: a disk without room for it is no reason not to start.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func readPID(f *os.File) int {
	var buf [32]byte
	n, _ := f.ReadAt(buf[:], 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return pid
}

// Owner reports whether a process has the state at path open, and its pid (0
// where it is not known). It disturbs nobody.
func Owner(path string) (pid int, running bool, err error) {
	f, err := os.Open(lockName(path))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("ask for the state's owner: %w", err)
	}
	defer f.Close()
	held := exclusive()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, held); err != nil {
		return 0, false, fmt.Errorf("ask for the state's owner: %w", err)
	}
	if held.Type == unix.F_UNLCK {
		return 0, false, nil
	}
	return readPID(f), true, nil
}
