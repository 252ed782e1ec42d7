package suite

import (
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// changeDatapath has a service decided by another, and sees that it is.
func (b *bed) changeDatapath(to string, lines ...string) {
	b.t.Helper()
	if refusal := b.reload(b.service(append(lines, "datapath: "+to)...)); refusal != "" {
		b.t.Fatal(refusal)
	}
	r, err := b.api().GetServiceWithResponse(b.t.Context(), "vpn", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if r.JSON200 == nil || r.JSON200.Effective.Datapath == nil || string(*r.JSON200.Effective.Datapath) != to {
		b.t.Fatalf("want datapath %s in effect: %s", to, r.Body)
	}
}

// Who decides must make no difference to whom it is decided for: a service
// changes its data path under traffic, nothing is lost, and every session is
// where the ring says, whoever decided it.
func TestDatapathChangesUnderLoad(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.serve(b.service(seeded, "datapath: queue"))
	for round := range 3 {
		for i, path := range []string{"kernel", "queue"} {
			l := b.startLoadByRing((2*round+i)*100_000, paced(10000))
			time.Sleep(100 * time.Millisecond) // the load is on
			b.changeDatapath(path, seeded)
			time.Sleep(200 * time.Millisecond)
			t.Logf("to %s: %d datagrams", path, l.stop())
		}
	}
}

// Sessions whom the ring would send elsewhere by now must stay where they are
// when another decides, with and without traffic.
func TestDatapathChangesOffTheRing(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	live := numbers(0, scaled(1000, 200))
	home := b.offRing(live)
	weights := b.backends(map[int]string{1: "weight: 0", 2: "weight: 0"})
	b.reload(b.service(weights, "datapath: queue"))
	seq := 2
	for round := range 3 {
		for _, path := range []string{"kernel", "queue"} {
			l := b.startLoad(1_000_000+seq*100_000, paced(5000))
			time.Sleep(100 * time.Millisecond) // the load is on
			b.changeDatapath(path, weights)
			time.Sleep(100 * time.Millisecond)
			l.stop()
			for range 2 {
				seq++
				for i, at := range b.place(live, seq) {
					if at != home[i] {
						t.Fatalf("round %d, to %s: session %d moved from backend %d to %d", round, path, i, home[i], at)
					}
				}
			}
		}
	}
}

// With datapath kernel no packet of a session waits for the daemon, and the
// daemon knows of it all the same: a roam is seen, the old entry goes.
func TestKernelDecidesAndTells(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("datapath: kernel"))
	n := scaled(500, 100)
	var list []lab.Datagram
	for step := range 4 { // arrive, speak, roam, speak
		list = list[:0]
		for i := range n {
			list = append(list, datagram(client(i%2 == 1, 1+i+step/2*n, 20000), i, step))
		}
		b.exchange(5000, list...)
	}
	waitFor(t, 5*time.Second, "the old entries are gone", func() bool { return len(b.entries()) == n })
	for i := range n {
		if a := b.arrived.of(i); len(a.count) != 1 || a.total() != 4 {
			t.Errorf("session %d: %v datagrams by backend, want 4 at one", i, a.count)
		}
	}
	b.daemon.stop()
	asked := 0
	for _, l := range b.daemon.find(func(l logLine) bool { return l.str("msg") == "queue" }) {
		p, _ := l.fields["packets"].(float64)
		asked += int(p)
	}
	if asked != 0 {
		t.Errorf("the daemon was asked about %d packets, want none", asked)
	}
	if told := b.daemon.packets(); told < 2*n || told > 3*n {
		t.Errorf("the daemon was told of %d packets, want %d arrivals, as many roams, and few more", told, n)
	}
	if roams := b.daemon.count("roams"); roams != n {
		t.Errorf("%d roams, want %d", roams, n)
	}
}
