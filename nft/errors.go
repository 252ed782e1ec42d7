package nft

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Of the refusals that backends send, Go sees so many a second, and so many at
// once: enough to learn who refuses, and no more than that where a flood of
// packets meets one that does.
const (
	refusalsRate  = 50
	refusalsBurst = 50
)

// quote is where in an ICMP error the packet stands that it is about.
type quote struct {
	icmp     byte    // protocol
	errors   [2]byte // first and last type of errors
	refusal  [2]byte // type and code of "port unreachable"
	protocol uint32  // offsets, from the ICMP header on
	source   uint32
	dest     uint32
	ports    uint32
}

// quoteOf gives the layout of RFC 792 and RFC 4443: 8 bytes of ICMP header, then
// the quoted packet, whose IPv4 header has no options, as ours have none.
func quoteOf(v6 bool) quote {
	const at = 8
	if v6 {
		return quote{
			icmp: unix.IPPROTO_ICMPV6, errors: [2]byte{1, 4}, refusal: [2]byte{1, 4},
			protocol: at + 6, source: at + 8, dest: at + 24, ports: at + 40,
		}
	}
	return quote{
		icmp: unix.IPPROTO_ICMP, errors: [2]byte{3, 12}, refusal: [2]byte{3, 3},
		protocol: at + 9, source: at + 12, dest: at + 16, ports: at + 20,
	}
}

// Chains, one a family: what errors are about answers, and about packets to a
// backend.
const (
	errorsChain  = "errors"
	refusedChain = "refused"
)

// errorsRule: ICMP goes to a chain of its own, so that other packets pay for
// one comparison.
func (c *compiler) errorsRule(v6 bool, chain string) Rule {
	// icmp goto errors
	return Rule{Comment: "an error, perhaps", Exprs: join(nfproto(v6), l4proto(quoteOf(v6).icmp), jumpTo(chain+suffix(v6)))}
}

// errorChains adds the chains that look at ICMP errors. Their rules name the
// protocol again, so that a listing shows types and codes by name.
func (c *compiler) errorChains() {
	for _, v6 := range []bool{false, true} {
		c.addChain(errorsChain+suffix(v6), c.quotedRule(v6))
		c.addChain(refusedChain+suffix(v6), c.refusedRule(v6))
	}
}

// quotedRule: an ICMP error about a reply quotes a packet from a listener. Its
// flow's entry is in a backend's zone, which Go knows.
func (c *compiler) quotedRule(v6 bool) Rule {
	q := quoteOf(v6)
	port := reg(0).after(addrLen(v6))
	// icmp type 3-12 and the quoted packet is UDP from saddr . sport @quoted
	return Rule{Comment: "an error about a reply of ours", Exprs: join(
		l4proto(q.icmp),
		encode(transport(0, 0, 1), &expr.Range{Op: expr.CmpOpEq, Register: reg(0).nr(), FromData: q.errors[:1], ToData: q.errors[1:]}),
		encode(transport(0, q.protocol, 1), cmp(0, true, []byte{unix.IPPROTO_UDP})),
		encode(transport(0, q.source, uint32(addrLen(v6))), transport(port, q.ports, 2)), in(c.quoted[fam(v6)].Name),
		markSet(0, c.marks.All(), c.marks.Miss()), c.toGo(),
	)}
}

// refusedRule: a backend that is probed has refused a packet. Go is shown some of
// these, and lets them go on as they came.
func (c *compiler) refusedRule(v6 bool) Rule {
	q := quoteOf(v6)
	port := reg(0).after(addrLen(v6))
	// icmp port-unreachable and the quoted packet is UDP to daddr . dport @probed limit rate 50/second
	return Rule{Comment: "a backend refuses a packet", Exprs: join(
		l4proto(q.icmp),
		encode(transport(0, 0, 1), cmp(0, true, q.refusal[:1]), transport(0, 1, 1), cmp(0, true, q.refusal[1:])),
		encode(transport(0, q.protocol, 1), cmp(0, true, []byte{unix.IPPROTO_UDP})),
		encode(transport(0, q.dest, uint32(addrLen(v6))), transport(port, q.ports+2, 2)), in(c.probed[fam(v6)].Name),
		encode(&expr.Limit{Type: expr.LimitTypePkts, Rate: refusalsRate, Unit: expr.LimitTimeSecond, Burst: refusalsBurst}),
		c.toGo(),
	)}
}

// toGo sends a packet to the queues.
func (c *compiler) toGo() [][]byte {
	return queue(c.features.NativeQueue, c.queues.First, c.queues.Count)
}
