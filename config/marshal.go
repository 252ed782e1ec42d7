package config

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLine is how long a list or object may be to stand in one line.
const maxLine = 100

func textNode(s string) *node {
	return &node{kind: scalar, text: s, quoted: true}
}

func numberNode(v int64) *node {
	return &node{kind: scalar, text: strconv.FormatInt(v, 10)}
}

func maskNode(v uint32) *node {
	return &node{kind: scalar, text: fmt.Sprintf("0x%08x", v)}
}

func boolNode(v bool) *node {
	return &node{kind: scalar, text: strconv.FormatBool(v)}
}

func durationNode(v time.Duration) *node { return textNode(formatDuration(v)) }

func hexNode(v []byte) *node { return textNode(hex.EncodeToString(v)) }

// formatDuration writes a duration as people do: 2h, not 2h0m0s.
func formatDuration(v time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if v != 0 && v%unit.of == 0 {
			return strconv.FormatInt(int64(v/unit.of), 10) + unit.name
		}
	}
	return v.String()
}

// writeYAML writes an object as a YAML document.
func writeYAML(n *node) []byte {
	var b strings.Builder
	writeBlock(&b, n, "", false)
	return []byte(b.String())
}

// writeBlock writes an object or list with a line for each member or entry.
// Where the first line has begun already, as an entry's, its indent is there.
func writeBlock(b *strings.Builder, n *node, indent string, begun bool) {
	lead := func() {
		if !begun {
			b.WriteString(indent)
		}
		begun = false
	}
	for _, m := range n.members {
		lead()
		b.WriteString(m.name + ":")
		if inLine(m.value) {
			b.WriteString(" " + flow(m.value) + "\n")
			continue
		}
		b.WriteByte('\n')
		writeBlock(b, m.value, indent+"  ", false)
	}
	for _, item := range n.items {
		lead()
		b.WriteString("- ")
		if inLine(item) {
			b.WriteString(flow(item) + "\n")
			continue
		}
		writeBlock(b, item, indent+"  ", true)
	}
}

// inLine tells whether a node stands in one line: scalars, and what is short
// and consists of scalars or of one list of them.
func inLine(n *node) bool {
	if n.kind == scalar {
		return true
	}
	return depth(n) <= 2 && len(flow(n)) <= maxLine && !slices.ContainsFunc(n.items, func(item *node) bool {
		return item.kind != scalar
	})
}

// depth returns how deep objects and lists are in each other.
func depth(n *node) int {
	deepest := 0
	for _, m := range n.members {
		deepest = max(deepest, depth(m.value))
	}
	for _, item := range n.items {
		deepest = max(deepest, depth(item))
	}
	if n.kind == scalar {
		return 0
	}
	return deepest + 1
}

// flow returns a node in flow style.
func flow(n *node) string {
	switch n.kind {
	case scalar:
		return scalarText(n)
	case list:
		parts := make([]string, len(n.items))
		for i, item := range n.items {
			parts[i] = flow(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		parts := make([]string, len(n.members))
		for i, m := range n.members {
			parts[i] = m.name + ": " + flow(m.value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
}

// bare is text that every YAML reader takes as text without quotes: words,
// paths, durations and IPv4 addresses.
var bare = regexp.MustCompile(`^([A-Za-z/][A-Za-z0-9/._-]*|[0-9]+(h|m|s|ms)|[0-9]+(\.[0-9]+){3}(/[0-9]+)?)$`)

// reserved are words that some YAML readers take as something else.
var reserved = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}

func scalarText(n *node) string {
	if !n.quoted || bare.MatchString(n.text) && !slices.Contains(reserved, strings.ToLower(n.text)) {
		return n.text
	}
	return quote(n.text)
}

// quote writes text in double quotes. What is not printable in ASCII is escaped.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString("\\" + string(r))
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, "\\U%08x", r)
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
