package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

// validFile returns a configuration with one service, of one variant, and one
// backend.
func validFile() *config.File {
	s := config.DefaultService()
	s.Name = "a"
	s.Listen = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}
	s.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{{Offset: 0, Length: 4}}}}
	b := config.DefaultBackend()
	b.Name, b.Port, b.Addresses = "b", 1, []netip.Addr{netip.MustParseAddr("198.51.100.1")}
	s.Backends = []balancer.Backend{b}
	f := config.Default()
	f.Services = []balancer.Service{s}
	return f
}

// Configurations that come through the API were never text. What a text cannot
// even say must be refused there too.
func TestValidateFindsWhatNoTextCanSay(t *testing.T) {
	if err := validFile().Validate(); err != nil {
		t.Fatal(err)
	}
	type change func(f *config.File, s *balancer.Service)
	for _, c := range []struct {
		name   string
		change change
		want   string
	}{
		{"no state", func(f *config.File, _ *balancer.Service) { f.State = "" }, "state: is missing"},
		{"state that is no UTF-8", func(f *config.File, _ *balancer.Service) { f.State = "/\xff" }, "state: is not UTF-8"},
		{
			"state with a long path", func(f *config.File, _ *balancer.Service) { f.State = "/" + strings.Repeat("x", 5000) },
			"state: is 5001 bytes long",
		},
		{"no mask", func(f *config.File, _ *balancer.Service) { f.MarkMask = 0 }, "mark_mask: must have bits set"},
		{"no owner of rules", func(f *config.File, _ *balancer.Service) { f.NFT = "" }, `nft: must be managed or external, not ""`},
		{
			"a queue without length", func(f *config.File, _ *balancer.Service) { f.Queues.Length = 0 },
			"queues.length: must be 1 to 65535, not 0",
		},
		{
			"too many queues", func(f *config.File, _ *balancer.Service) { f.Queues.Count = 300 },
			"queues.count: must be 0 to 256, not 300",
		},
		{
			"a zone base without a zone", func(f *config.File, _ *balancer.Service) { f.ZoneBase = 65535 },
			"zone_base: must be 0 to 65534",
		},
		{"no name", func(_ *config.File, s *balancer.Service) { s.Name = "" }, "services[0].name: must be 1 to 63"},
		{
			"no listeners", func(_ *config.File, s *balancer.Service) { s.Listen = nil },
			"services[0].listen: must have at least one listener",
		},
		{
			"an empty listener", func(_ *config.File, s *balancer.Service) { s.Listen = make([]netip.AddrPort, 1) },
			"services[0].listen[0].address: is missing\nservices[0].listen[0].port: must be 1 to 65535",
		},
		{
			"no key", func(_ *config.File, s *balancer.Service) { s.Key = balancer.Key{} },
			"services[0].key.fallback: must be source, source-port or drop, not \"\"\n" +
				"services[0].key.variants: must have at least one variant",
		},
		{
			"an empty variant", func(_ *config.File, s *balancer.Service) { s.Key.Variants[0].Fields = nil },
			"services[0].key.variants[0].fields: must have at least one field",
		},
		{
			"an empty field", func(_ *config.File, s *balancer.Service) { s.Key.Variants[0].Fields[0].Length = 0 },
			"services[0].key.variants[0].fields[0].length: must be 1 to 256, not 0",
		},
		{
			"a field before the payload", func(_ *config.File, s *balancer.Service) { s.Key.Variants[0].Fields[0].Offset = -4 },
			"services[0].key.variants[0].fields[0].offset: must be 0 to 65400, not -4",
		},
		{
			"an empty mask", func(_ *config.File, s *balancer.Service) { s.Key.Variants[0].Fields[0].Mask = []byte{} },
			"services[0].key.variants[0].fields[0].mask: has 0 bytes, and the field has 4",
		},
		{
			"an empty match", func(_ *config.File, s *balancer.Service) { s.Key.Variants[0].Match = make([]balancer.Match, 1) },
			"services[0].key.variants[0].match[0].value: must be 1 to 16 bytes, not 0",
		},
		{"no slots", func(_ *config.File, s *balancer.Service) { s.Slots = 0 }, "services[0].slots: must be 2 to 131071"},
		{
			"no sessions", func(_ *config.File, s *balancer.Service) { s.MaxSessions = -1 },
			"services[0].max_sessions: must be 1 to 16000000, not -1",
		},
		{
			"an uneven duration", func(_ *config.File, s *balancer.Service) { s.SessionTTL = time.Minute + 1 },
			"services[0].session_ttl: must be whole milliseconds, not 1m0.000000001s",
		},
		{
			"no duration", func(_ *config.File, s *balancer.Service) { s.DrainTimeout = 0 },
			"services[0].drain_timeout: must be 1s to 720h, not 0s",
		},
		{
			"no data path", func(_ *config.File, s *balancer.Service) { s.Datapath = "kernal" },
			"services[0].datapath: must be queue or kernel",
		},
		{
			"an empty prefix", func(_ *config.File, s *balancer.Service) { s.Deny = make([]netip.Prefix, 1) },
			"services[0].deny[0]: must be a prefix",
		},
		{
			"half of the timeouts", func(_ *config.File, s *balancer.Service) { s.Timeouts.Replied = time.Second },
			"services[0].timeouts.unreplied: is missing",
		},
		{
			"a backend without addresses", func(_ *config.File, s *balancer.Service) { s.Backends[0].Addresses = nil },
			"services[0].backends[0].addresses: is missing",
		},
		{
			"a backend with an empty address", func(_ *config.File, s *balancer.Service) { s.Backends[0].Addresses = make([]netip.Addr, 1) },
			"services[0].backends[0].addresses[0]: is missing",
		},
		{
			"a backend without a port", func(_ *config.File, s *balancer.Service) { s.Backends[0].Port = 0 },
			"services[0].backends[0].port: must be 1 to 65535",
		},
		{
			"a backend with less than no weight", func(_ *config.File, s *balancer.Service) { s.Backends[0].Weight = -1 },
			"services[0].backends[0].weight: must be 0 to 65535, not -1",
		},
		{
			"a backend without a state", func(_ *config.File, s *balancer.Service) { s.Backends[0].Admin = "" },
			"services[0].backends[0].admin: must be up, drain or down",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := validFile()
			c.change(f, &f.Services[0])
			checkValidate(t, f, c.want)
		})
	}
}

// checkValidate fails unless the problems are the wanted ones, a line each, of
// which only the beginning counts.
func checkValidate(t *testing.T, f *config.File, want string) {
	t.Helper()
	err := f.Validate()
	var all *config.Error
	if !errors.As(err, &all) {
		t.Fatalf("error is %v", err)
	}
	got, lines := strings.Split(all.Error(), "\n"), strings.Split(want, "\n")
	if len(got) != len(lines) {
		t.Fatalf("got:\n%v\nwant:\n%s", all, want)
	}
	for i := range lines {
		if !strings.HasPrefix(got[i], lines[i]) {
			t.Errorf("got:\n%v\nwant:\n%s", all, want)
		}
	}
}

// The counts are bounded so that a mistake in a program that writes
// configurations does not take the host down; the bounds themselves must work.
func TestCountsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		most  int
		build func(f *config.File, n int)
		want  string
	}{
		{"services", 4096, func(f *config.File, n int) {
			base := f.Services[0]
			f.Services = nil
			for i := range n {
				s := base
				s.Name = fmt.Sprintf("s%d", i)
				s.Listen = []netip.AddrPort{netip.AddrPortFrom(base.Listen[0].Addr(), uint16(i+1))}
				f.Services = append(f.Services, s)
			}
		}, "services: has 4097 services; at most 4096 are possible"},
		{"listeners", 1024, func(f *config.File, n int) {
			s := &f.Services[0]
			s.Listen = nil
			for i := range n {
				s.Listen = append(s.Listen, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1)))
			}
		}, "services[0].listen: has 1025 listeners; at most 1024 are possible"},
		{"backends", 4096, func(f *config.File, n int) {
			s := &f.Services[0]
			s.Slots = 65537
			base := s.Backends[0]
			s.Backends = nil
			for i := range n {
				b := base
				b.Name, b.Port = fmt.Sprintf("b%d", i), uint16(i+1)
				s.Backends = append(s.Backends, b)
			}
		}, "services[0].backends: has 4097 backends; at most 4096 are possible"},
		{"prefixes", 16384, func(f *config.File, n int) {
			for i := range n {
				a := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
				f.Services[0].Allow = append(f.Services[0].Allow, netip.PrefixFrom(a, 32))
			}
		}, "services[0].allow: has 16385 prefixes; at most 16384 are possible"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := validFile()
			c.build(f, c.most)
			if err := f.Validate(); err != nil {
				t.Errorf("as many as possible: %v", err)
			}
			f = validFile()
			c.build(f, c.most+1)
			checkValidate(t, f, c.want)
		})
	}
}
