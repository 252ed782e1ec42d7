package suite

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// Weights must hold, or the big servers idle while the small ones drown; and
// replies must come from where the client sent to, or it drops them.
func TestSessionsSpreadByWeight(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service(b.backends(map[int]string{1: "weight: 1", 2: "weight: 2", 3: "weight: 5"})))
	n := scaled(10000, 1000)
	for _, v6 := range []bool{false, true} {
		var list []lab.Datagram
		for i := range n {
			list = append(list, datagram(client(v6, i, 20000), i, 0))
		}
		count := make(map[int]int)
		for _, r := range b.exchange(5000, list...) {
			count[r.Number()]++
		}
		// Two points, and what chance alone does to a small number.
		slack := 0.02 + 3*math.Sqrt(0.25/float64(n))*boolFloat(n < 10000)
		for i, weight := range []float64{1, 2, 5} {
			if got, want := float64(count[i+1])/float64(n), weight/8; math.Abs(got-want) > slack {
				t.Errorf("IPv6 %v: backend %d has %.1f %% of the sessions, want %.1f", v6, i+1, 100*got, 100*want)
			}
		}
	}
}

func boolFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// The main promise: whatever address a client comes from, its session stays,
// and nothing is left behind that would catch the address's next owner.
func TestRoaming(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	n := scaled(1000, 100)
	at := make([]netip.AddrPort, n) // where each session is
	home := make([]int, n)
	next := 0
	place := func(i, round int) netip.AddrPort { // a client that carries no other session
		next++
		return client((i+round)%3 == 0, next, uint16(20000+rand.IntN(8)))
	}
	for round := range 6 { // arrive, and roam five times
		var list []lab.Datagram
		for i := range n {
			at[i] = place(i, round)
			list = append(list, datagram(at[i], i, round))
		}
		replies := b.exchange(5000, list...)
		last := time.Now()
		for i, r := range replies {
			if round == 0 {
				home[i] = r.Number()
			} else if r.Number() != home[i] {
				t.Fatalf("session %d moved from backend %d to %d when it roamed", i, home[i], r.Number())
			}
		}
		here := make(map[netip.AddrPort]bool, n)
		for _, a := range at {
			here[a] = true
		}
		waitFor(t, 5*time.Second, "only the newest entry of each session is left", func() bool {
			es := b.entries()
			for _, e := range es {
				if !here[e.client] {
					return false
				}
			}
			if len(es) != n {
				t.Fatalf("%d entries are left, want the newest of %d sessions", len(es), n)
			}
			return true
		})
		limit := 200 * time.Millisecond
		if kernelDecides() { // copies are gathered
			limit += 20 * time.Millisecond
		}
		if took := time.Since(last); took > slow(limit) {
			t.Errorf("round %d: the stale entries were gone %v after the last reply, want 200 ms", round, took)
		}
	}
	if got, want := len(b.daemon.events("stale-deleted")), 5*n; got != want {
		t.Errorf("%d deletions, want %d", got, want)
	}
}

// Somebody who gets a roamed client's old address while its entry still stands
// must reach his own backend. Plain conntrack sends him to the other's.
func TestTakeover(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service("stale: never"))
	n := scaled(200, 40)
	old := make([]lab.Datagram, n)
	for i := range n {
		old[i] = datagram(client(false, i, 20000), i, 0)
	}
	home := b.exchange(5000, old...)
	// The sessions roam away; their entries stay. Others take their addresses.
	for i := range n {
		r := b.exchange(0, datagram(client(false, 10000+i, 20000), i, 1))[0]
		if r.Number() != home[i].Number() {
			t.Fatalf("session %d moved when it roamed", i)
		}
	}
	different := 0
	for i := range n {
		session := 50000 + i
		first := b.exchange(0, datagram(old[i].Src, session, 0))[0] // takes the address over
		second := b.exchange(0, datagram(client(true, i, 20001), session, 1))[0]
		if first.Number() != second.Number() {
			t.Errorf("session %d reached backend %d from the address it took over, and %d from elsewhere", session, first.Number(), second.Number())
		}
		if first.Number() != home[i].Number() {
			different++
		}
		again := b.exchange(0, datagram(client(false, 20000+i, 20000), i, 2))[0]
		if again.Number() != home[i].Number() {
			t.Errorf("session %d lost its backend to the takeover", i)
		}
	}
	if different < n/3 {
		t.Fatalf("only %d of %d takeovers led to another backend: the test shows nothing", different, n)
	}
	if got := len(b.entriesOf(old[0].Src)); got == 0 {
		t.Error("with stale: never the old entries should still stand")
	}
}

// Gateways and proxies carry many sessions in one socket.
func TestManySessionsInOneSocket(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	at := client(false, 1, 20000)
	var first, second []lab.Datagram
	for i := range 64 {
		first = append(first, datagram(at, i, 0))
		second = append(second, datagram(client(false, 100+i, 20000), i, 1))
	}
	shared, alone := b.exchange(1000, first...), b.exchange(1000, second...)
	seen := make(map[int]bool)
	for i := range first {
		if shared[i].Number() != alone[i].Number() {
			t.Errorf("session %d reaches backend %d among others, and %d alone", i, shared[i].Number(), alone[i].Number())
		}
		seen[shared[i].Number()] = true
	}
	if len(seen) != len(b.Backends) {
		t.Errorf("64 sessions reached %d backends, want %d", len(seen), len(b.Backends))
	}
}
