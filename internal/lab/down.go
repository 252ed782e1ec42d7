package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Down takes a link down, and with it what the kernel then forgets: addresses,
// routes and neighbours. The function that it returns takes the link up again
// and puts these back, as whatever manages a host's links does.
func (n *Namespace) Down(link string) (up func() error, err error) {
	l, err := n.link(link)
	if err != nil {
		return nil, err
	}
	restore, err := n.remember(l)
	if err != nil {
		return nil, err
	}
	if err := n.routes.LinkSetDown(l); err != nil {
		return nil, fmt.Errorf("set %s down in namespace %s: %w", link, n.name, err)
	}
	return func() error {
		if err := n.setUp(link); err != nil {
			return err
		}
		if err := restore(); err != nil {
			return err
		}
		return n.awaitUp(link)
	}, nil
}

// DropAddresses takes its addresses from a backend, and the kernel then its
// routes. The function that it returns gives all that back.
func (n *Network) DropAddresses(b *Backend) (restore func() error, err error) {
	l, err := b.link(uplink)
	if err != nil {
		return nil, err
	}
	if restore, err = b.remember(l); err != nil {
		return nil, err
	}
	for _, addr := range []netip.Addr{b.IPv4, b.IPv6} {
		prefix := netip.PrefixFrom(addr, addr.BitLen())
		if err := b.routes.AddrDel(l, &netlink.Addr{IPNet: ipNet(prefix)}); err != nil {
			return nil, fmt.Errorf("take %v from %s: %w", addr, b.name, err)
		}
	}
	return restore, nil
}

// remember returns a function that gives a link the addresses, neighbours and
// routes that it has now.
func (n *Namespace) remember(l netlink.Link) (restore func() error, err error) {
	addrs, err := n.routes.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
	}
	neighbours, err := n.routes.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list neighbours of %s: %w", l.Attrs().Name, err)
	}
	routes, err := n.routes.RouteList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list routes of %s: %w", l.Attrs().Name, err)
	}
	// The way to a gateway comes before what goes by it.
	slices.SortStableFunc(routes, func(a, b netlink.Route) int { return min(1, len(a.Gw)) - min(1, len(b.Gw)) })
	return func() error {
		var errs []error
		for i := range addrs {
			errs = append(errs, n.routes.AddrReplace(l, &addrs[i]))
		}
		for i := range neighbours {
			errs = append(errs, n.routes.NeighSet(&neighbours[i]))
		}
		for i := range routes {
			errs = append(errs, n.routes.RouteReplace(&routes[i]))
		}
		return errors.Join(errs...)
	}, nil
}
