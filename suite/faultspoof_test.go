package suite

import (
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// Thousands of forged packets with one stolen session id, each from elsewhere,
// must neither interrupt the victim nor set off a storm of deletions.
func TestFloodOfSpoofedRoams(t *testing.T) {
	const forged = 0x66 // the last byte of what no backend answers
	b := newBed(t, bedOptions{answer: func(_ int, p []byte) bool { return p[len(p)-1] != forged }})
	b.serve(b.service("confirm_timeout: 1s"))
	victim, id := client(false, 1, 20000), 1
	home := b.exchange(0, datagram(victim, id, 0))[0].Number()
	before := b.entriesOf(victim)
	if len(before) != 1 {
		t.Fatalf("%d entries of the victim, want 1", len(before))
	}
	flooded := make(chan error, 1)
	count := scaled(20_000, 2000)
	go func() {
		flooded <- b.flood(lab.FloodOptions{
			To: listener(false), Count: count, Rate: paced(10_000), Length: len(payload(id, 0)),
			Fill:   func(i int, p []byte) { copy(p, payload(id, 1_000_000+i<<8|forged)) },
			Source: func(i int) netip.AddrPort { return client(false, 1000+i, 25000) },
		})
	}()
	began, rounds := time.Now(), 0
	for done := false; !done; rounds++ {
		select {
		case err := <-flooded:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(slow(20 * time.Millisecond)):
		}
		if at := b.exchange(0, datagram(victim, id, 256*(1+rounds)))[0].Number(); at != home {
			t.Fatalf("the victim was at backend %d and is at %d", home, at)
		}
	}
	took := time.Since(began)
	time.Sleep(slow(1500 * time.Millisecond)) // confirm_timeout is over
	b.exchange(0, datagram(victim, id, 256*(1+rounds)))
	if after := b.entriesOf(victim); len(after) != 1 || after[0].id != before[0].id {
		t.Errorf("the victim's entry was %v, is %v", before, after)
	}
	deleted := b.daemon.events("stale-deleted")
	for _, l := range deleted {
		if l.str("old_client") == victim.String() {
			t.Fatalf("deleted: %s", l.text)
		}
	}
	roams := len(b.daemon.events("roam"))
	t.Logf("%d forged packets, %d answers to the victim: %d roams told, %d entries of the forger deleted", count, rounds+1, roams, len(deleted))
	// 16 at once, then ten a second.
	if limit := 16 + 10*int(2+took.Seconds()); roams < 16 || roams > limit || len(deleted) > limit {
		t.Errorf("%d roams told and %d deletions, want 16 and at most %d", roams, len(deleted), limit)
	}
	if got := len(b.daemon.events("contested")); got != 1 {
		t.Errorf("the flood was told %d times, want once", got)
	}
}
