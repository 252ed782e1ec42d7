package suite

import (
	"os"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// holdings are what the daemon and the kernel hold for sessions.
type holdings struct {
	heap                          float64 // bytes of Go objects, after a collection
	goroutines, descriptors       int
	sessions, flows, jobs, timers int
	entries                       int // of conntrack
	elements                      int // of the sessions maps
}

func (b *bed) holdings() holdings {
	b.t.Helper()
	for range 2 { // what a pool holds outlives one collection
		b.get("/debug/pprof/heap?gc=1")
	}
	fds, err := os.ReadDir(b.daemon.proc("fd"))
	if err != nil {
		b.t.Fatal(err)
	}
	return holdings{
		heap: b.metric("go_memstats_heap_alloc_bytes"), goroutines: int(b.metric("go_goroutines")), descriptors: len(fds),
		sessions: int(b.metric("roamlb_sessions")), flows: int(b.metric("roamlb_flows")),
		jobs: int(b.metric("roamlb_deletions_pending")), timers: int(b.metric("roamlb_roams_waiting")),
		entries: len(b.entries()), elements: b.elements(),
	}
}

// elements is how many sessions the kernel has learned, once a family.
func (b *bed) elements() int {
	b.t.Helper()
	r, n := b.ruleset(), 0
	for _, m := range r.learned() {
		n += len(r.elements(m))
	}
	return n
}

// town is some people who stay all day, and others who come for an hour, all of
// them on the move.
type town struct {
	b                   *bed
	residents, visitors int
	moves               int // of each so far
	sent, misplaced     int
	busiest             int // elements at the end of an hour
}

// hour is one in which everybody moves some times. What the kernel has learned
// it forgets then, as it does in ten minutes.
func (d *town) hour(hour, moves int) {
	d.b.t.Helper()
	v := d.b.view("vpn")
	people := d.residents + d.visitors
	for range moves {
		d.moves++
		list := make([]lab.Datagram, people)
		for i := range list {
			session := i
			if i >= d.residents {
				session += 10_000 * (hour + 1)
			}
			at := client((i+d.moves)%4 == 3, 1+i+people*(d.moves%5), 20000+uint16(d.moves%3))
			list[i] = datagram(at, session, d.moves)
		}
		for i, r := range d.b.exchange(8000, list...) {
			session := sessionOf(keyOf(list[i].Payload))
			if r.Number() != d.b.ringOf(v, session, list[i].Src) {
				d.misplaced++
			}
		}
		d.sent += people
	}
	waitFor(d.b.t, 5*time.Second, "the entries that they left are gone", func() bool {
		return len(d.b.entries()) <= people+d.visitors // some of those who came the hour before
	})
	d.busiest = max(d.busiest, d.b.elements())
	d.b.expire()
}

// quiet waits until everybody has gone.
func (d *town) quiet() holdings {
	d.b.t.Helper()
	// A flow whose end the daemon has overlooked is found by the next dump, which
	// can be half a minute away.
	overlooked := float64(d.residents+d.visitors) / 50
	if long() {
		overlooked = 0
	}
	waitFor(d.b.t, 45*time.Second, "everybody has gone", func() bool {
		time.Sleep(100 * time.Millisecond)
		// The kernel buries entries that have run out when it is asked for them.
		return len(d.b.entries()) == 0 && d.b.metric("roamlb_sessions") == 0 && d.b.metric("roamlb_flows") <= overlooked
	})
	return d.b.holdings()
}

// A balancer runs for months. What it holds after a day of roaming, in
// accelerated time, must be what it held after the first hour.
func TestDayOfRoaming(t *testing.T) {
	atLeisure(t)
	d := &town{residents: scaled(400, 60), visitors: scaled(200, 30)}
	hours, moves := 4, 3
	if long() {
		hours, moves, d.residents, d.visitors = 24, 12, 2000, 1000
	}
	d.b = newBed(t, bedOptions{})
	d.b.queues, d.b.quiet = patientQueues, true
	d.b.serve(d.b.service(seeded, "session_ttl: 1s", "timeouts: {unreplied: 2s, replied: 2s}"))
	begin := time.Now()
	d.hour(0, moves)
	first := d.quiet()
	for hour := 1; hour <= hours; hour++ {
		d.hour(hour, moves)
	}
	last := d.quiet()
	t.Logf("%d hours in %v: %d datagrams, none lost, %d misplaced; %.0f roams, %.0f entries deleted; at most %d elements at an hour's end",
		hours, time.Since(begin).Round(time.Millisecond), d.sent, d.misplaced,
		d.b.metric("roamlb_roams_total"), d.b.metric("roamlb_stale_entries_deleted_total"), d.busiest)
	t.Logf("after the first hour %+v", first)
	t.Logf("after the last one  %+v", last)
	if d.misplaced > 0 {
		t.Error("want none misplaced")
	}
	if people := d.residents + d.visitors; d.busiest > 2*people { // one a family
		t.Errorf("%d people have %d elements", people, d.busiest)
	}
	// Of events the last few thousand are kept, in the end all of them are there.
	const kept = 8 << 20
	const connections = 3 // of ours to the API
	if last.heap > first.heap*1.1+kept || last.descriptors > first.descriptors+connections || last.goroutines > first.goroutines+2*connections {
		t.Error("the daemon holds more than it did after the first hour")
	}
	last.heap, last.goroutines, last.descriptors, last.flows = first.heap, first.goroutines, first.descriptors, first.flows // see quiet
	if last != first {
		t.Error("sessions, flows, entries or elements are left")
	}
}
