package nft

import (
	"bytes"
	"fmt"
	"math/big"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// More data types as `nft` numbers them, of which the text says something else
// than a number (nftables, include/datatype.h).
const (
	typeNFProto    = 2
	typeProto      = 12
	typeICMPType   = 14
	typeCTState    = 26
	typeCTDir      = 27
	typeCTStatus   = 28
	typeICMPv6Type = 29
	typeICMPCode   = 33
	typeICMPv6Code = 34
	typeCTEvent    = 40
	typeIfName     = 41
	typeComponent  = 1<<typeBits - 1
)

// typeNames are what `nft` calls the types in a map's declaration; it has none
// for those whose length is not fixed.
var typeNames = map[uint32]string{
	typeNFProto: "nf_proto", typeIPv4: "ipv4_addr", typeIPv6: "ipv6_addr", 9: "ether_addr", 10: "ether_type", 11: "arp_op", typeProto: "inet_proto",
	typePort: "inet_service", typeICMPType: "icmp_type", 15: "tcp_flag", 18: "time", typeMark: "mark", 20: "iface_index", 24: "uid", 25: "gid",
	typeCTState: "ct_state", typeCTDir: "ct_dir", typeCTStatus: "ct_status", typeICMPv6Type: "icmpv6_type", 31: "pkt_type", typeIfName: "ifname",
}

// components splits a concatenation's type into its parts'.
func components(id uint32) []uint32 {
	if id == typeVerdict {
		return []uint32{id}
	}
	var out []uint32
	for ; id != 0; id >>= typeBits {
		out = append(out, id&typeComponent)
	}
	slices.Reverse(out)
	return out
}

// typeName is how `nft` writes a map's type.
func typeName(id uint32) string {
	switch id {
	case typeVerdict:
		return "verdict"
	case 0:
		return "invalid"
	case typeInteger: // as version 1.0.6 does, which cannot read it
		return "0"
	}
	var names []string
	for _, c := range components(id) {
		name := typeNames[c]
		switch {
		case c == typeInteger:
			name = "integer"
		case name == "":
			name = "invalid"
		}
		names = append(names, name)
	}
	return strings.Join(names, " . ")
}

// typeLen is the length of a type in bytes; 0: it is not fixed.
func typeLen(id uint32) int {
	switch id {
	case typeNFProto, typeProto, typeCTDir, typeICMPType, typeICMPv6Type, typeICMPCode, typeICMPv6Code:
		return 1
	case typePort:
		return 2
	case typeIPv4, typeMark, typeCTState, typeCTStatus, typeCTEvent:
		return 4
	case typeIPv6, typeIfName:
		return 16
	}
	return 0
}

// valueType is how constants are written.
type valueType struct {
	id   uint32
	host bool // the value is in the host's byte order
	hex  bool // numbers of raw payload are
}

// hostOrder lists the types that are in the host's byte order by nature.
func hostOrder(id uint32) bool {
	return slices.Contains([]uint32{typeMark, typeCTState, typeCTStatus, typeCTEvent, typeCTDir, typeNFProto}, id)
}

// text writes a constant.
func (t valueType) text(b []byte) string {
	if t.id > typeComponent && t.id != typeVerdict {
		return strings.Join(concatTexts(t.id, b, b), " . ")
	}
	v := bigEndian(b, t.host)
	switch t.id {
	case typeIPv4, typeIPv6:
		if a, ok := netip.AddrFromSlice(b); ok {
			return a.String()
		}
	case typeMark:
		return fmt.Sprintf("0x%08s", number(v).Text(16))
	case typeIfName:
		name, _, _ := bytes.Cut(b, []byte{0})
		return `"` + printable(string(name)) + `"`
	}
	if names := flagNames(t.id); names != nil {
		return strings.Join(flagTexts(names, v), " | ")
	}
	if name, ok := symbols[t.id][number(v).Uint64()]; ok {
		return name
	}
	if t.hex {
		return "0x" + number(v).Text(16)
	}
	return number(v).String()
}

// list writes a constant as a statement or a match takes it: flags with commas.
func (t valueType) list(b []byte) string {
	if names := flagNames(t.id); names != nil {
		return strings.Join(flagTexts(names, bigEndian(b, t.host)), ",")
	}
	return t.text(b)
}

// concatTexts writes the parts of a concatenation, each padded to four bytes,
// or, where last is another, the intervals of its parts.
func concatTexts(id uint32, b, last []byte) []string {
	var out []string
	for _, c := range components(id) {
		n := typeLen(c)
		if n == 0 || n > len(b) || n > len(last) { // nobody knows where it ends
			return append(out, valueType{id: typeInteger, hex: true}.text(b))
		}
		host := hostOrder(c)
		out = append(out, valueType{id: c}.span(bigEndian(b[:n], host), bigEndian(last[:n], host)))
		words := int(reg(0).after(n)) * regBytes
		b, last = b[min(len(b), words):], last[min(len(last), words):]
	}
	return out
}

var symbols = map[uint32]map[uint64]string{
	typeNFProto: {familyV4: "ipv4", familyV6: "ipv6"},
	typeProto:   {unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMPV6: "ipv6-icmp"},
	typeCTDir:   {0: "original", 1: "reply"},
	// linux/icmp.h and icmpv6.h
	typeICMPType: {
		0: "echo-reply", 3: "destination-unreachable", 4: "source-quench", 5: "redirect", 8: "echo-request", 9: "router-advertisement",
		10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem", 13: "timestamp-request", 14: "timestamp-reply",
		15: "info-request", 16: "info-reply", 17: "address-mask-request", 18: "address-mask-reply",
	},
	typeICMPCode: {
		0: "net-unreachable", 1: "host-unreachable", 2: "prot-unreachable", 3: "port-unreachable", 4: "frag-needed",
		9: "net-prohibited", 10: "host-prohibited", 13: "admin-prohibited",
	},
	typeICMPv6Type: {
		1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem", 128: "echo-request", 129: "echo-reply",
		130: "mld-listener-query", 131: "mld-listener-report", 132: "mld-listener-done", 133: "nd-router-solicit", 134: "nd-router-advert",
		135: "nd-neighbor-solicit", 136: "nd-neighbor-advert", 137: "nd-redirect", 138: "router-renumbering", 141: "ind-neighbor-solicit",
		142: "ind-neighbor-advert", 143: "mld2-listener-report",
	},
	typeICMPv6Code: {0: "no-route", 1: "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable", 5: "policy-fail", 6: "reject-route"},
}

// flagNames names the bits of a type of flags, from the lowest on; nil where
// the type is none (linux/netfilter/nf_conntrack_common.h: enum ip_conntrack_info
// as NF_CT_STATE_BIT makes bits of it, ip_conntrack_status and _events).
func flagNames(id uint32) []string {
	switch id {
	case typeCTState:
		return []string{"invalid", "established", "related", "new", "", "", "untracked"}
	case typeCTStatus:
		return []string{"expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "", "", "", "dying"}
	case typeCTEvent:
		return []string{"new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "seqadj", "secmark", "label"}
	}
	return nil
}

// flagTexts names the bits that a big endian number has.
func flagTexts(names []string, b []byte) []string {
	v := number(b).Uint64()
	var out []string
	for v != 0 {
		bit := bits.TrailingZeros64(v)
		v &^= 1 << bit
		if bit < len(names) && names[bit] != "" {
			out = append(out, names[bit])
		} else {
			out = append(out, fmt.Sprintf("%#x", uint64(1)<<bit))
		}
	}
	if out == nil {
		return []string{"0x0"}
	}
	return out
}

// bigEndian gives a number's bytes, the most significant first.
func bigEndian(b []byte, host bool) []byte {
	if !host || !littleEndian {
		return b
	}
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// littleEndian says whether this host is.
var littleEndian = host16(1)[0] == 1

func number(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
