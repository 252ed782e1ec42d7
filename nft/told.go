package nft

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// toldChain sends copies of what the kernel has decided by itself to Go. The
// packets go on at once, whether or not somebody takes the copies.
const toldChain = "told"

// Prefixes of copies: what conntrack knows of the packet's flow.
const (
	CopyNewFlow   = "new"
	CopyKnownFlow = "known"
)

func (c *compiler) told() {
	m := c.marks
	c.addChain(
		toldChain,
		Rule{Comment: "Go has just seen it", Exprs: join(markHas(m.Fresh()), markSet(0, m.All(), 0), accept())},
		c.tell("tell Go: a session on a known flow", CopyKnownFlow, ctMarkHas(m.Ours())),
		c.tell("tell Go: a new flow", CopyNewFlow, nil),
		Rule{Comment: "of no backend", Exprs: join(markSet(0, m.All(), 0), accept())},
	)
}

// tell: the copy's mark is the id of the packet's backend, and nothing else;
// the packet's own is put back in the same rule, without our bits.
func (c *compiler) tell(comment, prefix string, when [][]byte) Rule {
	const id, own = reg(1), reg(8)
	// ct zone map @ids, log, meta mark set meta mark & ~ours
	return Rule{Comment: comment, Exprs: join(
		when, encode(loadMark(own), bitwise(own, ^c.marks.All(), 0)),
		loadZone(0), lookup(0, id, c.ids.Name), encode(setMark(id)), copyTo(balancer.LogGroup, prefix),
		encode(setMark(own)), accept(),
	)}
}

func setMark(r reg) expr.Any {
	return &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: r.nr()}
}

// copyTo: `log prefix "..." group N`.
func copyTo(group uint16, prefix string) [][]byte {
	return encode(&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX, Group: group, Data: []byte(prefix)})
}
