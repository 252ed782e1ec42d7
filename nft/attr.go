package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Netlink attributes (struct nlattr): length and type in host order, the
// payload padded to four bytes. nf_tables' own numbers are big endian.

func appendAttr(b []byte, typ uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.NLA_HDRLEN+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, data...)
	return append(b, make([]byte, -len(data)&3)...)
}

func appendString(b []byte, typ uint16, s string) []byte {
	return appendAttr(b, typ, append([]byte(s), 0))
}

func appendU32(b []byte, typ uint16, v uint32) []byte {
	return appendAttr(b, typ, binary.BigEndian.AppendUint32(nil, v))
}

func appendU64(b []byte, typ uint16, v uint64) []byte {
	return appendAttr(b, typ, binary.BigEndian.AppendUint64(nil, v))
}

// appendNested writes an attribute whose content fill appends.
func appendNested(b []byte, typ uint16, fill func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = fill(b)
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	binary.NativeEndian.PutUint16(b[start+2:], typ|unix.NLA_F_NESTED)
	return b
}

// eachAttr calls fn for every attribute in b; malformed rests are skipped, the
// kernel sends none.
func eachAttr(b []byte, fn func(typ uint16, data []byte)) {
	for len(b) >= unix.NLA_HDRLEN {
		n := int(binary.NativeEndian.Uint16(b))
		typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if n < unix.NLA_HDRLEN || n > len(b) {
			return
		}
		fn(typ, b[unix.NLA_HDRLEN:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// attrs are the members of a nested attribute by their type, of which nf_tables
// has no more than this; of several of one type the last counts. What is
// missing, or too short, reads as zero.
type attrs [32][]byte

func parseAttrs(b []byte) attrs {
	var a attrs
	eachAttr(b, func(typ uint16, d []byte) {
		if int(typ) < len(a) {
			a[typ] = d
		}
	})
	return a
}

func (a *attrs) has(typ int) bool { return a[typ] != nil }

func (a *attrs) str(typ int) string { return cString(a[typ]) }

func (a *attrs) u8(typ int) byte {
	if len(a[typ]) < 1 {
		return 0
	}
	return a[typ][0]
}

func (a *attrs) u16(typ int) uint16 {
	if len(a[typ]) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(a[typ])
}

func (a *attrs) u32(typ int) uint32 {
	if len(a[typ]) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(a[typ])
}

func (a *attrs) u64(typ int) uint64 {
	if len(a[typ]) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(a[typ])
}

// nested gives the members of a member.
func (a *attrs) nested(typ int) attrs { return parseAttrs(a[typ]) }

func cString(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == 0 {
		return string(b[:n-1])
	}
	return string(b)
}
