package suite

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// load is steady traffic: every other datagram begins a new session, the rest
// belong to sessions that live already. It counts what it sends by session.
type load struct {
	b    *bed
	rate int
	ring *balancer.View // what new sessions are placed by; nil: by whatever the daemon has

	mu       sync.Mutex // guards the following
	sent     []int      // datagrams by session, counted from base
	base     int
	sessions int
	stopped  chan struct{}
	cancel   context.CancelFunc
}

// startLoad begins to send rate datagrams a second, sessions numbered from
// base on.
func (b *bed) startLoad(base, rate int) *load {
	ctx, cancel := context.WithCancel(b.t.Context())
	l := &load{b: b, rate: rate, base: base, cancel: cancel, stopped: make(chan struct{})}
	go l.run(ctx)
	b.t.Cleanup(func() { // of a test that fails before its end
		cancel()
		<-l.stopped
	})
	return l
}

// startLoadByRing is startLoad for the service "vpn" while it neither changes
// nor has other sessions: every one must be where the ring says. The file must
// name the seed.
func (b *bed) startLoadByRing(base, rate int) *load {
	l := b.startLoad(base, rate)
	l.ring = b.view("vpn")
	return l
}

// loadPort is where a load's clients send from.
const loadPort = 21000

func (l *load) client(session int) netip.AddrPort {
	return client(session%4 == 3, 1+session%100000, loadPort)
}

func (l *load) run(ctx context.Context) {
	defer close(l.stopped)
	const burst = 50
	begin := time.Now()
	for sent := 0; ctx.Err() == nil; sent += burst {
		if ahead := time.Until(begin.Add(time.Duration(sent) * time.Second / time.Duration(l.rate))); ahead > 0 {
			time.Sleep(ahead)
		}
		list := make([]lab.Datagram, burst)
		l.mu.Lock()
		for i := range list {
			session := l.sessions
			if i%2 == 0 || l.sessions == 0 {
				l.sessions++
				l.sent = append(l.sent, 0)
			} else {
				session = rand.IntN(l.sessions)
			}
			list[i] = datagram(l.client(l.base+session), l.base+session, l.sent[session])
			l.sent[session]++
		}
		l.mu.Unlock()
		if _, err := l.b.clients.SendAll(list); err != nil {
			l.b.t.Errorf("send: %v", err)
			return
		}
	}
}

// stop ends the load and demands that every datagram has arrived, all of a
// session at one backend. It returns how many there were.
func (l *load) stop() (sent int) {
	l.b.t.Helper()
	sent, lost, misplaced := l.end()
	if lost != 0 || misplaced != 0 {
		l.b.t.Errorf("of %d datagrams %d were lost, %d of %d sessions were misplaced; want none (the daemon tells of %d overflows)",
			sent, lost, misplaced, len(l.sent), len(l.b.daemon.events("overflow")))
	}
	return sent
}

// end ends the load and counts what was sent, what has not arrived, and the
// sessions that reached several backends, or another than the ring's.
func (l *load) end() (sent, lost, misplaced int) {
	l.cancel()
	<-l.stopped
	count := func() {
		lost = 0
		for i, n := range l.sent {
			lost += n - l.b.arrived.of(l.base+i).total()
		}
	}
	count()
	for deadline := time.Now().Add(slow(2 * time.Second)); lost > 0 && time.Now().Before(deadline); count() {
		time.Sleep(20 * time.Millisecond)
	}
	for i, n := range l.sent {
		sent += n
		a := l.b.arrived.of(l.base + i)
		strayed := l.ring != nil && a.last != l.b.ringOf(l.ring, l.base+i, l.client(l.base+i))
		if len(a.count) > 1 || strayed && a.last != 0 {
			misplaced++
		}
	}
	return sent, lost, misplaced
}

// ringOf is the backend that the ring alone gives a session.
func (b *bed) ringOf(v *balancer.View, session int, at netip.AddrPort) int {
	return int(v.Ring(at.Addr().Is6()).At(v.Hash(sessionKey(session))))
}

// An upgrade, and a crash, must not cost a packet: the kernel and the keeper
// go on alone.
func TestRestartUnderLoad(t *testing.T) {
	rounds := 5
	if long() {
		rounds = 20
	}
	for _, how := range []struct {
		name string
		end  func(*daemon)
	}{{"SIGKILL", (*daemon).kill}, {"SIGTERM", (*daemon).stop}} {
		t.Run(how.name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service(seeded))
			total := 0
			for round := range rounds {
				// a session that is known before the daemon goes
				known := 90_000_000 + round
				home := b.exchange(0, datagram(client(false, 90000+round, 22000), known, 0))[0].Number()
				l := b.startLoadByRing(round*200_000, paced(10000))
				time.Sleep(300 * time.Millisecond) // the load is on
				how.end(b.daemon)
				time.Sleep(200 * time.Millisecond) // nobody but the kernel
				b.start()
				time.Sleep(300 * time.Millisecond)
				total += l.stop()
				roamed := client(true, 90000+round, 22001)
				if got := b.exchange(0, datagram(roamed, known, 1))[0].Number(); got != home {
					t.Errorf("round %d: a session from before moved from backend %d to %d when it roamed after", round, home, got)
				}
			}
			t.Logf("%d rounds, %d datagrams", rounds, total)
		})
	}
}

// A daemon that hangs for a moment, or for good, must not cost a packet.
func TestStoppedUnderLoad(t *testing.T) {
	b := newBed(t, bedOptions{})
	if lab.Emulated() { // as much shorter as the load is smaller
		b.queues = "{count: 2, length: 100}"
	}
	b.serve(b.service(seeded))
	for round, pause := range []time.Duration{time.Second, 4 * time.Second} {
		t.Run(fmt.Sprint(pause), func(t *testing.T) {
			overflows := len(b.daemon.events("overflow"))
			l := b.startLoadByRing(round*400_000, paced(10000))
			time.Sleep(300 * time.Millisecond)
			b.daemon.signal(syscall.SIGSTOP)
			time.Sleep(pause)
			b.daemon.signal(syscall.SIGCONT)
			time.Sleep(500 * time.Millisecond)
			t.Logf("%d datagrams", l.stop())
			if !kernelDecides() && len(b.daemon.events("overflow")) == overflows {
				t.Error("no queue has overflowed: the test shows nothing")
			}
		})
	}
	// for good
	l := b.startLoadByRing(1_000_000, paced(10000))
	time.Sleep(300 * time.Millisecond)
	b.daemon.signal(syscall.SIGSTOP)
	time.Sleep(4 * time.Second)
	l.stop()
}

// Who was where must outlive the daemon: the first roam after a restart leaves
// no stale entry either, of a session that the snapshot has, and after a crash
// of one that has spoken since.
func TestRoamAfterRestart(t *testing.T) {
	atLeisure(t)
	for _, how := range []struct {
		name   string
		before func(*bed)
		end    func(*daemon)
	}{{"SIGTERM", func(*bed) {}, (*daemon).stop}, {"SIGKILL", (*bed).saved, (*daemon).kill}} {
		t.Run(how.name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service())
			n := scaled(200, 50)
			known, away := numbers(0, n), numbers(1000, n)
			home := b.place(known, 0)
			how.before(b)
			how.end(b.daemon)
			awayHome := b.place(away, 0) // the kernel alone has placed them
			b.start()
			b.stay("after the restart", home, from(20001, known, 1))
			b.onlyAt(20001, known)

			r := b.ruleset()
			waitFor(t, 10*time.Second, "the daemon has taken over what the kernel knows", func() bool {
				return !slices.ContainsFunc(r.learned(), func(m string) bool {
					return slices.ContainsFunc(r.elements(m), func(e nftables.SetElement) bool {
						return slices.ContainsFunc(away, func(s int) bool { return bytes.Equal(e.Key, keyOf(payload(s, 0))) })
					})
				})
			})
			b.stay("heard since", awayHome, from(20000, away, 1))
			b.stay("and roamed", awayHome, from(20002, away, 2))
			b.onlyAt(20002, away)
		})
	}
}

// saved waits until the daemon has written down what it knows now.
func (b *bed) saved() {
	b.t.Helper()
	now := time.Now()
	waitFor(b.t, 20*time.Second, "the sessions are on disk", func() bool {
		info, err := os.Stat(filepath.Join(b.dir, "state.sessions"))
		return err == nil && info.ModTime().After(now)
	})
}

// onlyAt waits until the sessions of place and from have no entry left but at a
// port.
func (b *bed) onlyAt(sourcePort uint16, sessions []int) {
	b.t.Helper()
	addresses := make(map[netip.Addr]bool)
	for _, d := range from(sourcePort, sessions, 0) {
		addresses[d.Src.Addr()] = true
	}
	waitFor(b.t, 2*time.Second, "the entries that they left are gone", func() bool {
		return !slices.ContainsFunc(b.entries(), func(e entry) bool { return addresses[e.client.Addr()] && e.client.Port() != sourcePort })
	})
}

// Sessions whom the ring would send elsewhere by now must outlive the daemon
// as well: after a crash the kernel knows them, after a stop the file too.
func TestRestartOffTheRing(t *testing.T) {
	atLeisure(t)
	for _, how := range []struct {
		name    string
		end     func(*daemon)
		forgets bool // the kernel, while the daemon is away
	}{{"SIGKILL", (*daemon).kill, false}, {"SIGTERM", (*daemon).stop, false}, {"SIGTERM and long away", (*daemon).stop, true}} {
		t.Run(how.name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			live := numbers(0, scaled(300, 100))
			home := b.offRing(live)
			how.end(b.daemon)
			if how.forgets {
				b.expire()
			} else {
				b.stay("nobody but the kernel", home, from(20001, live, 2))
			}
			b.start()
			for i := range 20 { // while the daemon takes over what the kernel knows
				b.stay("after the start", home, from(20002+uint16(i), live, 3+i))
				time.Sleep(slow(50 * time.Millisecond))
			}
			b.expire()
			b.stay("when the kernel has forgotten", home, from(20100, live, 50))
		})
	}
}

// Clients roam while the daemon hangs, and the keeper lets them pass unseen:
// their old entries must go all the same, once the daemon is back: all of them,
// also of those that it has seen just before.
func TestRoamsWhileTheDaemonHangs(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("confirm_timeout: 1s"))
	n := scaled(200, 50)
	live := numbers(0, n)
	home := b.settle(live)
	seq := 2
	for round, at := range []uint16{21000, 22000} { // the first time might be the start's doing
		b.daemon.signal(syscall.SIGSTOP)
		b.stay("while the daemon hangs", home, from(at, live, seq))
		b.daemon.signal(syscall.SIGCONT)
		waitFor(t, time.Minute, "the old entries are gone", func() bool {
			seq++
			b.stay("after the daemon hung", home, from(at, live, seq))
			time.Sleep(200 * time.Millisecond)
			deleted := len(b.daemon.events("stale-deleted")) // none has ended by itself
			return len(b.entries()) == n && deleted == (round+1)*n
		})
	}
}
