package suite

import (
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// When conntrack is full the kernel refuses new flows. Those who are there must
// not notice, the operator must be told, and when there is room again everybody
// must come to where he belongs, those who were refused as well.
func TestConntrackFull(t *testing.T) {
	if !lab.Emulated() {
		t.Skip("kernel lacks: a limit of conntrack's for each namespace; the host's is changed in the virtual machine alone")
	}
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	b.serve(b.service(seeded))
	live := numbers(0, 60)
	home := b.settle(live)
	seq := 2
	waitFor(t, 10*time.Second, "conntrack takes them for streams", func() bool {
		time.Sleep(200 * time.Millisecond)
		b.place(live, seq)
		seq++
		n := 0
		for _, e := range b.entries() {
			if e.assured {
				n++
			}
		}
		return n == len(live)
	})
	limitConntrack(t, len(b.entries()))
	chat := b.chat(live, home, paced(1000))
	l := b.startLoadByRing(1_000_000, paced(1000))
	time.Sleep(5 * time.Second)
	sent, lost, misplaced := l.end()
	dropped, full := b.metric("roamlb_conntrack_dropped_packets_total"), b.metric("roamlb_conntrack_entries")/b.metric("roamlb_conntrack_entries_max")
	old := chat.toll(func(int) bool { return false })
	t.Logf("while conntrack was full: of new flows %d datagrams, %d lost, %d sessions misplaced; of old ones %d datagrams, %d lost, %d sessions misplaced; %.0f drops told, the table is %.0f %% full",
		sent, lost, misplaced, old.sent, old.othersLost, old.misplaced, dropped, 100*full)
	if lost == 0 {
		t.Error("every new flow found room: the test shows nothing")
	}
	if misplaced > 0 || old.othersLost > 0 || old.misplaced > 0 {
		t.Error("want none misplaced, and of old flows none lost")
	}
	// RoamlbConntrackFull and RoamlbConntrackNearlyFull.
	if dropped < float64(lost) || full < 0.85 {
		t.Errorf("the metrics tell of %.0f drops, and that the table is %.0f %% full", dropped, 100*full)
	}

	limitConntrack(t, 100_000)
	again := b.startLoadByRing(1_000_000, paced(1000)) // the same sessions
	time.Sleep(2 * time.Second)
	again.outcome("afterwards")
	b.stay("afterwards", home, from(22000, live, 5000))
}
