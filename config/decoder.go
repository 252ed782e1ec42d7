package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder reads nodes as values of Go types and collects what is wrong with
// them. What could not be read is spoilt: checks that look at it afterwards
// have nothing to say about it.
type decoder struct {
	report
	spoilt map[string]bool // JSON pointers of spoilt members
	within map[string]bool // JSON pointers of what has a spoilt member in it
	// document says that a document of the API is read: text is in quotes, and
	// what is read-only may be there.
	document bool
}

// spoil notes a problem that leaves a member without a usable value.
func (d *decoder) spoil(at, format string, args ...any) {
	d.add(at, format, args...)
	d.spoilt[at] = true
	for i := len(at) - 1; i >= 0; i-- {
		if at[i] == '/' {
			d.within[at[:i]] = true
		}
	}
}

// usable tells whether a member, all it consists of and all it is part of were
// read.
func (d *decoder) usable(at string) bool {
	if d.spoilt[at] || d.within[at] {
		return false
	}
	for i := len(at) - 1; i >= 0; i-- {
		if at[i] == '/' && d.spoilt[at[:i]] {
			return false
		}
	}
	return true
}

// is tells whether a node is of a kind and reports it if not.
func (d *decoder) is(at string, n *node, want kind) bool {
	switch n.kind {
	case want:
		return true
	case broken:
		d.spoil(at, "%s", n.text)
	case null:
		d.spoil(at, "has no value; leave the member out, or give one")
	default:
		d.spoil(at, "must be %s, not %s", want, n.kind)
	}
	return false
}

// members reports unknown members of an object and members that are given twice.
func (d *decoder) members(at string, n *node, known []string) {
	seen := make(map[string]int, len(n.members))
	for _, p := range n.members {
		if line, again := seen[p.name]; again {
			message := "is given twice"
			if line > 0 {
				message += fmt.Sprintf(", first in line %d", line)
			}
			d.put(Problem{Pointer: join(at, p.name), Line: p.line, Column: p.column, Message: message})
			continue
		}
		seen[p.name] = p.line
		d.known(at, p, known)
	}
	for _, m := range n.merged {
		d.members(at, m, known)
	}
}

// known reports a member that is none of the known ones.
func (d *decoder) known(at string, p pair, known []string) {
	if slices.Contains(known, p.name) {
		return
	}
	message := "is not a known member"
	if near := nearest(p.name, known); near != "" {
		message += "; did you mean " + near + "?"
	}
	if p.value.kind == broken { // such as a merge of what cannot be merged
		message = p.value.text
	}
	d.put(Problem{Pointer: join(at, p.name), Line: p.line, Column: p.column, Message: message})
}

func (d *decoder) text(at string, n *node) (string, bool) {
	if d.document && n.kind == scalar && !n.quoted {
		d.spoil(at, "must be text, in quotes")
		return "", false
	}
	return n.text, d.is(at, n, scalar)
}

// number reads a decimal number in a range.
func (d *decoder) number(at string, n *node, in span) (int64, bool) {
	if !d.isNumber(at, n) {
		return 0, false
	}
	digits := strings.TrimPrefix(n.text, "-")
	if !isDecimal(digits) {
		d.spoil(at, "must be a decimal number, not %s", show(n.text))
		return 0, false
	}
	v, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || !in.holds(v) {
		d.spoil(at, "must be %d to %d, not %s", in.lo, in.hi, shorten(n.text))
		return 0, false
	}
	return v, true
}

// mask reads a number that may be in hex, with 0x before it.
func (d *decoder) mask(at string, n *node, in span) (int64, bool) {
	if d.document && n.quoted { // JSON has no numbers in hex
		n = &node{kind: scalar, text: n.text}
	}
	if n.kind != scalar || !strings.HasPrefix(n.text, "0x") {
		return d.number(at, n, in)
	}
	if !d.isNumber(at, n) {
		return 0, false
	}
	v, err := strconv.ParseUint(n.text[2:], 16, 63)
	if errors.Is(err, strconv.ErrSyntax) {
		d.spoil(at, "must be a number such as 0x0000ffff, not %s", show(n.text))
		return 0, false
	}
	if err != nil || !in.holds(int64(v)) {
		d.spoil(at, "must be %#x to %#x, not %s", in.lo, in.hi, shorten(n.text))
		return 0, false
	}
	return int64(v), true
}

func (d *decoder) isNumber(at string, n *node) bool {
	if n.kind == scalar && n.quoted {
		d.spoil(at, "must be a number, not text: leave the quotes out")
		return false
	}
	if n.kind == list || n.kind == object {
		d.spoil(at, "must be a number, not %s", n.kind)
		return false
	}
	return d.is(at, n, scalar)
}

// isDecimal tells whether s is what a number is written as, without a zero in
// front, which some would read as octal.
func isDecimal(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s == "0" || s != "" && s[0] != '0'
}

func (d *decoder) boolean(at string, n *node) (bool, bool) {
	if n.kind == scalar && !n.quoted && (n.text == "true" || n.text == "false") {
		return n.text == "true", true
	}
	if n.kind == null || n.kind == broken {
		return false, d.is(at, n, scalar)
	}
	d.spoil(at, "must be true or false")
	return false, false
}

// duration reads a duration: numbers with units from h to ms.
func (d *decoder) duration(at string, n *node) (time.Duration, bool) {
	s, ok := d.text(at, n)
	if !ok {
		return 0, false
	}
	v, err := time.ParseDuration(s)
	switch {
	case err == nil && v%time.Millisecond != 0:
		d.spoil(at, "must be whole milliseconds, not %s", show(s))
	case err == nil && s != "0":
		return v, true
	case isDecimal(s):
		d.spoil(at, "must have a unit: %ss, or one of h, m and ms", shorten(s))
	case strings.HasSuffix(s, "d") && isDecimal(strings.TrimSuffix(s, "d")):
		d.spoil(at, "must be a duration such as 2h, 10m or 500ms, not %s: days are written in hours", show(s))
	default:
		d.spoil(at, "must be a duration such as 2h, 10m or 500ms, not %s", show(s))
	}
	return 0, false
}

// hex reads bytes.
func (d *decoder) hex(at string, n *node) ([]byte, bool) {
	s, ok := d.text(at, n)
	if !ok {
		return nil, false
	}
	v, err := hex.DecodeString(s)
	switch {
	case err == nil && len(v) > 0:
		return v, true
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		d.spoil(at, "must be hex digits without 0x, not %s", show(s))
	case errors.Is(err, hex.ErrLength):
		d.spoil(at, "must be two hex digits a byte, not %s", show(s))
	default:
		d.spoil(at, "must be hex digits, two a byte, not %s", show(s))
	}
	return nil, false
}

// address reads an IP address.
func (d *decoder) address(at string, n *node) (netip.Addr, bool) {
	if n.kind == object {
		d.spoil(at, "must be an IP address, not an object; IPv6 addresses in [ ] and { } need quotes")
		return netip.Addr{}, false
	}
	s, ok := d.text(at, n)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		d.spoil(at, "must be an IP address, not %s", show(s))
		return netip.Addr{}, false
	}
	return a, true
}

// prefix reads an IP prefix; an address is short for the prefix of it alone.
func (d *decoder) prefix(at string, n *node) (netip.Prefix, bool) {
	if n.kind == scalar && !strings.Contains(n.text, "/") && !strings.Contains(n.text, "%") {
		if a, err := netip.ParseAddr(n.text); err == nil {
			return netip.PrefixFrom(a, a.BitLen()), true
		}
	}
	if n.kind == object {
		d.spoil(at, "must be a prefix, not an object; IPv6 prefixes in [ ] need quotes")
		return netip.Prefix{}, false
	}
	s, ok := d.text(at, n)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		d.spoil(at, "must be a prefix such as 192.0.2.0/24 or 2001:db8::/32, not %s", show(s))
		return netip.Prefix{}, false
	}
	return p, true
}

// endpoint reads an address and port in one text; an empty one is none.
func (d *decoder) endpoint(at string, n *node) (netip.AddrPort, bool) {
	s, ok := d.text(at, n)
	if !ok || s == "" {
		return netip.AddrPort{}, ok
	}
	a, err := netip.ParseAddrPort(s)
	if err == nil {
		return a, true
	}
	d.spoil(at, "must be an IP address and a port, such as 127.0.0.1:7070 or [::]:7070, not %s", show(s))
	return netip.AddrPort{}, false
}
