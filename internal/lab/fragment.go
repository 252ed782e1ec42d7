package lab

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const fragmentHeaderSize = 8

// Fragments splits a packet, as [UDPPacket] makes it, into fragments of at
// most mtu bytes each, with the identification id (IPv4: its lower 16 bits).
// A packet that fits is returned as the only fragment; in IPv6 it then has a
// fragment header all the same (an atomic fragment, RFC 6946).
func Fragments(packet []byte, mtu int, id uint32) [][]byte {
	if packet[0]>>4 == 4 {
		return fragmentIPv4(packet, mtu, uint16(id))
	}
	return fragmentIPv6(packet, mtu, id)
}

// fragmentIPv4 splits by RFC 791 section 3.2, and copies the options to every
// fragment.
func fragmentIPv4(packet []byte, mtu int, id uint16) [][]byte {
	const moreFragments = 0x2000
	header := int(packet[0]&0x0f) * 4
	var list [][]byte
	for _, p := range pieces(packet[header:], mtu-header) {
		fragment := append(append([]byte(nil), packet[:header]...), p.data...)
		offset := uint16(p.offset / 8)
		if p.more {
			offset |= moreFragments
		}
		binary.BigEndian.PutUint16(fragment[2:], uint16(len(fragment)))
		binary.BigEndian.PutUint16(fragment[4:], id)
		binary.BigEndian.PutUint16(fragment[6:], offset)
		putIPv4Checksum(fragment[:header])
		list = append(list, fragment)
	}
	return list
}

// fragmentIPv6 splits by RFC 8200 section 4.5: a hop-by-hop header is part of
// every fragment, what follows is divided.
//
//	0  next header   2  offset in units of eight, flags   4  identification
func fragmentIPv6(packet []byte, mtu int, id uint32) [][]byte {
	next, head := 6, ipv6HeaderSize
	if packet[next] == HopByHop {
		next, head = head, head+(int(packet[head+1])+1)*8
	}
	var list [][]byte
	for _, p := range pieces(packet[head:], mtu-head-fragmentHeaderSize) {
		var extra [fragmentHeaderSize]byte
		extra[0] = packet[next]
		offset := uint16(p.offset)
		if p.more {
			offset |= 1
		}
		binary.BigEndian.PutUint16(extra[2:], offset)
		binary.BigEndian.PutUint32(extra[4:], id)
		fragment := append(append([]byte(nil), packet[:head]...), extra[:]...)
		fragment[next] = unix.IPPROTO_FRAGMENT
		fragment = append(fragment, p.data...)
		binary.BigEndian.PutUint16(fragment[4:], uint16(len(fragment)-ipv6HeaderSize))
		list = append(list, fragment)
	}
	return list
}

// piece is a part of a packet's body.
type piece struct {
	data   []byte
	offset int // in bytes
	more   bool
}

// pieces divides a body into parts of at most size bytes, each but the last a
// multiple of eight.
func pieces(body []byte, size int) []piece {
	var list []piece
	for offset := 0; ; {
		rest := body[offset:]
		if len(rest) <= size {
			return append(list, piece{data: rest, offset: offset})
		}
		n := size / 8 * 8
		list = append(list, piece{data: rest[:n], offset: offset, more: true})
		offset += n
	}
}
