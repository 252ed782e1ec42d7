package nft

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// goldenVersion of nft wrote the golden files; others print some things
// otherwise.
const goldenVersion = "v1.0.6"

// goldenCases are configurations that together use every kind of rule. Their
// rings are small: what is in one is package hashing's matter.
var goldenCases = []struct {
	name     string
	services func(b *bed) []*balancer.Service
}{
	{"short-key", func(b *bed) []*balancer.Service {
		return []*balancer.Service{b.small("vpn", port, nil)}
	}},
	{"access-timeouts-masquerade", func(b *bed) []*balancer.Service {
		return []*balancer.Service{b.small("vpn", port, func(s *balancer.Service) {
			s.Allow = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8:f::/48")}
			s.Deny = []netip.Prefix{netip.MustParsePrefix("198.18.9.0/24"), netip.MustParsePrefix("198.18.10.0/24")}
			s.Timeouts = balancer.Timeouts{Unreplied: 7 * time.Second, Replied: 70 * time.Second}
			s.SNAT = balancer.SNATMasquerade
			s.Key.Fallback = balancer.FallbackDrop
		})}
	}},
	{"variants", func(b *bed) []*balancer.Service {
		return []*balancer.Service{b.small("vpn", port, func(s *balancer.Service) {
			s.Key = balancer.Key{Fallback: balancer.FallbackSourcePort, Variants: []balancer.Variant{
				{Match: []balancer.Match{{Offset: 0, Value: []byte{0x48}}}, Fields: []balancer.Field{{Offset: 1, Length: 8}}},
				{
					Match: []balancer.Match{{Offset: 0, Mask: []byte{0xf8}, Value: []byte{0x38}}, {Offset: 20, Value: []byte("roam")}},
					// more than one load, because of the mask, and padded
					Fields: []balancer.Field{{Offset: 1, Length: 18, Mask: append(bytes.Repeat([]byte{0xff}, 17), 0xf0)}, {Offset: 30, Length: 3}},
				},
			}}
			s.NoBackend = balancer.NoBackendDrop
		})}
	}},
	{"flow", func(b *bed) []*balancer.Service {
		return []*balancer.Service{b.small("vpn", port, func(s *balancer.Service) {
			s.Pinning = balancer.PinFlow
			s.Allow = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15")}
			s.Key.Fallback = balancer.FallbackSourcePort
		})}
	}},
	{"flow-alone", func(b *bed) []*balancer.Service { // needs no chain before conntrack
		return []*balancer.Service{b.small("vpn", port, func(s *balancer.Service) { s.Pinning = balancer.PinFlow })}
	}},
	{"many-listeners", func(b *bed) []*balancer.Service {
		return []*balancer.Service{b.small("vpn", port, func(s *balancer.Service) {
			for i := range uint16(fewListeners) {
				s.Listen = append(s.Listen, netip.AddrPortFrom(s.Listen[0].Addr(), port+1+i))
			}
		})}
	}},
	{"probes", func(b *bed) []*balancer.Service { // of backends that two services share
		probed := func(s *balancer.Service) { s.Health = &balancer.Health{Kind: balancer.ProbeICMP} }
		return []*balancer.Service{b.small("one", port, probed), b.small("two", port+1, func(s *balancer.Service) {
			probed(s)
			s.Pinning = balancer.PinFlow
			for i := range s.Backends {
				s.Backends[i].ID += 10
			}
		})}
	}},
	{"kernel", func(b *bed) []*balancer.Service {
		return []*balancer.Service{
			b.small("alone", port, func(s *balancer.Service) { s.Datapath = balancer.DatapathKernel }),
			b.small("asking", port+1, func(s *balancer.Service) {
				s.Listen = s.Listen[:1]
				for i := range s.Backends {
					s.Backends[i].ID += 10
				}
			}),
		}
	}},
	{"two-services", func(b *bed) []*balancer.Service { // that share two backends, one down and one draining
		return []*balancer.Service{
			b.small("one", port, func(s *balancer.Service) { s.Backends[0].Admin = balancer.AdminDown }),
			b.small("two", port+1, func(s *balancer.Service) {
				s.Listen = s.Listen[:1]
				s.Backends = s.Backends[1:]
				s.Backends[0].Admin = balancer.AdminDrain
				for i := range s.Backends {
					s.Backends[i].ID += 10
				}
			}),
		}
	}},
}

// small is the bed's service with a small ring.
func (b *bed) small(name string, at uint16, change func(*balancer.Service)) *balancer.Service {
	return b.service(func(s *balancer.Service) {
		s.Name, s.Slots = name, 7
		for i := range s.Listen {
			s.Listen[i] = netip.AddrPortFrom(s.Listen[i].Addr(), at)
		}
		if change != nil {
			change(s)
		}
	})
}

// What an operator sees of our table must be what we meant. The files show a
// change of the rules to whoever reviews it.
func TestGolden(t *testing.T) {
	tool := goldenTool(t)
	for _, c := range goldenCases {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.apply(t, c.services(b)...)
			got := normal(list(t, b.LB, tool, "-s"))
			file := filepath.Join("testdata", c.name+".nft")
			if *updateGolden {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("the table is not as in %s; if that is meant, run with -update (-want +got):\n%s", file, diff)
			}
		})
	}
}

// goldenTool finds the program that lists as the golden files do.
func goldenTool(t *testing.T) string {
	t.Helper()
	tool, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs nft: install nftables")
	}
	if v, err := exec.Command(tool, "--version").Output(); err != nil || !strings.Contains(string(v), goldenVersion+" ") {
		t.Skipf("needs nft: %s, this is %s", goldenVersion, v)
	}
	return tool
}

func list(t *testing.T, n *lab.Namespace, tool string, options ...string) string {
	t.Helper()
	var out, complaints bytes.Buffer
	cmd := exec.Command(tool, append(options, "list", "table", "inet", TableName)...)
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := n.Run(cmd); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, complaints.String())
	}
	return out.String()
}

// queueStatement is how nft prints the expression, and the xt target, which it
// leaves out: two spaces.
var queueStatement = regexp.MustCompile(`( queue [a-z0-9 ,-]+)? {1,2}comment "`)

// normal takes out of a listing what depends on the kernel: by what means it
// queues, and that nft takes a table with xt targets for iptables'.
func normal(listing string) string {
	var s strings.Builder
	for line := range strings.Lines(listing) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if m := queueStatement.FindStringSubmatchIndex(line); m != nil && (m[2] >= 0 || strings.Contains(line[m[0]:], `  comment "`)) {
			line = line[:m[0]] + ` QUEUE comment "` + line[m[1]:]
		}
		s.WriteString(line)
	}
	return s.String()
}
