package nft

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// shownSet is a set or a map.
type shownSet struct {
	name, comment string
	flags         uint32
	key, data     shownType // data: zero for a set
	object        uint32    // of a map that gives objects: their type
	policy, size  uint32
	timeout, gc   uint64 // ms
	autoMerge     bool
	count         int64 // of elements, as the kernel says; -1: it does not
	stateful      []instruction
	elements      []shownElement
	left          bool    // the elements were not asked for
	asked         operand // what rules ask it for, where the type does not say what nft must know, see findKeys
}

type shownType struct {
	id     uint32
	length int
	host   bool
}

func (t shownType) value() valueType { return valueType{id: t.id, host: t.host} }

func decodeSet(a *attrs) *shownSet {
	const (
		expressions, count = 18, 20 // NFTA_SET_EXPRESSIONS, NFTA_SET_COUNT (since Linux 6.17)
		comment            = 7      // NFTNL_UDATA_SET_COMMENT
		merge              = 2      // NFTNL_UDATA_SET_MERGE_ELEMENTS
	)
	udata := a[unix.NFTA_SET_USERDATA]
	s := &shownSet{
		name: a.str(unix.NFTA_SET_NAME), comment: udataText(udata, comment), flags: a.u32(unix.NFTA_SET_FLAGS), object: a.u32(unix.NFTA_SET_OBJ_TYPE),
		key:     shownType{id: a.u32(unix.NFTA_SET_KEY_TYPE), length: int(a.u32(unix.NFTA_SET_KEY_LEN)), host: udataHost(udata, 0)},
		data:    shownType{id: a.u32(unix.NFTA_SET_DATA_TYPE), length: int(a.u32(unix.NFTA_SET_DATA_LEN)), host: udataHost(udata, 1)},
		policy:  a.u32(unix.NFTA_SET_POLICY),
		timeout: a.u64(unix.NFTA_SET_TIMEOUT), gc: uint64(a.u32(unix.NFTA_SET_GC_INTERVAL)),
		autoMerge: udataNumber(udata, merge) != 0, count: -1,
	}
	desc := a.nested(unix.NFTA_SET_DESC)
	s.size = desc.u32(unix.NFTA_SET_DESC_SIZE)
	if a.has(count) {
		s.count = int64(a.u32(count))
	}
	if a.has(nftaSetExpr) {
		s.stateful = []instruction{decodeInstruction(a[nftaSetExpr])}
	} else {
		s.stateful = decodeInstructions(a[expressions])
	}
	return s
}

// learned reports whether the packet path writes into a set.
func (s *shownSet) learned() bool { return s.flags&setDynamic != 0 }

// title is a set's name as the text shows it. A ring's ends with a hash of the
// seed, by which the seed could be found.
func (s *shownSet) title(st style) string {
	name := printable(s.name)
	if st.redact && isSlots(name) {
		name = name[:strings.LastIndexByte(name, '-')]
	}
	return name
}

// head is a set's declaration.
func (s *shownSet) head(st style) []string {
	kind := "set"
	if s.flags&(setMap|setObject) != 0 {
		kind = "map"
	}
	lines := []string{"\t" + kind + " " + s.title(st) + " {", "\t\t" + s.types(st)}
	say := func(format string, a ...any) { lines = append(lines, fmt.Sprintf("\t\t"+format, a...)) }
	if s.policy != 0 && s.flags&setConstant == 0 {
		say("policy memory") // enum nft_set_policies
	}
	if s.size > 0 && s.flags&setConstant == 0 {
		say("size %d", s.size)
	}
	if flags := s.flagNames(); flags != nil {
		say("flags %s", strings.Join(flags, ","))
	}
	if s.stateful != nil {
		say("%s", statefulText(s.stateful, style{stateless: true}))
	}
	if s.autoMerge {
		say("auto-merge")
	}
	if s.timeout > 0 {
		say("timeout %s", duration(s.timeout))
	}
	if s.gc > 0 {
		say("gc-interval %s", duration(s.gc))
	}
	if s.comment != "" {
		say("comment \"%s\"", printable(s.comment))
	}
	return lines
}

// flagNames are a set's flags as far as nothing else says them.
func (s *shownSet) flagNames() []string {
	if s.flags&(setConstant|setInterval|setDynamic) == 0 && (s.flags&setTimeout == 0 || s.timeout > 0) {
		return nil
	}
	var names []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{{setConstant, "constant"}, {setDynamic, "dynamic"}, {setInterval, "interval"}, {setTimeout, "timeout"}} {
		if s.flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

func statefulText(ins []instruction, st style) string {
	var out []string
	for _, in := range ins {
		if u, ok := in.(unknownIns); ok {
			out = append(out, "# unknown expression "+printable(u.name))
			continue
		}
		out = append(out, st.plain(in))
	}
	return strings.Join(out, " ")
}

// writeElements writes a set's elements in the order and in the lines that nft
// gives them.
func (s *shownSet) writeElements(b *bufio.Writer, st style) {
	if s.left {
		switch {
		case s.count > 0:
			fmt.Fprintf(b, "\t\t# %d elements, not listed\n", s.count)
		case s.count < 0:
			fmt.Fprintf(b, "\t\t# elements not listed\n")
		}
		return
	}
	perLine := s.perLine()
	n := 0
	s.eachText(st, func(t string) {
		switch {
		case n == 0:
			fmt.Fprint(b, "\t\telements = { ")
		case n%perLine == 0:
			fmt.Fprint(b, ",\n\t\t\t     ")
		default:
			fmt.Fprint(b, ", ")
		}
		fmt.Fprint(b, t)
		n++
	})
	if n > 0 {
		fmt.Fprint(b, " }\n")
	}
}

// perLine says how many elements nft writes in a line.
func (s *shownSet) perLine() int {
	if _, ok := s.asked.(concat); ok {
		return 1
	}
	switch s.key.id {
	case typeNFProto, typeInteger, typeProto, typePort, typeMark, typeCTDir:
		return 5
	case typeIPv4, typeCTState, typeCTStatus:
		return 2
	}
	return 1
}

// eachText writes the elements one after the other, in nft's order.
func (s *shownSet) eachText(st style, fn func(string)) {
	one := func(e *shownElement, last []byte) { fn(s.elementKey(e, last) + s.rest(e, st)) }
	if s.flags&setInterval != 0 && len(components(s.key.id)) == 1 {
		s.eachInterval(one)
	} else {
		for _, e := range s.sorted() {
			one(e, nil)
		}
	}
	for i := range s.elements {
		if e := &s.elements[i]; e.any {
			one(e, nil)
		}
	}
}

// sorted gives the elements that have a key of their own.
func (s *shownSet) sorted() []*shownElement {
	type ranked struct {
		rank []byte
		e    *shownElement
	}
	rs := make([]ranked, 0, len(s.elements))
	for i := range s.elements {
		if e := &s.elements[i]; !e.any {
			rs = append(rs, ranked{rank: s.rank(e), e: e})
		}
	}
	slices.SortStableFunc(rs, func(a, b ranked) int { return bytes.Compare(a.rank, b.rank) })
	out := make([]*shownElement, len(rs))
	for i := range rs {
		out[i] = rs[i].e
	}
	return out
}

// rank is what nft sorts an element by: numbers by their value, concatenations
// by their bytes, without the padding, as a number in the host's byte order.
func (s *shownSet) rank(e *shownElement) []byte {
	parts := s.parts()
	if len(parts) < 2 {
		return bigEndian(e.key, s.key.host)
	}
	var out []byte
	b := e.key
	for _, n := range parts {
		if n == 0 || n > len(b) {
			n = len(b)
		}
		out = append(out, b[:n]...)
		b = b[min(len(b), int(reg(0).after(n))*regBytes):]
	}
	if littleEndian {
		slices.Reverse(out)
	}
	return out
}

// parts are the lengths of what a key consists of; 0: not known.
func (s *shownSet) parts() []int {
	var out []int
	if c, ok := s.asked.(concat); ok {
		for _, p := range c.parts {
			out = append(out, p.size())
		}
		return out
	}
	for _, c := range components(s.key.id) {
		out = append(out, typeLen(c))
	}
	return out
}
