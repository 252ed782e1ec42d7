package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// replacement is a file written beside another one whose place it is to take.
// Whoever makes one is the only writer of that path: the name is fixed, so
// that a crash leaves at most one such file, which the next write removes.
type replacement struct {
	path string
	file *os.File
}

func newReplacement(path string) (*replacement, error) {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// O_EXCL: neither a link nor somebody else's open file gets the secrets.
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &replacement{path: path, file: f}, nil
}

// seal puts what was written on the disk. After an error the replacement is gone.
func (r *replacement) seal() error {
	err := r.file.Sync()
	if e := r.file.Close(); err == nil {
		err = e
	}
	if err != nil {
		r.discard()
	}
	return err
}

// place gives the replacement the path. After an error the replacement is gone
// and the path holds what it held.
func (r *replacement) place() error {
	if err := os.Rename(r.file.Name(), r.path); err != nil {
		r.discard()
		return err
	}
	return nil
}

// discard removes the replacement. What cannot be removed is harmless: the
// next replacement takes its place.
func (r *replacement) discard() {
	_ = r.file.Close()
	_ = os.Remove(r.file.Name())
}

// syncDir makes renames in a directory durable. File systems that know no such
// thing say EINVAL.
func syncDir(dir *os.File) error {
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
