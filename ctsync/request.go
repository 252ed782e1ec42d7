package ctsync

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// request writes netlink messages into a buffer.
type request struct {
	buf   []byte
	start int // of the message being written
}

// begin starts a message: nlmsghdr and nfgenmsg.
func (r *request) begin(kind, flags uint16, seq uint32, family uint8) {
	r.start = len(r.buf)
	r.buf = binary.NativeEndian.AppendUint32(r.buf, 0) // the length, see end
	r.buf = binary.NativeEndian.AppendUint16(r.buf, kind)
	r.buf = binary.NativeEndian.AppendUint16(r.buf, flags)
	r.buf = binary.NativeEndian.AppendUint32(r.buf, seq)
	r.buf = binary.NativeEndian.AppendUint32(r.buf, 0)
	r.buf = append(r.buf, family, unix.NFNETLINK_V0, 0, 0)
}

func (r *request) end() {
	binary.NativeEndian.PutUint32(r.buf[r.start:], uint32(len(r.buf)-r.start))
}

// attr adds an attribute.
func (r *request) attr(kind uint16, payload ...byte) {
	r.buf = binary.NativeEndian.AppendUint16(r.buf, uint16(attrLen+len(payload)))
	r.buf = binary.NativeEndian.AppendUint16(r.buf, kind)
	r.buf = append(r.buf, payload...)
	for len(r.buf)&3 != 0 {
		r.buf = append(r.buf, 0)
	}
}

func (r *request) attr16(kind, v uint16) { r.attr(kind, byte(v>>8), byte(v)) }

func (r *request) attr32(kind uint16, v uint32) {
	r.attr(kind, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// nest adds an attribute that holds what f adds.
func (r *request) nest(kind uint16, f func()) {
	at := len(r.buf)
	r.buf = binary.NativeEndian.AppendUint16(r.buf, 0)
	r.buf = binary.NativeEndian.AppendUint16(r.buf, kind|unix.NLA_F_NESTED)
	f()
	binary.NativeEndian.PutUint16(r.buf[at:], uint16(len(r.buf)-at))
}

// tuple adds the original direction of an entry. Its zone goes inside: a zone
// beside it would mean both directions.
func (r *request) tuple(t *Tuple) {
	src, dst := uint16(ipV4Src), uint16(ipV4Dst)
	if t.Client.Addr().Is6() {
		src, dst = ipV6Src, ipV6Dst
	}
	r.nest(ctaTupleOrig, func() {
		r.nest(tupleIP, func() {
			r.attr(src, t.Client.Addr().AsSlice()...)
			r.attr(dst, t.Listener.Addr().AsSlice()...)
		})
		r.nest(tupleProto, func() {
			r.attr(protoNum, unix.IPPROTO_UDP)
			r.attr16(protoSrcPort, t.Client.Port())
			r.attr16(protoDstPort, t.Listener.Port())
		})
		if t.Zone != 0 {
			r.attr16(tupleZone, t.Zone)
		}
	})
}

// family is the protocol family of a tuple.
func (t *Tuple) family() uint8 {
	if t.Client.Addr().Is6() {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}
