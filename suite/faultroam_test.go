package suite

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// crowd is very many sessions that arrive and roam once each, a second later,
// and what becomes of their datagrams, in little room.
type crowd struct {
	home   []uint8         // the ring's backend, by session
	seen   []atomic.Uint32 // datagrams that have arrived, a bit each
	count  atomic.Int64    // of them, each once
	astray atomic.Int64    // those at another backend than home
}

func newCrowd(n int) *crowd { return &crowd{home: make([]uint8, n), seen: make([]atomic.Uint32, n)} }

// arrived is of bedOptions.
func (c *crowd) arrived(backend int, p []byte) {
	s := sessionOf(keyOf(p))
	if s < 0 || s >= len(c.home) {
		return
	}
	if int(c.home[s]) != backend {
		c.astray.Add(1)
	}
	bit := uint32(1) << p[len(p)-1]
	if c.seen[s].Or(bit)&bit == 0 {
		c.count.Add(1)
	}
}

// crowdAddresses is how many addresses of a family the clients of a crowd
// arrive from, and as many others roam to.
const crowdAddresses = 60_000

// member is a session's client before it roams and after: its address or its
// port is another then, or both are. No client is ever another's.
func (c *crowd) member(session int, roamed bool) netip.AddrPort {
	address, at := session%crowdAddresses, uint16(20000+2*(session/crowdAddresses))
	if roamed && session%3 != 0 {
		address += crowdAddresses
	}
	if roamed && session%3 != 1 {
		at++
	}
	return client(session%4 == 3, address, at)
}

// stale reports whether an entry is one of a client before it roamed.
func (c *crowd) stale(e *entry) bool {
	first := client(e.client.Addr().Is6(), crowdAddresses, 0).Addr()
	return e.client.Port()%2 == 0 && e.client.Addr().Less(first)
}

// roam sends at most rate sessions a second, each twice: a second's sessions
// after it has arrived it is elsewhere. It holds back while deletions are late.
func (c *crowd) roam(b *bed, rate int) {
	b.t.Helper()
	const burst = 64
	n := len(c.home)
	list := make([]lab.Datagram, 0, 2*burst)
	begin := time.Now()
	for at := 0; at < n+rate; at += burst {
		if at/burst%(rate/burst/4) == 0 {
			begin = begin.Add(c.holdBack(b, at-rate, rate/2))
		}
		if ahead := time.Until(begin.Add(time.Duration(at) * time.Second / time.Duration(rate))); ahead > 0 {
			time.Sleep(ahead)
		}
		list = list[:0]
		for _, roamed := range []bool{false, true} {
			from, seq := at, 0
			if roamed {
				from, seq = at-rate, 1
			}
			for s := max(from, 0); s < min(from+burst, n); s++ {
				list = append(list, datagram(c.member(s, roamed), s, seq))
			}
		}
		if _, err := b.clients.SendAll(list); err != nil {
			b.t.Fatalf("send: %v", err)
		}
	}
}

// holdBack waits while more than some of those that have roamed have their old
// entry yet, but not for those that were overlooked. It returns for how long.
func (c *crowd) holdBack(b *bed, roamed, most int) time.Duration {
	b.t.Helper()
	begin := time.Now()
	for roamed > 0 && time.Since(begin) < slow(time.Second) && roamed-int(b.metric("roamlb_stale_entries_deleted_total")) > most {
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}

// sessionOf is the number of the session of a key: the inverse of sessionKey.
func sessionOf(key []byte) int {
	if len(key) != 8 {
		return -1
	}
	const inverse = 0xf1de83e19937733d // of its factor, modulo 2 to the 64th
	v := uint64(0)
	for _, b := range key {
		v = v<<8 | uint64(b)
	}
	return int(v*inverse) - 1
}

// A whole town moves from one cell to the next: every session's old entry must
// go, whoever else roams at the same time, and the daemon must not grow beyond
// what its sessions take.
func TestCrowdRoams(t *testing.T) {
	n, rate := scaled(20_000, 2000), paced(10_000)
	if long() {
		n, rate = 1_000_000, 17_500
	}
	// What has roamed must not fill conntrack: its entries end by themselves.
	most := conntrackMost(t)
	ends := time.Duration(most/3/rate) * time.Second
	if ends < 3*time.Second {
		t.Skipf("kernel lacks: room in conntrack for %d roams a second: nf_conntrack_max is %d", rate, most)
	}
	ends = min(ends, 20*time.Second)
	c := newCrowd(n)
	b := newBed(t, bedOptions{arrival: c.arrived})
	b.queues, b.quiet = patientQueues, true
	b.serve(b.service(seeded, fmt.Sprintf("max_sessions: %d", 5*n), fmt.Sprintf("timeouts: {unreplied: %[1]s, replied: %[1]s}", ends)))
	v := b.view("vpn")
	for s := range c.home {
		c.home[s] = uint8(b.ringOf(v, s, c.member(s, false)))
	}
	begin, watch := time.Now(), b.stopwatch()
	c.roam(b, rate)
	took, waited := time.Since(begin), watch.waited()
	lost, left := c.settle(b)
	deleted, roams := int(b.metric("roamlb_stale_entries_deleted_total")), int(b.metric("roamlb_roams_total"))
	kept, heap := b.daemon.residentKB(), b.metric("go_memstats_heap_inuse_bytes")
	t.Logf("%d sessions roamed in %v, while threads of ours waited %v for a CPU: %d datagrams, %d lost, %d misplaced; %d roams seen, %d entries deleted, %d left; the daemon holds %d MiB, its heap %.0f MiB",
		n, took.Round(time.Millisecond), waited.Round(time.Millisecond), 2*n, lost, c.astray.Load(), roams, deleted, left, kept>>10, heap/(1<<20))
	if lost > 0 || c.astray.Load() > 0 || left > 0 {
		t.Error("want none lost, misplaced or left")
	}
	// Where a queue overflows, which is told, what went past it ends by itself.
	overlooked := n - deleted
	if overlooked != 0 && len(b.daemon.events("overflow")) == 0 || overlooked > n/1000 {
		t.Errorf("%d roams were seen and %d entries deleted, want %d", roams, deleted, n)
	}
	if long() && took > time.Minute && waited < took/4 { // else others had the CPUs
		t.Errorf("the roams took %v, want a minute", took)
	}
	limit := 200<<10 + n*600>>10 // KiB: what its sessions take, Go's slack, and what it does itself
	if raceEnabled() {
		limit *= 3
	}
	if kept > limit {
		t.Errorf("the daemon holds %d KiB, want at most %d", kept, limit)
	}
}

// settle waits until all has arrived and no old entry is left, and counts what
// is lost and left.
func (c *crowd) settle(b *bed) (lost, left int) {
	b.t.Helper()
	lost = 2 * len(c.home)
	for deadline := time.Now().Add(slow(3 * time.Second)); lost > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		lost = 2*len(c.home) - int(c.count.Load())
	}
	for deadline := time.Now().Add(slow(5 * time.Second)); ; time.Sleep(20 * time.Millisecond) {
		left = 0
		for _, e := range b.entries() {
			if c.stale(&e) {
				left++
			}
		}
		if left == 0 || time.Now().After(deadline) {
			return lost, left
		}
	}
}
