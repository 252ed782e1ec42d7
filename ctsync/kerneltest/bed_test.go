package kerneltest

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/internal/lab"
)

const ours = 0x10000

var (
	listener4 = netip.AddrPortFrom(lab.ListenerIPv4(0), 1194)
	listener6 = netip.AddrPortFrom(lab.ListenerIPv6(0), 1194)
	backend4  = netip.AddrPortFrom(lab.BackendIPv4(1), 1194)
	backend6  = netip.AddrPortFrom(lab.BackendIPv6(1), 1194)
)

// bed is a namespace with nothing in it but conntrack.
type bed struct {
	t       testing.TB
	ns      *lab.Namespace
	kernel  *ctsync.Kernel
	entries *conntrack.Conn // makes entries, and looks at them with other eyes
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{t: t}
	var err error
	if b.ns, err = lab.NewNamespace("conntrack"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.ns.Close() })
	b.open(b.ns)
	return b
}

func (b *bed) open(ns *lab.Namespace) {
	b.t.Helper()
	err := ns.Do(func() (err error) {
		if b.kernel, err = ctsync.NewKernel(); err != nil {
			return err
		}
		b.entries, err = conntrack.Dial(nil)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := b.kernel.Close(); err != nil {
			b.t.Error(err)
		}
		b.entries.Close()
	})
}

// flow is an entry to be made: as our rules make them, but for the NAT bits,
// which only NAT can set.
func flow(client, listener, backend netip.AddrPort, zone uint16, mark uint32) conntrack.Flow {
	f := conntrack.NewFlow(unix.IPPROTO_UDP, 0, client.Addr(), listener.Addr(), client.Port(), listener.Port(), 30, mark)
	f.TupleOrig.Zone = zone
	f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort = backend.Addr(), backend.Port()
	return f
}

func (b *bed) create(fs ...conntrack.Flow) {
	b.t.Helper()
	for _, f := range fs {
		if err := b.entries.Create(f); err != nil {
			b.t.Fatalf("create %v: %v", f.TupleOrig, err)
		}
	}
}

// answer notes on an entry that its backend has answered.
func (b *bed) answer(f conntrack.Flow) {
	b.t.Helper()
	f.Status.Value = conntrack.StatusSeenReply | conntrack.StatusConfirmed
	if err := b.entries.Update(f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) get(t ctsync.Tuple) (ctsync.Entry, error) {
	entries, errs := b.kernel.Get([]ctsync.Tuple{t})
	return entries[0], errs[0]
}

func (b *bed) want(t ctsync.Tuple) ctsync.Entry {
	b.t.Helper()
	e, err := b.get(t)
	if err != nil {
		b.t.Fatalf("get %+v: %v", t, err)
	}
	return e
}

func (b *bed) dump(value, mask uint32) []ctsync.Entry {
	b.t.Helper()
	var list []ctsync.Entry
	if err := b.kernel.Dump(value, mask, func(e *ctsync.Entry) bool {
		list = append(list, *e)
		return true
	}); err != nil {
		b.t.Fatal(err)
	}
	return list
}

// heard collects events.
type heard struct {
	mu     sync.Mutex // guards what follows
	events []ctsync.Event
	lost   int
}

func (h *heard) all() []ctsync.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

func (h *heard) losses() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// listen hears events until the test's end. With slow, each burst takes so
// long.
func (b *bed) listen(slow time.Duration) *heard {
	b.t.Helper()
	h := &heard{}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- b.kernel.Events(ctx, ours, func() { close(ready) }, func(es []ctsync.Event) {
			h.mu.Lock()
			h.events = append(h.events, es...)
			h.mu.Unlock()
			time.Sleep(slow)
		}, func() {
			h.mu.Lock()
			h.lost++
			h.mu.Unlock()
		})
	}()
	select {
	case <-ready:
	case err := <-done:
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != context.Canceled { //nolint:errorlint // it is returned as it is
			b.t.Errorf("Events returned %v, want %v", err, context.Canceled)
		}
	})
	return h
}

func client(i int) netip.AddrPort {
	return netip.AddrPortFrom(lab.ClientIPv4(i%50000), uint16(1000+i/50000))
}
