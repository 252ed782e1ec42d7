package suite

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/google/nftables"

	"github.com/roamlb/roamlb/openapi"
)

// outcome ends a load and says what became of it; nothing may be lost or
// misplaced.
func (l *load) outcome(of string) {
	l.b.t.Helper()
	sent, lost, misplaced := l.end()
	l.b.t.Logf("%s: %d datagrams, %d lost, %d of %d sessions misplaced", of, sent, lost, misplaced, len(l.sent))
	if lost > 0 || misplaced > 0 {
		l.b.t.Errorf("%s: of %d datagrams %d were lost, %d of %d sessions were misplaced", of, sent, lost, misplaced, len(l.sent))
	}
}

// ends starts a daemon that must give up, and returns what it said.
func (b *bed) ends() string {
	b.t.Helper()
	b.launch()
	select {
	case <-b.daemon.done:
	case <-time.After(slow(20 * time.Second)):
		b.t.Fatalf("the daemon does not give up:\n%s", b.daemon.tail(20))
	}
	if err := b.daemon.cmd.Wait(); err == nil {
		b.t.Error("the daemon gave up with status 0")
	}
	return b.daemon.tail(5)
}

// Two daemons would fight over the table. The second says so and does nothing;
// the first's clients do not notice.
func TestSecondDaemonRefuses(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	b.serve(b.service("seed: 4711"))
	before := b.ruleset().fingerprint()
	l := b.startLoadByRing(0, paced(2000))
	second := &bed{Network: b.Network, t: t, dir: t.TempDir(), queues: "{first: 10, count: 2}"}
	second.configure(second.service("seed: 4712", second.backends(map[int]string{1: "-"})))
	if said := second.ends(); !strings.Contains(said, "another roamlb serves this network namespace") {
		t.Errorf("the second daemon said %q", said)
	}
	if after := b.ruleset().fingerprint(); after != before {
		t.Error("the second daemon has changed the table")
	}
	l.outcome("a second daemon")
}

// Suricata and others use queues too. Whoever starts roamlb beside them must be
// told which number is taken and what to do, and nothing may have changed.
func TestQueueOfAnotherProcess(t *testing.T) {
	b := newBed(t, bedOptions{})
	var other *nfqueue.Nfqueue
	err := b.LB.Do(func() (err error) {
		other, err = nfqueue.Open(&nfqueue.Config{NfQueue: 1, MaxQueueLen: 8, MaxPacketLen: 64, Copymode: nfqueue.NfQnlCopyPacket})
		if err != nil {
			return err
		}
		return other.RegisterWithErrorFunc(t.Context(), func(nfqueue.Attribute) int { return 0 }, func(error) int { return 0 })
	})
	if err != nil {
		t.Fatal(err)
	}
	b.configure(b.service("seed: 4711"))
	said := b.ends()
	for _, want := range []string{"bind queue 1", "another process serves this queue", "queues.first"} {
		if !strings.Contains(said, want) {
			t.Errorf("the daemon said %q, want %q in it", said, want)
		}
	}
	if got := b.ruleset().tables(); got != "" {
		t.Errorf("there are tables %q", got)
	}
	b.queues = "{first: 10, count: 2, length: 65535}"
	b.serve(b.service("seed: 4711"))
	l := b.startLoadByRing(0, paced(2000))
	time.Sleep(300 * time.Millisecond)
	l.outcome("beside another's queue")
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

// Where a service has more sessions than it may, those that are there go on, and
// so do the others, by the ring.
func TestSessionsMapFull(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	b.serve(b.service("seed: 4711", "max_sessions: 200"))
	l := b.startLoadByRing(0, paced(2000))
	waitFor(t, 20*time.Second, "somebody is told that sessions found no room", func() bool {
		return len(b.daemon.events("evicted"))+len(b.daemon.events("table-full")) > 0
	})
	time.Sleep(300 * time.Millisecond)
	l.outcome("a full sessions map")
}

// Somebody else's large change of nftables overflows the socket by which the
// daemon would hear of one of its own table. It must look for itself.
func TestWatchOverflows(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	b.serve(b.service("seed: 4711"))
	l := b.startLoadByRing(0, paced(1000))
	b.nft("table inet theirs { set many { type ipv4_addr; }; }")
	found := b.repaired("an overflow", func() {
		b.daemon.signal(syscall.SIGSTOP)
		defer b.daemon.signal(syscall.SIGCONT)
		for many := range 15 { // all at once is more than an ordinary user may send
			var flood strings.Builder
			for i := range 4000 {
				fmt.Fprintf(&flood, "10.%d.%d.%d, ", many, i>>8, i&255)
			}
			b.nft("add element inet theirs many { " + flood.String() + "}")
		}
		r := b.ruleset()
		r.AddChain(&nftables.Chain{Name: "theirs", Table: r.table})
		r.commit()
	})
	if !strings.Contains(found, "theirs") {
		t.Errorf("the daemon found %q", found)
	}
	l.outcome("an overflow of notifications")
}

// Configurations are changed by programs, again and again, while packets flow.
func TestManyChangesUnderTraffic(t *testing.T) {
	changes := 60
	if long() {
		changes = 1000
	}
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	b.serve(b.service())
	live := numbers(0, 60)
	home := b.settle(live)
	c := b.api()
	l := b.startLoad(1_000_000, paced(2000))
	begin := time.Now()
	for i := range changes {
		r, err := c.PatchBackendWithBodyWithResponse(t.Context(), "vpn", fmt.Sprint("b", 1+i%3), &openapi.PatchBackendParams{IfMatch: &anyState},
			"application/merge-patch+json", strings.NewReader(fmt.Sprintf(`{"weight": %d}`, 1+i%7)))
		if err != nil {
			t.Fatal(err)
		}
		if r.JSON200 == nil {
			t.Fatalf("change %d: %s: %s", i, r.Status(), r.Body)
		}
	}
	t.Logf("%d changes in %v", changes, time.Since(begin).Round(time.Millisecond))
	l.outcome(fmt.Sprint(changes, " changes"))
	b.stay("after all changes", home, from(24000, live, 2))
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*.tmp*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}
