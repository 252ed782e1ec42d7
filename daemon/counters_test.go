package daemon

import (
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// What operators see of a backend is what the kernel has sent there: the first
// packet of each flow, whatever the pinning and the family. A change of
// something else does not set it back.
func TestCounters(t *testing.T) {
	for _, pinning := range []balancer.Pinning{balancer.PinSession, balancer.PinFlow} {
		t.Run(string(pinning), func(t *testing.T) {
			b := newBed(t, 3, func(n *lab.Network) []balancer.Service {
				s := service(n, "vpn", port, 1, 2, 3)
				s.Pinning = pinning
				return []balancer.Service{s}
			})
			const sessions = 60
			want := make(map[string]uint64)
			for _, at := range b.place(0, sessions, 0, port) {
				want[b.State().Services[0].Backends[at-1].Name]++
			}
			b.place(0, sessions, 1, port) // of flows that are known: not counted again
			b.mustSet(changed(b.State().Services, "vpn", func(s *balancer.Service) { s.Backends[0].Weight = 2 }))
			got, err := b.Counters()
			if err != nil {
				t.Fatal(err)
			}
			for _, be := range b.State().Services[0].Backends {
				if c := got.Backends[be.ID]; c.Packets != want[be.Name] || c.Bytes < c.Packets*28 {
					t.Errorf("backend %s: %+v, want %d packets", be.Name, c, want[be.Name])
				}
			}
		})
	}
}

// Packets that a service refuses must show, or nobody finds out why a client
// gets no answer.
func TestRefusedPacketsAreCounted(t *testing.T) {
	b := newBed(t, 1, func(n *lab.Network) []balancer.Service {
		vpn, web := service(n, "vpn", port, 1), service(n, "web", 2000, 1)
		vpn.Deny = []netip.Prefix{netip.PrefixFrom(lab.ClientIPv4(1), 32)}
		vpn.Allow = []netip.Prefix{lab.ClientsIPv4}
		return []balancer.Service{vpn, web}
	})
	b.place(2, 1, 0, port) // an address that is served
	for i := range 5 {
		for session := range 2 { // denied, and of IPv6, which is not allowed
			d := datagram(session, i, port)
			if err := b.clients.Send(d.Src, d.Dst, d.Payload); err != nil {
				t.Fatal(err)
			}
		}
	}
	lab.WaitFor(t, 5*time.Second, "ten refused packets", func() bool {
		c, err := b.Counters()
		if err != nil {
			t.Fatal(err)
		}
		_, other := c.Refused["web"]
		return c.Refused["vpn"].Packets == 10 && c.Refused["vpn"].Bytes > 10*28 && !other
	})
}

// A backend of two services that speaks first cannot be told whose it is: what
// it says is dropped, which must not go unseen.
func TestDroppedAnswersAreCounted(t *testing.T) {
	b := newBed(t, 1, func(n *lab.Network) []balancer.Service {
		return []balancer.Service{service(n, "vpn", port, 1), service(n, "web", 2000, 1)}
	})
	to := netip.AddrPortFrom(lab.ClientIPv4(7), 20000)
	lab.WaitFor(t, 5*time.Second, "dropped answers", func() bool {
		if err := b.echoes[0].Send(to, []byte("hello?")); err != nil {
			t.Fatal(err)
		}
		c, err := b.Counters()
		if err != nil {
			t.Fatal(err)
		}
		return c.DroppedAnswers.Packets > 0
	})
}
