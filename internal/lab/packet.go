package lab

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// PacketOptions are the choices for [UDPPacket]; the zero value will do.
type PacketOptions struct {
	TTL          uint8       // or hop limit; 0: 64
	ID           uint16      // IPv4 identification
	DontFragment bool        // IPv4's DF
	IPv4Options  []byte      // padded to a multiple of four, at most 40 bytes
	Extensions   []Extension // IPv6 extension headers, in their order
	NoChecksum   bool        // a UDP checksum of 0: legal in IPv4 only
}

// Extension is an IPv6 extension header that means nothing: it holds an option
// that every host skips.
type Extension struct {
	Header uint8 // HopByHop or DestinationOptions
	Length int   // in bytes, a multiple of 8 up to 256; 0: 8
}

// The extension headers that consist of options (RFC 8200 sections 4.3, 4.6).
const (
	HopByHop           = unix.IPPROTO_HOPOPTS
	DestinationOptions = unix.IPPROTO_DSTOPTS
)

const (
	ipv4HeaderSize = 20
	ipv6HeaderSize = 40
	udpHeaderSize  = 8
	defaultTTL     = 64
)

// UDPPacket returns an IPv4 or IPv6 packet, by src, with right lengths and
// checksums: everything but the link's header. src and dst are of one family.
func UDPPacket(src, dst netip.AddrPort, payload []byte, opts PacketOptions) []byte {
	datagram := make([]byte, udpHeaderSize+len(payload))
	copy(datagram[udpHeaderSize:], payload)
	packet := wrap(src.Addr(), dst.Addr(), unix.IPPROTO_UDP, datagram, opts)
	offset := len(packet) - len(datagram)
	putUDPHeader(packet[offset:], src, dst, !opts.NoChecksum)
	return packet
}

// putUDPHeader writes the header in front of a datagram's payload (RFC 768).
//
//	0  source port       2  destination port
//	4  length            6  checksum
func putUDPHeader(datagram []byte, src, dst netip.AddrPort, sum bool) {
	binary.BigEndian.PutUint16(datagram[0:], src.Port())
	binary.BigEndian.PutUint16(datagram[2:], dst.Port())
	binary.BigEndian.PutUint16(datagram[4:], uint16(len(datagram)))
	binary.BigEndian.PutUint16(datagram[6:], 0)
	if !sum {
		return
	}
	value := pseudoChecksum(src.Addr(), dst.Addr(), unix.IPPROTO_UDP, datagram)
	if value == 0 { // 0 means "no checksum"
		value = 0xffff
	}
	binary.BigEndian.PutUint16(datagram[6:], value)
}

// wrap puts an IP header of src's family, and what the options ask for, in
// front of a body of the given protocol.
func wrap(src, dst netip.Addr, protocol uint8, body []byte, opts PacketOptions) []byte {
	if opts.TTL == 0 {
		opts.TTL = defaultTTL
	}
	if src.Is4() {
		return wrapIPv4(src, dst, protocol, body, opts)
	}
	return wrapIPv6(src, dst, protocol, body, opts)
}

// wrapIPv4 makes an IPv4 packet (RFC 791 section 3.1).
//
//	0  version, header length   1  service        2  total length
//	4  identification           6  flags, fragment offset
//	8  time to live             9  protocol      10  header checksum
//	12 source                   16 destination   20  options
func wrapIPv4(src, dst netip.Addr, protocol uint8, body []byte, opts PacketOptions) []byte {
	header := ipv4HeaderSize + (len(opts.IPv4Options)+3)/4*4
	packet := make([]byte, header+len(body))
	packet[0] = 4<<4 | uint8(header/4)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	binary.BigEndian.PutUint16(packet[4:], opts.ID)
	if opts.DontFragment {
		packet[6] = 0x40
	}
	packet[8], packet[9] = opts.TTL, protocol
	copy(packet[12:], src.AsSlice())
	copy(packet[16:], dst.AsSlice())
	copy(packet[ipv4HeaderSize:], opts.IPv4Options)
	putIPv4Checksum(packet[:header])
	copy(packet[header:], body)
	return packet
}

func putIPv4Checksum(header []byte) {
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], checksum(header, 0))
}

// wrapIPv6 makes an IPv6 packet (RFC 8200 section 3).
//
//	0  version, class, flow label
//	4  payload length   6  next header   7  hop limit
//	8  source          24  destination  40  extension headers
func wrapIPv6(src, dst netip.Addr, protocol uint8, body []byte, opts PacketOptions) []byte {
	packet := make([]byte, ipv6HeaderSize, ipv6HeaderSize+len(body))
	packet[0] = 6 << 4
	packet[7] = opts.TTL
	copy(packet[8:], src.AsSlice())
	copy(packet[24:], dst.AsSlice())
	next := 6 // where the number of the next header goes
	for _, e := range opts.Extensions {
		packet[next] = e.Header
		next = len(packet)
		packet = append(packet, e.bytes()...)
	}
	packet[next] = protocol
	packet = append(packet, body...)
	binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-ipv6HeaderSize))
	return packet
}

// bytes returns the extension header: next header, length in units of eight
// beyond the first, and one option (RFC 8200 section 4.2). That is the one for
// experiments, to be skipped where it is not known (RFC 4727): padding beyond
// seven bytes would be refused.
func (e Extension) bytes() []byte {
	const experiment = 0x1e
	size := max(e.Length, 8)
	data := make([]byte, size)
	data[1] = uint8(size/8 - 1)
	data[2], data[3] = experiment, uint8(size-4)
	return data
}

// checksum is the Internet checksum (RFC 1071) over data, continuing from the
// sum of what came before.
func checksum(data []byte, sum uint32) uint16 {
	sum = addWords(data, sum)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func addWords(data []byte, sum uint32) uint32 {
	for ; len(data) >= 2; data = data[2:] {
		sum += uint32(data[0])<<8 | uint32(data[1])
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	return sum
}

// pseudoChecksum is the checksum of a UDP datagram or ICMPv6 message: over
// addresses, length and protocol too (RFC 768, RFC 8200 section 8.1; the sums
// of the two layouts are the same).
func pseudoChecksum(src, dst netip.Addr, protocol uint8, body []byte) uint16 {
	from, to := src.As16(), dst.As16()
	first := 0
	if src.Is4() {
		first = 12
	}
	sum := addWords(from[first:], uint32(len(body))+uint32(protocol))
	return checksum(body, addWords(to[first:], sum))
}
