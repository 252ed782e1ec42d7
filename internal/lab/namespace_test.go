package lab_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/roamlb/roamlb/internal/lab"
)

func newNamespace(t *testing.T, name string) *lab.Namespace {
	t.Helper()
	n, err := lab.NewNamespace(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	return n
}

// current names the calling thread's namespace.
func current(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDoGoesThereAndComesBack(t *testing.T) {
	n := newNamespace(t, "there")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home := current(t)
	var there string
	want := errors.New("from inside")
	if err := n.Do(func() error { there = current(t); return want }); !errors.Is(err, want) {
		t.Errorf("Do: %v, want f's error", err)
	}
	byPath, err := os.Stat(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	if there == home || current(t) != home {
		t.Errorf("from %s to %s and back to %s", home, there, current(t))
	}
	err = n.Do(func() error {
		inside, err := os.Stat("/proc/thread-self/ns/net")
		if err == nil && !os.SameFile(inside, byPath) {
			t.Errorf("%s is not the namespace", n.Path())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Threads that stayed in a namespace would run the tests' other goroutines
// there.
func TestDoLeavesNoThreadBehind(t *testing.T) {
	n := newNamespace(t, "there")
	runtime.LockOSThread()
	home := current(t)
	runtime.UnlockOSThread()
	for range 200 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			// The way t.Fatal ends a goroutine.
			_ = n.Do(func() error { runtime.Goexit(); return nil })
			t.Error("Do returned although f ended the goroutine")
		}()
		<-done
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		name, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net")
		if err == nil && name != home {
			t.Errorf("thread %s is in %s, not %s", thread.Name(), name, home)
		}
	}
}

func TestNamespaceIsFresh(t *testing.T) {
	n := newNamespace(t, "fresh")
	var names []string
	err := n.Do(func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			if l.Flags&net.FlagUp != 0 {
				names = append(names, l.Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lo"}, names); diff != "" {
		t.Errorf("links that are up (-want +got):\n%s", diff)
	}
}

func TestClosedNamespace(t *testing.T) {
	n, err := lab.NewNamespace("closed")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	called := false
	if err := n.Do(func() error { called = true; return nil }); err == nil || called {
		t.Errorf("Do: %v, called %v; want an error, and f not run elsewhere", err, called)
	}
}

func TestRunStartsProcessesInside(t *testing.T) {
	n := newNamespace(t, "inside")
	var want string
	if err := n.Do(func() error { want = current(t); return nil }); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := program("namespace")
	cmd.Stdout = &out
	if err := n.Run(cmd); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSuffix(out.String(), " <nil>\n"); got != want {
		t.Errorf("the process ran in %s, want %s", got, want)
	}
	if err := n.Start(exec.Command("/nonexistent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start: %v, want that there is no such program", err)
	}
}

func TestSysctl(t *testing.T) {
	n, other := newNamespace(t, "one"), newNamespace(t, "other")
	before, err := other.Sysctl("net.ipv4.ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"1", "0", "1"} {
		if err := n.SetSysctl("net.ipv4.ip_forward", value); err != nil {
			t.Fatal(err)
		}
		if got, err := n.Sysctl("net/ipv4/ip_forward"); err != nil || got != value {
			t.Errorf("ip_forward is %q (%v), want %q", got, err, value)
		}
	}
	if got, err := other.Sysctl("net.ipv4.ip_forward"); err != nil || got != before {
		t.Errorf("another namespace's ip_forward is %q (%v), was %q", got, err, before)
	}
}

func TestSysctlRefusals(t *testing.T) {
	n := newNamespace(t, "refusing")
	if err := n.SetSysctl("net.ipv4.no_such_thing", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown sysctl: %v, want fs.ErrNotExist", err)
	}
	// The host's, whoever runs the tests: never to be written from here.
	for _, name := range []string{"kernel.hostname", "net/../kernel/hostname", "/kernel/hostname"} {
		if err := n.SetSysctl(name, "lab"); err == nil {
			t.Errorf("SetSysctl(%q) changed the host", name)
		}
	}
	// The kernel keeps the size of the conntrack table to the host: this sets
	// what is set already, should it be allowed.
	const size = "net.netfilter.nf_conntrack_max"
	now, err := n.Sysctl(size)
	if errors.Is(err, fs.ErrNotExist) {
		return // a kernel without conntrack
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := n.SetSysctl(size, now); err != nil && !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%s: %v, want success or fs.ErrPermission", size, err)
	}
}
