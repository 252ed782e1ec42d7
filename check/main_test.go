package check

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

func newNetwork(t *testing.T) *lab.Network {
	t.Helper()
	n, err := lab.NewNetwork(lab.NetworkOptions{Backends: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// input is one service on the network's listeners with its backends.
func input(n *lab.Network) Input {
	svc := balancer.Service{
		Name:        "vpn",
		Listen:      []netip.AddrPort{netip.AddrPortFrom(lab.ListenerIPv4(0), 1194), netip.AddrPortFrom(lab.ListenerIPv6(0), 1194)},
		MaxSessions: 1000,
	}
	for _, b := range n.Backends {
		svc.Backends = append(svc.Backends, balancer.Backend{
			Name: b.Name(), Addresses: []netip.Addr{b.IPv4, b.IPv6}, Port: 1194, Weight: 1,
		})
	}
	return Input{Config: balancer.Config{MarkMask: 0xffff, Queues: balancer.Queues{Count: 2, Length: 1024}, Services: []balancer.Service{svc}}}
}

// in runs f in the load balancer's namespace.
func in(t *testing.T, n *lab.Network, f func() error) {
	t.Helper()
	if err := n.LB.Do(f); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, n *lab.Network, i Input) (results []Result) {
	t.Helper()
	in(t, n, func() error {
		results = Run(t.Context(), i)
		return nil
	})
	return results
}

func fix(t *testing.T, n *lab.Network, results []Result) (done []Result) {
	t.Helper()
	in(t, n, func() error {
		done = Fix(t.Context(), results)
		return nil
	})
	return done
}

func setSysctl(t *testing.T, n *lab.Network, name, value string) {
	t.Helper()
	if err := n.LB.SetSysctl(name, value); err != nil {
		t.Fatal(err)
	}
}

// of returns the results of one check.
func of(results []Result, name string) []Result {
	var found []Result
	for _, r := range results {
		if r.Name == name {
			found = append(found, r)
		}
	}
	return found
}

// expect fails unless the check has exactly one result, of this status, and
// it says all of these words.
func expect(t *testing.T, results []Result, name string, status Status, words ...string) Result {
	t.Helper()
	found := of(results, name)
	if len(found) != 1 {
		t.Fatalf("%s: %d results, want one: %+v", name, len(found), found)
	}
	r := found[0]
	if r.Status != status {
		t.Errorf("%s is %s, want %s: %+v", name, r.Status, status, r)
	}
	for _, w := range words {
		if !strings.Contains(r.Found+"\n"+r.Want+"\n"+r.Fix, w) {
			t.Errorf("%s does not say %q: %+v", name, w, r)
		}
	}
	return r
}

// routes does something with the load balancer's links and routes.
func routes(t *testing.T, n *lab.Network, f func(*netlink.Handle) error) {
	t.Helper()
	in(t, n, func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		return f(h)
	})
}
