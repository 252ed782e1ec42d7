package suite

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

func secondListener(v6 bool) netip.AddrPort { return netip.AddrPortFrom(listener(v6).Addr(), port+1) }

// backendAt is where a backend's echo listens.
func backendAt(be *lab.Backend, v6 bool) netip.AddrPort {
	return netip.AddrPortFrom(addressOf(be, v6), port)
}

// tagged is a session's payload that tells whose it is, for answers that go
// astray to be seen.
func tagged(session int, whose string) []byte { return append(payload(session, 0), whose...) }

// Two services may lead to the same address and port of a server, say on two
// ports for networks that block one. A client who uses both from one socket
// must get each answer from the service that he asked.
func TestServicesShareABackend(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.serviceNamed("one", port, "pinning: "+pinning, "seed: 1"), b.serviceNamed("two", port+1, "pinning: "+pinning, "seed: 1"))
			same := 0
			for i := range 60 {
				at := client(i%2 == 1, i, 20000)
				v6 := at.Addr().Is6()
				list := []lab.Datagram{
					{Src: at, Dst: listener(v6), Payload: tagged(i, "one")},
					{Src: at, Dst: secondListener(v6), Payload: tagged(i, "two")},
				}
				if i%4 > 1 { // the other one first
					list[0], list[1] = list[1], list[0]
				}
				r := b.exchange(0, list...)
				if r[0].Number() == r[1].Number() {
					same++
				}
				b.exchange(0, list[1], list[0], list[1]) // and again on what there is now
			}
			if same < 10 {
				t.Errorf("both services led to one backend %d times of 60: the test shows nothing", same)
			}
			b.nothingAstray()
		})
	}
}

// What a server of two services sends first could be of either. Under its own
// address it must not leave: the client would answer there, past the balancer.
func TestServerOfTwoServicesSpeaksFirst(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.serviceNamed("one", port), b.serviceNamed("two", port+1))
	r := b.ruleset()
	for _, v6 := range []bool{false, true} {
		for i, e := range b.echoes {
			if err := e.Send(client(v6, i, 20000), []byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, 5*time.Second, "all are dropped, and counted", func() bool {
			dropped := uint64(0)
			for _, e := range r.elements("answersdropped" + map[bool]string{false: "4", true: "6"}[v6]) {
				if e.Counter != nil {
					dropped += e.Counter.Packets
				}
			}
			return dropped == uint64(len(b.echoes))
		})
		// Whoever is asked still answers, and under the right name.
		b.exchange(0, datagram(client(v6, 1, 20000), 1, 0), lab.Datagram{Src: client(v6, 1, 20000), Dst: secondListener(v6), Payload: payload(1, 1)})
	}
	if got := b.clients.Counts().Received; got != 4 {
		t.Errorf("the clients received %d datagrams, want the 4 they asked for", got)
	}
}

// nothingAstray demands that every datagram that came to a client was one that
// it waited for.
func (b *bed) nothingAstray() {
	b.t.Helper()
	if n := b.clients.Counts().Unclaimed; n > 0 {
		b.t.Errorf("%d answers went to clients who did not ask", n)
	}
}

// directly are datagrams straight to every backend's own address, from one
// socket.
func (b *bed) directly(src netip.AddrPort, session int, whose string) []lab.Datagram {
	var list []lab.Datagram
	for _, be := range b.Backends {
		list = append(list, lab.Datagram{Src: src, Dst: backendAt(be, src.Addr().Is6()), Payload: tagged(session, fmt.Sprint(whose, be.Number))})
	}
	return list
}

// answeredByAll demands that each backend has answered for itself.
func (b *bed) answeredByAll(what string, list []lab.Reply) {
	b.t.Helper()
	for i, r := range list {
		if r.Number() != b.Backends[i].Number {
			b.t.Fatalf("%s: backend %d was asked, %d answers", what, b.Backends[i].Number, r.Number())
		}
	}
}

// A client may know a server's own address as well, and use it beside the
// service from the same socket.
func TestDirectTalkBesideTheService(t *testing.T) {
	atLeisure(t)
	for _, c := range []struct {
		lines []string
		two   bool // another service has the same servers
	}{
		{lines: []string{"pinning: session"}},
		{lines: []string{"pinning: session"}, two: true},
		{lines: []string{"pinning: flow"}},
		{lines: []string{"pinning: flow"}, two: true},
		{lines: []string{"pinning: session", "snat: masquerade"}},
	} {
		t.Run(fmt.Sprintf("%v two=%t", c.lines, c.two), func(t *testing.T) {
			b := newBed(t, bedOptions{})
			services := []string{b.service(c.lines...)}
			if c.two {
				services = append(services, b.serviceNamed("two", port+1, c.lines...))
			}
			b.serve(services...)
			for i := range 40 {
				at := client(i%2 == 1, i, 20000)
				service := lab.Datagram{Src: at, Dst: listener(at.Addr().Is6()), Payload: tagged(i, "service")}
				direct := b.directly(at, i, "direct")
				if i%4 > 1 {
					b.answeredByAll("before the service", b.exchange(0, direct...))
				}
				home := b.exchange(0, service)[0].Number()
				b.answeredByAll("beside the service", b.exchange(0, direct...))
				if got := b.exchange(0, service)[0].Number(); got != home {
					t.Fatalf("session %d moved from backend %d to %d", i, home, got)
				}
			}
			b.nothingAstray()
		})
	}
}

// The balancer's host probes the backends itself, and its clients come, where
// they are masqueraded, from its own address: even from the port that the probe
// has. Neither may get what is the other's.
func TestProbesBesideMasqueradedClients(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: "+pinning, "snat: masquerade"))
			probes := lab.NewClients(b.LB, lab.ClientOptions{})
			defer probes.Close()
			const fixed = 20000
			for i, v6 := range []bool{false, true} {
				own := b.ownAddress(v6)
				probe := func(seq int) {
					t.Helper()
					list := b.directly(netip.AddrPortFrom(own, fixed), 1000+seq, "probe")
					b.answeredByAll("the probe", b.exchangeFrom(probes, 0, list...))
				}
				var clients []lab.Datagram
				for j := range 30 {
					at := client(v6, j, fixed)
					clients = append(clients, lab.Datagram{Src: at, Dst: listener(v6), Payload: tagged(100*i+j, "client")})
				}
				if !v6 { // the probe before the clients, or they before it
					probe(0)
				}
				home := b.exchange(1000, clients...)
				probe(1)
				for j, r := range b.exchange(1000, clients...) {
					if r.Number() != home[j].Number() {
						t.Fatalf("session %d moved from backend %d to %d", 100*i+j, home[j].Number(), r.Number())
					}
				}
				probe(2)
				for j := range clients {
					if got := b.arrived.of(100*i + j).from.Addr(); got != own {
						t.Fatalf("a masqueraded client came from %v, want %v", got, own)
					}
				}
			}
			b.nothingAstray()
			if n := probes.Counts().Unclaimed; n > 0 {
				t.Errorf("%d answers went to probes that were not theirs", n)
			}
		})
	}
}

// ownAddress is the balancer's address on its links to the backends.
func (b *bed) ownAddress(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr("2001:db8:b::fe")
	}
	return netip.MustParseAddr("198.51.100.254")
}
