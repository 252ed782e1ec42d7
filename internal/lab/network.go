package lab

import (
	"errors"
	"fmt"
	"net/netip"
)

// NetworkOptions are the choices for [NewNetwork]; the zero value will do.
type NetworkOptions struct {
	Backends int // how many, at most 200; 0: three
	MTU      int // of every link, in bytes; 0: 1500
}

// Network is the topology that the package comment draws. Its methods may be
// called from any goroutine, but for Close, which comes last.
type Network struct {
	Clients  *Namespace // owns ClientsIPv4 and ClientsIPv6; its link is called "lb"
	LB       *Namespace // forwards; its links are "clients", "backend-1", ...
	Backends []*Backend // in the order of their numbers
}

// Backend is a host behind the load balancer. Its link is called "lb" and
// leads to everything else.
type Backend struct {
	*Namespace
	Number int        // counted from 1
	IPv4   netip.Addr // BackendIPv4(Number)
	IPv6   netip.Addr // BackendIPv6(Number)
}

// NewNetwork lays out a network, ready to use when it returns: forwarding is
// on in LB, reverse path filters are off, ICMP errors are not rate-limited.
// Several networks can exist at once. The caller closes it.
func NewNetwork(opts NetworkOptions) (*Network, error) {
	if opts.Backends == 0 {
		opts.Backends = 3
	}
	if opts.MTU == 0 {
		opts.MTU = 1500
	}
	if opts.Backends < 1 || opts.Backends > maxBackends {
		return nil, fmt.Errorf("make network: %d backends, want 1 to %d", opts.Backends, maxBackends)
	}
	n := &Network{}
	if err := n.build(opts); err != nil {
		return nil, errors.Join(fmt.Errorf("make network: %w", err), n.Close())
	}
	return n, nil
}

// Close lets go of all namespaces. What was opened in them, servers and
// clients, is closed before.
func (n *Network) Close() error {
	var errs []error
	for _, ns := range append([]*Namespace{n.Clients, n.LB}, n.backendNamespaces()...) {
		if ns != nil {
			errs = append(errs, ns.Close())
		}
	}
	return errors.Join(errs...)
}

// Backend returns the backend with that number, counted from 1, and panics
// if there is none.
func (n *Network) Backend(number int) *Backend { return n.Backends[number-1] }

// AddListener gives LB an address to listen on, such as ListenerIPv4(1).
// The clients reach it at once.
func (n *Network) AddListener(addr netip.Addr) error {
	return n.LB.addAddress("lo", netip.PrefixFrom(addr, addr.BitLen()))
}

// AddBackendAddress gives the backend one more address, such as
// BackendIPv4(201), and LB the route to it.
func (n *Network) AddBackendAddress(b *Backend, addr netip.Addr) error {
	if err := b.addAddress(uplink, netip.PrefixFrom(addr, addr.BitLen())); err != nil {
		return err
	}
	return n.LB.addRoute(backendLink(b.Number), netip.PrefixFrom(addr, addr.BitLen()), b.gatewayOf(addr))
}

// gatewayOf returns the backend's own address of addr's family: LB's
// neighbour for whatever else is behind it.
func (b *Backend) gatewayOf(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return b.IPv4
	}
	return b.IPv6
}

func (n *Network) backendNamespaces() []*Namespace {
	var list []*Namespace
	for _, b := range n.Backends {
		list = append(list, b.Namespace)
	}
	return list
}

// uplink is the name of the link towards LB in all other namespaces.
const uplink = "lb"

func backendLink(number int) string { return fmt.Sprintf("backend-%d", number) }

func (n *Network) build(opts NetworkOptions) (err error) {
	if n.LB, err = newHost("lb", balancerSysctls); err != nil {
		return err
	}
	if n.Clients, err = newHost("clients", nil); err != nil {
		return err
	}
	for i := 1; i <= opts.Backends; i++ {
		b := &Backend{Number: i, IPv4: BackendIPv4(i), IPv6: BackendIPv6(i)}
		if b.Namespace, err = newHost(backendLink(i), nil); err != nil {
			return err
		}
		n.Backends = append(n.Backends, b)
		if err := n.connectBackend(b, opts.MTU); err != nil {
			return err
		}
	}
	if err := n.connectClients(opts.MTU); err != nil {
		return err
	}
	for _, addr := range []netip.Addr{ListenerIPv4(0), ListenerIPv6(0)} {
		if err := n.AddListener(addr); err != nil {
			return err
		}
	}
	return nil
}

// hostSysctls are set in every namespace before it has links, so that these
// take over the defaults.
var hostSysctls = []sysctl{
	// Packets may come from where no route leads back.
	{"net.ipv4.conf.all.rp_filter", "0"},
	{"net.ipv4.conf.default.rp_filter", "0"},
	{"net.ipv4.conf.lo.rp_filter", "0"},
	{"net.ipv4.conf.all.send_redirects", "0"},
	{"net.ipv4.conf.default.send_redirects", "0"},
	// ICMP errors are something to count: no rate limit for any type.
	{"net.ipv4.icmp_ratemask", "0"},
	{"net.ipv6.icmp.ratemask", "255"},
	{"net.ipv6.conf.all.disable_ipv6", "0"},
	{"net.ipv6.conf.default.disable_ipv6", "0"},
	// Addresses work at once, and links are silent: no duplicate address
	// detection, no router advertisements, no link-local addresses.
	{"net.ipv6.conf.all.accept_dad", "0"},
	{"net.ipv6.conf.default.accept_dad", "0"},
	{"net.ipv6.conf.default.accept_ra", "0"},
	{"net.ipv6.conf.default.addr_gen_mode", "1"},
}

var balancerSysctls = []sysctl{
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv6.conf.all.forwarding", "1"},
}

// newHost makes a namespace for the network. On an error there is none.
func newHost(name string, more []sysctl) (*Namespace, error) {
	n, err := NewNamespace(name)
	if err != nil {
		return nil, err
	}
	for _, list := range [][]sysctl{hostSysctls, more} {
		if err := n.setSysctls(list); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

func (n *Network) connectClients(mtu int) error {
	err := connect(mtu,
		end{n.Clients, uplink, hardwareAddr(0, 1), []netip.Prefix{clientsLinkIPv4, clientsLinkIPv6}},
		end{n.LB, "clients", hardwareAddr(0, 2), []netip.Prefix{balancerLinkIPv4, balancerLinkIPv6}})
	if err != nil {
		return err
	}
	for _, r := range []struct{ prefix, to, from netip.Prefix }{
		{ClientsIPv4, clientsLinkIPv4, balancerLinkIPv4},
		{ClientsIPv6, clientsLinkIPv6, balancerLinkIPv6},
	} {
		if err := n.LB.addRoute("clients", r.prefix, r.to.Addr()); err != nil {
			return err
		}
		if err := n.Clients.addRoute(uplink, anywhere(r.from.Addr()), r.from.Addr()); err != nil {
			return err
		}
		if err := n.Clients.ownPrefix(r.prefix); err != nil {
			return err
		}
	}
	return nil
}

// connectBackend gives the backend a link of its own: nothing between it and
// LB, neither a bridge nor other backends.
func (n *Network) connectBackend(b *Backend, mtu int) error {
	here, there := prefixes(b.IPv4, b.IPv6), prefixes(gatewayIPv4, gatewayIPv6)
	err := connect(mtu,
		end{b.Namespace, uplink, hardwareAddr(b.Number, 1), here},
		end{n.LB, backendLink(b.Number), hardwareAddr(b.Number, 2), there})
	if err != nil {
		return err
	}
	for i := range here {
		if err := n.LB.addRoute(backendLink(b.Number), here[i], netip.Addr{}); err != nil {
			return err
		}
		if err := b.addRoute(uplink, there[i], netip.Addr{}); err != nil {
			return err
		}
		if err := b.addRoute(uplink, anywhere(there[i].Addr()), there[i].Addr()); err != nil {
			return err
		}
	}
	return nil
}

// prefixes returns each address as a prefix with that address alone.
func prefixes(addrs ...netip.Addr) []netip.Prefix {
	var list []netip.Prefix
	for _, a := range addrs {
		list = append(list, netip.PrefixFrom(a, a.BitLen()))
	}
	return list
}

// anywhere returns the default route's prefix in addr's family.
func anywhere(addr netip.Addr) netip.Prefix {
	return netip.PrefixFrom(addr, 0).Masked()
}
