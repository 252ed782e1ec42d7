package nfq

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

func newJudge(b balancer.Bindings) *judge {
	return &judge{
		snapshot: testSnapshot(b),
		now:      42,
		flows: func(client, listener netip.AddrPort) (uint16, bool) {
			switch {
			case client == client4 && listener == listener4(sessionPort):
				return 2, true
			case client == client6 && listener == listener6(sessionPort):
				return 3, true
			}
			return 0, false
		},
	}
}

// The marks by which nft goes on, and the facts by which ctsync learns, for
// every kind of packet and place.
func TestVerdicts(t *testing.T) {
	m := marks
	miss := foreign | m.Miss()
	key := keyOf(99)
	session := testSnapshot(&fakeBindings{}).View("a-session")
	backend := session.Ring(false).At(session.Hash(key[:keyLen]))
	udp := func(port uint16, payload []byte) []byte {
		return lab.UDPPacket(client4, listener4(port), payload, lab.PacketOptions{})
	}
	reply4 := lab.UDPPacket(listener4(sessionPort), client4, make([]byte, 40), lab.PacketOptions{})
	reply6 := lab.UDPPacket(listener6(sessionPort), client6, make([]byte, 40), lab.PacketOptions{})
	other := netip.MustParseAddrPort("198.18.0.2:5000")
	replyOther := lab.UDPPacket(listener4(sessionPort), other, nil, lab.PacketOptions{})
	fromFlow := lab.UDPPacket(listener4(flowPort), client4, nil, lab.PacketOptions{})
	accept := func(mark uint32) verdict { return verdict{verdictAccept, mark, true} }
	steer := &balancer.Fact{Backend: backend}
	track := &balancer.Fact{Backend: backend, NewFlow: true}
	for _, c := range []struct {
		name      string
		packet    []byte
		copied    int // 0: all
		mark      uint32
		confirmed bool
		want      verdict
		fact      *balancer.Fact
	}{
		{"steer: a session", udp(sessionPort, key), 0, miss, false, accept(miss | m.Fresh() | m.WithID(backend)), steer},
		{"steer: a session that was answered", udp(sessionPort, key), 0, miss, true, accept(miss | m.Fresh() | m.Long() | m.WithID(backend)), steer},
		{"steer: our bits from before", udp(sessionPort, key), 0, miss | m.WithID(77) | m.Long(), false, accept(miss | m.Fresh() | m.WithID(backend)), steer},
		{"steer: no key", udp(sessionPort, key[:2]), 0, miss, false, asItCame, nil},
		{"steer: the key was not copied", udp(sessionPort, key), 30, miss, false, asItCame, nil},
		{"steer: nobody", udp(emptyPort, key), 0, miss, false, accept(miss | m.Fresh()), nil},
		{"steer: a service that is gone", udp(freePort, key), 0, miss, false, asItCame, nil},
		{"steer: a service that is now pinned to flows", udp(flowPort, key), 0, miss, false, asItCame, nil},
		{"track: a session", udp(sessionPort, key), 0, foreign, true, asItCame, track},
		{"track: no key", udp(sessionPort, key[:2]), 0, foreign, false, asItCame, nil},
		{"track: a flow", udp(flowPort, key), 0, foreign, false, accept(foreign | m.Fresh() | m.WithID(backend)), track},
		{"track: a flow without a key that is dropped", udp(dropPort, key[:2]), 0, foreign, false, verdict{code: verdictDrop}, nil},
		{"track: the key was not copied", udp(flowPort, key), 30, foreign, false, asItCame, nil},
		{"track: what was not copied is not dropped", udp(dropPort, key), 30, foreign, false, asItCame, nil},
		{"ICMP: too big", lab.PacketTooBig(lab.BackendIPv4(9), 1400, reply4), 0, miss, false, accept(miss | m.Fresh() | m.WithID(2)), nil},
		{"ICMPv6: unreachable", lab.PortUnreachable(lab.BackendIPv6(9), reply6), 0, miss, false, accept(miss | m.Fresh() | m.WithID(3)), nil},
		{"ICMP: an unknown flow", lab.PortUnreachable(lab.BackendIPv4(9), replyOther), 0, miss, false, asItCame, nil},
		{"ICMP: not from steer", lab.PortUnreachable(lab.BackendIPv4(9), reply4), 0, foreign, false, asItCame, nil},
		{"ICMP: a service pinned to flows", lab.PortUnreachable(lab.BackendIPv4(9), fromFlow), 0, miss, false, asItCame, nil},
		{"damaged", udp(sessionPort, key)[:25], 0, miss, false, asItCame, nil},
		{"empty", nil, 0, miss, false, asItCame, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJudge(&fakeBindings{confirmed: c.confirmed})
			q := queued{id: 1, mark: c.mark, data: c.packet}
			if c.copied != 0 {
				q.data, q.cut = c.packet[:c.copied], true
			}
			if got := j.judge(&q); got != c.want {
				t.Errorf("verdict %+v, want %+v", got, c.want)
			}
			if c.fact == nil {
				if len(j.facts) != 0 {
					t.Errorf("ctsync is told %+v", j.facts)
				}
				return
			}
			if len(j.facts) != 1 {
				t.Fatalf("ctsync is told %d facts, want 1", len(j.facts))
			}
			want, got := *c.fact, j.facts[0]
			want.View, want.Session, want.Client, want.At = got.View, balancer.SessionRef{Index: 99, Gen: 1}, client4, 42
			want.Listener = netip.AddrPortFrom(lab.ListenerIPv4(0), got.Listener.Port())
			if want != got {
				t.Errorf("fact %+v, want %+v", got, want)
			}
		})
	}
}

// The kernel must not learn a session whose first packets are still on their
// way through the queue: the next one would overtake them.
func TestYoungSessionIsHeld(t *testing.T) {
	j := newJudge(&fakeBindings{young: true})
	packet := lab.UDPPacket(client4, listener4(sessionPort), keyOf(1), lab.PacketOptions{})
	if got := j.judge(&queued{mark: marks.Miss(), data: packet}); got.mark&marks.Hold() == 0 {
		t.Errorf("verdict %+v does not hold the session back", got)
	}
}

// A flow of a service without a backend must be told so, not left to a ring
// that has none either.
func TestFlowWithNobody(t *testing.T) {
	j := newJudge(&fakeBindings{})
	s := *j.snapshot.View("d-empty").Service
	s.Pinning = balancer.PinFlow
	v := balancer.NewView(&s, balancer.Capabilities{PayloadOffset: 255, KeyBytes: 60}, nil, &fakeBindings{})
	j.snapshot = balancer.NewSnapshot(marks, 0, []*balancer.View{v})
	packet := lab.UDPPacket(client4, listener4(emptyPort), keyOf(1), lab.PacketOptions{})
	got := j.judge(&queued{mark: foreign, data: packet})
	if want := (verdict{verdictAccept, foreign | marks.Fresh(), true}); got != want {
		t.Errorf("verdict %+v, want %+v", got, want)
	}
	if j.count.Nobody != 1 || len(j.facts) != 0 {
		t.Errorf("counted %+v, facts %v", j.count, j.facts)
	}
}

// Before the first configuration, and without ctsync, packets go on as they came.
func TestVerdictsWithoutHelp(t *testing.T) {
	packet := lab.UDPPacket(client4, listener4(sessionPort), keyOf(1), lab.PacketOptions{})
	if got := (&judge{}).judge(&queued{mark: marks.Miss(), data: packet}); got != asItCame {
		t.Errorf("without a snapshot: %+v", got)
	}
	j := newJudge(&fakeBindings{})
	j.flows = nil
	reply := lab.UDPPacket(listener4(sessionPort), client4, nil, lab.PacketOptions{})
	icmp := lab.PortUnreachable(lab.BackendIPv4(9), reply)
	if got := j.judge(&queued{mark: marks.Miss(), data: icmp}); got != asItCame {
		t.Errorf("without flows: %+v", got)
	}
}

// A view's marks need not be at the default place.
func TestVerdictWithAnotherMask(t *testing.T) {
	j := newJudge(&fakeBindings{})
	m := balancer.Marks{Mask: 0x00ff0000}
	j.snapshot = balancer.NewSnapshot(m, 0, j.snapshot.Views)
	packet := lab.UDPPacket(client4, listener4(flowPort), keyOf(99), lab.PacketOptions{})
	v := j.snapshot.View("b-flow")
	backend := v.Ring(false).At(v.Hash(keyOf(99)[:keyLen]))
	const others = 0xf000beef
	got := j.judge(&queued{mark: others, data: packet})
	want := verdict{verdictAccept, others | 1<<25 | uint32(backend)<<16, true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(verdict{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// newTestReader is a reader without a socket, for what needs none.
func newTestReader(b balancer.Bindings) *reader {
	s := testSnapshot(b)
	r := &reader{opts: &Options{
		Queues:   queues(1, 1024),
		Snapshot: snapshotOf(s),
		Facts:    func([]balancer.Fact) {},
		Now:      func() int64 { return 42 },
	}, number: 40, slot: &slot{}, inbox: newInbox(512)}
	r.begin()
	return r
}

// benchmarkMessages are packets of all kinds, as the kernel sends them.
func benchmarkMessages() [][]byte {
	var list [][]byte
	for i := range burstLen {
		p4 := lab.UDPPacket(client4, listener4(sessionPort), keyOf(i), lab.PacketOptions{})
		p6 := lab.UDPPacket(client6, listener6(flowPort), keyOf(i), lab.PacketOptions{})
		short := lab.UDPPacket(client6, listener6(flowPort), nil, lab.PacketOptions{})
		list = append(list,
			queuedMessage(uint32(3*i+1), foreign|marks.Miss(), p4, len(p4)),
			queuedMessage(uint32(3*i+2), foreign, p6, len(p6)),
			queuedMessage(uint32(3*i+3), foreign, short, len(short)))
	}
	return list
}

// Garbage on the packet path would mean pauses under attack.
func TestPacketPathDoesNotAllocate(t *testing.T) {
	r := newTestReader(&fakeBindings{})
	messages := benchmarkMessages()
	burst := func() {
		for _, b := range messages {
			r.message(b)
		}
		r.out, r.answers = r.out[:0], 0
		r.opts.Facts(r.judge.facts)
		r.judge.facts = r.judge.facts[:0]
	}
	burst()
	if n := testing.AllocsPerRun(100, burst); n != 0 {
		t.Errorf("%v allocations for %d packets, want none", n, len(messages))
	}
	if r.judge.count.Undecoded != 0 || r.judge.count.UnknownListener != 0 {
		t.Errorf("the packets are not those they should be: %+v", r.judge.count)
	}
}

func BenchmarkDecide(b *testing.B) {
	r := newTestReader(&fakeBindings{})
	messages := benchmarkMessages()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.message(messages[i%len(messages)])
		if r.answers == burstLen {
			r.out, r.answers = r.out[:0], 0
			r.judge.facts = r.judge.facts[:0]
		}
	}
}

// Packets that went on unseen are known by their ids, around the end of the
// id space too.
func TestGapsAreCounted(t *testing.T) {
	for _, c := range []struct {
		last uint32
		ids  []uint32
		want uint64
	}{
		{0, []uint32{1, 2, 3}, 0},
		{0, []uint32{3, 4, 10}, 2 + 5},
		{0xfffffffe, []uint32{0xffffffff, 0, 1}, 0},
		{0xfffffffe, []uint32{2}, 3},
		{5, []uint32{5}, 0},
	} {
		r := newTestReader(&fakeBindings{})
		r.last = c.last
		for _, id := range c.ids {
			r.sees(id)
		}
		if got := r.judge.count.Missed; got != c.want {
			t.Errorf("after %#x, %v: %d missed, want %d", c.last, c.ids, got, c.want)
		}
	}
}
