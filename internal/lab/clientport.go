package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// portKey names a socket: all addresses of a family at one port.
type portKey struct {
	port uint16
	ipv4 bool
}

func keyOf(src netip.AddrPort) portKey {
	return portKey{port: src.Port(), ipv4: src.Addr().Is4()}
}

// openPorts opens the sockets that the datagrams need and that are not open
// yet: all in one visit to the namespace, for a visit costs much more than a
// socket.
func (c *Clients) openPorts(list []Datagram) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClientsClosed
	}
	var missing []portKey
	for _, d := range list {
		if key := keyOf(d.Src); c.sockets[key] == nil {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return c.ns.Do(func() error {
		for _, key := range missing {
			if c.sockets[key] != nil { // it was listed twice
				continue
			}
			sockets, err := c.open(key)
			if err != nil {
				return fmt.Errorf("open client port %d: %w", key.port, err)
			}
			c.sockets[key] = sockets
			for _, s := range sockets {
				c.readers.Go(func() {
					s.receive(func(fd uintptr) bool { return c.read(fd, key) })
				})
			}
		}
		return nil
	})
}

// open opens the sockets of a port in the namespace of the calling thread. The
// caller holds mu.
func (c *Clients) open(key portKey) ([]*socket, error) {
	discover, report := unix.IP_PMTUDISC_WANT, 0
	if c.opts.DontFragment {
		discover = unix.IP_PMTUDISC_DO
	}
	if c.opts.ICMPErrors {
		report = 1
	}
	wildcard := netip.AddrPortFrom(netip.IPv6Unspecified(), key.port)
	options := []option{
		{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		// The addresses are routed to this host, but no link has them.
		{unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVERR, report},
		{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover},
	}
	if key.ipv4 {
		wildcard = netip.AddrPortFrom(netip.IPv4Unspecified(), key.port)
		options = []option{
			{unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
			{unix.IPPROTO_IP, unix.IP_RECVERR, report},
			{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover},
		}
	}
	// Where there are a few ports, each serves many clients; thousands of
	// ports have little to do and must not take all descriptors.
	list, err := listen(wildcard, options, 64/(len(c.sockets)+1))
	if err != nil || len(list) == 1 {
		return list, err
	}
	if err := spreadByClient(list, key.ipv4); err != nil {
		return nil, errors.Join(err, closeAll(list))
	}
	return list, nil
}

// read takes one burst of ICMP errors and one of replies, and tells whether
// there was any.
func (c *Clients) read(fd uintptr, key portKey) bool {
	var errs []ICMPError
	if c.opts.ICMPErrors {
		errs = readErrors(fd, key)
		c.keep(errs)
	}
	replies := readReplies(fd, key)
	c.deliver(replies)
	return len(errs)+len(replies) > 0
}
