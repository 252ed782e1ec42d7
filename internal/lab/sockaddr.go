package lab

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawAddr has room for an IPv4, an IPv6 and a link-layer socket address.
type rawAddr unix.RawSockaddrInet6

// set lays out an address for the kernel (ip(7), ipv6(7)) and returns its
// length.
func (r *rawAddr) set(addr netip.AddrPort) uint32 {
	if addr.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(r))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(addr.Port()), Addr: addr.Addr().As4()}
		return unix.SizeofSockaddrInet4
	}
	*r = rawAddr{Family: unix.AF_INET6, Port: networkOrder(addr.Port()), Addr: addr.Addr().As16()}
	return unix.SizeofSockaddrInet6
}

// setLink lays out a link-layer address (packet(7)) and returns its length.
func (r *rawAddr) setLink(protocol uint16, link int, mac [6]byte) uint32 {
	l := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(r))
	*l = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: networkOrder(protocol), Ifindex: int32(link), Halen: 6}
	copy(l.Addr[:], mac[:])
	return unix.SizeofSockaddrLinklayer
}

// addrPort returns the IPv4 or IPv6 address the kernel laid out, or the zero
// AddrPort.
func (r *rawAddr) addrPort() netip.AddrPort {
	switch r.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(r))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkOrder(v4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(r.Addr), networkOrder(r.Port))
	}
	return netip.AddrPort{}
}

// networkOrder turns a number into big-endian memory, and back.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
