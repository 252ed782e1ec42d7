package nfq

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// packet is an IP packet, split at the header of what it carries.
type packet struct {
	source, destination netip.Addr
	protocol            uint8  // of body: IPPROTO_UDP, IPPROTO_ICMP, ...
	body                []byte // from that protocol's header on, as far as it is at hand
	cut                 bool   // the body is longer: a first fragment, or not all was copied
}

// decodePacket decodes an IPv4 or IPv6 packet, whose end may be cut off. It
// reports false for what is neither, for headers that are not whole, and for
// fragments other than the first: their bytes are no header.
func decodePacket(b []byte, cut bool) (packet, bool) {
	if len(b) == 0 {
		return packet{}, false
	}
	switch b[0] >> 4 {
	case 4:
		return decodeIPv4(b, cut)
	case 6:
		return decodeIPv6(b, cut)
	default:
		return packet{}, false
	}
}

// decodeIPv4 decodes an IPv4 packet, RFC 791, section 3.1.
//
//	0  version, header length in words   2  total length
//	6  flags, fragment offset            9  protocol
//	12 source                            16 destination   20 options
func decodeIPv4(b []byte, cut bool) (packet, bool) {
	const fixed, moreFragments, offset = 20, 0x2000, 0x1fff
	if len(b) < fixed {
		return packet{}, false
	}
	header := int(b[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	fragment := binary.BigEndian.Uint16(b[6:])
	if header < fixed || total < header || len(b) < header || fragment&offset != 0 {
		return packet{}, false
	}
	if total > len(b) && !cut {
		return packet{}, false
	}
	return packet{
		source:      netip.AddrFrom4([4]byte(b[12:16])),
		destination: netip.AddrFrom4([4]byte(b[16:20])),
		protocol:    b[9],
		body:        b[header:min(total, len(b))],
		cut:         total > len(b) || fragment&moreFragments != 0,
	}, true
}

// decodeIPv6 decodes an IPv6 packet, RFC 8200, section 3.
//
//	4  payload length   6 next header   8 source   24 destination
//
// A jumbogram (payload length 0) has no body here: NFQUEUE could not copy one.
func decodeIPv6(b []byte, cut bool) (packet, bool) {
	const fixed = 40
	if len(b) < fixed {
		return packet{}, false
	}
	total := fixed + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) && !cut {
		return packet{}, false
	}
	p := packet{
		source:      netip.AddrFrom16([16]byte(b[8:24])),
		destination: netip.AddrFrom16([16]byte(b[24:40])),
		protocol:    b[6],
		body:        b[fixed:min(total, len(b))],
		cut:         total > len(b),
	}
	return p, p.skipExtensions()
}

// skipExtensions moves an IPv6 packet's body behind the extension headers. It
// reports false where one is not whole, and for fragments other than the
// first.
//
// RFC 8200, section 4, and RFC 4302, section 2.2: a header begins with the
// protocol of the next one and its own length, which hop-by-hop, routing and
// destination options count in 8 bytes beyond the first 8, and the
// authentication header in 4 bytes beyond the first 8. A fragment header has 8
// bytes, and at 2 the offset in its upper 13 bits and "more" in the lowest.
func (p *packet) skipExtensions() bool {
	for {
		size := 8
		switch p.protocol {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			if len(p.body) >= size {
				size += int(p.body[1]) * 8
			}
		case unix.IPPROTO_AH:
			if len(p.body) >= size {
				size += int(p.body[1]) * 4
			}
		case unix.IPPROTO_FRAGMENT:
			if len(p.body) >= size {
				fragment := binary.BigEndian.Uint16(p.body[2:])
				if fragment>>3 != 0 {
					return false
				}
				p.cut = p.cut || fragment&1 != 0
			}
		default:
			return true
		}
		if len(p.body) < size {
			return false
		}
		p.protocol, p.body = p.body[0], p.body[size:]
	}
}

// datagram is a UDP datagram and who sent it to whom.
type datagram struct {
	source, destination netip.AddrPort
	payload             []byte
	cut                 bool // the payload is longer
}

// datagram decodes the body as UDP, RFC 768.
//
//	0 source port   2 destination port   4 length with this header   6 checksum
func (p *packet) datagram() (datagram, bool) {
	const header = 8
	if p.protocol != unix.IPPROTO_UDP || len(p.body) < header {
		return datagram{}, false
	}
	length := int(binary.BigEndian.Uint16(p.body[4:]))
	if length < header || length > len(p.body) && !p.cut {
		return datagram{}, false
	}
	source, destination := p.ports()
	return datagram{
		source:      source,
		destination: destination,
		payload:     p.body[header:min(length, len(p.body))],
		cut:         length > len(p.body),
	}, true
}

// ports joins the addresses with the ports that the first four bytes of the
// body are.
func (p *packet) ports() (source, destination netip.AddrPort) {
	return netip.AddrPortFrom(p.source, binary.BigEndian.Uint16(p.body)),
		netip.AddrPortFrom(p.destination, binary.BigEndian.Uint16(p.body[2:]))
}
