package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A snapshot that fails half-way must not take the last good one with it: a
// restart would forget who was where.
func TestSnapshotIsAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions")
	load := func() (data []byte, err error) {
		err = LoadSnapshot(path, func(r io.Reader) error {
			data, err = io.ReadAll(r)
			return err
		})
		return data, err
	}
	if _, err := load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load before the first save: %v, want fs.ErrNotExist", err)
	}
	first := bytes.Repeat([]byte("0123456789"), 300_000) // more than the buffer
	if err := SaveSnapshot(path, func(w io.Writer) error {
		for rest := first; len(rest) > 0; rest = rest[10:] {
			if _, err := w.Write(rest[:10]); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, size := range []int{0, 100, 2 << 20} {
		err := SaveSnapshot(path, func(w io.Writer) error {
			if _, err := w.Write(make([]byte, size)); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("save: %v, want what the writer answered", err)
		}
	}
	if got, err := load(); err != nil || !bytes.Equal(got, first) {
		t.Errorf("the first snapshot is gone: %d bytes, %v", len(got), err)
	}
	assertFiles(t, path, "sessions")
	if err := LoadSnapshot(path, func(io.Reader) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("load: %v, want what the reader answered", err)
	}
	// Session keys are secrets, too.
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestSnapshotIntoNowhere(t *testing.T) {
	err := SaveSnapshot(filepath.Join(t.TempDir(), "none", "sessions"), func(io.Writer) error {
		t.Error("the writer was called without a file")
		return nil
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}
