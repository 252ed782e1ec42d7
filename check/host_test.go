package check

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/store"
)

// Forwarding that is off is the most common reason why nothing arrives.
func TestForwarding(t *testing.T) {
	n := newNetwork(t)
	for _, tt := range []struct{ name, sysctl, off, found, fix string }{
		{"IPv4 forwarding", "net.ipv4.ip_forward", "0", "off", "sysctl -w net.ipv4.ip_forward=1"},
		{"IPv4 forwarding", "net.ipv4.conf.backend-1.forwarding", "0", "by backend-1", "sysctl -w net.ipv4.conf.backend-1.forwarding=1"},
		{"IPv4 forwarding", "net.ipv4.conf.clients.forwarding", "0", "by clients", "sysctl -w net.ipv4.conf.clients.forwarding=1"},
		{"IPv6 forwarding", "net.ipv6.conf.all.forwarding", "0", "off", "sysctl -w net.ipv6.conf.all.forwarding=1"},
	} {
		t.Run(tt.sysctl, func(t *testing.T) {
			setSysctl(t, n, tt.sysctl, tt.off)
			results := run(t, n, input(n))
			r := expect(t, results, tt.name, Fail, tt.found)
			if r.Fix != tt.fix || !r.Fixable {
				t.Errorf("fix %q, fixable %v, want %q", r.Fix, r.Fixable, tt.fix)
			}
			done := fix(t, n, results)
			if len(done) != 1 || done[0].Status != OK {
				t.Errorf("fixed: %+v", done)
			}
			expect(t, run(t, n, input(n)), tt.name, OK)
		})
	}
}

// A family that no service uses needs no forwarding, and is not switched on.
func TestForwardingThatIsNotNeeded(t *testing.T) {
	n := newNetwork(t)
	setSysctl(t, n, "net.ipv4.ip_forward", "0")
	setSysctl(t, n, "net.ipv6.conf.all.forwarding", "0")
	i := input(n)
	i.Config.Services[0].Listen = i.Config.Services[0].Listen[:1] // IPv4
	results := run(t, n, i)
	expect(t, results, "IPv4 forwarding", Fail)
	expect(t, results, "IPv6 forwarding", Skip, "IPv6")
	for b := range i.Config.Services[0].Backends { // now on this host
		i.Config.Services[0].Backends[b].Addresses = []netip.Addr{lab.ListenerIPv4(0)}
	}
	expect(t, run(t, n, i), "IPv4 forwarding", Skip)
}

// A host that learned its default route from router advertisements would lose
// it when it begins to forward.
func TestFixKeepsAdvertisedRoutes(t *testing.T) {
	n := newNetwork(t)
	setSysctl(t, n, "net.ipv6.conf.all.forwarding", "0")
	setSysctl(t, n, "net.ipv6.conf.clients.accept_ra", "1")
	routes(t, n, func(h *netlink.Handle) error {
		link, err := h.LinkByName("clients")
		if err != nil {
			return err
		}
		return h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Family: unix.AF_INET6, Gw: netip.MustParseAddr("2001:db8:c::2").AsSlice(), Protocol: unix.RTPROT_RA})
	})
	results := run(t, n, input(n))
	expect(t, results, "IPv6 forwarding", Fail, "sysctl -w net.ipv6.conf.clients.accept_ra=2 net.ipv6.conf.all.forwarding=1")
	fix(t, n, results)
	if got, err := n.LB.Sysctl("net.ipv6.conf.clients.accept_ra"); got != "2" || err != nil {
		t.Errorf("accept_ra is %q, %v", got, err)
	}
}

func TestReversePathFilter(t *testing.T) {
	n := newNetwork(t)
	setSysctl(t, n, "net.ipv4.conf.backend-2.rp_filter", "1")
	results := run(t, n, input(n))
	expect(t, results, "reverse path filter", Warn, "strict on backend-2", "sysctl -w net.ipv4.conf.backend-2.rp_filter=2")
	fix(t, n, results)
	expect(t, run(t, n, input(n)), "reverse path filter", OK)

	// The value for all interfaces counts where it is the larger one.
	setSysctl(t, n, "net.ipv4.conf.all.rp_filter", "1")
	results = run(t, n, input(n))
	if got := of(results, "reverse path filter"); len(got) != 2 || got[0].Status != Warn { // backend-1, clients
		t.Errorf("%+v", got)
	}
	fix(t, n, results)
	expect(t, run(t, n, input(n)), "reverse path filter", OK)
}

func TestConntrackTable(t *testing.T) {
	n := newNetwork(t)
	i := input(n)
	i.Config.Services[0].MaxSessions = 100_000_000
	r := expect(t, run(t, n, i), "conntrack table", Warn, "sysctl -w net.netfilter.nf_conntrack_max=125000000")
	// Where only the first namespace may set it, --fix must not claim to.
	err := n.LB.SetSysctl("net.netfilter.nf_conntrack_max", "262144")
	if (err == nil) != r.Fixable {
		t.Errorf("setting it answers %v, but fixable is %v", err, r.Fixable)
	}
	for _, tt := range []struct {
		count, size, sessions int
		want                  Status
	}{
		{0, 1000, 1000, OK},
		{899, 1000, 1000, OK},
		{0, 999, 1000, Warn},
		{900, 1000, 0, Fail},
		{990, 1000, 5000, Fail},
	} {
		if got := conntrackRoom("", tt.count, tt.size, tt.sessions); got.Status != tt.want {
			t.Errorf("%d of %d used, %d sessions: %s, want %s", tt.count, tt.size, tt.sessions, got.Status, tt.want)
		}
	}
}

func TestConntrackSwitches(t *testing.T) {
	n := newNetwork(t)
	setSysctl(t, n, "net.netfilter.nf_conntrack_events", "0")
	r := expect(t, run(t, n, input(n)), "conntrack events", Fail, "sysctl -w net.netfilter.nf_conntrack_events=1")
	if r.Fixable {
		t.Error("a setting is changed that is not among the safe ones")
	}
	setSysctl(t, n, "net.netfilter.nf_conntrack_events", "1")
	setSysctl(t, n, "net.netfilter.nf_conntrack_acct", "1")
	results := run(t, n, input(n))
	expect(t, results, "conntrack events", OK)
	if r := expect(t, results, "conntrack counters", OK); r.Found != "on" {
		t.Errorf("%+v", r)
	}
}

func TestListeners(t *testing.T) {
	n := newNetwork(t)
	i := input(n)
	svc := &i.Config.Services[0]
	for _, tt := range []struct{ addr, found, fix string }{
		{"192.0.2.99", "no route leads to it", "ip address add 192.0.2.99/32 dev lo"},
		{"203.0.113.77", "sought by clients", "ip address add 203.0.113.77/32 dev clients"}, // in a network of ours
		{"198.18.7.7", "sought by clients", "ip address add 198.18.7.7/32 dev lo"},          // beyond a gateway
		{"2001:db8::99", "no route leads to it", "ip address add 2001:db8::99/128 dev lo"},  // in the prefix of nobody
		{"2001:db8:c::77", "sought by clients", "ip address add 2001:db8:c::77/128 dev clients"},
	} {
		svc.Listen = []netip.AddrPort{netip.AddrPortFrom(lab.ListenerIPv4(0), 1), netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 1)}
		expect(t, run(t, n, i), "listeners", Warn, tt.addr, tt.found, tt.fix)
	}
	// An address need not be on an interface: ip route add local.
	svc.Listen = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.200:1")}
	routes(t, n, func(h *netlink.Handle) error {
		all, err := netlink.ParseIPNet("192.0.2.192/26")
		if err != nil {
			return err
		}
		return h.RouteAdd(&netlink.Route{LinkIndex: 1, Dst: all, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST})
	})
	expect(t, run(t, n, i), "listeners", OK)
}

func TestBackendOutOfReach(t *testing.T) {
	n := newNetwork(t)
	i := input(n)
	i.Config.Services[0].Backends[0].Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.200")}
	expect(t, run(t, n, i), "backends", Fail, "vpn/backend-1 at 192.0.2.200:1194", "cannot be reached")
	i.Config.Services[0].Backends[0].Addresses = []netip.Addr{netip.MustParseAddr("2001:db8:dead::1")}
	routes(t, n, func(h *netlink.Handle) error {
		dst, err := netlink.ParseIPNet("2001:db8:dead::/48")
		if err != nil {
			return err
		}
		return h.RouteAdd(&netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE})
	})
	expect(t, run(t, n, i), "backends", Fail, "[2001:db8:dead::1]:1194", "cannot be reached")
}

// A backend on this host whose socket is bound to every address answers from
// whichever address the route prefers: its clients hear nothing.
func TestLocalBackend(t *testing.T) {
	n := newNetwork(t)
	local := lab.ListenerIPv4(0)
	i := input(n)
	i.Config.Services[0].Backends = []balancer.Backend{{Name: "here", Addresses: []netip.Addr{local}, Port: 1194}}
	expect(t, run(t, n, i), "backends", Warn, "nothing listens there")
	listen := func(network, addr string) net.PacketConn {
		var c net.PacketConn
		in(t, n, func() (err error) {
			c, err = net.ListenPacket(network, addr)
			return err
		})
		t.Cleanup(func() { c.Close() })
		return c
	}
	for network, addr := range map[string]string{"udp4": "0.0.0.0:1194", "udp6": "[::]:1194"} {
		c := listen(network, addr)
		expect(t, run(t, n, i), "backends", Warn, "bound to every address", "have the server listen on 192.0.2.10:1194")
		c.Close()
	}
	listen("udp4", "192.0.2.10:1194")
	expect(t, run(t, n, i), "backends", OK)

	i.Config.Services[0].Listen = append(i.Config.Services[0].Listen, netip.MustParseAddrPort("[2001:db8::10]:1194"))
	i.Config.Services[0].Backends[0].Addresses = []netip.Addr{lab.ListenerIPv6(0)}
	c := listen("udp6", "[::]:1194")
	expect(t, run(t, n, i), "backends", Warn, "bound to every address")
	c.Close()
	listen("udp6", "[2001:db8::10]:1194")
	expect(t, run(t, n, i), "backends", OK)

	i.Config.Services[0].Backends[0].Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	expect(t, run(t, n, i), "backends", Warn, "loopback")
}

// Answers that go around this host reach the client from an address it never
// wrote to.
func TestReturnPath(t *testing.T) {
	n := newNetwork(t)
	i := input(n)
	svc := &i.Config.Services[0]
	svc.Backends = append(svc.Backends, balancer.Backend{Name: "far", Addresses: []netip.Addr{netip.MustParseAddr("198.18.0.5")}, Port: 1})
	expect(t, run(t, n, i), "return path", Warn, "far (198.18.0.5, behind a gateway)", "ip route replace default via 203.0.113.1")
	svc.SNAT = balancer.SNATMasquerade
	expect(t, run(t, n, i), "return path", Skip)

	i = input(n)
	svc = &i.Config.Services[0]
	svc.Listen = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:1194")} // on the clients' link
	svc.Backends[0].Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.9")}
	expect(t, run(t, n, i), "return path", Warn, "203.0.113.9, in a listener's network")
}

func TestQueueNumbers(t *testing.T) {
	n := newNetwork(t)
	i := input(n)
	i.Config.Queues = balancer.Queues{First: 0xfffe, Count: 2} // the probe must not take one of them
	i.State = filepath.Join(t.TempDir(), "state.json")
	expect(t, run(t, n, i), "queue numbers", OK, "65534 to 65535 are free")
	var conn *nfnetlink
	in(t, n, func() (err error) {
		conn, err = dialNfnetlink()
		if err != nil {
			return err
		}
		return conn.configureQueue(0xffff, nfqnlCfgCmdBind)
	})
	defer conn.close()
	results := run(t, n, i)
	expect(t, results, "queue numbers", Fail, "queue 65535 is held by netlink port")
	expect(t, results, "nfqueue", OK)

	s, err := store.Open(i.State)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	expect(t, run(t, n, i), "queue numbers", OK, "a daemon runs")
	i.State = ""
	expect(t, run(t, n, i), "queue numbers", Warn, "queue 65535")
}

func TestOwnTable(t *testing.T) {
	n := newNetwork(t)
	i := input(n)
	expect(t, run(t, n, i), "own table", Skip, "not known")
	i.State = filepath.Join(t.TempDir(), "state.json")
	expect(t, run(t, n, i), "own table", OK, "no table inet roamlb, no daemon runs")
	s, err := store.Open(i.State)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, run(t, n, i), "own table", Fail, "no table inet roamlb, a daemon runs (process "+strconv.Itoa(unix.Getpid()))
	in(t, n, func() error {
		conn := &nftables.Conn{}
		conn.AddTable(&nftables.Table{Name: "roamlb", Family: nftables.TableFamilyINet})
		return conn.Flush()
	})
	expect(t, run(t, n, i), "own table", OK)
	s.Close()
	expect(t, run(t, n, i), "own table", Warn, "no daemon runs", "roamlb flush")
}
