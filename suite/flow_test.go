package suite

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// One-way traffic never gets a reply, and conntrack calls it new for ever: it
// must not pass through the daemon for ever.
func TestOneWayFlowIsSeenOnce(t *testing.T) {
	for _, pinning := range []string{"flow", "session"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{silent: true})
			b.serve(b.service("pinning: " + pinning))
			n := scaled(10000, 1000)
			list := make([]lab.Datagram, n)
			for i := range list {
				list[i] = datagram(client(false, 1, 20000), 1, i)
			}
			for i := range 2 { // the second when the session has settled
				if err := b.clients.Send(list[i].Src, list[i].Dst, list[i].Payload); err != nil {
					t.Fatal(err)
				}
				waitFor(t, 5*time.Second, "it arrives", func() bool { return b.arrived.of(1).total() == i+1 })
				time.Sleep(2 * balancer.SettleTime)
			}
			if _, err := b.clients.SendAll(list[2:]); err != nil {
				t.Fatal(err)
			}
			waitFor(t, 5*time.Second, "all arrive", func() bool { return b.arrived.of(1).total() == n })
			b.daemon.stop()
			most := 1 // the first one was let through before others followed
			if pinning == "session" {
				most = 64 // until the kernel has learned the session, a burst
			}
			if got := b.daemon.packets(); got < 1 || got > most {
				t.Errorf("the daemon saw %d of %d packets, want 1 to %d", got, n, most)
			}
		})
	}
}

// Without anybody to serve them, clients must learn it at once, or nothing at
// all if the operator says so.
func TestNobodyServes(t *testing.T) {
	atLeisure(t)
	down := map[int]string{1: "admin: down", 2: "admin: down", 3: "admin: down"}
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{clients: lab.ClientOptions{ICMPErrors: true}})
			b.serve(b.service("pinning: "+pinning, b.backends(down)))
			for i, v6 := range []bool{false, true} {
				begin := time.Now()
				d := datagram(client(v6, 1, 20000), i, 0)
				if err := b.clients.Send(d.Src, d.Dst, d.Payload); err != nil {
					t.Fatal(err)
				}
				waitFor(t, 5*time.Second, "ICMP port unreachable", func() bool { return len(b.clients.Errors()) == i+1 })
				if took := time.Since(begin); took > slow(200*time.Millisecond) {
					t.Errorf("IPv6 %v: the error came after %v", v6, took)
				}
				want := icmpKinds[0].number(v6) // and about the datagram
				if e := b.clients.Errors()[i]; e.At != d.Src || e.To != d.Dst || [2]byte{e.Type, e.Code} != want {
					t.Errorf("IPv6 %v: the client has %+v, want port unreachable about %v -> %v", v6, e, d.Src, d.Dst)
				}
			}
			if refusal := b.reload(b.service("pinning: "+pinning, "no_backend: drop", b.backends(down))); refusal != "" {
				t.Fatal(refusal)
			}
			before := len(b.clients.Errors())
			for i, v6 := range []bool{false, true} {
				d := datagram(client(v6, 2, 20000), 10+i, 0)
				if err := b.clients.Send(d.Src, d.Dst, d.Payload); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(slow(300 * time.Millisecond))
			if got := len(b.clients.Errors()) - before; got != 0 {
				t.Errorf("%d errors, want silence", got)
			}
			if refusal := b.reload(b.service("pinning: " + pinning)); refusal != "" {
				t.Fatal(refusal)
			}
			b.exchange(0, datagram(client(false, 1, 20000), 0, 1), datagram(client(true, 1, 20000), 1, 1))
		})
	}
}

// A burst at the start of a flow waits for the first verdict: none of it may
// be lost, reordered, or sent elsewhere.
func TestFirstPacketsBackToBack(t *testing.T) {
	for _, lines := range [][]string{nil, {"pinning: flow"}, {"snat: masquerade"}} {
		name := "plain"
		if lines != nil {
			name = lines[0]
		}
		t.Run(name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service(lines...))
			n := scaled(1000, 200)
			var list []lab.Datagram
			for i := range n {
				for seq := range 5 {
					list = append(list, datagram(client(i%2 == 1, 1+i, 20000), i, seq))
				}
			}
			for burst := range slices.Chunk(list, 50) { // ten flows at a time, at once
				b.exchange(0, burst...)
			}
			disordered := 0
			for i := range n {
				a := b.arrived.of(i)
				if a.total() != 5 || len(a.count) != 1 {
					t.Fatalf("session %d: %v datagrams by backend, want 5 at one", i, a.count)
				}
				if !a.ordered {
					disordered++
				}
			}
			// In flow pinning the kernel lets a flow pass once its first packet is
			// through, while its second may still wait: documented.
			// An emulated kernel can hold a packet for longer than SettleTime.
			limit := 0
			if lab.Emulated() {
				limit = n / 20
			}
			if disordered > limit && name != "pinning: flow" {
				t.Errorf("the packets of %d of %d flows arrived in another order", disordered, n)
			}
		})
	}
}

// The key may stand where nft cannot load it, or be too long for it: the
// service works all the same, and says how.
func TestKeysBeyondNFT(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("key: {offset: 1, length: 64}"))
	b.daemon.wait("the service says why", func(l logLine) bool { return l.str("pinning") == "flow" && l.str("reason") != "" })
	long := func(session, seq int) []byte { return append(payload(session, seq)[:9], make([]byte, 60)...) }
	for i := range 50 {
		first := b.exchange(0, lab.Datagram{Src: client(false, i, 20000), Dst: listener(false), Payload: long(i, 0)})[0]
		second := b.exchange(0, lab.Datagram{Src: client(true, i, 20000), Dst: listener(true), Payload: long(i, 1)})[0]
		if first.Number() != second.Number() {
			t.Errorf("session %d moved from backend %d to %d when it roamed", i, first.Number(), second.Number())
		}
	}
}

// A key as deep in a large payload as one may stand: NFQUEUE copies that far.
func TestKeyAtTheEndOfALargePayload(t *testing.T) {
	atLeisure(t)
	const offset, length = 65_400, 16
	for _, pinning := range []string{"auto", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: "+pinning, fmt.Sprintf("key: {offset: %d, length: %d}", offset, length)))
			deep := func(session int) []byte {
				p := make([]byte, offset+length)
				copy(p[offset:], sessionKey(session))
				copy(p, payload(session, 0)) // for the tests' own count
				return p
			}
			seen := make(map[int]bool)
			for i := range 12 {
				v6 := i%2 == 1
				first := b.exchange(0, lab.Datagram{Src: client(v6, 1, uint16(20000+i)), Dst: listener(v6), Payload: deep(i)})[0]
				second := b.exchange(0, lab.Datagram{Src: client(!v6, 2, uint16(20000+i)), Dst: listener(!v6), Payload: deep(i)})[0]
				if first.Number() != second.Number() {
					t.Errorf("session %d moved from backend %d to %d when it roamed", i, first.Number(), second.Number())
				}
				seen[first.Number()] = true
			}
			if len(seen) < 2 {
				t.Error("all sessions are at one backend: the key was not read")
			}
		})
	}
}

// A service's own conntrack timeouts: the short one until a flow has lasted
// for two seconds both ways, then the long one.
func TestTimeoutsOfAService(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("timeouts: {unreplied: 20s, replied: 70s}"))
	both := []netip.AddrPort{client(false, 1, 20000), client(true, 1, 20000)}
	speak := func(seq int, want time.Duration) {
		t.Helper()
		for i, at := range both {
			b.exchange(0, datagram(at, i, seq))
			es := b.entriesOf(at)
			if len(es) != 1 {
				t.Fatalf("%d entries of %v, want 1", len(es), at)
			}
			if left := es[0].timeout; left > want || left < want-slow(3*time.Second) {
				t.Errorf("the entry of %v has %v left, want %v", at, left, want)
			}
		}
	}
	speak(0, 20*time.Second)
	time.Sleep(2100 * time.Millisecond) // conntrack's own time for a stream
	speak(1, 70*time.Second)
}
