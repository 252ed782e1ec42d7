package nft

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// disassembler runs a rule's expressions as the kernel would, on registers that
// hold not values but how nft writes them, and gathers the statements.
type disassembler struct {
	find   func(name string) *shownSet
	style  style
	regs   [16]operand
	scope  scope
	out    []string // "": it went without saying
	family int      // where in out the packet's family is matched, +1; 0: nowhere that could be left out
	l4     int      // the same of its protocol
	bound  *bound   // the match that came last, where it is half of a range
	used   func(set *shownSet, key operand)
}

// bound is a match that says from where on or up to where.
type bound struct {
	of    string // what is compared
	op    uint32
	value []byte
}

// style is what of a rule is written how.
type style struct {
	stateless, redact, loadable bool
}

// disassemble writes a rule.
func (d *disassembler) disassemble(ins []instruction) string {
	for _, in := range ins {
		d.step(in)
	}
	return strings.Join(slices.DeleteFunc(d.out, func(s string) bool { return s == "" }), " ")
}

func (d *disassembler) step(in instruction) {
	switch in := in.(type) {
	case immediateIns:
		if in.verdict != nil {
			d.statement(in.verdict.text())
			return
		}
		d.set(in.dst, constant(in.value))
	case payloadIns:
		d.set(in.dst, packetBytes{in.base, in.offset, in.length})
	case metaIns:
		s, ok := metaSelector(in.key)
		d.selector(s, ok, in.at, in.set, "meta")
	case ctIns:
		s, ok := ctSelector(in.key, in.direction)
		d.selector(s, ok, in.at, in.set, "ct")
	case bitwiseIns:
		d.set(in.dst, newArithmetic(d.get(in.src, len(in.mask)), in.mask, in.xor))
	case swapIns:
		d.set(in.dst, swapped{d.get(in.src, int(in.length))})
	case hashIns:
		h := hashed{how: hashText(&in, d.style.redact)}
		if !in.symmetric {
			h.key = d.get(in.src, int(in.length))
		}
		d.set(in.dst, h)
	case compareIns:
		d.compare(&in)
	case rangeIns:
		o := d.get(in.src, len(in.from))
		d.match(span(o, d.scope, in.not, in.from, in.to), o)
	case lookupIns:
		d.lookup(&in)
	case dynsetIns:
		d.dynset(&in)
	case natIns:
		d.nat(&in)
	case masqueradeIns:
		text := "masquerade"
		if in.port != noReg {
			text += " to :" + d.between(in.port, in.portMax, valueType{id: typePort}, 2)
		}
		d.statement(text + natFlags(in.flags))
	case unknownIns:
		d.statement("# unknown expression " + printable(in.name))
		d.regs = [16]operand{} // it may have written any
	default:
		d.statement(d.style.plain(in))
	}
}

// set puts an operand into a register and those behind it that it fills.
func (d *disassembler) set(r reg, o operand) {
	for at := r; at < r.after(max(o.size(), 1)) && int(at) < len(d.regs); at++ {
		d.regs[at] = nil
	}
	if int(r) < len(d.regs) {
		d.regs[r] = o
	}
}

// get gives what n bytes from a register on hold: one operand, or several side
// by side.
func (d *disassembler) get(r reg, n int) operand {
	var parts []operand
	for len(parts) == 0 || n > 0 {
		if int(r) >= len(d.regs) || d.regs[r] == nil {
			parts = append(parts, opaque{})
			break
		}
		o := d.regs[r]
		parts = append(parts, o)
		if len(parts) == 1 && o.size() >= n {
			break
		}
		words := reg(0).after(max(o.size(), 1))
		n -= int(words) * regBytes
		r += words
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return concat{parts: parts, grouped: d.style.loadable}
}

// statement ends a part of the rule that does something: what a match says of
// the packet is not to be left out because of what comes behind it.
func (d *disassembler) statement(text string, from ...operand) {
	d.match(text, from...)
	d.family, d.l4 = 0, 0
}

// match adds a part of the rule. What it loads says by its name what an earlier
// match said of the packet: that is left out.
func (d *disassembler) match(text string, from ...operand) {
	for _, o := range from {
		if o == nil {
			continue
		}
		eachPayload(o, func(p packetBytes) {
			if p.known(d.scope) == nil {
				return
			}
			switch p.base {
			case netHeader:
				d.drop(&d.family)
			case l4Header:
				d.drop(&d.l4)
			}
		})
	}
	d.out = append(d.out, text)
	d.bound = nil
}

// drop takes a part out of the rule.
func (d *disassembler) drop(at *int) {
	if *at > 0 {
		d.out[*at-1] = ""
	}
	*at = 0
}

// operator writes the left side of a comparison, and the operator where nft
// does not leave it out.
func operator(left operand, op string) string {
	if _, sum := left.(arithmetic); op == "==" && !sum {
		return ""
	}
	return op + " "
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">="} // NFT_CMP_EQ on

func (d *disassembler) compare(in *compareIns) {
	o := d.get(in.src, len(in.value))
	op := "?"
	if int(in.op) < len(comparisons) {
		op = comparisons[in.op]
	}
	t := o.kind(d.scope)
	if m, ok := o.(arithmetic); ok && m.xor == nil && m.or == nil {
		if text := d.flags(m, op, in.value); text != "" {
			d.match(text, o)
			return
		}
		if n, ok := prefixLen(m.and); ok && (t.id == typeIPv4 || t.id == typeIPv6) && in.op <= unix.NFT_CMP_NEQ {
			d.match(fmt.Sprintf("%s %s%s/%d", m.of.text(d.scope), operator(m.of, op), t.text(in.value), n), o)
			return
		}
	}
	if p, ok := o.(packetBytes); ok && p.known(d.scope) == nil {
		if f := p.prefix(d.scope); f != nil { // the bytes of an address that a prefix leaves
			o = packetBytes{f.base, f.offset, f.length}
		}
	}
	if d.closes(o, in) {
		return
	}
	d.match(o.text(d.scope)+" "+operator(o, op)+d.compared(o, in.value), o)
	if in.op == unix.NFT_CMP_GTE || in.op == unix.NFT_CMP_LT {
		d.bound = &bound{of: o.text(d.scope), op: in.op, value: in.value}
	}
	if s, ok := o.(selector); ok && in.op == unix.NFT_CMP_EQ && len(in.value) == 1 {
		d.learn(s.name, in.value[0])
	}
}

// compared writes the constant that an operand is compared with; one that is
// shorter is a prefix.
func (d *disassembler) compared(o operand, value []byte) string {
	if c, ok := o.(concat); ok {
		return c.values(d.scope, value)
	}
	t := o.kind(d.scope)
	rest := o.size() - len(value)
	switch {
	case rest <= 0 || rest > len(d.regs)*regBytes || o == operand(opaque{}):
		return t.list(value)
	case t.id == typeIfName && !slices.Contains(value, 0):
		return `"` + printable(string(value)) + `*"`
	}
	return fmt.Sprintf("%s/%d", t.text(append(slices.Clone(value), make([]byte, rest)...)), len(value)*8)
}

// closes makes a range of a comparison and the one before it: nft writes `3-12`
// as two.
func (d *disassembler) closes(o operand, in *compareIns) bool {
	b := d.bound
	if b == nil || b.of != o.text(d.scope) || (b.op != unix.NFT_CMP_GTE || in.op != unix.NFT_CMP_LTE) && (b.op != unix.NFT_CMP_LT || in.op != unix.NFT_CMP_GT) {
		return false
	}
	d.out = d.out[:len(d.out)-1]
	d.match(span(o, d.scope, in.op == unix.NFT_CMP_GT, b.value, in.value), o)
	return true
}

// span writes a test for a range.
func span(o operand, s scope, not bool, from, to []byte) string {
	op := "=="
	if not {
		op = "!="
	}
	t := o.kind(s)
	return o.text(s) + " " + operator(o, op) + numeric(t, from) + "-" + numeric(t, to)
}

// flags writes a test for flags; "" where it is none.
func (d *disassembler) flags(m arithmetic, op string, value []byte) string {
	t := m.kind(d.scope)
	if flagNames(t.id) == nil || slices.ContainsFunc(value, func(b byte) bool { return b != 0 }) {
		return ""
	}
	switch op {
	case "!=":
		return m.of.text(d.scope) + " " + t.list(m.and)
	case "==":
		return m.of.text(d.scope) + " ! " + t.list(m.and)
	}
	return ""
}

// learn notes what a match that came last says of the packet.
func (d *disassembler) learn(name string, value byte) {
	switch name {
	case "meta nfproto":
		d.scope.family, d.family = value, len(d.out)
	case "meta l4proto":
		if d.scope.family == familyV4 && value == unix.IPPROTO_ICMP || d.scope.family == familyV6 && value == unix.IPPROTO_ICMPV6 {
			d.drop(&d.family) // these two imply their family
		}
		d.scope.l4, d.l4 = value, len(d.out)
	}
}

// selector loads a value of meta or ct, or stores one.
func (d *disassembler) selector(s selector, known bool, at reg, store bool, name string) {
	switch {
	case !known:
		d.step(unknownIns{name: name})
	case store:
		o := d.get(at, s.length)
		value := o.text(d.scope)
		if c, ok := o.(constant); ok {
			value = s.typ.list(c[:min(len(c), s.length)])
		}
		d.statement(s.name+" set "+value, o)
	default:
		d.set(at, s)
	}
}
