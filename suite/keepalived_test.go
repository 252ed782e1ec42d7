package suite

import (
	"testing"
	"time"
)

// Two balancers with the same services and seeds stand in for each other: whoever
// has the address, a session is at the backend where it was. Datagrams are lost
// only while nobody has the address.
func TestKeepalivedPair(t *testing.T) {
	atLeisure(t)
	p := newPair(t)
	p.serve(p.service("seed: 1234567"))
	p.guard(0)
	p.awaitHolder("node 1 has the addresses", 0)
	p.guard(1)
	time.Sleep(500 * time.Millisecond)
	live := numbers(0, 60)
	home := p.place(live, 0)
	for i, step := range []struct {
		name  string
		do    func()
		at    int           // who has the addresses then
		quiet time.Duration // for how long nobody may have them
	}{
		{"keepalived stops on node 1", func() { p.unguard(0) }, 1, 200 * time.Millisecond},
		{"keepalived comes back on node 1", func() { p.guard(0) }, 0, 200 * time.Millisecond},
		{"node 1 is cut off", func() { p.cut(0, "down") }, 1, time.Second},
		{"node 1 is back", func() { p.cut(0, "up") }, 0, time.Second},
	} {
		const rate = 500
		l := p.startLoad(1_000_000*(i+1), rate)
		time.Sleep(200 * time.Millisecond)
		step.do()
		if step.name == "node 1 is cut off" {
			waitFor(t, 10*time.Second, "node 2 takes over", func() bool { return p.holds(1) })
		} else {
			waitFor(t, 10*time.Second, step.name+": the addresses move", func() bool { return p.holds(step.at) && !p.holds(1-step.at) })
		}
		time.Sleep(300 * time.Millisecond)
		sent, lost, misplaced := l.end()
		t.Logf("%s: %d datagrams, %d lost, %d of %d sessions misplaced", step.name, sent, lost, misplaced, len(l.sent))
		if misplaced > 0 {
			t.Errorf("%s: %d of %d sessions were misplaced", step.name, misplaced, len(l.sent))
		}
		if limit := int(slow(step.quiet).Seconds() * rate); lost > limit {
			t.Errorf("%s: %d datagrams were lost, want %d at most", step.name, lost, limit)
		}
		p.stay(step.name, home, from(20000, live, 10*i+1))
		p.stay(step.name+", and they roam", home, from(uint16(23000+i), live, 10*i+2))
	}
}
