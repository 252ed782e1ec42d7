package suite

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// conntrackLimit is the sysctl of how many entries each namespace may have. It
// is the same in all of them.
const conntrackLimit = "/proc/sys/net/netfilter/nf_conntrack_max"

// conntrackMost is how many entries a namespace may have here.
func conntrackMost(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(conntrackLimit)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// limitConntrack sets that number, for every namespace of the host: only where
// the host is a virtual machine that is ours. When the test ends it is what it
// was.
func limitConntrack(t *testing.T, n int) {
	t.Helper()
	before := conntrackMost(t)
	set := func(n int) {
		failed := make(chan error)
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			failed <- inHost(func() error { return os.WriteFile(conntrackLimit, []byte(strconv.Itoa(n)), 0) })
		}()
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { set(before) })
	set(n)
}

// inHost does something with the calling thread in the network namespace of
// process 1.
func inHost(do func() error) error {
	host, err := os.Open("/proc/1/ns/net")
	if err != nil {
		return err
	}
	defer host.Close()
	if err := unix.Setns(int(host.Fd()), unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err)
	}
	return do()
}
