package suite

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// residentKB is the daemon's resident memory.
func (d *daemon) residentKB() int {
	d.t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(d.cmd.Process.Pid) + "/status")
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				d.t.Fatal(err)
			}
			return n
		}
	}
	d.t.Fatal("no VmRSS")
	return 0
}

// offRing serves, and has sessions settle where the ring then no longer sends
// them: one that is forgotten moves, to backend 3.
func (b *bed) offRing(sessions []int, lines ...string) (home []int) {
	b.t.Helper()
	weights := func(w1, w2, w3 int) string {
		members := make(map[int]string)
		for i, w := range []int{w1, w2, w3} {
			members[i+1] = fmt.Sprintf("weight: %d", w)
		}
		return b.service(append(lines, b.backends(members))...)
	}
	b.serve(weights(1, 1, 0))
	home = b.settle(sessions)
	if refusal := b.reload(weights(0, 0, 1)); refusal != "" {
		b.t.Fatal(refusal)
	}
	return home
}

// flood sends from the clients' side, forged sources and all.
func (b *bed) flood(opts lab.FloodOptions) error {
	raw, err := b.RawSender(b.Clients)
	if err != nil {
		return err
	}
	defer raw.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	sent, err := raw.Flood(ctx, opts)
	if err == nil && sent != opts.Count {
		err = fmt.Errorf("the flood sent %d of %d", sent, opts.Count)
	}
	return err
}

// A flood of invented session ids must not cost live sessions their backend,
// nor the host its memory.
func TestFloodOfRandomKeys(t *testing.T) {
	b := newBed(t, bedOptions{answer: func(_ int, p []byte) bool { return p[0] == 0x48 }})
	n := scaled(1000, 200)
	live := numbers(0, n)
	home := b.offRing(live, "max_sessions: 20000")
	before := b.entries()
	keys := scaled(100_000, 20_000)
	if long() {
		keys = 1_000_000
	}
	if err := b.flood(floodOf(keys)); err != nil {
		t.Fatal(err)
	}
	b.expire()
	for i, at := range b.place(live, 2) {
		if at != home[i] {
			t.Errorf("live session %d moved from backend %d to %d in the flood", i, home[i], at)
		}
	}
	ids := make(map[uint32]bool)
	for _, e := range b.entries() {
		ids[e.id] = true
	}
	lost := 0
	for _, e := range before {
		if !ids[e.id] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d live flows lost their entry", lost, len(before))
	}
	limit := 400 << 10 // with the race detector's shadow memory
	if !raceEnabled() {
		limit = 150 << 10
	}
	if got := b.daemon.residentKB(); got > limit {
		t.Errorf("the daemon holds %d KiB, want at most %d", got, limit)
	}
	b.daemon.stop()
	if got := b.daemon.count("sessions"); got > 5000+n || got < n {
		t.Errorf("%d sessions, want a quarter of max_sessions and the %d that live, at most", got, n)
	}
}

// floodOf is sessions that nobody answers, from a bounded set of sources: it
// is roamlb's memory that is tested, not conntrack's.
func floodOf(keys int) lab.FloodOptions {
	r := rand.New(rand.NewPCG(1, 2))
	return lab.FloodOptions{
		To: listener(false), Count: keys, Rate: paced(50_000), Length: 13,
		Fill: func(_ int, p []byte) {
			p[0] = 0x49 // not answered
			binary.BigEndian.PutUint64(p[1:], r.Uint64())
		},
		Source: func(i int) netip.AddrPort { return client(false, 50_000+i%2000, 25000) },
	}
}

// received is how many datagrams have arrived at the backends.
func (b *bed) received() int {
	n := 0
	for _, e := range b.echoes {
		n += int(e.Total())
	}
	return n
}

// max_sessions is a bound: those that were never answered go first, then those
// unseen for longest, and traffic goes on.
func TestMaxSessions(t *testing.T) {
	atLeisure(t)
	if kernelDecides() {
		t.Skip("kernel lacks: evictions. Its maps are bounded, and what they hold ends by its timeout")
	}
	b := newBed(t, bedOptions{answer: func(_ int, p []byte) bool { return p[len(p)-1] != 'x' }})
	answered := numbers(0, 100)
	// A quarter of the room is enough for all of these, while they come in and
	// no answer has been noted yet.
	home := b.offRing(answered, "max_sessions: 400")
	before := b.received()
	for i := range 2000 { // sessions that nobody answers
		d := datagram(client(false, 1000+i, 20000), 10_000+i, 0)
		d.Payload = append(d.Payload, 'x')
		if err := b.clients.Send(d.Src, d.Dst, d.Payload); err != nil {
			t.Fatal(err)
		}
		if (i+1)%250 == 0 { // the queues never overflow: the daemon sees them all
			waitFor(t, 10*time.Second, "they arrive", func() bool { return b.received() == before+i+1 })
		}
	}
	b.expire()
	for i, at := range b.place(answered, 2) {
		if at != home[i] {
			t.Errorf("answered session %d gave way to sessions that were never answered", i)
		}
	}
	b.daemon.stop()
	if got := b.daemon.count("unanswered"); got > 100 || got < 80 {
		t.Errorf("%d sessions that were never answered, want a quarter of max_sessions", got)
	}
	if got := b.daemon.count("evicted"); got < 1850 {
		t.Errorf("%d evicted, want all of the flood but a quarter of max_sessions", got)
	}
	b.start()
	speaking, silent := answered[:50], answered[50:]
	for i := range 500 { // more than there is room for
		b.exchange(0, datagram(client(true, 1000+rand.IntN(5000), 20000), 20_000+i, 0))
		time.Sleep(slow(3 * time.Millisecond)) // its answer is heard of: of those without one the next makes one go
		if i%25 == 0 {
			b.expire() // or the daemon does not see who speaks
			for j, at := range b.place(speaking, 3+i) {
				if at != home[j] {
					t.Fatalf("after %d new sessions, session %d gave way though it speaks", i, j)
				}
			}
		}
	}
	b.expire()
	for j, at := range b.place(silent, 3) {
		if at != 3 { // where the ring sends who is forgotten
			t.Errorf("session %d, the longest unseen, did not give way", silent[j])
		}
	}
	b.daemon.stop()
	if got := b.daemon.count("sessions"); got > 400 || got < 100 {
		t.Errorf("%d sessions in the end, max_sessions is 400", got)
	}
	if got := b.daemon.count("evicted"); got < 300 {
		t.Errorf("%d evicted, want what there was no room for", got)
	}
}

// A session that is over makes room by itself.
func TestSessionTTL(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("session_ttl: 1s", "timeouts: {unreplied: 1s, replied: 1s}"))
	live := numbers(0, 100)
	b.place(live, 0)
	kept := client(false, 500, 20000)
	waitFor(t, 10*time.Second, "the entries have timed out", func() bool {
		b.exchange(0, datagram(kept, 500, int(time.Now().UnixMilli()))) // this one goes on
		return len(b.entries()) <= 1
	})
	for begin := time.Now(); time.Since(begin) < slow(4*time.Second); time.Sleep(200 * time.Millisecond) {
		b.exchange(0, datagram(kept, 500, int(time.Now().UnixMilli())))
	}
	b.daemon.stop()
	if got := b.daemon.count("sessions"); got != 1 {
		t.Errorf("%d sessions are left, want the one that goes on", got)
	}
}
