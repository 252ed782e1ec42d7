package daemon

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
)

// Whoever reads what a change made different finds the member under that name
// in the API and in the file.
func TestDifferencesNameMembersAsTheAPIDoes(t *testing.T) {
	vpn := func(edit func(*balancer.Service)) []balancer.Service {
		s := balancer.Service{
			Name: "vpn", Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.10:1194")}, Seed: 7,
			Key: balancer.Key{Variants: []balancer.Variant{{Fields: []balancer.Field{{Offset: 1, Length: 8}}}}},
		}
		if edit != nil {
			edit(&s)
		}
		return []balancer.Service{s}
	}
	for _, c := range []struct {
		name string
		edit func(*balancer.Service)
		want []string
	}{
		{"nothing", nil, nil},
		{"a seed that is left open", func(s *balancer.Service) { s.Seed = 0 }, nil},
		{"a list that is empty", func(s *balancer.Service) { s.Allow = []netip.Prefix{} }, nil},
		{"a member", func(s *balancer.Service) { s.SessionTTL = time.Hour }, []string{"service vpn: session_ttl differs"}},
		{
			"members, in the order of their description",
			func(s *balancer.Service) {
				s.Health = &balancer.Health{}
				s.Datapath = balancer.DatapathKernel
				s.Timeouts.Replied = time.Minute
			},
			[]string{"service vpn: datapath differs", "service vpn: health differs", "service vpn: timeouts differs"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Differences(vpn(nil), vpn(c.edit))); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
