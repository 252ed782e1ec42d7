package nft

import (
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// scope is what a rule's matches so far say about the packet: by it nft names
// the fields that a load reads.
type scope struct {
	family, l4 byte // NFPROTO_*, IPPROTO_*; 0: not known
}

// field is a header's field that nft has a name for. Lengths are in bytes.
type field struct {
	base, offset, length uint32
	name                 string
	typ                  uint32
}

// Those of the fields in linux/ip.h, ipv6.h, udp.h and icmp.h that lie on
// bytes, by what makes a header known.
var (
	fieldsV4 = []field{
		{netHeader, 2, 2, "ip length", typeInteger},
		{netHeader, 4, 2, "ip id", typeInteger},
		{netHeader, 8, 1, "ip ttl", typeInteger},
		{netHeader, 9, 1, "ip protocol", typeProto},
		{netHeader, 10, 2, "ip checksum", typeInteger},
		{netHeader, 12, 4, "ip saddr", typeIPv4},
		{netHeader, 16, 4, "ip daddr", typeIPv4},
	}
	fieldsV6 = []field{
		{netHeader, 4, 2, "ip6 length", typeInteger},
		{netHeader, 6, 1, "ip6 nexthdr", typeProto},
		{netHeader, 7, 1, "ip6 hoplimit", typeInteger},
		{netHeader, 8, 16, "ip6 saddr", typeIPv6},
		{netHeader, 24, 16, "ip6 daddr", typeIPv6},
	}
	fieldsL4 = map[byte][]field{
		unix.IPPROTO_UDP: {
			{l4Header, 0, 2, "udp sport", typePort},
			{l4Header, 2, 2, "udp dport", typePort},
			{l4Header, 4, 2, "udp length", typeInteger},
			{l4Header, 6, 2, "udp checksum", typeInteger},
		},
		unix.IPPROTO_TCP:    {{l4Header, 0, 2, "tcp sport", typePort}, {l4Header, 2, 2, "tcp dport", typePort}},
		unix.IPPROTO_ICMP:   {{l4Header, 0, 1, "icmp type", typeICMPType}, {l4Header, 1, 1, "icmp code", typeICMPCode}},
		unix.IPPROTO_ICMPV6: {{l4Header, 0, 1, "icmpv6 type", typeICMPv6Type}, {l4Header, 1, 1, "icmpv6 code", typeICMPv6Code}},
	}
	// What the ports are called where the protocol is not known.
	fieldsAny = []field{{l4Header, 0, 2, "th sport", typePort}, {l4Header, 2, 2, "th dport", typePort}}
)

const (
	netHeader = uint32(expr.PayloadBaseNetworkHeader)
	l4Header  = uint32(expr.PayloadBaseTransportHeader)
)

// baseNames are nft's names for what offsets count from (enum nft_payload_bases).
var baseNames = []string{"ll", "nh", "th", "ih"}

// packetBytes is a load from the packet.
type packetBytes struct{ base, offset, length uint32 }

// known finds the field that is loaded.
func (p packetBytes) known(s scope) *field {
	for _, fs := range s.fields() {
		if f := p.among(fs); f != nil {
			return f
		}
	}
	return nil
}

// prefix finds the address of which the first bytes are loaded.
func (p packetBytes) prefix(s scope) *field {
	for _, fs := range s.fields() {
		for i := range fs {
			if f := &fs[i]; (f.typ == typeIPv4 || f.typ == typeIPv6) && f.base == p.base && f.offset == p.offset && f.length > p.length {
				return f
			}
		}
	}
	return nil
}

// fields are those that the packet is known to have.
func (s scope) fields() [][]field {
	lists := [][]field{fieldsL4[s.l4], fieldsAny}
	switch s.family {
	case familyV4:
		lists = append(lists, fieldsV4)
	case familyV6:
		lists = append(lists, fieldsV6)
	}
	return lists
}

func (p packetBytes) among(fs []field) *field {
	for i := range fs {
		if f := &fs[i]; f.base == p.base && f.offset == p.offset && f.length == p.length {
			return f
		}
	}
	return nil
}

func (p packetBytes) size() int { return int(p.length) }

func (p packetBytes) kind(s scope) valueType {
	if f := p.known(s); f != nil {
		return valueType{id: f.typ}
	}
	return valueType{id: typeInteger, hex: true}
}

func (p packetBytes) text(s scope) string {
	if f := p.known(s); f != nil {
		return f.name
	}
	name := fmt.Sprint("base", p.base)
	if int(p.base) < len(baseNames) {
		name = baseNames[p.base]
	}
	const bits = 8
	return fmt.Sprintf("@%s,%d,%d", name, uint64(p.offset)*bits, uint64(p.length)*bits)
}
