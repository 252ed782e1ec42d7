package check

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// network is the namespace's links, addresses and routes.
type network struct {
	handle  *netlink.Handle
	links   map[int]netlink.Link
	holders map[netip.Addr]int // which link has an address
	routes  [2][]netlink.Route // the main table's, IPv4 and IPv6
	asked   map[netip.Addr]answer
}

// answer is what route has found out.
type answer struct {
	route route
	err   error
}

func family(v6 bool) int {
	if v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

func index(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

func readNetwork() (*network, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route socket: %w", err)
	}
	n := &network{handle: handle, links: make(map[int]netlink.Link), holders: make(map[netip.Addr]int), asked: make(map[netip.Addr]answer)}
	if err := n.read(); err != nil {
		n.close()
		return nil, fmt.Errorf("list links and routes: %w", err)
	}
	return n, nil
}

// settled repeats a listing that a change cut off.
func settled[T any](list func() (T, error)) (T, error) {
	for try := 0; ; try++ {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == 5 {
			return all, err
		}
	}
}

func (n *network) read() error {
	links, err := settled(n.handle.LinkList)
	if err != nil {
		return err
	}
	for _, l := range links {
		n.links[l.Attrs().Index] = l
	}
	addrs, err := settled(func() ([]netlink.Addr, error) { return n.handle.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			n.holders[ip.Unmap()] = a.LinkIndex
		}
	}
	for _, v6 := range []bool{false, true} {
		n.routes[index(v6)], err = settled(func() ([]netlink.Route, error) { return n.handle.RouteList(nil, family(v6)) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *network) close() { n.handle.Close() }

// route is how this host reaches an address.
type route struct {
	local   bool
	link    int        // 0 where local
	gateway bool       // by way of another host
	source  netip.Addr // our own address towards it
}

// route is the way to an address, asked of the kernel once. The error says
// that there is none.
func (n *network) route(to netip.Addr) (route, error) {
	a, known := n.asked[to]
	if !known {
		a.route, a.err = n.ask(to)
		n.asked[to] = a
	}
	return a.route, a.err
}

func (n *network) ask(to netip.Addr) (route, error) {
	list, err := n.handle.RouteGet(to.AsSlice())
	if err != nil {
		return route{}, err
	}
	if len(list) == 0 {
		return route{}, unix.ENETUNREACH
	}
	switch r := list[0]; r.Type {
	case unix.RTN_LOCAL:
		return route{local: true}, nil
	case unix.RTN_UNICAST:
		source, _ := netip.AddrFromSlice(r.Src)
		return route{link: r.LinkIndex, gateway: r.Gw != nil || r.Via != nil, source: source.Unmap()}, nil
	default:
		return route{}, fmt.Errorf("the route is %s", routeTypes[r.Type])
	}
}

// routeTypes are those that lead to no host.
var routeTypes = map[int]string{
	unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast",
	unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit",
}

func (n *network) linkName(index int) string {
	if l, ok := n.links[index]; ok {
		return l.Attrs().Name
	}
	return fmt.Sprintf("link %d", index)
}

func isLoopback(l netlink.Link) bool { return l.Attrs().RawFlags&unix.IFF_LOOPBACK != 0 }

// lone reports whether packets have only one way in and out.
func (n *network) lone() bool {
	up := 0
	for _, l := range n.links {
		if !isLoopback(l) && l.Attrs().RawFlags&unix.IFF_UP != 0 {
			up++
		}
	}
	return up <= 1
}

// involved names the links of a family that clients' and backends' packets
// pass: those that hold a listener, lead to a backend, or lead on to other
// networks.
func (h *host) involved(v6 bool) []string {
	set := make(map[int]bool)
	for _, l := range h.allListeners() {
		if l.Addr().Is6() == v6 {
			set[h.network.holders[l.Addr()]] = true
		}
	}
	for _, t := range h.targets() {
		if t.addr.Is6() == v6 {
			if r, err := h.network.route(t.addr); err == nil {
				set[r.link] = true
			}
		}
	}
	for _, r := range h.network.routes[index(v6)] {
		if r.Gw != nil || r.Via != nil {
			set[r.LinkIndex] = true
		}
		for _, hop := range r.MultiPath {
			set[hop.LinkIndex] = true
		}
	}
	var names []string
	for i := range set {
		if l, ok := h.network.links[i]; ok && !isLoopback(l) {
			names = append(names, l.Attrs().Name)
		}
	}
	slices.Sort(names)
	return names
}
