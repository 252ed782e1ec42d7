package config

import (
	"math"
	"strings"
)

// kind is what a node is.
type kind uint8

const (
	broken kind = iota // could not be read; text says why
	null
	scalar
	list
	object
)

// String returns the kind as messages name it.
func (k kind) String() string {
	return [...]string{"broken", "nothing", "text", "a list", "an object"}[k]
}

// node is a value of a text in any notation, with its place. Nodes are shared
// where the text refers to another place of itself, and are never changed once
// built.
type node struct {
	kind         kind
	line, column int
	text         string  // of a scalar: its literal text
	quoted       bool    // a scalar that can only be text, no number and no boolean
	items        []*node // of a list
	members      []pair  // of an object, as written: a name can come twice
	merged       []*node // of an object: objects whose members it takes over where it has none
	size         int     // values in it, itself included
}

// pair is a member of an object, with the place of its name.
type pair struct {
	name         string
	line, column int
	value        *node
}

// get returns the member of that name: the object's own first one, else that
// of the first merged object that has one.
func (n *node) get(name string) (pair, bool) {
	for _, p := range n.members {
		if p.name == name {
			return p, true
		}
	}
	for _, m := range n.merged {
		if p, ok := m.get(name); ok {
			return p, true
		}
	}
	return pair{}, false
}

// measure sets the size of a node whose parts are complete. Sizes saturate.
func (n *node) measure() {
	n.size = 1
	add := func(part *node) { n.size = min(n.size+part.size, math.MaxInt32) }
	for _, item := range n.items {
		add(item)
	}
	for _, m := range n.members {
		add(m.value)
	}
	for _, m := range n.merged {
		add(m)
	}
}

// written returns a JSON pointer into the complete form of a configuration as
// the text writes it: where a key, a backend or a source stands in its short
// form, the parts that only the long form has are left out.
func (n *node) written(pointer string) string {
	parts := split(pointer)
	at := ""
	for i := 0; i < len(parts); i++ {
		if n != nil && n.kind == object {
			rest := strings.Join(parts[i:], "/")
			switch {
			case strings.HasPrefix(rest, "variants/0/fields/0/") && !n.has("variants"):
				i += 4
			case parts[i] == "addresses" && !n.has("addresses") && n.has("address"):
				return join(at, "address")
			case parts[i] == "sources" && !n.has("sources") && n.has("source"):
				return join(at, "source")
			}
		}
		at = join(at, parts[i])
		n = n.child(parts[i])
	}
	return at
}

func (n *node) has(name string) bool {
	_, ok := n.get(name)
	return ok
}

// child returns the member or list entry that a part of a pointer names; nil
// where there is none.
func (n *node) child(part string) *node {
	p, _ := n.part(part)
	return p.value
}

func (n *node) part(part string) (pair, bool) {
	switch {
	case n == nil:
		return pair{}, false
	case n.kind == object:
		return n.get(part)
	case n.kind == list:
		i, ok := entry(part, len(n.items))
		if !ok {
			return pair{}, false
		}
		item := n.items[i]
		return pair{name: part, line: item.line, column: item.column, value: item}, true
	}
	return pair{}, false
}

// entry reads a list index below length.
func entry(part string, length int) (int, bool) {
	i := 0
	for _, c := range []byte(part) {
		if c < '0' || c > '9' || i >= length {
			return 0, false
		}
		i = i*10 + int(c-'0')
	}
	return i, part != "" && i < length
}

// place returns the line and column of what a JSON pointer names: of a scalar
// or a list's entry itself, of an object or list the member's name, and of a
// member that is not there the place of what lacks it.
func (n *node) place(pointer string) (line, column int) {
	line, column = n.line, n.column
	for _, part := range split(pointer) {
		p, ok := n.part(part)
		if !ok {
			break
		}
		line, column = p.line, p.column
		if p.value.kind == scalar {
			line, column = p.value.line, p.value.column
		}
		n = p.value
	}
	return line, column
}
