package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The prefixes whose every address the clients namespace owns.
var (
	ClientsIPv4 = netip.MustParsePrefix("198.18.0.0/15")
	ClientsIPv6 = netip.MustParsePrefix("2001:db8:f::/48")
)

// The addresses of the links.
var (
	clientsLinkIPv4  = netip.MustParsePrefix("203.0.113.2/24")
	clientsLinkIPv6  = netip.MustParsePrefix("2001:db8:c::2/64")
	balancerLinkIPv4 = netip.MustParsePrefix("203.0.113.1/24")
	balancerLinkIPv6 = netip.MustParsePrefix("2001:db8:c::1/64")
	gatewayIPv4      = netip.MustParseAddr("198.51.100.254")
	gatewayIPv6      = netip.MustParseAddr("2001:db8:b::fe")
)

// maxBackends leaves room below the gateways for [Network.AddBackendAddress].
const maxBackends = 200

// ClientIPv4 returns the client address number i, counted from 0, of
// [ClientsIPv4]: 198.18.0.1 and so on. It panics beyond the prefix.
func ClientIPv4(i int) netip.Addr { return nth(ClientsIPv4, netip.MustParseAddr("198.18.0.1"), i) }

// ClientIPv6 returns the client address number i, counted from 0, of
// [ClientsIPv6]: 2001:db8:f::1 and so on.
func ClientIPv6(i int) netip.Addr { return nth(ClientsIPv6, netip.MustParseAddr("2001:db8:f::1"), i) }

// ListenerIPv4 returns the listener address number i, counted from 0:
// 192.0.2.10 and so on. A [Network] has number 0; see [Network.AddListener].
func ListenerIPv4(i int) netip.Addr {
	return nth(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("192.0.2.10"), i)
}

// ListenerIPv6 returns the listener address number i, counted from 0:
// 2001:db8::10 and so on. A [Network] has number 0.
func ListenerIPv6(i int) netip.Addr {
	return nth(netip.MustParsePrefix("2001:db8::/64"), netip.MustParseAddr("2001:db8::10"), i)
}

// BackendIPv4 returns the address of backend number i, counted from 1:
// 198.51.100.i. Numbers that no backend has can become further addresses,
// see [Network.AddBackendAddress].
func BackendIPv4(i int) netip.Addr {
	return nth(netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("198.51.100.0"), i)
}

// BackendIPv6 returns the address of backend number i, counted from 1:
// 2001:db8:b::i.
func BackendIPv6(i int) netip.Addr {
	return nth(netip.MustParsePrefix("2001:db8:b::/64"), netip.MustParseAddr("2001:db8:b::"), i)
}

// nth returns the address i places after first and panics, since a test asked
// for what does not exist, if that lies outside prefix.
func nth(prefix netip.Prefix, first netip.Addr, i int) netip.Addr {
	bytes := first.AsSlice()
	low := bytes[len(bytes)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+uint32(i))
	addr, _ := netip.AddrFromSlice(bytes)
	if i < 0 || !prefix.Contains(addr) {
		panic(fmt.Sprintf("lab: no address number %d in %s", i, prefix))
	}
	return addr
}
