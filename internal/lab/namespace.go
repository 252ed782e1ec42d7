package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// threadNamespace is the calling thread's network namespace. Not
// /proc/self/ns/net: that is the main thread's.
const threadNamespace = "/proc/thread-self/ns/net"

// Namespace is a network namespace that lives as long as it is open here or
// something else holds it: a process, a socket. Its methods may be called
// from any goroutine, but for Close, which comes last.
type Namespace struct {
	name   string
	file   *os.File
	routes *netlink.Handle
}

// NewNamespace makes a network namespace with lo up. The name is for error
// messages alone. The caller closes it.
func NewNamespace(name string) (*Namespace, error) {
	n := &Namespace{name: name}
	create := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w%s", err, hint(err))
		}
		return nil
	}
	err := visit(create, func() (err error) {
		if n.file, err = os.Open(threadNamespace); err != nil {
			return err
		}
		if n.routes, err = openRoutes(); err != nil {
			return err
		}
		return loopbackUp(n.routes)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make namespace %s: %w", name, err), n.Close())
	}
	return n, nil
}

// Name returns what the namespace was called when it was made.
func (n *Namespace) Name() string { return n.name }

// Fd returns the descriptor of the namespace, for setns and the like. It
// stays the Namespace's and is valid until Close.
func (n *Namespace) Fd() int { return int(n.file.Fd()) }

// Path returns a path by which this and other processes reach the namespace
// until Close, as in `nsenter --net=PATH`.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.Fd()) }

// Close lets go of the namespace. Unless something else holds it, the kernel
// then takes it down in the background with its links and all that was in it.
func (n *Namespace) Close() error {
	if n.routes != nil {
		n.routes.Close()
	}
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}

// Do calls f on a thread that is inside the namespace, waits and returns its
// error. Sockets that f opens stay in the namespace; goroutines that f
// starts, and what they open, are not in it. f may call t.Fatal: it ends the
// calling goroutine too.
func (n *Namespace) Do(f func() error) error {
	return visit(n.enter, f)
}

func (n *Namespace) enter() error {
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", n.name, err)
	}
	return nil
}

// visit runs visitHere on a goroutine of its own, so that a thread that
// cannot come back costs no goroutine of the caller's.
func visit(enter, f func() error) error {
	var err error
	exited := true
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = visitHere(enter, f)
		exited = false
	}()
	<-done
	if exited { // f called runtime.Goexit, as t.Fatal does
		runtime.Goexit()
	}
	return err
}

// visitHere lets enter take the calling goroutine's thread to another network
// namespace, calls f there and comes back. A thread that cannot come back
// stays locked, and the runtime ends it with the goroutine: the goroutine
// must be the callee's to lose.
func visitHere(enter, f func() error) (err error) {
	runtime.LockOSThread()
	home, err := os.Open(threadNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the current namespace: %w", err)
	}
	defer home.Close()
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, fmt.Errorf("return to the first namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// openRoutes opens a route socket in the calling thread's namespace, where it
// stays whoever uses it.
func openRoutes() (*netlink.Handle, error) {
	routes, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route socket: %w", err)
	}
	return routes, nil
}

func loopbackUp(routes *netlink.Handle) error {
	lo, err := routes.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := routes.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}
