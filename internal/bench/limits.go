package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A million flows need a million conntrack entries, and a hash table that fits
// them. Both limits are the host's; only its root may raise them.
const (
	maxEntries = "/proc/sys/net/netfilter/nf_conntrack_max"
	buckets    = "/proc/sys/net/netfilter/nf_conntrack_buckets"
)

// limit is the number of conntrack entries that there can be.
func limit() (int, error) { return readNumber(maxEntries) }

func readNumber(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// raiseLimits makes room for n conntrack entries, and returns what puts the
// host's settings back.
func raiseLimits(n int) (restore func() error, err error) {
	var undo []func() error
	restore = func() error {
		var errs []error
		for _, f := range undo {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	for path, want := range map[string]int{maxEntries: n, buckets: n / 2} {
		have, err := readNumber(path)
		if err != nil {
			return restore, err
		}
		if have >= want {
			continue
		}
		if err := setOutside(path, want); err != nil {
			return restore, err
		}
		undo = append(undo, func() error { return setOutside(path, have) })
	}
	return restore, nil
}

// setOutside sets a sysctl in the network namespace of the process that
// started this one, which is the host's: they cannot be set in any other.
func setOutside(path string, value int) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		failed <- func() error {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", os.Getppid()))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter the host's network namespace: %w", err)
			}
			return os.WriteFile(path, []byte(strconv.Itoa(value)), 0)
		}()
	}()
	return <-failed
}
