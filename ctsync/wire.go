package ctsync

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Netlink messages of conntrack, from include/uapi/linux/netfilter/
// nfnetlink.h, nfnetlink_conntrack.h and nfnetlink_compat.h. A message is
//
//	struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }  host order
//	struct nfgenmsg { u8 family; u8 version; be16 res_id; }
//	attributes { u16 len; u16 type; payload; padding to 4 }              host order, payloads big endian
const (
	headerLen = unix.NLMSG_HDRLEN
	familyLen = 4 // struct nfgenmsg
	attrLen   = unix.NLA_HDRLEN

	msgNew    = unix.NFNL_SUBSYS_CTNETLINK << 8   // IPCTNL_MSG_CT_NEW: new or changed
	msgGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	msgDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE
	msgStats  = unix.NFNL_SUBSYS_CTNETLINK<<8 | 4 // IPCTNL_MSG_CT_GET_STATS_CPU

	groupUpdate  = 2 // NFNLGRP_CONNTRACK_UPDATE
	groupDestroy = 3 // NFNLGRP_CONNTRACK_DESTROY

	// Of enum ctattr_type.
	ctaTupleOrig    = 1
	ctaTupleReply   = 2
	ctaStatus       = 3
	ctaTimeout      = 7
	ctaMark         = 8
	ctaCountersOrig = 9
	ctaID           = 12
	ctaZone         = 18
	ctaMarkMask     = 21

	// Of enum ctattr_tuple.
	tupleIP    = 1
	tupleProto = 2
	tupleZone  = 3

	// Of enum ctattr_ip.
	ipV4Src = 1
	ipV4Dst = 2
	ipV6Src = 3
	ipV6Dst = 4

	// Of enum ctattr_l4proto.
	protoNum     = 1
	protoSrcPort = 2
	protoDstPort = 3

	countersPackets = 1  // enum ctattr_counters
	statsDrop       = 10 // enum ctattr_stats_cpu
)

// message is one netlink message within a datagram.
type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte // behind the nlmsghdr
}

// cutMessage takes the first message off a datagram.
func cutMessage(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < headerLen {
		return message{}, nil, false
	}
	n := int(binary.NativeEndian.Uint32(b))
	if n < headerLen || n > len(b) {
		return message{}, nil, false
	}
	m = message{
		kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
		seq: binary.NativeEndian.Uint32(b[8:]), body: b[headerLen:n],
	}
	return m, b[min(align(n), len(b)):], true
}

// cutAttr takes the first attribute off a list. Its type is without the flags
// for nesting and byte order.
func cutAttr(b []byte) (kind uint16, payload, rest []byte, ok bool) {
	if len(b) < attrLen {
		return 0, nil, nil, false
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < attrLen || n > len(b) {
		return 0, nil, nil, false
	}
	kind = binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return kind, b[attrLen:n], b[min(align(n), len(b)):], true
}

func align(n int) int { return (n + 3) &^ 3 }

// decodeEntry reads the entry in a message's body. It is false for what is not
// UDP, not whole, or in a zone of both directions: none of ours is.
func decodeEntry(body []byte, e *Entry) bool {
	if len(body) < familyLen {
		return false
	}
	*e = Entry{}
	udp, reply := false, Tuple{}
	for b := body[familyLen:]; ; {
		kind, p, rest, ok := cutAttr(b)
		if !ok {
			break
		}
		b = rest
		switch kind {
		case ctaTupleOrig:
			udp = decodeTuple(p, &e.Tuple)
		case ctaTupleReply:
			decodeTuple(p, &reply)
		case ctaZone:
			return false
		case ctaStatus:
			e.Status = Status(number32(p))
		case ctaTimeout:
			e.Timeout = time.Duration(number32(p)) * time.Second
		case ctaMark:
			e.Mark = number32(p)
		case ctaID:
			e.ID = number32(p)
		case ctaCountersOrig:
			e.Packets, e.Counted = decodePackets(p)
		}
	}
	e.Backend = reply.Client
	return udp && e.Client.IsValid() && e.Listener.IsValid()
}

// decodeTuple reads one direction of an entry, and reports whether it is UDP.
func decodeTuple(b []byte, t *Tuple) (udp bool) {
	var src, dst netip.Addr
	var sport, dport uint16
	for {
		kind, p, rest, ok := cutAttr(b)
		if !ok {
			break
		}
		b = rest
		switch kind {
		case tupleIP:
			src, dst = decodeAddrs(p)
		case tupleProto:
			udp, sport, dport = decodePorts(p)
		case tupleZone:
			t.Zone = number16(p)
		}
	}
	if src.IsValid() && dst.IsValid() {
		t.Client, t.Listener = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	}
	return udp
}

func decodeAddrs(b []byte) (src, dst netip.Addr) {
	for {
		kind, p, rest, ok := cutAttr(b)
		if !ok {
			return src, dst
		}
		b = rest
		a, _ := netip.AddrFromSlice(p)
		switch kind {
		case ipV4Src, ipV6Src:
			src = a
		case ipV4Dst, ipV6Dst:
			dst = a
		}
	}
}

func decodePorts(b []byte) (udp bool, src, dst uint16) {
	for {
		kind, p, rest, ok := cutAttr(b)
		if !ok {
			return udp, src, dst
		}
		b = rest
		switch kind {
		case protoNum:
			udp = len(p) == 1 && p[0] == unix.IPPROTO_UDP
		case protoSrcPort:
			src = number16(p)
		case protoDstPort:
			dst = number16(p)
		}
	}
}

func decodePackets(b []byte) (uint64, bool) {
	for {
		kind, p, rest, ok := cutAttr(b)
		if !ok {
			return 0, false
		}
		b = rest
		if kind == countersPackets && len(p) == 8 {
			return binary.BigEndian.Uint64(p), true
		}
	}
}

// decodeDrops reads how many packets one CPU has dropped.
func decodeDrops(body []byte) uint64 {
	if len(body) < familyLen {
		return 0
	}
	for b := body[familyLen:]; ; {
		kind, p, rest, ok := cutAttr(b)
		if !ok {
			return 0
		}
		b = rest
		if kind == statsDrop {
			return uint64(number32(p))
		}
	}
}

func number16(p []byte) uint16 {
	if len(p) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(p)
}

func number32(p []byte) uint32 {
	if len(p) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(p)
}
