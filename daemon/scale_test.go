package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nft"
)

// many are services of ten backends each.
func many(services int) []balancer.Service {
	out := make([]balancer.Service, services)
	for i := range out {
		s := config.DefaultService()
		s.Name = fmt.Sprintf("service-%04d", i)
		s.Listen = []netip.AddrPort{netip.AddrPortFrom(lab.ListenerIPv4(0), uint16(10000+i)), netip.AddrPortFrom(lab.ListenerIPv6(0), uint16(10000+i))}
		s.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{{Offset: 1, Length: 8}}}}
		s.Slots, s.MaxSessions = 251, 10_000
		for j := range 10 {
			be := config.DefaultBackend()
			be.Name, be.Port = fmt.Sprintf("backend-%d", j), uint16(20000+i)
			be.Addresses = []netip.Addr{lab.BackendIPv4(1 + j), lab.BackendIPv6(1 + j)}
			s.Backends = append(s.Backends, be)
		}
		out[i] = s
	}
	return out
}

// clock sums up what a change waits for the kernel.
type clock struct {
	table
	kernel time.Duration
}

func (c *clock) Apply(want *nft.Table) error {
	begin := time.Now()
	defer func() { c.kernel += time.Since(begin) }()
	return c.table.Apply(want)
}

// A change of one service among a thousand must be as quick as an operator's
// script expects, and a thousand must be there soon.
func TestThousandServices(t *testing.T) {
	n, rounds := 200, 10
	if os.Getenv("ROAMLB_LONG") != "" {
		n, rounds = 1000, 40
	}
	b := newBed(t, 1, func(*lab.Network) []balancer.Service { return many(1) })
	begin := time.Now()
	b.mustSet(many(n))
	first := time.Since(begin)
	t.Logf("%d services of 10 backends: %v", n, first)
	c := &clock{table: b.rules}
	b.table = c
	var took, kernel []time.Duration
	for i := range rounds {
		c.kernel = 0
		begin := time.Now()
		_, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) {
			return changed(have, fmt.Sprintf("service-%04d", (i*7)%n), func(s *balancer.Service) { s.Backends[i%10].Weight = 2 + i }), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		took, kernel = append(took, time.Since(begin)), append(kernel, c.kernel)
	}
	slices.Sort(took)
	slices.Sort(kernel)
	t.Logf("a change of one: median %v, least %v, most %v; of that in Apply, median %v", took[rounds/2], took[0], took[rounds-1], kernel[rounds/2])
}
