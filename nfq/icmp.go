package nfq

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Types of ICMP errors, RFC 792 and RFC 4443, section 2.1: of ICMPv6 those
// below 128 are errors.
const (
	icmpUnreachable      = 3
	icmpSourceQuench     = 4
	icmpRedirect         = 5
	icmpTimeExceeded     = 11
	icmpParameterProblem = 12
	icmpv6FirstInfo      = 128
)

// quoted returns the source and destination of the UDP datagram that an ICMP
// error is about, as it was when the error's sender met it: the packet that it
// quotes behind its own 8 bytes, of which at least the ports must be there. It
// reports false for all other packets.
func (p *packet) quoted() (source, destination netip.AddrPort, ok bool) {
	const header, portsLen = 8, 4
	if len(p.body) < header || !p.isError() {
		return netip.AddrPort{}, netip.AddrPort{}, false
	}
	// What is quoted is the beginning of a packet, so its end may be missing.
	inner, ok := decodePacket(p.body[header:], true)
	if !ok || inner.protocol != unix.IPPROTO_UDP || len(inner.body) < portsLen || inner.source.Is4() != p.source.Is4() {
		return netip.AddrPort{}, netip.AddrPort{}, false
	}
	source, destination = inner.ports()
	return source, destination, true
}

// refuses reports whether the body, which is an ICMP error, says that nobody
// listens at a port: type and code of RFC 792 and RFC 4443, section 3.1.
func (p *packet) refuses() bool {
	kind, code := p.body[0], p.body[1]
	if p.source.Is4() {
		return kind == icmpUnreachable && code == 3
	}
	return kind == 1 && code == 4
}

// isError reports whether the body, which is not empty, is an ICMP error of
// the packet's family.
func (p *packet) isError() bool {
	kind := p.body[0]
	switch {
	case p.protocol == unix.IPPROTO_ICMP && p.source.Is4():
		switch kind {
		case icmpUnreachable, icmpSourceQuench, icmpRedirect, icmpTimeExceeded, icmpParameterProblem:
			return true
		}
		return false
	case p.protocol == unix.IPPROTO_ICMPV6 && !p.source.Is4():
		return kind < icmpv6FirstInfo
	default:
		return false
	}
}
