package nfq

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Messages of linux/netlink.h, linux/netfilter/nfnetlink.h and
// linux/netfilter/nfnetlink_queue.h. Headers are in the machine's byte order,
// what the attributes of NFQUEUE hold is big-endian.

// Message types: the subsystem, and enum nfqnl_msg_types.
const (
	msgPacket       = unix.NFNL_SUBSYS_QUEUE << 8
	msgVerdict      = unix.NFNL_SUBSYS_QUEUE<<8 | 1
	msgConfig       = unix.NFNL_SUBSYS_QUEUE<<8 | 2
	msgVerdictBatch = unix.NFNL_SUBSYS_QUEUE<<8 | 3
)

// Attributes of a packet and of a verdict, enum nfqnl_attr_type.
const (
	attrPacketHdr  = 1
	attrVerdictHdr = 2
	attrMark       = 3
	attrPayload    = 10
	attrCapLen     = 13
)

// Attributes of a configuration, enum nfqnl_attr_config.
const (
	cfgCommand = 1
	cfgParams  = 2
	cfgMaxLen  = 3
	cfgMask    = 4
	cfgFlags   = 5
)

// Values of a configuration.
const (
	cmdBind      = 1      // NFQNL_CFG_CMD_BIND
	copyPacket   = 2      // NFQNL_COPY_PACKET
	flagFailOpen = 1      // NFQA_CFG_F_FAIL_OPEN
	attrTypeMask = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
)

// Lengths in bytes.
const (
	headerLen  = 16 // struct nlmsghdr
	genericLen = 4  // struct nfgenmsg
	attrLen    = 4  // struct nlattr
	// attributesLen has room for all that the kernel puts before a packet's
	// bytes: the headers above and about ten attributes, some 150 bytes.
	attributesLen = 256
)

// message is one netlink message.
//
//	struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }
type message struct {
	kind uint16
	seq  uint32
	body []byte // what follows the header; shorter than announced if the read cut it
}

// nextMessage splits the first message off what was read.
func nextMessage(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < headerLen {
		return message{}, nil, false
	}
	size := int(binary.NativeEndian.Uint32(b))
	if size < headerLen {
		return message{}, nil, false
	}
	end := min(size, len(b))
	m = message{kind: binary.NativeEndian.Uint16(b[4:]), seq: binary.NativeEndian.Uint32(b[8:]), body: b[headerLen:end]}
	return m, b[min(align(end), len(b)):], true
}

// refusal decodes the body of an NLMSG_ERROR: the error, 0 for an
// acknowledgement, and the type of the message that it answers.
//
//	struct nlmsgerr { int error; struct nlmsghdr msg; }
func refusal(body []byte) (code unix.Errno, request uint16, ok bool) {
	if len(body) < 4+headerLen {
		return 0, 0, false
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(body))), binary.NativeEndian.Uint16(body[8:]), true
}

// nextAttr splits the first attribute off a message's body. Of the last one
// whole says whether all its bytes are there.
//
//	struct nlattr { u16 len; u16 type; }
func nextAttr(b []byte) (kind uint16, data, rest []byte, whole, ok bool) {
	if len(b) < attrLen {
		return 0, nil, nil, false, false
	}
	size := int(binary.NativeEndian.Uint16(b))
	if size < attrLen {
		return 0, nil, nil, false, false
	}
	end := min(size, len(b))
	return binary.NativeEndian.Uint16(b[2:]) & attrTypeMask, b[attrLen:end], b[min(align(end), len(b)):], end == size, true
}

// queued is a packet that waits for its verdict. Data points into the buffer
// that it was read into.
type queued struct {
	id   uint32
	mark uint32
	data []byte // from the IP header on
	cut  bool   // the packet is longer than data
}

// decodeQueued decodes the body of a message of type msgPacket. It reports
// false for one without the packet's id, which nobody could answer.
//
//	struct nfgenmsg { u8 family; u8 version; be16 queue; }
//	NFQA_PACKET_HDR { be32 id; be16 hw_protocol; u8 hook; }
//	NFQA_MARK be32, only if not 0
//	NFQA_CAP_LEN be32, the packet's length, only if it is more than the payload's
//	NFQA_PAYLOAD, the last one
func decodeQueued(body []byte) (p queued, ok bool) {
	if len(body) < genericLen {
		return queued{}, false
	}
	rest := body[genericLen:]
	for len(rest) > 0 {
		kind, data, next, whole, more := nextAttr(rest)
		if !more {
			break
		}
		rest = next
		switch {
		case kind == attrPayload:
			p.data, p.cut = data, p.cut || !whole
		case !whole:
		case kind == attrPacketHdr && len(data) >= 7:
			p.id, ok = binary.BigEndian.Uint32(data), true
		case kind == attrMark && len(data) >= 4:
			p.mark = binary.BigEndian.Uint32(data)
		case kind == attrCapLen:
			p.cut = true
		}
	}
	return p, ok
}

// beginMessage appends the headers of a message to a queue; the length is
// endMessage's to fill in. There is no NLM_F_ACK: only refusals are answered.
func beginMessage(b []byte, kind, queue uint16) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // seq, pid
	b = append(b, unix.AF_UNSPEC, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, queue)
}

// endMessage fills in the length of the message that begins at start.
func endMessage(b []byte, start int) []byte {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendAttr appends an attribute, filled up to whole words.
func appendAttr(b []byte, kind uint16, data ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrLen+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendWord appends an attribute that holds one big-endian word.
func appendWord(b []byte, kind uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, attrLen+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint32(b, v)
}

// appendVerdict appends the message that answers one packet; without a mark
// the packet keeps its own.
//
//	NFQA_VERDICT_HDR { be32 verdict; be32 id; }
//	NFQA_MARK be32
func appendVerdict(b []byte, kind, queue uint16, id, verdict uint32, mark uint32, marked bool) []byte {
	start := len(b)
	b = beginMessage(b, kind, queue)
	b = binary.NativeEndian.AppendUint16(b, attrLen+8)
	b = binary.NativeEndian.AppendUint16(b, attrVerdictHdr)
	b = binary.BigEndian.AppendUint32(b, verdict)
	b = binary.BigEndian.AppendUint32(b, id)
	if marked {
		b = appendWord(b, attrMark, mark)
	}
	return endMessage(b, start)
}

// appendSettings appends the attributes by which a queue copies the first
// bytes of a packet, lets pass what finds it full, and is full at length.
//
//	NFQA_CFG_PARAMS { be32 copy_range; u8 copy_mode; }
func appendSettings(b []byte, copyRange, length uint32) []byte {
	b = appendAttr(b, cfgParams, byte(copyRange>>24), byte(copyRange>>16), byte(copyRange>>8), byte(copyRange), copyPacket)
	b = appendWord(b, cfgFlags, flagFailOpen)
	b = appendWord(b, cfgMask, flagFailOpen)
	return appendWord(b, cfgMaxLen, length)
}

// appendCopyRange appends the message that sets how much of a packet a queue
// copies.
func appendCopyRange(b []byte, queue uint16, n uint32) []byte {
	start := len(b)
	b = beginMessage(b, msgConfig, queue)
	b = appendAttr(b, cfgParams, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), copyPacket)
	return endMessage(b, start)
}

// appendMaxLen appends the message that sets how many packets may wait in a
// queue. With 0 all that comes from then on passes unseen.
func appendMaxLen(b []byte, queue uint16, n uint32) []byte {
	start := len(b)
	b = beginMessage(b, msgConfig, queue)
	b = appendWord(b, cfgMaxLen, n)
	return endMessage(b, start)
}

// appendAcceptAll appends the message that accepts, as they are, all packets
// that wait with an id up to last and half of the id space before it: the
// kernel compares ids as signed differences.
func appendAcceptAll(b []byte, queue uint16, last uint32) []byte {
	return appendVerdict(b, msgVerdictBatch, queue, last, verdictAccept, 0, false)
}

// align rounds up to whole words, as netlink lays out messages and attributes.
func align(n int) int { return (n + 3) &^ 3 }
