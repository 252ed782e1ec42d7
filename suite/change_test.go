package suite

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nft"
)

// place asks where sessions are now, each from the client it is at.
func (b *bed) place(sessions []int, seq int) []int {
	b.t.Helper()
	list := make([]lab.Datagram, len(sessions))
	for i, s := range sessions {
		list[i] = datagram(client(s%2 == 1, 1+s, 20000), s, seq)
	}
	out := make([]int, len(sessions))
	for i, r := range b.exchange(5000, list...) {
		out[i] = r.Number()
	}
	return out
}

// settle asks where sessions are until the kernel has learned it too: their
// next packets do not come to the daemon.
func (b *bed) settle(sessions []int) []int {
	b.t.Helper()
	b.place(sessions, 0)
	time.Sleep(2 * balancer.SettleTime)
	return b.place(sessions, 1)
}

// expire takes all that the kernel has learned from it, as time does; where
// the kernel decides, what the daemon wrote for long stays, as it does in time.
func (b *bed) expire() {
	b.t.Helper()
	r := b.ruleset()
	for _, name := range r.learned() {
		m := &nftables.Set{Name: name, Table: r.table}
		if !kernelDecides() {
			r.FlushSet(m)
			continue
		}
		old := slices.DeleteFunc(r.elements(name), func(e nftables.SetElement) bool { return e.Timeout > nft.ConfirmedTimeout })
		for some := range slices.Chunk(old, 500) {
			if err := r.SetDeleteElements(m, some); err != nil {
				b.t.Fatal(err)
			}
			r.commit()
		}
	}
	r.commit()
}

func numbers(from, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

func shares(at []int) map[int]int {
	out := make(map[int]int)
	for _, b := range at {
		out[b]++
	}
	return out
}

// Changing backends is daily work: it must move nobody who need not move.
func TestBackendsChangeUnderLoad(t *testing.T) {
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) { backendsChange(t, pinning) })
	}
}

func backendsChange(t *testing.T, pinning string) {
	b := newBed(t, bedOptions{backends: 4})
	b.queues = patientQueues
	with := func(members map[int]string) string { return b.service("pinning: "+pinning, b.backends(members)) }
	b.serve(with(map[int]string{4: "-"}))
	n := scaled(1000, 200)
	live := numbers(0, n)
	home := b.settle(live)
	seq, fresh := 1, 10_000
	stays := func(what string) {
		t.Helper()
		for _, who := range []string{"the kernel", "the daemon"} {
			if who == "the daemon" {
				b.expire()
			}
			seq++
			moved := 0
			for i, at := range b.place(live, seq) {
				if at != home[i] {
					moved++
				}
			}
			if moved != 0 {
				t.Errorf("%s: %s moved %d of %d live sessions of living backends", what, who, moved, n)
			}
		}
		b.stay(what+", and they roam", home, from(uint16(22000+seq), live, 100+seq))
	}
	newcomers := func() map[int]int {
		fresh += n
		return shares(b.place(numbers(fresh, n), 0))
	}
	reload := func(members map[int]string) {
		t.Helper()
		l := b.startLoad(1_000_000+fresh*10, paced(4000))
		time.Sleep(100 * time.Millisecond)
		if refusal := b.reload(with(members)); refusal != "" {
			t.Fatal(refusal)
		}
		time.Sleep(100 * time.Millisecond)
		l.stop()
	}

	reload(nil)
	stays("a backend is added")
	if got := newcomers(); got[4] < n/8 {
		t.Errorf("new sessions after a backend was added: %v, want a quarter at it", got)
	}
	reload(map[int]string{1: "weight: 10"})
	stays("a backend is re-weighted")
	if got := newcomers(); got[1] < n*6/10 {
		t.Errorf("new sessions after a backend's weight became 10: %v, want 10 of 13 at it", got)
	}
	reload(map[int]string{2: "admin: drain"})
	stays("a backend drains")
	if got := newcomers(); got[2] != 0 {
		t.Errorf("%d new sessions at a draining backend", got[2])
	}
}

// A backend that goes must not take its sessions along, nor a packet that is on
// its way.
func TestBackendRemoved(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.queues = patientQueues
			b.serve(b.service("pinning: " + pinning))
			n := scaled(1000, 200)
			live := numbers(0, n)
			home := b.settle(live)
			l := b.startLoad(1_000_000, paced(4000))
			time.Sleep(100 * time.Millisecond)
			if refusal := b.reload(b.service("pinning: "+pinning, b.backends(map[int]string{3: "-"}))); refusal != "" {
				t.Fatal(refusal)
			}
			time.Sleep(100 * time.Millisecond)
			l.stopWithout(3)
			nothingOf3 := func(when string) {
				t.Helper()
				for _, e := range b.entries() {
					if e.backend.Addr() == b.Backend(3).IPv4 || e.backend.Addr() == b.Backend(3).IPv6 {
						t.Fatalf("%s an entry of the removed backend is left: %+v", when, e)
					}
				}
			}
			nothingOf3("before its sessions speak again")
			for i, at := range b.place(live, 2) {
				if at == 3 {
					t.Fatalf("session %d is still at the removed backend", i)
				}
				if home[i] != 3 && at != home[i] {
					t.Errorf("session %d moved from backend %d to %d, and both live", i, home[i], at)
				}
			}
			nothingOf3("in the end")
		})
	}
}

// stopWithout is stop for a load during which a backend went: only its sessions
// may have moved, each once, and away from it.
func (l *load) stopWithout(gone int) {
	l.b.t.Helper()
	sent, lost, _ := l.end()
	if lost != 0 {
		l.b.t.Errorf("%d of %d datagrams were lost", lost, sent)
	}
	moved := 0
	for i := range l.sent {
		a := l.b.arrived.of(l.base + i)
		switch {
		case len(a.count) < 2:
		case len(a.count) > 2 || a.count[gone] == 0 || a.last == gone:
			l.b.t.Errorf("a session was at backends %v, in the end at %d; backend %d has gone", a.count, a.last, gone)
		default:
			moved++
		}
	}
	if moved == 0 {
		l.b.t.Error("no session of the load has moved: the test shows nothing")
	}
}

// A backend whose drain time is over lets its sessions go.
func TestDrainEnds(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	live := numbers(0, 100)
	home := b.settle(live)
	if refusal := b.reload(b.service("drain_timeout: 2s", b.backends(map[int]string{1: "admin: drain"}))); refusal != "" {
		t.Fatal(refusal)
	}
	for i, at := range b.place(live, 2) {
		if at != home[i] {
			t.Fatalf("session %d moved while its backend drains", i)
		}
	}
	waitFor(t, 10*time.Second, "the drained backend is let go", func() bool { return b.drained(1, "drain-timeout") })
	for i, at := range b.place(live, 3) {
		if at == 1 || home[i] != 1 && at != home[i] {
			t.Fatalf("session %d is at backend %d, was at %d", i, at, home[i])
		}
	}
}

// Changing where the key stands must work while packets flow, and what the
// sessions were by the old key must not count any more.
func TestKeyChangesUnderLoad(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	b.settle(numbers(0, 100))
	l := b.startLoad(500_000, paced(5000))
	time.Sleep(100 * time.Millisecond)
	for _, key := range []string{"0, length: 9", "2, length: 7", "0, length: 9", "1, length: 8", "9, length: 4"} {
		if refusal := b.reload(b.service("key: {offset: " + key + "}")); refusal != "" {
			t.Fatal(refusal)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if sent, lost, _ := l.end(); lost != 0 { // sessions may move here: their key is another
		t.Errorf("%d of %d datagrams were lost", lost, sent)
	}
	seen := make(map[int]bool)
	for id := range 60 { // the key is what was the sequence number
		var list []lab.Datagram
		for i := range 3 {
			list = append(list, datagram(client(i == 1, 30_000+3*id+i, 20000), i, 1000+id))
		}
		at := b.exchange(0, list...)
		for i, r := range at {
			if r.Number() != at[0].Number() {
				t.Errorf("session %d moved from backend %d to %d when it roamed", id, at[0].Number(), at[i].Number())
			}
		}
		seen[at[0].Number()] = true
	}
	if len(seen) != 3 {
		t.Errorf("60 sessions reached %d backends, want 3", len(seen))
	}
}

// Services come and go beside each other; no packet of one may be lost for
// another's sake.
func TestServicesComeAndGoUnderLoad(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	l := b.startLoad(0, paced(5000))
	for i, services := range [][]string{
		{b.service(), b.serviceNamed("second", 1195)},
		{b.service("timeouts: {unreplied: 20s, replied: 60s}"), b.serviceNamed("second", 1195, "pinning: flow")},
		{b.service("snat: masquerade")},
		{b.service()},
	} {
		if refusal := b.reload(services...); refusal != "" {
			t.Fatal(refusal)
		}
		if i == 0 {
			r := b.exchange(0, lab.Datagram{Src: client(false, 7, 30000), Dst: netip.AddrPortFrom(listener(false).Addr(), 1195), Payload: payload(9_000_000, 0)})
			if r[0].Number() == 0 {
				t.Error("the second service does not answer")
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	l.stop()
}

// What packets pay before conntrack, they pay only from the first service on that is
// pinned to sessions; those that wait in the queues when its chains come are not lost.
// They stay when it goes: the kernel would drop what waits.
func TestFirstPinnedToSessions(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	flows := b.service("pinning: flow")
	sessions := b.serviceNamed("second", 1195, "pinning: session")
	b.serve(flows)
	rules := b.ruleset()
	n := scaled(600, 100)
	home := b.settle(numbers(0, n))
	for round := range 3 {
		if round > 0 {
			b.daemon.stop()
			b.start()
		}
		if slices.Contains(rules.hooked(), "prerouting-steer") {
			t.Errorf("before a service is pinned to sessions: base chains %v", rules.hooked())
		}
		for i, services := range [][]string{{flows, sessions}, {flows}} {
			l := b.startLoad(1_000_000*(1+2*round+i), paced(5000))
			time.Sleep(100 * time.Millisecond)
			if refusal := b.reload(services...); refusal != "" {
				t.Fatal(refusal)
			}
			time.Sleep(100 * time.Millisecond)
			t.Logf("%d services: %d datagrams", len(services), l.stop())
			if !slices.Contains(rules.hooked(), "prerouting-steer") {
				t.Errorf("%d services: base chains %v", len(services), rules.hooked())
			}
			b.stay("a neighbour comes or goes", home, from(uint16(22000+2*round+i), numbers(0, n), 2+2*round+i))
			if len(services) == 1 {
				continue
			}
			list := make([]lab.Datagram, n)
			for s := range list {
				list[s] = datagram(client(s%2 == 1, 1+s, 20000), s, 0)
				list[s].Dst = netip.AddrPortFrom(list[s].Dst.Addr(), 1195)
			}
			var at []int
			for _, r := range b.exchange(5000, list...) {
				at = append(at, r.Number())
			}
			if got := shares(at); len(got) != len(b.Backends) {
				t.Errorf("the second service's sessions are on backends %v", got)
			}
		}
	}
}
