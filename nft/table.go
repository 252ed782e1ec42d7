// Package nft turns a snapshot of the services into one nftables table and
// keeps the kernel's copy of it as it should be. Compile is pure; a Conn sends
// the smallest transactions that turn what the kernel has into what is wanted,
// so that learned sessions and counters survive. Data lives in maps, but for
// listeners where they are few.
//
// The wire format is that of the kernel's include/uapi/linux/netfilter/nf_tables.h.
package nft

import (
	"hash/fnv"
	"time"
)

// Table is everything our nftables table holds, as wanted or as read back.
type Table struct {
	Name     string
	Chains   []*Chain
	Maps     []*Map
	Timeouts []Timeout

	flags  uint32  // of a table read back: not 0 where others have set some
	strays []stray // of a table read back: objects of kinds that ours has none of

	// What it was made of, where a Compiler made it.
	base    *base
	parts   []*part // in the order of their names
	answers *answers
	hooks   []*Chain // the base chains among Chains
}

// Chain is a list of rules, hooked into the packet's way if Hook is set.
type Chain struct {
	Name  string
	Hook  *Hook
	Drops bool // its policy, of a chain read back: none of ours drops
	Rules []Rule
}

// Hook is where a base chain stands.
type Hook struct {
	Type     string // filter or nat
	Hook     uint32 // NF_INET_*
	Priority int32
}

// Rule is one rule: its expressions as they go over the wire and a comment
// that `nft list` shows. Rules read back carry the tag only.
type Rule struct {
	Comment string
	Exprs   [][]byte
	tag     uint64
}

// Tag identifies the rule's content: a rule in the kernel that carries it is
// this rule.
func (r *Rule) Tag() uint64 {
	if r.tag == 0 {
		h := fnv.New64a()
		h.Write([]byte(r.Comment))
		for _, e := range r.Exprs {
			h.Write(e)
		}
		r.tag = h.Sum64()
	}
	return r.tag
}

// Map is a set or a map. What changes about one but its elements gives it
// another name, so that a map of a name is always of the same make.
type Map struct {
	Name      string
	Flags     uint32 // of a map read back
	Key       Type
	Data      Type // zero for a set
	Size      uint32
	Timeout   time.Duration // default of the elements; 0: they stay
	Counter   bool          // every element counts packets and bytes
	Learned   bool          // elements come from the packet path and ctsync: never compared
	Intervals bool
	Shared    bool // rules of all services look in it
	Elements  []Element
	gather    func() []Element // makes Elements once they are looked at; nil: they are there
}

// late reports whether a new map gets its elements behind the rules that look in
// it: they name chains that are made with the rules, or the rules are many, and
// for each of them the kernel goes through all elements that are there.
func (m *Map) late() bool { return m.Data.ID == typeVerdict || m.Shared }

// all are the map's elements.
func (m *Map) all() []Element {
	if m.gather != nil {
		m.Elements, m.gather = m.gather(), nil
	}
	return m.Elements
}

// Type is an nftables data type as `nft` names it, and its length in bytes.
type Type struct {
	ID   uint32
	Len  uint32
	Host bool // in the host's byte order
}

// Element is one member of a map, or an interval [Key, End) of a set.
type Element struct {
	Key     []byte
	Data    []byte // nil where the map gives a verdict or is a set
	Goto    string // chain that the map's verdict goes to
	End     bool   // the element ends an interval
	Timeout time.Duration
}

// sameMake reports whether two maps of one name hold the same kind of elements
// in the same way.
func (m *Map) sameMake(o *Map) bool {
	return m.flags() == o.flags() && m.Size == o.Size && m.Timeout == o.Timeout && m.Counter == o.Counter &&
		m.Key.same(o.Key) && m.Data.same(o.Data)
}

func (t Type) same(o Type) bool {
	return t.ID == o.ID && (t.Len == o.Len || t.ID == typeVerdict)
}

// stray is an object in our table that is not ours.
type stray struct {
	name string
	typ  uint32
}

// Timeout is a ct timeout object for UDP.
type Timeout struct {
	Name      string
	V6        bool
	Unreplied time.Duration
	Replied   time.Duration
}

// same reports whether the kernel holds t as o: it counts in seconds.
func (t Timeout) same(o Timeout) bool {
	return t.V6 == o.V6 && t.Unreplied/time.Second == o.Unreplied/time.Second && t.Replied/time.Second == o.Replied/time.Second
}

// empty reports whether there is nothing in the table.
func (t *Table) empty() bool { return len(t.Chains) == 0 && len(t.Maps) == 0 }
