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

// many are services of ten backends each, of IPv4 or of both families.
func many(services int, v6 bool) []balancer.Service {
	out := make([]balancer.Service, services)
	for i := range out {
		s := config.DefaultService()
		s.Name = fmt.Sprintf("service-%04d", i)
		s.Listen = []netip.AddrPort{netip.AddrPortFrom(lab.ListenerIPv4(0), uint16(10000+i))}
		if v6 {
			s.Listen = append(s.Listen, netip.AddrPortFrom(lab.ListenerIPv6(0), uint16(10000+i)))
		}
		s.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{{Offset: 1, Length: 8}}}}
		s.Slots = 251
		for j := range 10 {
			be := config.DefaultBackend()
			be.Name, be.Port = fmt.Sprintf("backend-%d", j), uint16(20000+i)
			be.Addresses = []netip.Addr{lab.BackendIPv4(1 + j)}
			if v6 {
				be.Addresses = append(be.Addresses, lab.BackendIPv6(1+j))
			}
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

func (c *clock) Switch(want *nft.Table, before func() error) error {
	begin := time.Now()
	defer func() { c.kernel += time.Since(begin) }()
	return c.table.Switch(want, before)
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

// scale is how long things took: on the clock, and of processors.
type scale struct {
	first, firstCPU   time.Duration
	took, apply, cpu  time.Duration // of a change of one service, at the median
	least, leastOfCPU time.Duration
	fsync             time.Duration // of as large a state
	come, leave       time.Duration // of processors, for a backend that comes, and goes again
}

// measure makes n services out of one, and then changes one after the other.
func (b *bed) measure(n, rounds int, v6 bool) scale {
	b.t.Helper()
	var m scale
	begin, used := time.Now(), cpuTime(b.t)
	b.mustSet(many(n, v6))
	m.first, m.firstCPU = time.Since(begin), cpuTime(b.t)-used
	c := &clock{table: b.rules}
	b.change.Lock()
	b.table = c
	b.change.Unlock()
	var took, apply, cpu []time.Duration
	for i := range rounds {
		c.kernel = 0
		begin, used := time.Now(), cpuTime(b.t)
		_, err := b.Change(b.t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) {
			return changed(have, fmt.Sprintf("service-%04d", (i*7)%n), func(s *balancer.Service) { s.Backends[i%10].Weight = 2 + i }), nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
		took, apply, cpu = append(took, time.Since(begin)), append(apply, c.kernel), append(cpu, cpuTime(b.t)-used)
	}
	for _, list := range [][]time.Duration{took, apply, cpu} {
		slices.Sort(list)
	}
	m.took, m.apply, m.cpu, m.least, m.leastOfCPU = took[rounds/2], apply[rounds/2], cpu[rounds/2], took[0], cpu[0]
	m.fsync = b.fsyncTime()
	have := b.State().Services
	with := changed(have, "service-0001", func(s *balancer.Service) {
		more := s.Backends[0]
		more.Name, more.ID, more.Port = "more", 0, 9
		s.Backends = append(s.Backends, more)
	})
	used = cpuTime(b.t)
	b.mustSet(with)
	m.come, used = cpuTime(b.t)-used, cpuTime(b.t)
	b.mustSet(have)
	m.leave = cpuTime(b.t) - used
	return m
}

// A change of one service among a thousand must be as quick as an operator's
// script expects, and a thousand must be there soon. What is limited is what it
// takes of processors, where others may be busy, and of the changes the quickest.
func TestThousandServices(t *testing.T) {
	n, rounds := 200, 10
	if os.Getenv("ROAMLB_LONG") != "" {
		n, rounds = 1000, 40
	}
	for _, tc := range []struct {
		name  string
		v6    bool
		first time.Duration
	}{{"IPv4", false, 5 * time.Second}, {"both families", true, 15 * time.Second}} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBed(t, 1, func(*lab.Network) []balancer.Service { return many(1, tc.v6) })
			b.diskOf("64m") // what a disk takes is told apart
			b.start()
			m := b.measure(n, rounds, tc.v6)
			t.Logf("%d services of 10 backends: %v, of processors %v", n, m.first, m.firstCPU)
			t.Logf("a change of one: median %v, least %v; nft's part of it %v; of processors %v, least %v; a disk takes %v more",
				m.took, m.least, m.apply, m.cpu, m.leastOfCPU, m.fsync)
			t.Logf("of processors: a backend that comes %v, that goes %v", m.come, m.leave)
			if limit := lab.Slow(tc.first); m.firstCPU > limit {
				t.Errorf("%d services took %v of processors, want %v at most", n, m.firstCPU, limit)
			}
			if limit := lab.Slow(20 * time.Millisecond); m.leastOfCPU > limit {
				t.Errorf("a change of one took %v of processors at least, want %v at most", m.leastOfCPU, limit)
			}
			if diff, err := b.rules.Verify(); err != nil || len(diff) > 0 {
				t.Errorf("the kernel has something else: %v %v", diff, err)
			}
		})
	}
}
