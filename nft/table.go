// Package nft turns a snapshot of the services into one nftables table and
// keeps the kernel's copy of it as it should be. Compile is pure; a Conn sends
// the smallest transactions that turn what the kernel has into what is wanted,
// so that learned sessions and counters survive. Rules are static, data lives
// in maps.
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

	// What it was made of, where a Compiler made it.
	base    *base
	parts   []*part // in the order of their names
	answers *answers
}

// Chain is a list of rules, hooked into the packet's way if Hook is set.
type Chain struct {
	Name  string
	Hook  *Hook
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
	Flags     uint32
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

// Timeout is a ct timeout object for UDP.
type Timeout struct {
	Name      string
	V6        bool
	Unreplied time.Duration
	Replied   time.Duration
}
