package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The first token must not end up in the journal, where it stays and others may
// read; somebody at a terminal must be shown it.
func TestJournalIsTold(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	own := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	for stream, want := range map[string]bool{own: true, "": false, fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1): false} {
		if got := toJournal(stream, f); got != want {
			t.Errorf("JOURNAL_STREAM=%s, the file is %s: %t", stream, own, got)
		}
	}
}

// A mark that another process has left in the environment must not keep this
// one from being confined.
func TestReplacementIsOfThisProcess(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, fmt.Sprintf("%d 7", os.Getpid()): true, fmt.Sprintf("%d ", os.Getpid()): true, fmt.Sprintf("%d 7", os.Getppid()): false, "7": false,
	} {
		t.Setenv(replacedEnv, value)
		if note, ok := replacement(); ok != want || ok && value != fmt.Sprintf("%d %s", os.Getpid(), note) {
			t.Errorf("%q: %q, %t", value, note, ok)
		}
	}
}
