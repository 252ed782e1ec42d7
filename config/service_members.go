package config

import (
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

var serviceMembers = []member[balancer.Service]{
	must(text("name", func(s *balancer.Service) *string { return &s.Name })),
	fixed[balancer.Service]("protocol", "udp"),
	must(entries("listen", readListener, writeListener, func(s *balancer.Service) *[]netip.AddrPort { return &s.Listen })),
	{name: "key", required: true, read: readKey, write: writeKey},
	text("pinning", func(s *balancer.Service) *balancer.Pinning { return &s.Pinning }),
	text("datapath", func(s *balancer.Service) *balancer.Datapath { return &s.Datapath }),
	number("slots", slotsSpan, func(s *balancer.Service) *uint32 { return &s.Slots }),
	seed,
	duration("session_ttl", func(s *balancer.Service) *time.Duration { return &s.SessionTTL }),
	number("max_sessions", sessionsSpan, func(s *balancer.Service) *int { return &s.MaxSessions }),
	text("stale", func(s *balancer.Service) *balancer.Stale { return &s.Stale }),
	duration("confirm_timeout", func(s *balancer.Service) *time.Duration { return &s.ConfirmTimeout }),
	text("snat", func(s *balancer.Service) *balancer.SNAT { return &s.SNAT }),
	text("no_backend", func(s *balancer.Service) *balancer.NoBackend { return &s.NoBackend }),
	text("all_down", func(s *balancer.Service) *balancer.AllDown { return &s.AllDown }),
	duration("drain_timeout", func(s *balancer.Service) *time.Duration { return &s.DrainTimeout }),
	prefixes("allow", func(s *balancer.Service) *[]netip.Prefix { return &s.Allow }),
	prefixes("deny", func(s *balancer.Service) *[]netip.Prefix { return &s.Deny }),
	{name: "health", read: readHealth, write: writeHealth},
	{name: "timeouts", read: readTimeouts, write: writeTimeouts},
	entries("backends", readBackend, writeBackend, func(s *balancer.Service) *[]balancer.Backend { return &s.Backends }),
	shown[balancer.Service]("effective"),
}

// seed is left out while there is none.
var seed = func() member[balancer.Service] {
	m := number("seed", seedSpan, func(s *balancer.Service) *uint32 { return &s.Seed })
	write := m.write
	m.write = func(from *balancer.Service) *node {
		if from.Seed == 0 {
			return nil
		}
		return write(from)
	}
	return m
}()

var listenerMembers = []member[netip.AddrPort]{
	{
		name: "address", required: true,
		read: func(d *decoder, at string, n *node, to *netip.AddrPort) {
			if a, ok := d.address(at, n); ok {
				*to = netip.AddrPortFrom(a, to.Port())
			}
		},
		write: func(from *netip.AddrPort) *node { return textNode(from.Addr().String()) },
	},
	{
		name: "port", required: true,
		read: func(d *decoder, at string, n *node, to *netip.AddrPort) {
			if v, ok := d.number(at, n, portSpan); ok {
				*to = netip.AddrPortFrom(to.Addr(), uint16(v))
			}
		},
		write: func(from *netip.AddrPort) *node { return numberNode(int64(from.Port())) },
	},
}

func readListener(d *decoder, at string, n *node) netip.AddrPort {
	var a netip.AddrPort
	readObject(d, at, n, listenerMembers, &a)
	return a
}

func writeListener(from *netip.AddrPort) *node { return writeObject(listenerMembers, from) }

// prefixes is a member that is a list of source prefixes.
func prefixes(name string, field func(*balancer.Service) *[]netip.Prefix) member[balancer.Service] {
	read := func(d *decoder, at string, n *node) netip.Prefix {
		p, _ := d.prefix(at, n)
		return p
	}
	write := func(from *netip.Prefix) *node { return textNode(from.String()) }
	return entries(name, read, write, field)
}

var timeoutMembers = []member[balancer.Timeouts]{
	must(duration("unreplied", func(t *balancer.Timeouts) *time.Duration { return &t.Unreplied })),
	must(duration("replied", func(t *balancer.Timeouts) *time.Duration { return &t.Replied })),
}

func readTimeouts(d *decoder, at string, n *node, to *balancer.Service) {
	readObject(d, at, n, timeoutMembers, &to.Timeouts)
}

// writeTimeouts leaves the namespace's own timeouts out.
func writeTimeouts(from *balancer.Service) *node {
	if from.Timeouts == (balancer.Timeouts{}) {
		return nil
	}
	return writeObject(timeoutMembers, &from.Timeouts)
}

var backendMembers = []member[balancer.Backend]{
	must(text("name", func(b *balancer.Backend) *string { return &b.Name })),
	{
		name: "address", // short for one address
		read: func(d *decoder, at string, n *node, to *balancer.Backend) {
			if a, ok := d.address(at, n); ok {
				to.Addresses = []netip.Addr{a}
			}
		},
		write: func(from *balancer.Backend) *node {
			if len(from.Addresses) != 1 {
				return nil
			}
			return textNode(from.Addresses[0].String())
		},
	},
	addresses,
	must(number("port", portSpan, func(b *balancer.Backend) *uint16 { return &b.Port })),
	number("weight", weightSpan, func(b *balancer.Backend) *int { return &b.Weight }),
	text("admin", func(b *balancer.Backend) *balancer.Admin { return &b.Admin }),
	shown[balancer.Backend]("id"),
	shown[balancer.Backend]("state"),
}

// addresses is written for more than one; one has its short form.
var addresses = func() member[balancer.Backend] {
	read := func(d *decoder, at string, n *node) netip.Addr {
		a, _ := d.address(at, n)
		return a
	}
	write := func(from *netip.Addr) *node { return textNode(from.String()) }
	m := entries("addresses", read, write, func(b *balancer.Backend) *[]netip.Addr { return &b.Addresses })
	all := m.write
	m.write = func(from *balancer.Backend) *node {
		if len(from.Addresses) == 1 {
			return nil
		}
		return all(from)
	}
	return m
}()

func readBackend(d *decoder, at string, n *node) balancer.Backend {
	b := DefaultBackend()
	readObject(d, at, n, backendMembers, &b)
	if n.kind == object && n.has("address") && n.has("addresses") {
		d.spoil(join(at, "addresses"), "stands beside address, which is short for it: give one of them")
	}
	return b
}

func writeBackend(from *balancer.Backend) *node { return writeObject(backendMembers, from) }
