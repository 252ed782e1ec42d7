package nft

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// operand is what registers hold while a rule runs, as nft would write it.
type operand interface {
	size() int              // bytes
	kind(s scope) valueType // how a constant is written that it is compared with
	text(s scope) string
}

// opaque is what an expression left that the text does not know.
type opaque struct{}

func (opaque) size() int            { return regBytes }
func (opaque) kind(scope) valueType { return valueType{id: typeInteger, hex: true} }
func (opaque) text(scope) string    { return "unknown" }

// constant is written as what it is for wants it.
type constant []byte

func (c constant) size() int            { return len(c) }
func (c constant) kind(scope) valueType { return valueType{id: typeInteger, hex: true} }
func (c constant) text(s scope) string  { return c.kind(s).text(c) }

// selector is a value of meta or ct.
type selector struct {
	name   string
	typ    valueType
	length int
}

func (m selector) size() int            { return m.length }
func (m selector) kind(scope) valueType { return m.typ }
func (m selector) text(scope) string    { return m.name }

// metaSelectors are the keys of meta that the text knows (enum nft_meta_keys).
var metaSelectors = map[uint32]selector{
	unix.NFT_META_LEN:     {"meta length", valueType{id: typeInteger, host: true}, 4},
	unix.NFT_META_MARK:    {"meta mark", valueType{id: typeMark, host: true}, 4},
	unix.NFT_META_IIFNAME: {"iifname", valueType{id: typeIfName}, 16},
	unix.NFT_META_OIFNAME: {"oifname", valueType{id: typeIfName}, 16},
	unix.NFT_META_NFPROTO: {"meta nfproto", valueType{id: typeNFProto, host: true}, 1},
	unix.NFT_META_L4PROTO: {"meta l4proto", valueType{id: typeProto}, 1},
}

// ctSelectors are the keys of ct that the text knows (enum nft_ct_keys).
var ctSelectors = map[uint32]selector{
	unix.NFT_CT_STATE:     {"state", valueType{id: typeCTState, host: true}, 4},
	unix.NFT_CT_DIRECTION: {"direction", valueType{id: typeCTDir, host: true}, 1},
	unix.NFT_CT_STATUS:    {"status", valueType{id: typeCTStatus, host: true}, 4},
	unix.NFT_CT_MARK:      {"mark", valueType{id: typeMark, host: true}, 4},
	unix.NFT_CT_ZONE:      {"zone", valueType{id: typeInteger, host: true}, 2},
	unix.NFT_CT_EVENTMASK: {"event", valueType{id: typeCTEvent, host: true}, 4},
}

// metaSelector and ctSelector find one; false where the text does not know it.
func metaSelector(key uint32) (selector, bool) {
	s, ok := metaSelectors[key]
	return s, ok
}

func ctSelector(key uint32, direction int) (selector, bool) {
	s, ok := ctSelectors[key]
	switch direction {
	case -1:
		s.name = "ct " + s.name
	case 0:
		s.name = "ct original " + s.name
	case 1:
		s.name = "ct reply " + s.name
	default:
		ok = false
	}
	return s, ok
}

// arithmetic is of & and ^ xor | or, all three as long as of; nil changes nothing.
type arithmetic struct {
	of           operand
	and, xor, or []byte
}

// newArithmetic splits the kernel's `& mask ^ xor` as nft does: bits that become
// one whatever they were are ORed.
func newArithmetic(of operand, mask, xor []byte) operand {
	m := arithmetic{of: of, and: make([]byte, len(mask)), xor: make([]byte, len(mask)), or: make([]byte, len(mask))}
	keeps := len(mask) < of.size() // the rest, says nft, though it stays
	var flips, sets bool
	for i := range mask {
		m.or[i] = ^mask[i] & xor[i]
		m.xor[i] = xor[i] & mask[i]
		m.and[i] = mask[i] | m.or[i]
		keeps = keeps || m.and[i] != 0xff
		flips = flips || m.xor[i] != 0
		sets = sets || m.or[i] != 0
	}
	if !keeps {
		m.and = nil
	}
	if !flips {
		m.xor = nil
	}
	if !sets {
		m.or = nil
	}
	if m.and == nil && m.xor == nil && m.or == nil {
		return of
	}
	return m
}

func (m arithmetic) size() int              { return m.of.size() }
func (m arithmetic) kind(s scope) valueType { return m.of.kind(s) }

func (m arithmetic) text(s scope) string {
	t := m.of.kind(s)
	out := m.of.text(s)
	if in, ok := m.of.(arithmetic); ok && (in.xor != nil || in.or != nil) {
		out = "(" + out + ")"
	}
	for _, op := range []struct {
		sign  string
		value []byte
	}{{"&", m.and}, {"^", m.xor}, {"|", m.or}} {
		if op.value != nil {
			out += " " + op.sign + " " + t.text(op.value)
		}
	}
	return out
}

// swapped is an operand in the other byte order, of which nft does not tell.
type swapped struct{ operand }

func (w swapped) kind(s scope) valueType {
	t := w.operand.kind(s)
	t.host = !t.host
	return t
}

// mapped is what a map gives for a key.
type mapped struct {
	key operand
	in  *shownSet
	ref string
}

func (m mapped) size() int            { return m.in.data.length }
func (m mapped) kind(scope) valueType { return m.in.data.value() }
func (m mapped) text(s scope) string  { return m.key.text(s) + " map " + m.ref }

// hashed is a number made of a key; symmetric hashes have none.
type hashed struct {
	key operand
	how string // what stands behind the key
}

func (h hashed) size() int            { return regBytes }
func (h hashed) kind(scope) valueType { return valueType{id: typeInteger, host: true} }

func (h hashed) text(s scope) string {
	if h.key == nil {
		return "symhash" + h.how
	}
	return "jhash " + h.key.text(s) + h.how
}

// concat is several values side by side, each padded to whole registers.
type concat struct {
	parts   []operand
	grouped bool // arithmetic in parentheses: nft reads it only so, and never writes it so
}

func (c concat) size() int {
	n := 0
	for _, p := range c.parts {
		n += int(reg(0).after(p.size())) * regBytes
	}
	return n
}

func (c concat) kind(s scope) valueType {
	return valueType{id: typeInteger, hex: true}
}

func (c concat) text(s scope) string {
	return c.join(func(p operand) string {
		t := p.text(s)
		if _, ok := p.(arithmetic); ok && c.grouped {
			return "( " + t + " )"
		}
		return t
	})
}

// values writes a constant that the concatenation is compared with.
func (c concat) values(s scope, b []byte) string {
	return c.join(func(p operand) string {
		n := min(p.size(), len(b))
		t := p.kind(s).text(b[:n])
		b = b[min(len(b), int(reg(0).after(n))*regBytes):]
		return t
	})
}

func (c concat) join(text func(operand) string) string {
	var out []string
	for _, p := range c.parts {
		out = append(out, text(p))
	}
	return strings.Join(out, " . ")
}

// eachPayload calls fn for every load from the packet that an operand is made
// of.
func eachPayload(o operand, fn func(packetBytes)) {
	switch o := o.(type) {
	case packetBytes:
		fn(o)
	case arithmetic:
		eachPayload(o.of, fn)
	case swapped:
		eachPayload(o.operand, fn)
	case mapped:
		eachPayload(o.key, fn)
	case hashed:
		if o.key != nil {
			eachPayload(o.key, fn)
		}
	case concat:
		for _, p := range o.parts {
			eachPayload(p, fn)
		}
	}
}

// hashText is what stands behind a hash's key.
func hashText(h *hashIns, redact bool) string {
	out := fmt.Sprintf(" mod %d", h.modulus)
	switch {
	case h.seeded && redact:
		out += " seed (hidden)"
	case h.seeded:
		out += fmt.Sprintf(" seed %#x", h.seed)
	}
	if h.offset > 0 {
		out += fmt.Sprintf(" offset %d", h.offset)
	}
	return out
}
