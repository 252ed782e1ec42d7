package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/internal/lab"
)

// apiAddress is where the daemon answers in its namespace, and where the host
// finds it unless something else is there.
var apiAddress = netip.MustParseAddrPort("127.0.0.1:7070")

// OpenFront opens the listener by which the host's browsers will reach the
// dashboard, at a port of the kernel's choice where the usual one is taken. It
// is called before the namespaces are entered. The caller closes it.
func OpenFront() (*os.File, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(apiAddress))
	if err != nil {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(apiAddress.Addr(), 0)))
	}
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.File()
}

// openFront lets browsers in, if that is wanted.
func (s *show) openFront() error {
	if s.opts.Front == nil {
		return nil
	}
	defer s.opts.Front.Close() // the listener has a descriptor of its own
	l, err := net.FileListener(s.opts.Front)
	if err != nil {
		return fmt.Errorf("take the host's listener over: %w", err)
	}
	s.front = newFront(l, s.bed.LB)
	return nil
}

// front carries connections from a listener on the host to the daemon's API.
// The API sees them come from loopback, and wants a token of them as of others.
type front struct {
	listener net.Listener
	network  *lab.Namespace // where the daemon is
	group    sync.WaitGroup // of all goroutines

	mu     sync.Mutex // guards what follows
	closed bool
	open   map[net.Conn]struct{}
}

// newFront takes the listener over, and carries connections until close.
func newFront(listener net.Listener, network *lab.Namespace) *front {
	f := &front{listener: listener, network: network, open: make(map[net.Conn]struct{})}
	f.group.Go(f.accept)
	return f
}

// url is where the host's browsers find the dashboard.
func (f *front) url() string { return "http://" + f.listener.Addr().String() }

// close ends all connections and waits.
func (f *front) close() error {
	err := f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for c := range f.open {
		_ = c.Close() // what its end makes of it, carry drops
	}
	f.mu.Unlock()
	f.group.Wait()
	return err
}

func (f *front) accept() {
	for {
		c, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors left: whoever waits goes on waiting
			continue
		}
		f.group.Go(func() { f.carry(c) })
	}
}

// carry connects a browser with the daemon until one of them has had enough.
// While there is no daemon the browser finds its connection closed.
func (f *front) carry(browser net.Conn) {
	defer browser.Close()
	daemon, err := f.dial()
	if err != nil {
		return
	}
	defer daemon.Close()
	if !f.keep(browser, daemon) {
		return
	}
	defer f.forget(browser, daemon)
	var both errgroup.Group
	both.Go(func() error { return pass(daemon, browser) })
	both.Go(func() error { return pass(browser, daemon) })
	_ = both.Wait() // a connection that breaks off ends the other one
}

// pass copies until the end of one side, and tells the other.
func pass(to, from net.Conn) error {
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(err, to.Close(), from.Close())
	}
	return to.(*net.TCPConn).CloseWrite()
}

// dial connects to the daemon, from within its namespace.
func (f *front) dial() (c net.Conn, err error) {
	err = f.network.Do(func() error {
		c, err = (&net.Dialer{}).DialContext(context.Background(), "tcp", apiAddress.String())
		return err
	})
	return c, err
}

// keep notes connections for close, and says whether it is too late for that.
func (f *front) keep(list ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range list {
		f.open[c] = struct{}{}
	}
	return !f.closed
}

func (f *front) forget(list ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range list {
		delete(f.open, c)
	}
}
