package lab

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ICMP types and codes: RFC 792, RFC 1191, RFC 4443 section 3.
const (
	icmpUnreachable      = 3
	icmpPortUnreachable  = 3
	icmpFragNeeded       = 4
	icmp6Unreachable     = 1
	icmp6PortUnreachable = 4
	icmp6PacketTooBig    = 2
)

// Errors quote the packet they are about so far that they stay within these
// sizes (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
const (
	icmpErrorSize  = 576
	icmp6ErrorSize = 1280
	icmpHeaderSize = 8
)

// PacketTooBig returns the ICMP "fragmentation needed" or ICMPv6 "packet too
// big" with which the host from answers the packet inner: a packet to inner's
// source that names the largest size, in bytes, that goes on.
func PacketTooBig(from netip.Addr, mtu int, inner []byte) []byte {
	if from.Is4() {
		return icmpError(from, icmpUnreachable, icmpFragNeeded, uint32(mtu), inner)
	}
	return icmpError(from, icmp6PacketTooBig, 0, uint32(mtu), inner)
}

// PortUnreachable returns the ICMP or ICMPv6 error with which the host from
// answers the packet inner, where nothing listens.
func PortUnreachable(from netip.Addr, inner []byte) []byte {
	if from.Is4() {
		return icmpError(from, icmpUnreachable, icmpPortUnreachable, 0, inner)
	}
	return icmpError(from, icmp6Unreachable, icmp6PortUnreachable, 0, inner)
}

// icmpError makes an error message.
//
//	0  type   1  code   2  checksum
//	4  the MTU; in ICMP its lower half alone, the rest unused
//	8  the packet that it is about
func icmpError(from netip.Addr, kind, code uint8, mtu uint32, inner []byte) []byte {
	var to netip.Addr
	var room int
	var protocol uint8
	if from.Is4() {
		to, _ = netip.AddrFromSlice(inner[12:16])
		room, protocol = icmpErrorSize-ipv4HeaderSize-icmpHeaderSize, unix.IPPROTO_ICMP
	} else {
		to, _ = netip.AddrFromSlice(inner[8:24])
		room, protocol = icmp6ErrorSize-ipv6HeaderSize-icmpHeaderSize, unix.IPPROTO_ICMPV6
	}
	message := make([]byte, icmpHeaderSize, icmpHeaderSize+room)
	message[0], message[1] = kind, code
	binary.BigEndian.PutUint32(message[4:], mtu)
	message = append(message, inner[:min(len(inner), room)]...)
	sum := checksum(message, 0)
	if from.Is6() {
		sum = pseudoChecksum(from, to, protocol, message)
	}
	binary.BigEndian.PutUint16(message[2:], sum)
	return wrap(from, to, protocol, message, PacketOptions{})
}
