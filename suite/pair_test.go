package suite

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// pair is two balancers between two wires: clients at the front, backends at the
// back. What addresses the one serves the other can take over.
//
//	clients ---- front ---- node 1 ---- back ---- backend 1
//	               |------- node 2 -------|------ backend 2 ...
type pair struct {
	*bed                     // its LB is node 1, its daemon is nobody
	wires     *lab.Namespace // bridges: they go on whoever is cut off
	nodes     [2]*lab.Namespace
	daemons   [2]*daemon
	guardians [2]*exec.Cmd // keepalived
}

// Addresses that go from node to node.
var (
	frontIPs = []string{lab.ListenerIPv4(0).String() + "/32", lab.ListenerIPv6(0).String() + "/128"}
	backIPs  = []string{"198.51.100.254/24", "2001:db8:b::fe/64"}
)

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{bed: &bed{t: t, dir: t.TempDir(), queues: patientQueues, arrived: newArrivals(), Network: &lab.Network{}}}
	p.wires = p.host("wires")
	for _, wire := range []string{"front", "back"} {
		p.ip(p.wires, "link", "add", wire, "type", "bridge", "mcast_snooping", "0")
		p.ip(p.wires, "link", "set", wire, "up")
	}
	p.Clients = p.host("clients")
	p.plug(p.Clients, "front", "203.0.113.2/24", "2001:db8:c::2/64")
	for _, route := range []string{"192.0.2.0/24", "2001:db8::/64"} {
		p.ip(p.Clients, "route", "add", route, "dev", "front")
	}
	for _, prefix := range []netip.Prefix{lab.ClientsIPv4, lab.ClientsIPv6} {
		p.ip(p.Clients, "route", "add", "local", prefix.String(), "dev", "lo")
	}
	for i := range p.nodes {
		n := p.host(fmt.Sprint("node-", i+1))
		p.nodes[i] = n
		p.plug(n, "front", fmt.Sprintf("203.0.113.%d/24", 11+i), fmt.Sprintf("2001:db8:c::%d/64", 11+i))
		p.plug(n, "back", fmt.Sprintf("198.51.100.%d/24", 251+i), fmt.Sprintf("2001:db8:b::f%d/64", 1+i))
		p.ip(n, "route", "add", lab.ClientsIPv4.String(), "via", "203.0.113.2")
		p.ip(n, "route", "add", lab.ClientsIPv6.String(), "via", "2001:db8:c::2")
		p.sysctls(n, "net.ipv4.ip_forward", "1", "net.ipv6.conf.all.forwarding", "1")
	}
	p.LB = p.nodes[0]
	for i := 1; i <= 3; i++ {
		be := &lab.Backend{Namespace: p.host(fmt.Sprint("backend-", i)), Number: i, IPv4: lab.BackendIPv4(i), IPv6: lab.BackendIPv6(i)}
		p.plug(be.Namespace, "back", be.IPv4.String()+"/24", be.IPv6.String()+"/64")
		p.ip(be.Namespace, "route", "add", "default", "via", "198.51.100.254")
		p.ip(be.Namespace, "route", "add", "default", "via", "2001:db8:b::fe")
		p.Backends = append(p.Backends, be)
		e, err := be.Echo(port, lab.EchoOptions{Number: byte(i), Key: keyOf, OnArrival: func(a lab.Arrival) { p.arrived.add(i, a) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
	}
	p.clients = lab.NewClients(p.Clients, lab.ClientOptions{})
	t.Cleanup(func() { p.clients.Close() })
	return p
}

// host makes a namespace in which addresses work at once.
func (p *pair) host(name string) *lab.Namespace {
	p.t.Helper()
	n, err := lab.NewNamespace(name)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { n.Close() })
	p.sysctls(n, "net.ipv6.conf.all.disable_ipv6", "0", "net.ipv6.conf.default.disable_ipv6", "0", "net.ipv6.conf.all.accept_dad", "0",
		"net.ipv6.conf.default.accept_dad", "0", "net.ipv4.conf.all.rp_filter", "0", "net.ipv4.conf.default.rp_filter", "0")
	return n
}

func (p *pair) sysctls(n *lab.Namespace, pairs ...string) {
	p.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if err := n.SetSysctl(pairs[i], pairs[i+1]); err != nil {
			p.t.Fatal(err)
		}
	}
}

// plug joins a host to a wire by a link that is called as the wire.
func (p *pair) plug(n *lab.Namespace, wire string, addrs ...string) {
	p.t.Helper()
	p.ip(p.wires, "link", "add", n.Name(), "type", "veth", "peer", "name", wire, "netns", n.Path())
	plug := wire + "-" + n.Name()
	p.ip(p.wires, "link", "set", n.Name(), "name", plug)
	p.ip(p.wires, "link", "set", plug, "master", wire, "up")
	p.ip(n, "link", "set", wire, "up")
	for _, a := range addrs {
		add := []string{"addr", "add", a, "dev", wire}
		if strings.Contains(a, ":") {
			add = append(add, "nodad") // or it is usable only a moment later
		}
		p.ip(n, add...)
	}
}

func (p *pair) ip(n *lab.Namespace, args ...string) string {
	p.t.Helper()
	return tool(p.t, n, p.dir, "", "iproute2", "ip", args...)
}

// serve starts a daemon on both nodes with the same services.
func (p *pair) serve(services string) {
	p.t.Helper()
	for i, n := range p.nodes {
		b := &bed{Network: &lab.Network{LB: n}, t: p.t, dir: filepath.Join(p.dir, n.Name()), queues: p.queues}
		if err := os.Mkdir(b.dir, 0o700); err != nil {
			p.t.Fatal(err)
		}
		b.serve(services)
		p.daemons[i] = b.daemon
		p.t.Cleanup(b.daemon.end)
	}
	p.daemon = p.daemons[0]
}

// guard starts keepalived on a node.
func (p *pair) guard(i int) {
	p.t.Helper()
	tool, err := exec.LookPath("keepalived")
	if err != nil {
		p.t.Skip("needs keepalived: install keepalived")
	}
	text, err := os.ReadFile("testdata/keepalived.conf")
	if err != nil {
		p.t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(p.dir, fmt.Sprintf("%s-%d", name, i+1)) }
	mine := strings.NewReplacer("priority 150", fmt.Sprint("priority ", 150-50*i), "node-1", fmt.Sprint("node-", i+1)).Replace(string(text))
	if err := os.WriteFile(file("keepalived.conf"), []byte(mine), 0o600); err != nil {
		p.t.Fatal(err)
	}
	log, err := os.OpenFile(file("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(tool, "--dont-fork", "--log-console", "--log-detail", "--vrrp", "-f", file("keepalived.conf"), "-p", file("pid"), "-r", file("vrrp-pid"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := p.nodes[i].Start(cmd); err != nil {
		p.t.Fatal(err)
	}
	p.guardians[i] = cmd
	p.t.Cleanup(func() {
		if p.t.Failed() {
			said, _ := os.ReadFile(file("log"))
			p.t.Logf("keepalived of node %d:\n%s", i+1, said)
		}
	})
	p.t.Cleanup(func() { p.unguard(i) })
}

// unguard ends keepalived on a node as an upgrade does.
func (p *pair) unguard(i int) {
	if cmd := p.guardians[i]; cmd != nil {
		p.guardians[i] = nil
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
}

// holds reports whether a node has all the addresses that go from node to node.
func (p *pair) holds(i int) bool {
	p.t.Helper()
	have := p.ip(p.nodes[i], "-brief", "addr")
	for _, a := range append(frontIPs, backIPs...) {
		if !strings.Contains(have, " "+a) {
			return false
		}
	}
	return true
}

func (p *pair) awaitHolder(what string, i int) {
	p.t.Helper()
	waitFor(p.t, 10*time.Second, what, func() bool { return p.holds(i) })
}

// cut takes both wires out of a node, or puts them back.
func (p *pair) cut(i int, state string) {
	p.t.Helper()
	for _, wire := range []string{"front", "back"} {
		p.ip(p.wires, "link", "set", wire+"-"+p.nodes[i].Name(), state)
	}
}
