package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// settleTime is how long the kernel may take for what it does in the
// background: usually a few milliseconds.
const settleTime = 10 * time.Second

// end is one side of a link: its name, hardware address and addresses in a
// namespace.
type end struct {
	ns    *Namespace
	link  string
	mac   net.HardwareAddr
	addrs []netip.Prefix
}

// hardwareAddr returns the address, locally administered, of one of the two
// sides of link number n.
func hardwareAddr(n int, side byte) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0, 0, byte(n >> 8), byte(n), side}
}

// connect joins two namespaces by a veth pair, each side a permanent
// neighbour of the other, and returns when packets pass.
func connect(mtu int, a, b end) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = a.link, a.mac, mtu
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = b.link, b.mac, uint32(mtu)
	veth.PeerNamespace = netlink.NsFd(b.ns.Fd())
	if err := a.ns.routes.LinkAdd(veth); err != nil {
		return fmt.Errorf("link %s with %s: %w", a.ns.name, b.ns.name, err)
	}
	for _, e := range []end{a, b} {
		if err := e.ns.setUp(e.link); err != nil {
			return err
		}
	}
	for _, pair := range [][2]end{{a, b}, {b, a}} {
		if err := pair[0].configure(pair[1]); err != nil {
			return err
		}
	}
	for _, e := range []end{a, b} {
		if err := e.ns.awaitUp(e.link); err != nil {
			return err
		}
	}
	return nil
}

// configure gives the side e of a link its addresses and its neighbour.
func (e end) configure(peer end) error {
	for _, a := range e.addrs {
		if err := e.ns.addAddress(e.link, a); err != nil {
			return err
		}
	}
	for _, a := range peer.addrs {
		if err := e.ns.addNeighbour(e.link, a.Addr(), peer.mac); err != nil {
			return err
		}
	}
	return nil
}

// SetMTU sets the largest packet, in bytes, that a link of the namespace
// sends. The other side's links keep theirs.
func (n *Namespace) SetMTU(link string, mtu int) error {
	l, err := n.link(link)
	if err != nil {
		return err
	}
	if err := n.routes.LinkSetMTU(l, mtu); err != nil {
		return fmt.Errorf("set mtu of %s in namespace %s: %w", link, n.name, err)
	}
	return nil
}

func (n *Namespace) link(name string) (netlink.Link, error) {
	l, err := n.routes.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s in namespace %s: %w", name, n.name, err)
	}
	return l, nil
}

func (n *Namespace) setUp(link string) error {
	l, err := n.link(link)
	if err != nil {
		return err
	}
	if err := n.routes.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up in namespace %s: %w", link, n.name, err)
	}
	return nil
}

// awaitUp waits until the link sends. The side that was set up first drops
// everything until the kernel has noticed, in the background, that the other
// side has come up as well.
func (n *Namespace) awaitUp(link string) error {
	for deadline := time.Now().Add(settleTime); ; time.Sleep(time.Millisecond) {
		l, err := n.link(link)
		if err != nil {
			return err
		}
		if l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("link %s in namespace %s is %s, not up", link, n.name, l.Attrs().OperState)
		}
	}
}

func (n *Namespace) addAddress(link string, addr netip.Prefix) error {
	l, err := n.link(link)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: ipNet(addr)}
	if addr.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := n.routes.AddrAdd(l, a); err != nil {
		return fmt.Errorf("add address %s to %s in namespace %s: %w", addr, link, n.name, err)
	}
	return n.awaitLocal(addr.Addr())
}

// errNotLocal says that packets to an address are not taken as the host's own.
var errNotLocal = errors.New("no local route")

// awaitLocal waits until the namespace takes packets to the address. The
// kernel adds the route of an IPv6 address in the background, even where no
// duplicate detection is due.
func (n *Namespace) awaitLocal(addr netip.Addr) error {
	for deadline := time.Now().Add(settleTime); ; time.Sleep(time.Millisecond) {
		found, err := n.routes.RouteGet(addr.AsSlice())
		if err == nil && len(found) == 1 && found[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("address %s in namespace %s is not in use (route %v): %w", addr, n.name, found, errors.Join(err, errNotLocal))
		}
	}
}

func (n *Namespace) addNeighbour(link string, addr netip.Addr, mac net.HardwareAddr) error {
	l, err := n.link(link)
	if err != nil {
		return err
	}
	err = n.routes.NeighSet(&netlink.Neigh{
		LinkIndex:    l.Attrs().Index,
		State:        netlink.NUD_PERMANENT,
		IP:           addr.AsSlice(),
		HardwareAddr: mac,
	})
	if err != nil {
		return fmt.Errorf("add neighbour %s on %s in namespace %s: %w", addr, link, n.name, err)
	}
	return nil
}

// addRoute routes a prefix out of a link, by way of the gateway if there is
// one.
func (n *Namespace) addRoute(link string, prefix netip.Prefix, gateway netip.Addr) error {
	l, err := n.link(link)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(prefix), Scope: netlink.SCOPE_LINK}
	if gateway.IsValid() {
		route.Gw, route.Scope = gateway.AsSlice(), netlink.SCOPE_UNIVERSE
	}
	if err := n.routes.RouteAdd(route); err != nil {
		return fmt.Errorf("add route %s in namespace %s: %w", prefix, n.name, err)
	}
	return nil
}

// ownPrefix makes every address of the prefix one of the namespace's own, as
// `ip route add local PREFIX dev lo` does.
func (n *Namespace) ownPrefix(prefix netip.Prefix) error {
	lo, err := n.link("lo")
	if err != nil {
		return err
	}
	err = n.routes.RouteAdd(&netlink.Route{
		LinkIndex: lo.Attrs().Index,
		Dst:       ipNet(prefix),
		Type:      unix.RTN_LOCAL,
		Table:     unix.RT_TABLE_LOCAL,
		Scope:     netlink.SCOPE_HOST,
	})
	if err != nil {
		return fmt.Errorf("own %s in namespace %s: %w", prefix, n.name, err)
	}
	return nil
}

// ipNet turns a prefix into what the netlink library takes.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
