package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// cpuTime is what this process has used of processors, in the kernel too.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fsyncTime is how long the state takes to get on the disk that tests use, at
// the median.
func (b *bed) fsyncTime() time.Duration {
	b.t.Helper()
	const rounds = 9
	state, path := []byte(mustRead(b.t, b.file.State)), filepath.Join(b.t.TempDir(), "state")
	var took []time.Duration
	for range rounds {
		begin := time.Now()
		f, err := os.Create(path)
		if err == nil {
			_, err = f.Write(state)
		}
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			b.t.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[rounds/2]
}

// A change of one service among a thousand must be as quick as an operator's
// script expects, and a thousand must be there soon.
func TestThousandServices(t *testing.T) {
	n, rounds := 200, 10
	if os.Getenv("ROAMLB_LONG") != "" {
		n, rounds = 1000, 40
	}
	b := newBed(t, 1, func(*lab.Network) []balancer.Service { return many(1) })
	b.diskOf("64m") // what a disk takes is another matter, see below
	b.start()
	begin, used := time.Now(), cpuTime(t)
	b.mustSet(many(n))
	first, cpuFirst := time.Since(begin), cpuTime(t)-used
	t.Logf("%d services of 10 backends, IPv4 and IPv6: %v, of processor time %v", n, first, cpuFirst)
	c := &clock{table: b.rules}
	b.table = c
	var took, kernel, cpu []time.Duration
	for i := range rounds {
		c.kernel = 0
		begin, used := time.Now(), cpuTime(t)
		_, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) {
			return changed(have, fmt.Sprintf("service-%04d", (i*7)%n), func(s *balancer.Service) { s.Backends[i%10].Weight = 2 + i }), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		cpu = append(cpu, cpuTime(t)-used)
		took, kernel = append(took, time.Since(begin)), append(kernel, c.kernel)
	}
	fsync := b.fsyncTime()
	slices.Sort(took)
	slices.Sort(kernel)
	slices.Sort(cpu)
	t.Logf("a change of one: median %v, least %v, most %v; of that in Apply, median %v; of processor time, median %v, least %v; a disk's share would be %v",
		took[rounds/2], took[0], took[rounds-1], kernel[rounds/2], cpu[rounds/2], cpu[0], fsync)
	if limit := lab.Slow(5 * time.Second); cpuFirst > limit {
		t.Errorf("%d services cost %v of processor time, want %v at most", n, cpuFirst, limit)
	}
	if limit := lab.Slow(20 * time.Millisecond); cpu[0] > limit {
		t.Errorf("a change of one costs %v of processor time at least, want %v at most", cpu[0], limit)
	}
}
