package nft

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

type shownChain struct {
	name, comment string
	hooked        bool
	typ           string
	hook          uint32
	priority      int32
	policy        int // -1: none
	rules         []shownRule
}

type shownRule struct {
	comment string
	exprs   []byte // encoded, see decodeInstructions
}

func decodeShownChain(a *attrs) *shownChain {
	const userdata = 12 // NFTA_CHAIN_USERDATA
	c := &shownChain{name: a.str(unix.NFTA_CHAIN_NAME), typ: a.str(unix.NFTA_CHAIN_TYPE), hooked: a.has(unix.NFTA_CHAIN_HOOK), policy: -1, comment: udataText(a[userdata], 0)}
	h := a.nested(unix.NFTA_CHAIN_HOOK)
	c.hook, c.priority = h.u32(unix.NFTA_HOOK_HOOKNUM), int32(h.u32(unix.NFTA_HOOK_PRIORITY))
	if a.has(unix.NFTA_CHAIN_POLICY) {
		c.policy = int(a.u32(unix.NFTA_CHAIN_POLICY))
	}
	return c
}

// hookNames are those of family inet (enum nf_inet_hooks).
var hookNames = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

// head is a chain's declaration.
func (c *shownChain) head() []string {
	lines := []string{"\tchain " + printable(c.name) + " {"}
	if c.comment != "" {
		lines = append(lines, "\t\tcomment \""+printable(c.comment)+"\"")
	}
	if !c.hooked {
		return lines
	}
	hook := fmt.Sprint("unknown", c.hook)
	if int(c.hook) < len(hookNames) {
		hook = hookNames[c.hook]
	}
	line := fmt.Sprintf("\t\ttype %s hook %s priority %s;", printable(c.typ), hook, priority(c.priority, c.hook))
	if c.policy >= 0 {
		policy := "accept"
		if c.policy != nfAccept {
			policy = "drop"
		}
		line += " policy " + policy + ";"
	}
	return append(lines, line)
}

// priority writes a base chain's place by the names that nft has for some.
func priority(p int32, hook uint32) string {
	const reach = 10
	names := []struct {
		at   int32
		name string
		only []uint32 // hooks where it goes by this name; nil: all
	}{
		{-300, "raw", nil},
		{-150, "mangle", nil},
		{-100, "dstnat", []uint32{hookPrerouting}},
		{0, "filter", nil},
		{50, "security", nil},
		{100, "srcnat", []uint32{hookPostrouting}},
	}
	for _, n := range names {
		d := p - n.at
		if d < -reach || d > reach || n.only != nil && !slices.Contains(n.only, hook) {
			continue
		}
		switch {
		case d > 0:
			return fmt.Sprintf("%s + %d", n.name, d)
		case d < 0:
			return fmt.Sprintf("%s - %d", n.name, -d)
		}
		return n.name
	}
	return fmt.Sprint(p)
}
