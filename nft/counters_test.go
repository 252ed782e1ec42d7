package nft

import (
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// Refused packets are no mystery to who wonders why a client gets no answer:
// they are counted, in both families and pinnings, and none that is served is.
func TestRefusedSourcesAreCounted(t *testing.T) {
	for _, pinning := range []balancer.Pinning{balancer.PinSession, balancer.PinFlow} {
		t.Run(string(pinning), func(t *testing.T) {
			b := newBed(t)
			all := b.service(func(s *balancer.Service) { s.Name, s.Pinning = "all", pinning })
			some := b.service(func(s *balancer.Service) {
				s.Name, s.Pinning = "some", pinning
				for i := range s.Listen {
					s.Listen[i] = netip.AddrPortFrom(s.Listen[i].Addr(), port+1)
				}
				for i := range s.Backends {
					s.Backends[i].ID += 10
				}
				s.Allow = []netip.Prefix{netip.PrefixFrom(lab.ClientIPv4(0), 24), netip.PrefixFrom(lab.ClientIPv6(0), 112)}
				s.Deny = []netip.Prefix{netip.PrefixFrom(lab.ClientIPv4(9), 32), netip.PrefixFrom(lab.ClientIPv6(9), 128)}
			})
			views := b.apply(t, all, some)
			snap := balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, views)
			at := func(v6 bool) netip.AddrPort { return netip.AddrPortFrom(listener(v6).Addr(), port+1) }
			for i := range 5 {
				v6 := i >= 2
				for _, to := range []netip.AddrPort{at(v6), listener(v6)} {
					if err := b.clients.Send(client(v6, 9), to, payload(i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := b.clients.Send(netip.MustParseAddrPort("198.18.9.1:40000"), at(false), payload(7)); err != nil {
				t.Fatal(err)
			}
			const bytes = 2*(20+8+9) + 3*(40+8+9) + 20 + 8 + 9
			want := map[string]Counter{"some": {Packets: 6, Bytes: bytes}}
			var got Counters
			lab.WaitFor(t, 5*time.Second, "the last refused packet is counted", func() bool {
				var err error
				if got, err = b.rules.Counters(snap); err != nil {
					t.Fatal(err)
				}
				return got.Refused["some"].Packets >= 6
			})
			if d := gocmp.Diff(want, got.Refused); d != "" {
				t.Errorf("refused (-want +got):\n%s", d)
			}
		})
	}
}
