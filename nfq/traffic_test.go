package nfq

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
)

// Under load no packet may be lost or wait for ever, and the packets of a
// flow must stay in order.
func TestEveryPacketGetsItsVerdictInOrder(t *testing.T) {
	const flows, count = 500, 40000
	q := queues(2, 2*count) // none fails open, which would overtake those that wait
	w := newWorld(t, q)
	var want []uint32
	for id := uint16(1); id <= 3; id++ {
		want = append(want, foreign|marks.Miss()|marks.Fresh()|marks.WithID(id))
	}
	w.rules.countMarks(sessionPort, append(want, foreign|marks.Miss())...)
	s := w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{}))})
	for _, to := range []netip.AddrPort{listener4(sessionPort), listener6(sessionPort)} {
		before := int(w.sink.Total())
		w.send(lab.FloodOptions{To: to, Count: count, Rate: 80000, Length: 12, Source: func(i int) netip.AddrPort {
			if to.Addr().Is4() {
				return netip.AddrPortFrom(lab.ClientIPv4(i%flows), 5000)
			}
			return netip.AddrPortFrom(lab.ClientIPv6(i%flows), 5000)
		}, Fill: func(i int, b []byte) {
			binary.BigEndian.PutUint32(b, uint32(i%flows))
			binary.BigEndian.PutUint32(b[4:], uint32(i))
		}})
		w.arrived(before + count)
	}
	if n := w.order.wrong(); n != 0 {
		t.Errorf("%d packets overtook others of their flow", n)
	}
	got, total := w.rules.marked(sessionPort), uint64(0)
	for _, mark := range want {
		total += got[mark]
		if got[mark] < 2*count/10 {
			t.Errorf("only %d packets came back with mark %#x: not balanced", got[mark], mark)
		}
	}
	if unseen := got[foreign|marks.Miss()]; total+unseen != 2*count {
		t.Errorf("%d packets came back with our marks and %d unseen, want %d in all: the bits of others must survive", total, unseen, 2*count)
	} else if unseen != 0 {
		t.Errorf("%d packets went on unseen", unseen)
	}
	s.stop()
	for _, st := range s.Stats() {
		t.Logf("%+v", st)
		if st.Packets == 0 || st.Packets != st.Verdicts {
			t.Errorf("queue %d: %d packets, %d verdicts", st.Queue, st.Packets, st.Verdicts)
		}
	}
}

// A full queue must let packets pass, or an attack on one service would cut
// off all.
func TestFullQueueFailsOpen(t *testing.T) {
	const count = 3000
	q := queues(1, 64)
	w := newWorld(t, q)
	w.rules.countMarks(sessionPort, foreign|marks.Miss())
	b := &fakeBindings{hold: make(chan struct{})}
	s := w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(b))})
	w.flood(listener4(sessionPort), count, 20000)
	lab.WaitFor(t, wait, "all that the queue has no room for has passed", func() bool {
		return w.sink.Total() >= count-64
	})
	if n := w.sink.Total(); n != count-64 {
		t.Errorf("%d packets passed a queue of 64 that nobody answers, want %d", n, count-64)
	}
	close(b.hold)
	w.arrived(count)
	if n := w.rules.marked(sessionPort)[foreign|marks.Miss()]; n != count-64 {
		t.Errorf("%d packets passed unseen, want %d", n, count-64)
	}
	s.stop()
}

// A client behind a gateway with a broken key must not make bindings, and the
// marks must be those that the rules expect.
func TestMarksOfEachKindOfService(t *testing.T) {
	q := queues(1, 1024)
	w := newWorld(t, q)
	ring := testSnapshot(&fakeBindings{}).View("b-flow").Ring(false)
	for _, port := range []uint16{sessionPort, flowPort, dropPort, emptyPort, freePort} {
		w.rules.countMarks(port, foreign, foreign|marks.Miss(), foreign|marks.Miss()|marks.Fresh(),
			foreign|marks.Fresh()|marks.WithID(1), foreign|marks.Fresh()|marks.WithID(2), foreign|marks.Fresh()|marks.WithID(3))
	}
	var mu sync.Mutex
	var facts []balancer.Fact
	w.serve(Options{
		Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{})),
		Facts: func(list []balancer.Fact) {
			mu.Lock()
			defer mu.Unlock()
			facts = append(facts, list...)
		},
	})
	client := netip.AddrPortFrom(lab.ClientIPv4(0), 5000)
	key, short := keyOf(7), []byte{1}
	for _, p := range []struct {
		port    uint16
		payload []byte
	}{{flowPort, key}, {sessionPort, short}, {dropPort, short}, {emptyPort, key}, {freePort, key}} {
		if _, err := w.raw.Send(lab.UDPPacket(client, listener4(p.port), p.payload, lab.PacketOptions{})); err != nil {
			t.Fatal(err)
		}
	}
	w.arrived(4)
	view := testSnapshot(&fakeBindings{}).View("b-flow")
	flowMark := foreign | marks.Fresh() | marks.WithID(ring.At(view.Hash(key[:keyLen])))
	for port, mark := range map[uint16]uint32{
		flowPort: flowMark, sessionPort: foreign | marks.Miss(),
		emptyPort: foreign | marks.Miss() | marks.Fresh(), freePort: foreign | marks.Miss(),
	} {
		if got := w.rules.marked(port)[mark]; got != 1 {
			t.Errorf("port %d: no packet came back with mark %#x: %v", port, mark, w.rules.marked(port))
		}
	}
	if n := w.rules.queued("steer", dropPort); n != 1 {
		t.Errorf("%d packets to the service that drops, want 1", n)
	}
	for mark, n := range w.rules.marked(dropPort) {
		if n != 0 {
			t.Errorf("a packet without a key came through with mark %#x to a service that drops these", mark)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(facts) != 1 {
		t.Fatalf("%d facts, want 1: %+v", len(facts), facts)
	}
	f := facts[0]
	want := []any{"b-flow", uint32(7), client, listener4(flowPort), true}
	if diff := cmp.Diff(want, []any{f.View.Service.Name, f.Session.Index, f.Client, f.Listener, f.NewFlow}, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("the fact that ctsync gets (-want +got):\n%s", diff)
	}
}

// Clients on the load balancer itself count too: they are queued on their way
// out.
func TestLocalClient(t *testing.T) {
	q := queues(1, 1024)
	w := newWorld(t, q)
	w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{}))})
	clients := lab.NewClients(w.net.LB, lab.ClientOptions{})
	t.Cleanup(func() { closeOrFail(t, clients.Close) })
	for _, flow := range [][2]netip.AddrPort{
		{netip.AddrPortFrom(lab.ListenerIPv4(0), 6000), listener4(sessionPort)},
		{netip.AddrPortFrom(lab.ListenerIPv6(0), 6000), listener6(sessionPort)},
	} {
		before := int(w.sink.Total())
		if err := clients.Send(flow[0], flow[1], keyOf(1)); err != nil {
			t.Fatal(err)
		}
		w.arrived(before + 1)
	}
	if n := w.rules.queued("local", sessionPort); n != 2 {
		t.Errorf("%d packets were queued on their way out, want 2", n)
	}
}

// What cannot be served must be said before anything is bound.
func TestOpenRefuses(t *testing.T) {
	for name, opts := range map[string]Options{
		"no queues":       {Queues: balancer.Queues{First: 1, Length: 1}},
		"no length":       {Queues: balancer.Queues{First: 1, Count: 1}},
		"beyond the last": {Queues: balancer.Queues{First: 65535, Count: 2, Length: 1}},
	} {
		if _, err := Open(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// A program that does not call KeeperMain must not start itself for ever.
	t.Setenv(keeperEnv, "1")
	if _, err := Open(Options{Queues: queues(1, 1024), Keeper: true}); err == nil {
		t.Error("a keeper's process starts a keeper")
	}
}

// A stop, for an upgrade say, must not cost a packet.
func TestStopUnderTrafficLosesNothing(t *testing.T) {
	const count, rounds = 4000, 5
	q := queues(2, 1024)
	w := newWorld(t, q)
	for round := range rounds {
		s := w.serve(Options{Queues: q, Keeper: true, Snapshot: snapshotOf(testSnapshot(&fakeBindings{delay: 50 * time.Microsecond}))})
		sent := w.background(count, 20000)
		lab.WaitFor(t, wait, "packets come", func() bool {
			return s.Stats()[0].Packets > 200 && s.Stats()[1].Packets > 200
		})
		s.stop()
		sent()
		w.arrived((round + 1) * count)
	}
}

// Nor must a start, with traffic going on all the time.
func TestStartUnderTrafficLosesNothing(t *testing.T) {
	const count = 60000
	q := queues(2, 1024)
	w := newWorld(t, q)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.flood(listener4(sessionPort), count, 20000)
	}()
	seen, rounds := uint64(0), 0
	for traffic := true; traffic; rounds++ {
		s := w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{}))})
		lab.WaitFor(t, wait, "packets come", func() bool {
			select {
			case <-sent:
				traffic = false
			default:
			}
			return !traffic || s.Stats()[0].Packets+s.Stats()[1].Packets > 200
		})
		s.stop()
		for _, st := range s.Stats() {
			seen += st.Packets
			if st.Undecoded != 0 || st.Missed != 0 {
				t.Errorf("packets that were not copied, or not seen: %+v", st)
			}
		}
	}
	// Between making a queue and giving it a copy mode, which is one call, the
	// kernel drops what another CPU brings. Two calls lose a packet a start.
	lost := w.lost(count)
	t.Logf("%d starts, %d packets lost, %d of %d decided in Go", rounds, lost, seen, count)
	if lost > rounds/8 {
		t.Errorf("%d packets are lost in %d starts", lost, rounds)
	}
}

// Who starts a second daemon by mistake must be told, and the first one must
// go on.
func TestSecondOwnerIsRefused(t *testing.T) {
	q := queues(2, 1024)
	w := newWorld(t, q)
	opts := Options{Queues: q, Keeper: true, Snapshot: snapshotOf(testSnapshot(&fakeBindings{})), Facts: func([]balancer.Fact) {}, Now: testNow}
	w.serve(opts)
	opts.Queues.First, opts.Queues.Count = 41, 1
	err := w.net.LB.Do(func() error {
		second, err := Open(opts)
		if err == nil {
			return second.close()
		}
		return err
	})
	if !errors.Is(err, ErrOwned) {
		t.Fatalf("error %v, want ErrOwned", err)
	}
	t.Log(err)
	w.flood(listener4(sessionPort), 100, 0)
	w.arrived(100)
}

// The daemon that follows one that was killed must wait for the keeper.
func TestOwnerThatLetsGoIsFollowed(t *testing.T) {
	q := queues(2, 1024)
	w := newWorld(t, q)
	opts := Options{Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{}))}
	first := w.serve(opts)
	timer := time.AfterFunc(200*time.Millisecond, first.cancel)
	defer timer.Stop()
	second := w.serve(opts)
	w.flood(listener4(sessionPort), 100, 0)
	w.arrived(100)
	second.stop()
	if st := second.Stats(); st[0].Packets+st[1].Packets != 100 {
		t.Errorf("the second owner has seen %d and %d packets of 100", st[0].Packets, st[1].Packets)
	}
}

// A keeper that answers just when the daemon goes on leaves it without a
// packet to wake up by.
func TestQueueIsTakenBackWithoutTraffic(t *testing.T) {
	q := queues(1, 1024)
	w := newWorld(t, q)
	events := make(chan event.Event, 10)
	s := w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{})), Events: func(e event.Event) { events <- e }})
	r := s.readers[0]
	if err := r.sock.send(appendMaxLen(nil, r.number, 0)); err != nil {
		t.Fatal(err)
	}
	r.slot.state.Store(keeperDone)
	select {
	case e := <-events:
		if e.Kind != event.Keeper {
			t.Errorf("event %+v, want the keeper's", e)
		}
	case <-time.After(wait):
		t.Fatal("the queue stays the keeper's")
	}
	w.flood(listener4(sessionPort), 100, 0)
	w.arrived(100)
	// A burst is counted after its verdicts are sent.
	lab.WaitFor(t, wait, "all 100 packets are seen afterwards", func() bool { return s.Stats()[0].Packets == 100 })
}

// A configuration with a key further into the packet must find it there.
func TestCopyRangeCanGrowUnderTraffic(t *testing.T) {
	const count = 20000
	q := queues(1, 2048)
	w := newWorld(t, q)
	s := w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(&fakeBindings{}))})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.flood(listener4(sessionPort), count, 20000)
	}()
	for _, n := range []uint32{60, 1500, 65531, 100, 1 << 20, 400} {
		if err := s.SetCopyRange(n); err != nil {
			t.Fatal(err)
		}
	}
	<-sent
	w.arrived(count)
	s.stop()
	if err := s.SetCopyRange(500); err == nil {
		t.Error("a closed queue takes a copy range")
	}
	if st := s.Stats()[0]; st.Undecoded != 0 || st.NoKey != 0 {
		t.Errorf("packets without their key: %+v", st)
	}
}

// Operators and ctsync must hear of packets that the daemon never saw.
func TestOverflowIsAnEvent(t *testing.T) {
	q := queues(1, 64)
	w := newWorld(t, q)
	events := make(chan event.Event, 100)
	b := &fakeBindings{hold: make(chan struct{})}
	w.serve(Options{Queues: q, Snapshot: snapshotOf(testSnapshot(b)), Events: func(e event.Event) { events <- e }})
	w.flood(listener4(sessionPort), 1000, 20000)
	close(b.hold)
	select {
	case e := <-events:
		if e.Kind != event.Overflow || e.Time.IsZero() {
			t.Errorf("event %+v, want an overflow", e)
		}
	case <-time.After(wait):
		t.Error("no event for a full queue")
	}
}
