package store

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// childEnv makes the test binary run one of children instead of the tests.
const childEnv = "ROAMLB_STORE_CHILD"

var children = map[string]func(path string) error{
	"write": childWrites,
	"hold":  childHolds,
	"full":  childFillsDisk,
	"limit": childHitsLimit,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child prepares a process that runs one of children on path.
func child(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", path)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

// startChild starts a child and returns its answers, line by line. Its
// standard input stays open until the test ends.
func startChild(t *testing.T, name, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := child(t, name, path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return cmd, bufio.NewScanner(out)
}

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustCommit(t *testing.T, s *Store, next State) {
	t.Helper()
	p, err := s.Prepare(next)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// assertFiles fails when the directory of path holds other files than these.
func assertFiles(t *testing.T, path string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("files %q, want %q", got, want)
	}
}

// fullService uses every member of balancer.Service, so that one the file
// loses is missed.
func fullService() balancer.Service {
	return balancer.Service{
		Name:   "vpn",
		Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.10:1194"), netip.MustParseAddrPort("[2001:db8::10]:1194")},
		Key: balancer.Key{
			Variants: []balancer.Variant{{
				Name:   "data",
				Match:  []balancer.Match{{Offset: 1, Mask: []byte{0xf8}, Value: []byte{0x48}}, {Value: []byte{7}}},
				Fields: []balancer.Field{{Offset: 1, Length: 8}, {Offset: 12, Length: 2, Mask: []byte{0x0f, 0xff}}},
			}},
			Fallback: balancer.FallbackSource,
		},
		Pinning: balancer.PinAuto, Datapath: balancer.DatapathQueue, Slots: 4093, Seed: 0xfedcba98,
		SessionTTL: 2 * time.Hour, MaxSessions: 1_000_000, Stale: balancer.StaleOnReply, ConfirmTimeout: 10 * time.Second,
		SNAT: balancer.SNATMasquerade, NoBackend: balancer.NoBackendDrop, AllDown: balancer.AllDownKeep, DrainTimeout: 10 * time.Minute,
		Allow: []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15")},
		Deny:  []netip.Prefix{netip.MustParsePrefix("2001:db8:f::/48")},
		Health: &balancer.Health{
			Kind: balancer.ProbeUDP, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Jitter: 10,
			SlowStart: time.Minute, Sources: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Port: 9, Send: []byte{1},
			Expect: balancer.Expect{Bytes: []byte{2}, Prefix: []byte{2}, Match: ".", Status: balancer.Status{From: 200, To: 299}},
			Path:   "/", Host: "a", TLS: balancer.HealthTLS{SkipVerify: true, CA: "/ca.pem"},
		},
		Timeouts: balancer.Timeouts{Unreplied: 30 * time.Second, Replied: 2 * time.Minute},
		Backends: []balancer.Backend{
			{ID: 1, Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:b::1")}, Port: 1194, Weight: 1, Admin: balancer.AdminDrain},
			{ID: 3, Name: "b", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.2")}, Port: 1194, Weight: 2, Admin: balancer.AdminUp},
		},
	}
}

func fullState() State {
	return State{Revision: 7, Secret: bytes.Repeat([]byte{0x5e}, 32), MarkMask: 0xffff, ZoneBase: 7, Services: []balancer.Service{fullService()}, LastID: 3, Freed: []Freed{{ID: 2, At: 1_700_000_000}}, Draining: []Drain{{ID: 1, Since: 1_700_000_100}}}
}
