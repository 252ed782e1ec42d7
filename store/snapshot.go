package store

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

// snapshotBuffer holds enough records that a million sessions are some
// hundred system calls.
const snapshotBuffer = 1 << 20

// SaveSnapshot replaces the file at path by what write writes, atomically: a
// reader, also after a crash, finds the old snapshot or the new one. After an
// error, of write or of the file system, the old one is still there. It syncs
// once, and not the directory: a snapshot that is one older after a power cut
// is as good. Only one call a path may run at a time.
func SaveSnapshot(path string, write func(io.Writer) error) error {
	r, err := newReplacement(path)
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	buf := bufio.NewWriterSize(r.file, snapshotBuffer)
	err = write(buf)
	if err == nil {
		err = buf.Flush()
	}
	if err != nil {
		r.discard()
		return fmt.Errorf("save snapshot: %w", err)
	}
	if err := r.seal(); err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	if err := r.place(); err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	return nil
}

// LoadSnapshot has read read the file at path, buffered. The error is read's,
// or the file system's: fs.ErrNotExist where there is no snapshot yet.
func LoadSnapshot(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load snapshot: %w", err)
	}
	defer f.Close()
	if err := read(bufio.NewReaderSize(f, snapshotBuffer)); err != nil {
		return fmt.Errorf("load snapshot %s: %w", path, err)
	}
	return nil
}
