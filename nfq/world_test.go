package nfq

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// world is a network whose load balancer queues what clients send to the
// services, and has a server of its own at every port to receive it.
type world struct {
	t     *testing.T
	net   *lab.Network
	rules *ruleset
	raw   *lab.RawSender
	sink  *lab.Echo
	order orders
}

// newWorld makes a world that ends with the test, and checks then that no
// goroutine is left.
func newWorld(t *testing.T, q balancer.Queues) *world {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	w := &world{t: t}
	var err error
	if w.net, err = lab.NewNetwork(lab.NetworkOptions{Backends: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, w.net.Close) })
	w.rules = loadRules(t, w.net.LB, q)
	if w.raw, err = w.net.RawSender(w.net.Clients); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, w.raw.Close) })
	var addrs []netip.AddrPort
	for _, port := range []uint16{sessionPort, flowPort, dropPort, emptyPort, freePort} {
		addrs = append(addrs, listener4(port), listener6(port))
	}
	w.sink, err = lab.NewEcho(w.net.LB, lab.EchoOptions{
		Key:       func(payload []byte) []byte { return payload[:min(keyLen, len(payload))] },
		Answer:    func([]byte) bool { return false },
		OnArrival: w.order.add,
	}, addrs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, w.sink.Close) })
	return w
}

func closeOrFail(t *testing.T, f func() error) {
	t.Helper()
	if err := f(); err != nil {
		t.Error(err)
	}
}

// orders finds packets of a flow that arrived in another order than they were
// sent: bytes 4 to 8 of a payload count up within a flow.
type orders struct {
	mu   sync.Mutex // guards the others
	last map[netip.AddrPort]uint32
	bad  int
}

func (o *orders) add(a lab.Arrival) {
	if len(a.Payload) < 8 {
		return
	}
	n := binary.BigEndian.Uint32(a.Payload[4:])
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil {
		o.last = make(map[netip.AddrPort]uint32)
	}
	if last, ok := o.last[a.From]; ok && n <= last {
		o.bad++
	}
	o.last[a.From] = n
}

func (o *orders) wrong() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bad
}

// serving are queues that run.
type serving struct {
	*Queues
	t      *testing.T
	cancel context.CancelFunc
	ran    chan error // closed after the result
}

// serve opens the queues in the load balancer's namespace and runs them.
func (w *world) serve(opts Options) *serving {
	w.t.Helper()
	if opts.Facts == nil {
		opts.Facts = func([]balancer.Fact) {}
	}
	opts.Now = testNow
	opts.Log = testLog(w.t)
	s := &serving{t: w.t, ran: make(chan error, 1)}
	err := w.net.LB.Do(func() (err error) {
		s.Queues, err = Open(opts)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		defer close(s.ran)
		s.ran <- s.Run(ctx)
	}()
	w.t.Cleanup(func() { s.stop() })
	return s
}

// stop ends the queues, and may be called again.
func (s *serving) stop() {
	s.t.Helper()
	s.cancel()
	select {
	case err := <-s.ran:
		if err != nil {
			s.t.Error(err)
		}
	case <-time.After(wait):
		s.t.Fatal("the queues do not end")
	}
}

// flood sends datagrams to a port, each with its number as the key, and
// returns when all are sent.
func (w *world) flood(to netip.AddrPort, count, rate int) {
	w.t.Helper()
	w.send(lab.FloodOptions{To: to, Count: count, Rate: rate, Length: 12, Seed: 1, Fill: func(i int, b []byte) {
		binary.BigEndian.PutUint32(b, uint32(i))
	}})
}

func (w *world) send(opts lab.FloodOptions) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if _, err := w.raw.Flood(ctx, opts); err != nil {
		w.t.Fatal(err)
	}
}

// arrived waits until count datagrams have reached the server.
func (w *world) arrived(count int) {
	w.t.Helper()
	if n := w.lost(count); n != 0 {
		w.t.Fatalf("%d of %d packets are lost", n, count)
	}
}

// lost waits until count datagrams have reached the server, or nothing comes
// any more, and returns how many are missing.
func (w *world) lost(count int) int {
	last := w.sink.Total()
	for quiet := time.Now(); w.sink.Total() < uint64(count) && time.Since(quiet) < 3*time.Second; time.Sleep(time.Millisecond) {
		if n := w.sink.Total(); n != last {
			last, quiet = n, time.Now()
		}
	}
	return count - int(w.sink.Total())
}

func snapshotOf(s *balancer.Snapshot) func() *balancer.Snapshot {
	return func() *balancer.Snapshot { return s }
}

func queues(count uint16, length uint32) balancer.Queues {
	return balancer.Queues{First: 40, Count: count, Length: length}
}
