package suite

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// localNumber is the number by which the backend on the balancer's own host
// answers.
const localNumber = 4

// localBed is a bed with one more backend, on the balancer's own host at an
// address of its own, and with clients there as well.
func localBed(t *testing.T, lines ...string) (b *bed, here *lab.Clients, local *lab.Echo) {
	t.Helper()
	b = newBed(t, bedOptions{})
	addrs := []netip.Addr{netip.MustParseAddr("198.51.100.200"), netip.MustParseAddr("2001:db8:b::200")}
	for _, a := range addrs {
		if err := b.AddListener(a); err != nil { // any address of the host's own
			t.Fatal(err)
		}
	}
	local, err := lab.NewEcho(b.LB, lab.EchoOptions{
		Number: localNumber, OnArrival: func(a lab.Arrival) { b.arrived.add(localNumber, a) },
	}, netip.AddrPortFrom(addrs[0], port), netip.AddrPortFrom(addrs[1], port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	here = lab.NewClients(b.LB, lab.ClientOptions{})
	t.Cleanup(func() { here.Close() })
	b.serve(b.service(append(lines, fmt.Sprintf("%s\n  - {name: local, addresses: [%s, %q], port: %d}", b.backends(nil), addrs[0], addrs[1], port))...))
	return b, here, local
}

// localClient is a client on the balancer's own host: at one of its addresses
// or, as the kernel chooses where nobody else does, at the listener's.
func (b *bed) localClient(v6 bool, sourcePort uint16) netip.AddrPort {
	if sourcePort%3 == 0 {
		return netip.AddrPortFrom(listener(v6).Addr(), sourcePort)
	}
	return netip.AddrPortFrom(b.ownAddress(v6), sourcePort)
}

// ask asks, from clients at a place, which backends sessions are at.
func ask(b *bed, clients *lab.Clients, list []lab.Datagram) []int {
	b.t.Helper()
	var at []int
	for _, r := range b.exchangeFrom(clients, 2000, list...) {
		at = append(at, r.Number())
	}
	return at
}

// Small sites run the balancer on one of the servers, and use the service from
// there as well. A session must stay wherever its client and its backend are,
// and leave nothing behind.
func TestClientsAndBackendsOnTheBalancer(t *testing.T) {
	atLeisure(t)
	for _, lines := range [][]string{{"pinning: session"}, {"pinning: flow"}, {"pinning: session", "snat: masquerade"}} {
		t.Run(fmt.Sprint(lines), func(t *testing.T) {
			b, here, _ := localBed(t, lines...)
			const n = 80
			var home []int
			for round := range 4 { // remote, local, remote, local
				var list []lab.Datagram
				for i := range n {
					v6 := (i+round/2)%2 == 1 // the families are changed too
					at := client(v6, n*round+i, 20000)
					if round%2 == 1 {
						at = b.localClient(v6, uint16(20000+n*round+i))
					}
					list = append(list, datagram(at, i, round))
				}
				clients := b.clients
				if round%2 == 1 {
					clients = here
				}
				at := ask(b, clients, list)
				if round == 0 {
					home = at
				}
				for i := range at {
					if at[i] != home[i] {
						t.Fatalf("round %d: session %d moved from backend %d to %d when it roamed", round, i, home[i], at[i])
					}
				}
				waitFor(t, 5*time.Second, "the entries that they left are gone", func() bool { return len(b.entries()) == n })
			}
			if got := shares(home); len(got) != 4 {
				t.Errorf("sessions spread as %v, want all four backends", got)
			}
			for i := range n {
				if a := b.arrived.of(i); a.total() != 4 || len(a.count) != 1 {
					t.Fatalf("session %d came to backends %v, want four datagrams at one", i, a.count)
				}
			}
			b.nothingAstray()
		})
	}
}

// A server that speaks first, to wake a client or to tell it something, must
// be heard as the service: on whichever host the two are.
func TestLocalSpeaksFirst(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b, here, local := localBed(t, "pinning: "+pinning)
			for i, v6 := range []bool{false, true} {
				for j, e := range []*lab.Echo{local, b.echoes[0]} {
					for k, to := range []struct {
						clients *lab.Clients
						at      netip.AddrPort
					}{{b.clients, client(v6, 10*i+j, 20000)}, {here, b.localClient(v6, uint16(20000+10*i+j))}} {
						if j == 1 && k == 0 {
							continue // neither is here
						}
						hello := fmt.Sprint("hello ", i, j, k)
						b.clientHears(to.clients, to.at, hello, func() error { return e.Send(to.at, []byte(hello)) })
						// and the client's own next packet goes on undisturbed
						b.exchangeFrom(to.clients, 0, datagram(to.at, 100*i+10*j+k, 0))
					}
				}
			}
		})
	}
}

// clientHears demands that what send sends reaches the client from the
// listener.
func (b *bed) clientHears(clients *lab.Clients, at netip.AddrPort, what string, send func() error) {
	b.t.Helper()
	e, err := clients.Expect(at, func(r lab.Reply) bool { return strings.HasPrefix(string(r.Payload), what) })
	if err != nil {
		b.t.Fatal(err)
	}
	if err := send(); err != nil {
		b.t.Fatal(err)
	}
	r := b.wait(e)
	if want := listener(at.Addr().Is6()); r.From != want {
		b.t.Fatalf("%q came to %v from %v, want %v", what, at, r.From, want)
	}
}
