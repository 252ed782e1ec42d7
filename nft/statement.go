package nft

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Verdicts below zero are nftables' own (enum nft_verdicts), the others
// netfilter's (linux/netfilter.h).
var (
	rulings      = map[int32]string{-1: "continue", -2: "break", -3: "jump", -4: "goto", -5: "return"}
	baseVerdicts = []string{"drop", "accept", "stolen", "queue"}
)

func (r *ruling) text() string {
	if name := rulings[r.code]; name != "" {
		if r.chain != "" {
			name += " " + printable(r.chain)
		}
		return name
	}
	const verdictMask = 0xff // NF_VERDICT_MASK
	if v := r.code & verdictMask; r.code >= 0 && int(v) < len(baseVerdicts) {
		return baseVerdicts[v]
	}
	return fmt.Sprintf("# unknown verdict %d", r.code)
}

// plain writes statements that no register has a part in.
func (s style) plain(in instruction) string {
	switch in := in.(type) {
	case counterIns:
		if s.stateless {
			return "counter"
		}
		return fmt.Sprintf("counter packets %d bytes %d", in.packets, in.bytes)
	case rejectIns:
		return in.text()
	case limitIns:
		return in.text()
	case objectIns:
		return in.text()
	case queueIns:
		return in.text()
	case logIns:
		return in.text()
	}
	return "# unknown expression"
}

func (r rejectIns) text() string {
	codes := []string{"no-route", "port-unreachable", "host-unreachable", "admin-prohibited"} // enum nft_reject_inet_code
	switch {
	case r.typ == unix.NFT_REJECT_ICMPX_UNREACH && r.code == unix.NFT_REJECT_ICMPX_PORT_UNREACH:
		return "reject"
	case r.typ == unix.NFT_REJECT_ICMPX_UNREACH && int(r.code) < len(codes):
		return "reject with icmpx " + codes[r.code]
	case r.typ == unix.NFT_REJECT_TCP_RST:
		return "reject with tcp reset"
	}
	return fmt.Sprintf("# unknown expression reject, type %d code %d", r.typ, r.code)
}

func (o objectIns) text() string {
	how := map[uint32]string{
		unix.NFT_OBJECT_COUNTER: "counter name", unix.NFT_OBJECT_QUOTA: "quota name", unix.NFT_OBJECT_LIMIT: "limit name",
		unix.NFT_OBJECT_CT_HELPER: "ct helper set", unix.NFT_OBJECT_CT_TIMEOUT: "ct timeout set", unix.NFT_OBJECT_CT_EXPECT: "ct expectation set",
	}[o.typ]
	if how == "" {
		return fmt.Sprintf("# unknown expression objref, type %d name %s", o.typ, printable(o.name))
	}
	return how + ` "` + printable(o.name) + `"`
}

func (q queueIns) text() string {
	out := "queue"
	var flags []string
	if q.flags&unix.NFT_QUEUE_FLAG_BYPASS != 0 {
		flags = append(flags, "bypass")
	}
	if q.flags&unix.NFT_QUEUE_FLAG_CPU_FANOUT != 0 {
		flags = append(flags, "fanout")
	}
	if flags != nil {
		out += " flags " + strings.Join(flags, ",")
	}
	out += fmt.Sprintf(" to %d", q.first)
	if q.total > 1 {
		out += fmt.Sprintf("-%d", int(q.first)+int(q.total)-1)
	}
	return out
}

func (l logIns) text() string {
	levels := []string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"} // linux/kern_levels.h
	const warn = 4
	out := "log"
	if l.prefix != "" {
		out += ` prefix "` + printable(l.prefix) + `"`
	}
	if l.grouped {
		out += fmt.Sprintf(" group %d", l.group)
	}
	if l.snaplen > 0 {
		out += fmt.Sprintf(" snaplen %d", l.snaplen)
	}
	if l.threshold > 0 {
		out += fmt.Sprintf(" queue-threshold %d", l.threshold)
	}
	if !l.grouped && l.level != warn && int(l.level) < len(levels) {
		out += " level " + levels[l.level]
	}
	return out
}

// lookup asks a set, or loads from a map.
func (d *disassembler) lookup(in *lookupIns) {
	set := d.find(in.set)
	key := d.key(set, in.src)
	switch in.dst {
	case noReg:
		op := "=="
		if in.invert {
			op = "!="
		}
		d.match(key.text(d.scope)+" "+operator(key, op)+d.ref(set), key)
	case verdictReg:
		d.match(key.text(d.scope)+" vmap "+d.ref(set), key)
	default:
		d.set(in.dst, mapped{key: key, in: set, ref: d.ref(set)})
	}
}

// key gives what a set is asked for.
func (d *disassembler) key(set *shownSet, at reg) operand {
	key := d.get(at, set.key.length)
	if d.style.loadable {
		key = set.typed(key, d.scope)
	}
	if d.used != nil {
		d.used(set, key)
	}
	return key
}

// ref writes a set's name, or the members of one that has none.
func (d *disassembler) ref(set *shownSet) string {
	if set.flags&setAnonymous != 0 {
		var members []string
		set.eachText(d.style, func(t string) { members = append(members, t) })
		return "{ " + strings.Join(members, ", ") + " }"
	}
	return "@" + set.title(d.style)
}

// dynset writes into a set or map.
func (d *disassembler) dynset(in *dynsetIns) {
	ops := []string{"add", "update", "delete"} // enum nft_dynset_ops
	op := "# unknown operation on"
	if int(in.op) < len(ops) {
		op = ops[in.op]
	}
	set := d.find(in.set)
	key := d.key(set, in.key)
	parts := []string{key.text(d.scope)}
	if in.timeout > 0 {
		parts = append(parts, "timeout "+duration(in.timeout))
	}
	for _, s := range in.stateful {
		parts = append(parts, style{stateless: true}.plain(s))
	}
	var data operand
	if in.data != noReg {
		data = d.get(in.data, set.data.length)
		value := data.text(d.scope)
		if c, ok := data.(constant); ok {
			value = set.data.value().text(c)
		}
		parts = append(parts, ":", value)
	}
	d.statement(op+" "+d.ref(set)+" { "+strings.Join(parts, " ")+" }", key, data)
}

// text is the limit as nft writes it. Bytes are written as they are counted,
// without a larger unit.
func (l limitIns) text() string {
	over, what, unit := "", "packets", ""
	if l.over {
		over = "over "
	}
	for _, u := range []struct {
		seconds uint64
		name    string
	}{{1, "second"}, {60, "minute"}, {3600, "hour"}, {86400, "day"}, {604800, "week"}} {
		if u.seconds == l.unit {
			unit = u.name
		}
	}
	if l.bytes {
		what = "bytes"
		return fmt.Sprintf("limit rate %s%d %s/%s burst %d %s", over, l.rate, what, unit, l.burst, what)
	}
	return fmt.Sprintf("limit rate %s%d/%s burst %d %s", over, l.rate, unit, l.burst, what)
}

// nat translates an address, and a port where there is one.
func (d *disassembler) nat(in *natIns) {
	out, family, t := "dnat", " ip", valueType{id: typeIPv4}
	if in.source {
		out = "snat"
	}
	if in.family == familyV6 {
		family, t.id = " ip6", typeIPv6
	}
	if d.style.loadable && in.port != noReg && d.scope.l4 == 0 { // nft wants to know whose port it is
		d.match("meta l4proto udp")
		d.learn("meta l4proto", unix.IPPROTO_UDP)
	}
	n := typeLen(t.id)
	var from []operand
	withPort := in.port != noReg
	if in.addr != noReg || withPort {
		out += family + " to"
	}
	if in.addr != noReg {
		addr := d.get(in.addr, n)
		from = append(from, addr)
		text := d.between(in.addr, in.addrMax, t, n)
		if m, ok := addr.(mapped); ok && m.size() > n {
			withPort = false // the map gives both
		}
		if _, ok := addr.(constant); ok && withPort && t.id == typeIPv6 {
			text = "[" + strings.ReplaceAll(text, "-", "]-[") + "]"
		}
		out += " " + text
	}
	if withPort {
		if in.addr == noReg {
			out += " "
		}
		out += ":" + d.between(in.port, in.portMax, valueType{id: typePort}, 2)
	}
	d.statement(out+natFlags(in.flags), from...)
}

// between writes what lies in a register, or in two: from one to the other.
func (d *disassembler) between(from, to reg, t valueType, n int) string {
	one := func(r reg) string {
		o := d.get(r, n)
		if c, ok := o.(constant); ok {
			return t.text(c[:min(len(c), n)])
		}
		return o.text(d.scope)
	}
	if to == noReg || to == from {
		return one(from)
	}
	return one(from) + "-" + one(to)
}

func natFlags(flags uint32) string {
	var names []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{{unix.NF_NAT_RANGE_PROTO_RANDOM, "random"}, {unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY, "fully-random"}, {unix.NF_NAT_RANGE_PERSISTENT, "persistent"}} {
		if flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	if names == nil {
		return ""
	}
	return " " + strings.Join(names, ",")
}

// duration writes milliseconds: 1d2h3m4s5ms.
func duration(ms uint64) string {
	var out strings.Builder
	for _, u := range []struct {
		ms   uint64
		name string
	}{{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}} {
		if n := ms / u.ms; n > 0 {
			fmt.Fprint(&out, n, u.name)
			ms %= u.ms
		}
	}
	return out.String()
}

// numeric writes a constant that ends a range: without symbols.
func numeric(t valueType, b []byte) string {
	if t.id == typeIPv4 || t.id == typeIPv6 || t.id == typeMark {
		return t.text(b)
	}
	return valueType{id: typeInteger, host: t.host, hex: t.hex}.text(b)
}

// printable takes what would end a line or a string out of a text that others
// may have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
