package suite

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// Probes of these tests: fast, so that a backend is down soon.
const (
	probeInterval = 200 * time.Millisecond
	probeTimeout  = 100 * time.Millisecond
	probeFall     = 3
	// downAfter is how long a dead backend is up at most, as documented.
	downAfter = probeFall*probeInterval + probeTimeout
)

// probes is the member health of a service; more adds to it.
func probes(more string) string {
	return fmt.Sprintf("health: {kind: udp, send: \"00\", interval: %s, timeout: %s, rise: 2, fall: %d%s}",
		lab.Slow(probeInterval), lab.Slow(probeTimeout), probeFall, more)
}

// kill ends a backend's program: its host refuses packets from then on.
func (b *bed) kill(number int) {
	b.t.Helper()
	if err := b.echoes[number-1].Close(); err != nil {
		b.t.Fatal(err)
	}
}

// revive starts it again.
func (b *bed) revive(number int) {
	b.t.Helper()
	e, err := b.Backend(number).Echo(port, lab.EchoOptions{
		Number: byte(number), Key: keyOf, OnArrival: func(a lab.Arrival) { b.arrived.add(number, a) },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.echoes[number-1] = e
}

// addrPort is an address of a backend, with its port.
func addrPort(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// awaitState waits until the last of these events about a backend says so.
func (b *bed) awaitState(number int, state string, limit time.Duration) {
	b.t.Helper()
	waitFor(b.t, limit, fmt.Sprintf("backend %d is %s", number, state), func() bool {
		last := ""
		for _, l := range b.daemon.events("backend-state") {
			if l.str("backend") == fmt.Sprint("b", number) {
				last = l.str("state")
			}
		}
		return last == state
	})
}

// among demands that the sessions are at one of these backends, and at home
// where that is one of them. It returns where they are.
func (b *bed) among(what string, sessions, home []int, seq int, backends ...int) []int {
	b.t.Helper()
	allowed := make(map[int]bool)
	for _, n := range backends {
		allowed[n] = true
	}
	at := b.place(sessions, seq)
	for i := range at {
		if !allowed[at[i]] || allowed[home[i]] && at[i] != home[i] {
			b.t.Fatalf("%s: session %d is at backend %d, was at %d, want %v", what, sessions[i], at[i], home[i], backends)
		}
	}
	return at
}

// chatter is steady traffic of sessions that live, one datagram of each by
// turns.
type chatter struct {
	b        *bed
	sessions []int
	home     []int
	sent     []int // datagrams by index into sessions, beyond those of before
	before   []int
	total    atomic.Int64 // datagrams
	stop     chan struct{}
	done     chan struct{}
}

// chatBurst is how many datagrams a chatter sends at a time.
const chatBurst = 20

// chat begins to send rate datagrams a second, of sessions that are at home.
func (b *bed) chat(sessions, home []int, rate int) *chatter {
	c := &chatter{
		b: b, sessions: sessions, home: home, sent: make([]int, len(sessions)),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	for _, s := range sessions {
		c.before = append(c.before, b.arrived.of(s).total())
	}
	go c.run(rate)
	return c
}

func (c *chatter) run(rate int) {
	defer close(c.done)
	begin := time.Now()
	for n := 0; ; n += chatBurst {
		select {
		case <-c.stop:
			return
		case <-time.After(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(rate)))):
		}
		list := make([]lab.Datagram, chatBurst)
		for i := range list {
			at := (n + i) % len(c.sessions)
			s := c.sessions[at]
			list[i] = datagram(client(s%2 == 1, 1+s, 20000), s, 1000+c.sent[at])
			c.sent[at]++
		}
		if _, err := c.b.clients.SendAll(list); err != nil {
			c.b.t.Errorf("send: %v", err)
			return
		}
		c.total.Add(chatBurst)
	}
}

// toll is what became of a chatter's datagrams and sessions.
type toll struct {
	sent, cutLost, othersLost int // datagrams
	moved, misplaced          int // sessions: of those cut off, elsewhere; in a wrong place
}

// toll ends the traffic and counts. cut says whether the sessions of a backend
// were cut off: these may be at one other now.
func (c *chatter) toll(cut func(backend int) bool) toll {
	close(c.stop)
	<-c.done
	lost := func() (cutOff, others int) {
		for i, s := range c.sessions {
			n := c.before[i] + c.sent[i] - c.b.arrived.of(s).total()
			if cut(c.home[i]) {
				cutOff += n
			} else {
				others += n
			}
		}
		return cutOff, others
	}
	var t toll
	for deadline := time.Now().Add(slow(2 * time.Second)); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if t.cutLost, t.othersLost = lost(); t.othersLost == 0 {
			break
		}
	}
	for i, s := range c.sessions {
		t.sent += c.sent[i]
		r := c.b.arrived.of(s)
		delete(r.count, c.home[i])
		if cut(c.home[i]) {
			t.moved += min(1, len(r.count))
		}
		if len(r.count) > 1 || !cut(c.home[i]) && len(r.count) > 0 {
			t.misplaced++
		}
	}
	return t
}

// end ends the traffic. Sessions that were not at the dead backend must have
// lost nothing and have stayed; one that was there may be at one other now.
func (c *chatter) end(dead int) {
	c.b.t.Helper()
	t := c.toll(func(backend int) bool { return backend == dead })
	c.b.t.Logf("%d datagrams: %d lost at the dead backend before it was down, %d sessions went on elsewhere", t.sent, t.cutLost, t.moved)
	if t.othersLost != 0 || t.misplaced != 0 {
		c.b.t.Errorf("%d datagrams of sessions elsewhere are lost, %d sessions misplaced; want none", t.othersLost, t.misplaced)
	}
}

// A backend that dies must cost its sessions no more than the time that an
// operator has set, and the others nothing. When it comes back it must move
// nobody who lives.
func TestBackendDiesAndComesBack(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: "+pinning, probes("")))
			n := scaled(600, 100)
			live := numbers(0, n)
			home := b.settle(live)
			if got := shares(home); got[1] == 0 || got[2] == 0 || got[3] == 0 {
				t.Fatalf("sessions are spread as %v", got)
			}

			c := b.chat(live, home, paced(3000))
			time.Sleep(slow(200 * time.Millisecond)) // the traffic is on
			began := time.Now()
			b.kill(2)
			b.awaitState(2, "down", downAfter+time.Second)
			took := time.Since(began)
			t.Logf("down after %v, at most %v wanted", took.Round(time.Millisecond), slow(downAfter))
			if took > slow(downAfter)+slow(time.Second)/2 {
				t.Errorf("the dead backend was up for %v, want at most %v", took, slow(downAfter))
			}
			waitFor(t, 5*time.Second, "its entries are gone", func() bool {
				for _, e := range b.entries() {
					if e.mark != 0 && (e.backend.Addr() == b.Backend(2).IPv4 || e.backend.Addr() == b.Backend(2).IPv6) {
						return false
					}
				}
				return true
			})
			time.Sleep(slow(500 * time.Millisecond))
			c.end(2)
			elsewhere := b.among("while it is down", live, home, 2_000_000, 1, 3)

			b.revive(2)
			b.awaitState(2, "up", 5*time.Second)
			fresh := numbers(50_000, n)
			waitFor(t, 5*time.Second, "new sessions go to it", func() bool {
				fresh = numbers(fresh[0]+n, n)
				return shares(b.place(fresh, 0))[2] > n/5
			})
			b.among("when it is back", live, elsewhere, 2_000_001, 1, 3)
			b.expire()
			b.among("when it is back and the kernel has forgotten", live, elsewhere, 2_000_002, 1, 3)
		})
	}
}

// With every backend down a client must get what the operator has chosen, and
// when one answers again it must be served at once.
func TestAllDown(t *testing.T) {
	atLeisure(t)
	for _, c := range []struct {
		name, lines string
		kept        bool
	}{{"no backend", "no_backend: reject", false}, {"keep", "all_down: keep", true}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, bedOptions{clients: lab.ClientOptions{ICMPErrors: true}})
			b.serve(b.service(c.lines, probes("")))
			live := numbers(0, 60)
			home := b.settle(live)
			for i := range 3 {
				b.kill(i + 1)
			}
			for i := range 3 {
				b.awaitState(i+1, "down", 5*time.Second)
			}
			if c.kept {
				b.allKept(live, home)
				return
			}
			// The balancer refuses: no backend sees it, and no entry is made.
			at := client(false, 900, 20000)
			before := len(b.clients.Errors())
			if err := b.clients.Send(at, listener(false), payload(900, 0)); err != nil {
				t.Fatal(err)
			}
			waitFor(t, 5*time.Second, "the client is refused", func() bool { return len(b.clients.Errors()) > before })
			if got := b.entriesOf(at); len(got) != 0 {
				t.Errorf("the refusal came from a backend: there is an entry %+v", got)
			}
			b.revive(3)
			b.awaitState(3, "up", 5*time.Second)
			b.among("one is back", live, make([]int, len(live)), 10, 3)
		})
	}
}

// allKept: nobody answers the probes, and all go on being served.
func (b *bed) allKept(live, home []int) {
	b.t.Helper()
	b.daemon.wait("the daemon says that all are kept", func(l logLine) bool { return l.str("reason") == "all-down" })
	// They answer clients again: at a rise of 2 the first probe is not enough.
	for i := range 3 {
		b.revive(i + 1)
	}
	at := b.place(live, 10)
	b.t.Logf("kept: %v", shares(at))
	kept := 0
	for i := range at {
		if at[i] == home[i] {
			kept++
		}
	}
	if kept < len(live)/4 {
		b.t.Errorf("%d of %d sessions are where they were", kept, len(live))
	}
	if got := shares(at); got[1] == 0 || got[2] == 0 || got[3] == 0 {
		b.t.Errorf("sessions are spread as %v, want all backends kept", got)
	}
	for i := range 3 {
		b.awaitState(i+1, "up", 5*time.Second)
	}
	b.among("probes count again", live, at, 11, 1, 2, 3)
}

// A backend whose host is gone, and one that is alive on one family only, must
// go down too.
func TestBackendSilent(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service(probes("")))
	live := numbers(0, 100)
	home := b.settle(live)
	b.echoes[0].SetSilent(true)
	b.awaitState(1, "down", downAfter+2*time.Second)
	b.among("silent", live, home, 10, 2, 3)
	b.echoes[0].SetSilent(false)
	b.awaitState(1, "up", 5*time.Second)

	b.kill(2)
	only, err := lab.NewEcho(b.Backend(2).Namespace, lab.EchoOptions{Number: 2, Key: keyOf}, addrPort(b.Backend(2).IPv4))
	if err != nil {
		t.Fatal(err)
	}
	defer only.Close()
	b.awaitState(2, "down", downAfter+2*time.Second)
}

// A start must not give sessions to backends that are dead, nor take them from
// those that are well.
func TestStartWithDeadBackends(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.kill(2)
	b.serve(b.service(probes("")))
	live := numbers(0, 200)
	home := b.place(live, 0)
	if n := shares(home)[2]; n != 0 {
		t.Fatalf("%d sessions at a backend that is dead", n)
	}
	b.awaitState(2, "down", 5*time.Second)
	l := b.startLoad(10_000, paced(3000))
	time.Sleep(slow(100 * time.Millisecond))
	b.daemon.stop()
	time.Sleep(slow(100 * time.Millisecond))
	b.start()
	time.Sleep(slow(300 * time.Millisecond))
	l.stop()
	b.among("after a restart", live, home, 1, 1, 3)
}

// A backend that comes back cold must not get its whole share at once.
func TestSlowStart(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service(probes(", slow_start: 5s")))
	n := scaled(600, 200)
	fresh := func(from int) int { return shares(b.place(numbers(from, n), 0))[2] }
	home := b.settle(numbers(0, n))
	if got := shares(home)[2]; got < n/5 {
		t.Fatalf("of %d sessions %d are at backend 2 before it dies", n, got)
	}
	b.kill(2)
	b.awaitState(2, "down", 5*time.Second)
	moved := b.place(numbers(0, n), 1)
	b.revive(2)
	b.awaitState(2, "up", 5*time.Second)
	time.Sleep(slow(200 * time.Millisecond))
	if got := fresh(10_000); got > n/6 {
		t.Errorf("of %d new sessions %d went to the backend that has just come back", n, got)
	}
	from := 20_000
	waitFor(t, 10*time.Second, "it has its whole share", func() bool { from += n; return fresh(from) > n/4 })
	b.among("during the slow start", numbers(0, n), moved, 2, 1, 3)
}

// A backend that refuses its clients' packets must be found out by that, long
// before its next probe is due; and who has no flow must not be able to have
// backends suspected.
func TestRefusedPacketsAreHeeded(t *testing.T) {
	atLeisure(t)
	const interval = 6 * time.Second // of regular probes: three would take 12 s at least
	for _, c := range []struct {
		lines string
		v6    bool
	}{{"pinning: session", false}, {"pinning: session", true}, {"pinning: flow", false}, {"snat: masquerade", true}} {
		t.Run(fmt.Sprintf("%s IPv6 %v", c.lines, c.v6), func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service(c.lines, fmt.Sprintf("health: {kind: udp, send: \"00\", interval: %s, jitter: 0%%}", lab.Slow(interval))))
			at := client(c.v6, 7, 20000)
			home := b.exchange(0, datagram(at, 1, 0))[0].Number()
			other := home%3 + 1
			suspects := func(number int) int {
				n := 0
				for _, l := range b.daemon.events("backend-state") {
					if l.str("backend") == fmt.Sprint("b", number) && l.str("state") == "suspect" {
						n++
					}
				}
				return n
			}
			// Made up, about a flow that there is not.
			if c.lines != "snat: masquerade" {
				made := addressOf(b.Backend(other), c.v6)
				inner := lab.UDPPacket(client(c.v6, 8, 20000), netip.AddrPortFrom(made, port), payload(2, 0), lab.PacketOptions{})
				b.sendRaw(b.Backend(other).Namespace, lab.PortUnreachable(made, inner))
			}

			b.kill(home)
			began := time.Now()
			seq := 1
			waitFor(t, interval, "the backend is suspect", func() bool {
				seq++
				if _, err := b.clients.SendAll([]lab.Datagram{datagram(at, 1, seq)}); err != nil {
					t.Fatal(err)
				}
				return suspects(home) > 0
			})
			b.awaitState(home, "down", interval)
			if took := time.Since(began); took > slow(interval) {
				t.Errorf("down after %v, no sooner than by regular probes", took)
			}
			t.Logf("down after %v", time.Since(began).Round(time.Millisecond))
			if got := b.exchange(0, datagram(at, 1, seq+1))[0].Number(); got == home {
				t.Error("the session is at the dead backend")
			}
			if n := suspects(other); n != 0 {
				t.Errorf("a backend is suspect for an error about nobody's flow")
			}
		})
	}
}
