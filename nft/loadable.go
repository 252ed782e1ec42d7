package nft

import (
	"slices"
	"strings"
)

// What nft must be told, beyond what it lists, to read a table: it knows the
// length of a type `integer` only from an expression that has it.

// findKeys notes, of maps and sets whose keys are raw payload, what the first
// rule asks them for.
func (l *listing) findKeys() {
	note := func(s *shownSet, key operand) {
		if s.asked == nil && isRaw(key) {
			s.asked = key
		}
	}
	for _, c := range l.chains {
		for i := range c.rules {
			d := disassembler{find: l.set, style: style{loadable: true}, used: note}
			d.disassemble(decodeInstructions(c.rules[i].exprs))
		}
	}
}

// isRaw reports whether an operand has a part that nft knows only by its place
// in the packet.
func isRaw(o operand) bool {
	raw := false
	switch o.(type) {
	case packetBytes, arithmetic, concat:
		eachPayload(o, func(p packetBytes) {
			raw = raw || p.among(fieldsV4) == nil && p.among(fieldsV6) == nil && p.among(fieldsAny) == nil
		})
	}
	return raw
}

// typed gives a raw load the name that the set's type gives it.
func (s *shownSet) typed(key operand, sc scope) operand {
	p, ok := key.(packetBytes)
	if !ok || p.known(sc) != nil {
		return key
	}
	fs := map[uint32][]field{typeIPv4: fieldsV4, typeIPv6: fieldsV6}[s.key.id]
	if f := p.among(fs); f != nil && f.typ == s.key.id {
		return selector{name: f.name, typ: s.key.value(), length: p.size()}
	}
	return key
}

// types declares the types of a set's keys and data.
func (s *shownSet) types(st style) string {
	key, data := typeName(s.key.id), typeName(s.data.id)
	how := "type"
	if st.loadable && (s.asked != nil || s.key.vague() || s.data.vague()) {
		how = "typeof"
		key, data = s.key.example(), s.data.example()
		if s.asked != nil {
			key = withoutMasks(s.asked).text(scope{})
		}
	}
	switch {
	case s.flags&setObject != 0:
		data = objectNames[s.object]
	case s.flags&setMap == 0:
		return how + " " + key
	}
	return how + " " + key + " : " + data
}

// objectNames are the types of objects that a map may give (enum
// nft_object_types).
var objectNames = map[uint32]string{1: "counter", 2: "quota", 3: "ct helper", 4: "limit", objectCtTimeout: "ct timeout"}

// vague reports whether a type's name does not tell its length.
func (t shownType) vague() bool { return slices.Contains(components(t.id), typeInteger) }

// example is an expression of the type.
func (t shownType) example() string {
	if t.id == typeVerdict {
		return "verdict"
	}
	names := map[uint32]string{typeIPv4: "ip daddr", typeIPv6: "ip6 daddr", typePort: "udp dport", typeMark: "meta mark"}
	var out []string
	for _, c := range components(t.id) {
		name := names[c]
		switch {
		case name != "":
		case t.host && t.length == 2:
			name = "ct zone"
		case t.host && t.length == 4:
			name = "meta cpu" // any number of four bytes will do; a hash crashes version 1.0.6
		default:
			name = packetBytes{base: l4Header, offset: 8, length: uint32(t.length)}.text(scope{})
		}
		out = append(out, name)
	}
	return strings.Join(out, " . ")
}

// withoutMasks leaves out what does not matter to a type.
func withoutMasks(o operand) operand {
	switch o := o.(type) {
	case arithmetic:
		return withoutMasks(o.of)
	case concat:
		c := concat{}
		for _, p := range o.parts {
			c.parts = append(c.parts, withoutMasks(p))
		}
		return c
	}
	return o
}
