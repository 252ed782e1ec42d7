package suite

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
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

// roamTo is where a session comes from in a round: it arrives, then changes its
// port alone, its address alone, its family alone, and all at once. No client is
// ever another session's.
func roamTo(session, round int) netip.AddrPort {
	v6, i := session%3 == 0, 1+session
	if round == 3 {
		v6 = !v6
	}
	if round >= 2 {
		i += 10_000
	}
	if round >= 4 {
		i += 10_000
	}
	return client(v6, i, 20000+[]uint16{0, 1, 1, 1, 2, 3}[round])
}

// The main promise: whatever address a client comes from, its session stays,
// and nothing is left behind that would catch the address's next owner.
func TestRoaming(t *testing.T) {
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: " + pinning))
			n := scaled(1000, 100)
			b.exchange(5000, from(30000, numbers(50_000, n/5), 0)...) // others, who stay
			others := b.entries()
			limit := slow(200 * time.Millisecond)
			if kernelDecides() { // copies are gathered
				limit += slow(20 * time.Millisecond)
			}
			home := make([]int, n)
			for round := range 6 { // arrive, and roam five times
				list := make([]lab.Datagram, n)
				newest := make(map[netip.AddrPort]bool, n)
				for i := range list {
					list[i] = datagram(roamTo(i, round), i, round)
					newest[list[i].Src] = true
				}
				if len(newest) != n {
					t.Fatalf("round %d: %d clients for %d sessions", round, len(newest), n)
				}
				told, all := len(b.daemon.events("stale-deleted")), b.stopwatch()
				replies := b.exchange(5000, list...)
				last := b.stopwatch()
				for i, r := range replies {
					if round == 0 {
						home[i] = r.Number()
					} else if r.Number() != home[i] {
						t.Fatalf("round %d: session %d moved from backend %d to %d when it roamed", round, i, home[i], r.Number())
					}
				}
				for _, e := range others {
					newest[e.client] = true
				}
				waitFor(t, 5*time.Second, "only the newest entry of each session is left", func() bool {
					es := b.entries()
					if slices.ContainsFunc(es, func(e entry) bool { return !newest[e.client] }) {
						return false
					}
					if len(es) != len(newest) {
						t.Fatalf("round %d: %d entries are left, want one of each of %d sessions", round, len(es), len(newest))
					}
					return true
				})
				if took := last.took(); took > limit {
					t.Errorf("round %d: the stale entries were gone %v after the last reply, want 200 ms", round, took)
				}
				if round > 0 {
					b.deletedInTime(told, n, limit+all.waited())
				}
			}
			b.untouched(others)
		})
	}
}

// untouched demands that entries are the very ones that they were.
func (b *bed) untouched(entries []entry) {
	b.t.Helper()
	ids := make(map[netip.AddrPort]uint32)
	for _, e := range b.entries() {
		ids[e.client] = e.id
	}
	for _, e := range entries {
		if ids[e.client] != e.id {
			b.t.Errorf("the entry of %v, who did not roam, was %x and is %x", e.client, e.id, ids[e.client])
		}
	}
}

// deletedInTime demands this many deletions after those that were told already,
// each in time after the backend's answer.
func (b *bed) deletedInTime(told, want int, limit time.Duration) {
	b.t.Helper()
	list := func() []logLine { return b.daemon.events("stale-deleted")[told:] }
	waitFor(b.t, 5*time.Second, fmt.Sprint(want, " deletions are told"), func() bool { return len(list()) >= want })
	if got := len(list()); got != want {
		b.t.Errorf("%d deletions, want %d", got, want)
	}
	for _, l := range list() {
		delay, _ := l.fields["delay"].(float64) // nanoseconds; left out where it is 0
		if l.str("reason") != "replied" || time.Duration(delay) > limit {
			b.t.Fatalf("want a deletion within %v of the reply: %s", limit, l.text)
		}
	}
}

// Somebody who gets a roamed client's old address while its entry still stands
// must reach his own backend. Plain conntrack sends him to the other's.
func TestTakeover(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("stale: never"))
	n := scaled(200, 40)
	old := make([]lab.Datagram, n)
	for i := range n {
		old[i] = datagram(client(i%2 == 1, i, 20000), i, 0)
	}
	home := b.exchange(5000, old...)
	before := b.entries()
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
		second := b.exchange(0, datagram(client(i%4 > 1, i, 20001), session, 1))[0]
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
	ids := make(map[uint32]bool)
	for _, e := range b.entries() {
		ids[e.id] = true
	}
	if gone := slices.DeleteFunc(before, func(e entry) bool { return ids[e.id] }); len(gone) > 0 {
		t.Errorf("with stale: never all old entries should still stand; %d do not", len(gone))
	}
}

// Gateways and proxies carry many sessions in one socket.
func TestManySessionsInOneSocket(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	for _, v6 := range []bool{false, true} {
		base := 0
		if v6 {
			base = 1000
		}
		at := client(v6, 1, 20000)
		var first, second []lab.Datagram
		for i := range 64 {
			first = append(first, datagram(at, base+i, 0))
			second = append(second, datagram(client(v6, 100+i, 20000), base+i, 1))
		}
		shared, alone := b.exchange(1000, first...), b.exchange(1000, second...)
		seen := make(map[int]bool)
		for i := range first {
			if shared[i].Number() != alone[i].Number() {
				t.Errorf("session %d reaches backend %d among others, and %d alone", base+i, shared[i].Number(), alone[i].Number())
			}
			seen[shared[i].Number()] = true
		}
		if len(seen) != len(b.Backends) {
			t.Errorf("64 sessions reached %d backends, want %d", len(seen), len(b.Backends))
		}
	}
}
