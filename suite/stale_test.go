package suite

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

// sessionsOn are n sessions whose backend is the wanted one by the ring, with
// numbers from from on. The service must have the seed that seeded gives.
func (b *bed) sessionsOn(backend, n, from int) []int {
	b.t.Helper()
	path := filepath.Join(b.dir, "roamlb.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	file, err := config.Parse(path, text)
	if err != nil {
		b.t.Fatal(err)
	}
	svc := &file.Services[0]
	for i := range svc.Backends {
		svc.Backends[i].ID = uint16(i + 1)
	}
	v := balancer.NewView(svc, balancer.Capabilities{}, nil, nil)
	var out []int
	for s := from; len(out) < n; s++ {
		if int(v.Ring(false).At(v.Hash(sessionKey(s)))) == backend {
			out = append(out, s)
		}
	}
	return out
}

// seeded is the member that makes sessionsOn right.
const seeded = "seed: 4711"

// A stolen session id, sent from elsewhere, must not cut the live client off.
func TestSpoofDoesNotCutOff(t *testing.T) {
	atLeisure(t)
	const spoof = "spoof"
	b := newBed(t, bedOptions{answer: func(_ int, p []byte) bool { return !bytes.HasSuffix(p, []byte(spoof)) }})
	b.serve(b.service("confirm_timeout: 1s"))
	victim, thief := client(false, 1, 20000), client(false, 2, 20000)
	b.exchange(0, datagram(victim, 1, 0))
	before := b.entriesOf(victim)
	if len(before) != 1 {
		t.Fatalf("%d entries of the victim, want 1", len(before))
	}
	for i := range 5 {
		d := datagram(thief, 1, 1+i)
		d.Payload = append(d.Payload, spoof...)
		if err := b.clients.Send(d.Src, d.Dst, d.Payload); err != nil {
			t.Fatal(err)
		}
		b.exchange(0, datagram(victim, 1, 10+i))
		time.Sleep(300 * time.Millisecond)
	}
	if after := b.entriesOf(victim); len(after) != 1 || after[0].id != before[0].id {
		t.Errorf("the victim's entry was %v, is %v", before, after)
	}
	for _, l := range b.daemon.events("stale-deleted") { // the thief's own, which nobody answered, may go
		if l.str("old_client") != thief.String() {
			t.Errorf("deleted: %s", l.text)
		}
	}
	if len(b.daemon.events("roam")) == 0 {
		t.Error("the thief's packet was not seen: the test shows nothing")
	}
}

// An attacker with a live session of its own on the victim's backend has an
// answered entry already: its packets with the victim's key prove nothing.
func TestAttackerOnTheSameBackend(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("confirm_timeout: 1s", seeded))
	s := b.sessionsOn(1, 2, 0)
	victim, attacker := client(false, 1, 20000), client(false, 2, 20000)
	b.exchange(0, datagram(attacker, s[1], 0))
	b.exchange(0, datagram(victim, s[0], 0))
	before := b.entriesOf(victim)
	for i := range 20 {
		b.exchange(0, datagram(attacker, s[0], 1+i), datagram(victim, s[0], 100+i))
	}
	time.Sleep(1500 * time.Millisecond)
	for i := range 3 { // and while the victim is silent, seen by the daemon
		b.expire()
		b.exchange(0, datagram(attacker, s[0], 200+i))
		time.Sleep(1500 * time.Millisecond)
	}
	if after := b.entriesOf(victim); len(after) != 1 || after[0].id != before[0].id {
		t.Errorf("the victim's entry was %v, is %v", before, after)
	}
}

// Sessions behind one socket share an entry: who leaves must not take the
// others' along, and the last one must not leave it behind.
func TestSharedEntry(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service(seeded))
	s := b.sessionsOn(2, 3, 0)
	gateway := client(false, 1, 20000)
	for i := range 3 {
		b.exchange(0, datagram(gateway, s[i], 0))
	}
	before := b.entriesOf(gateway)
	if len(before) != 1 {
		t.Fatalf("%d entries of the gateway, want one that the sessions share", len(before))
	}
	for gone := range 3 {
		b.exchange(0, datagram(client(true, 1+gone, 20000), s[gone], 1))
		if gone < 2 {
			time.Sleep(slow(200 * time.Millisecond))
			after := b.entriesOf(gateway)
			if len(after) != 1 || after[0].id != before[0].id {
				t.Fatalf("after %d of 3 sessions left, the entry was %v and is %v", gone+1, before, after)
			}
			for _, left := range s[gone+1:] {
				b.exchange(0, datagram(gateway, left, 2+gone))
			}
		}
	}
	waitFor(t, 2*time.Second, "the entry goes with the last session", func() bool { return len(b.entriesOf(gateway)) == 0 })
}

// One key in two places by turns must be served in both, and must not keep the
// daemon busy deleting. A turn that falls into the moment of a deletion can go
// unnoticed, and with it that the session is shared: most must be noticed.
func TestFlappingIsShared(t *testing.T) {
	atLeisure(t)
	const sessions = 4
	b := newBed(t, bedOptions{})
	b.serve(b.service("confirm_timeout: 1s"))
	noticed := 0
	for s := range sessions {
		one, two := client(false, 1+2*s, 20000), client(false, 2+2*s, 20000)
		deleted, shared := len(b.daemon.events("stale-deleted")), len(b.daemon.events("shared"))
		for i := range scaled(1000, 200) { // turns
			at := one
			if i%2 == 1 {
				at = two
			}
			b.exchange(0, datagram(at, s, i))
			if kernelDecides() { // turns that are faster than the copies are as one
				time.Sleep(time.Millisecond)
			}
		}
		b.copiesCome()
		if got := len(b.daemon.events("stale-deleted")) - deleted; got > 3 {
			t.Errorf("session %d: %d deletions, want at most 3", s, got)
		}
		switch len(b.daemon.events("shared")) - shared {
		case 0:
			continue
		case 1:
			if noticed++; noticed > 1 {
				continue
			}
		default:
			t.Errorf("session %d: more than one event that it is shared", s)
		}
		i := 0
		waitFor(t, 6*time.Second, "the silent client's entry is gone", func() bool { // while the other speaks
			b.exchange(0, datagram(one, s, 10000+i))
			i++
			return len(b.entriesOf(two)) == 0
		})
		if len(b.entriesOf(one)) != 1 {
			t.Error("the speaking client lost its entry")
		}
	}
	if noticed < sessions/2 {
		t.Errorf("%d of %d shared sessions were noticed", noticed, sessions)
	}
}

// A backend that speaks first, or late, must be seen as the listener, and must
// not come between a client and its backend.
func TestBackendSpeaksFirstAndLate(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s IPv6 %v", pinning, v6), func(t *testing.T) {
				b := newBed(t, bedOptions{})
				b.serve(b.service("pinning: "+pinning, seeded))
				b.speaksFirstAndLate(v6, pinning == "session")
				b.nothingAstray()
			})
		}
	}
}

func (b *bed) speaksFirstAndLate(v6, zoned bool) {
	s := b.sessionsOn(1, 2, 0)
	other := b.sessionsOn(2, 1, 1000)[0]
	at := func(i int) netip.AddrPort { return client(v6, i, 20000) }
	arrivesAt := func(backend, session, i int) {
		b.t.Helper()
		if got := b.exchange(0, datagram(at(i), session, i))[0].Number(); got != backend {
			b.t.Errorf("the client's packet arrived at backend %d, want %d", got, backend)
		}
		if got := b.arrived.of(session).from; got != at(i) {
			b.t.Errorf("the backend saw %v, want the client's own %v", got, at(i))
		}
	}
	b.hears(at(1), 1, "first")
	arrivesAt(1, s[0], 1)
	b.hears(at(2), 1, "first, then another") // and who comes belongs to another backend
	arrivesAt(2, other, 2)

	arrivesAt(1, s[1], 3)
	b.exchange(0, datagram(client(!v6, 3, 20000), s[1], 50)) // it roams away
	waitFor(b.t, 2*time.Second, "the stale entry is gone", func() bool { return len(b.entriesOf(at(3))) == 0 })
	for i := range 3 {
		b.hears(at(3), 1, fmt.Sprint("late ", i))
	}
	arrivesAt(2, other, 3) // the address has a new owner
	if zoned {
		b.hears(at(3), 1, "late, to the new owner")
	} else if err := b.echoes[0].Send(at(3), []byte("late")); err != nil { // whose flow is another backend's: dropped
		b.t.Fatal(err)
	}
	arrivesAt(2, other, 3)
}

// hears demands that a client hears as the listener's what a backend sends it.
func (b *bed) hears(at netip.AddrPort, backend int, what string) {
	b.t.Helper()
	b.clientHears(b.clients, at, what, func() error { return b.echoes[backend-1].Send(at, []byte(what)) })
}
