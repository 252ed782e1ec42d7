package nft

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// reg names one of the sixteen 32-bit data registers, NFT_REG32_00 on.
type reg uint32

const regBytes = 4

func (r reg) nr() uint32 { return unix.NFT_REG32_00 + uint32(r) }

// after is the first register behind n bytes laid from r on.
func (r reg) after(n int) reg { return r + reg((n+regBytes-1)/regBytes) }

// encode turns expressions into what a rule message carries. An expression of
// ours that cannot be encoded is a mistake in this package, not of its input.
func encode(es ...expr.Any) [][]byte {
	out := make([][]byte, 0, len(es))
	for _, e := range es {
		b, err := expr.Marshal(familyINet, e)
		if err != nil {
			panic(fmt.Sprintf("encode %T: %v", e, err))
		}
		out = append(out, b)
	}
	return out
}

func host32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// join concatenates encoded expressions into one rule's.
func join(parts ...[][]byte) [][]byte {
	var out [][]byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func cmp(r reg, eq bool, v []byte) expr.Any {
	op := expr.CmpOpNeq
	if eq {
		op = expr.CmpOpEq
	}
	return &expr.Cmp{Op: op, Register: r.nr(), Data: v}
}

// nfproto: `meta nfproto ipv4|ipv6`.
func nfproto(v6 bool) [][]byte {
	f := byte(familyV4)
	if v6 {
		f = familyV6
	}
	return encode(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg(0).nr()}, cmp(0, true, []byte{f}))
}

// l4proto: `meta l4proto N`.
func l4proto(p byte) [][]byte {
	return encode(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg(0).nr()}, cmp(0, true, []byte{p}))
}

// udp: both of the above, what every rule on addresses and ports begins with.
func udp(v6 bool) [][]byte { return join(nfproto(v6), l4proto(unix.IPPROTO_UDP)) }

func network(r reg, off, n uint32) expr.Any {
	return &expr.Payload{DestRegister: r.nr(), Base: expr.PayloadBaseNetworkHeader, Offset: off, Len: n}
}

func transport(r reg, off, n uint32) expr.Any {
	return &expr.Payload{DestRegister: r.nr(), Base: expr.PayloadBaseTransportHeader, Offset: off, Len: n}
}

func loadSource(r reg, v6 bool) expr.Any {
	if v6 {
		return network(r, 8, 16)
	}
	return network(r, 12, 4)
}

func loadDest(r reg, v6 bool) expr.Any {
	if v6 {
		return network(r, 24, 16)
	}
	return network(r, 16, 4)
}

func addrLen(v6 bool) int {
	if v6 {
		return 16
	}
	return 4
}

// dest loads `ip daddr . udp dport`, source `ip saddr . udp sport`.
func dest(v6 bool) [][]byte {
	return encode(loadDest(0, v6), transport(reg(0).after(addrLen(v6)), 2, 2))
}

func source(v6 bool) [][]byte {
	return encode(loadSource(0, v6), transport(reg(0).after(addrLen(v6)), 0, 2))
}

// vmap: the verdict that a map gives for what is loaded from register 0 on.
func vmap(name string) [][]byte {
	return encode(&expr.Lookup{SourceRegister: reg(0).nr(), DestRegister: 0, IsDestRegSet: true, SetName: name})
}

// in: a set holds what is loaded from register 0 on; notIn: it does not.
func in(name string) [][]byte {
	return encode(&expr.Lookup{SourceRegister: reg(0).nr(), SetName: name})
}

func notIn(name string) [][]byte {
	return encode(&expr.Lookup{SourceRegister: reg(0).nr(), SetName: name, Invert: true})
}

// lookup: data of a map into dst; the rule ends here if there is none.
func lookup(src, dst reg, name string) [][]byte {
	return encode(&expr.Lookup{SourceRegister: src.nr(), DestRegister: dst.nr(), IsDestRegSet: true, SetName: name})
}

func loadMark(r reg) expr.Any { return &expr.Meta{Key: expr.MetaKeyMARK, Register: r.nr()} }

func bitwise(r reg, mask, xor uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: r.nr(), DestRegister: r.nr(), Len: 4, Mask: host32(mask), Xor: host32(xor)}
}

// markMasked loads `meta mark & bits`.
func markMasked(r reg, bits uint32) [][]byte { return encode(loadMark(r), bitwise(r, bits, 0)) }

// markIs: `meta mark & bits == value`; markHas: `meta mark & bits != 0`.
func markIs(bits, value uint32) [][]byte {
	return join(markMasked(0, bits), encode(cmp(0, true, host32(value))))
}

func markHas(bits uint32) [][]byte {
	return join(markMasked(0, bits), encode(cmp(0, false, host32(0))))
}

// markSet: `meta mark set meta mark & ~unset | set`; other bits stay.
func markSet(r reg, unset, set uint32) [][]byte {
	return encode(loadMark(r), bitwise(r, ^(unset|set), set), &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: r.nr()})
}

func loadCTMark(r reg) expr.Any { return &expr.Ct{Key: expr.CtKeyMARK, Register: r.nr()} }

// ctMarkHas: `ct mark & bits != 0` (no entry: no match); ctMarkLacks: `== 0`.
func ctMarkHas(bits uint32) [][]byte {
	return encode(loadCTMark(0), bitwise(0, bits, 0), cmp(0, false, host32(0)))
}

func ctMarkLacks(bits uint32) [][]byte {
	return encode(loadCTMark(0), bitwise(0, bits, 0), cmp(0, true, host32(0)))
}

// ctMarkSet: `ct mark set ct mark & ~unset | set`.
func ctMarkSet(unset, set uint32) [][]byte {
	return encode(loadCTMark(0), bitwise(0, ^(unset|set), set), &expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: reg(0).nr()})
}

// ctStateNew: `ct state new`. Before conntrack only a template, which is what
// setting a zone leaves on the packet, is in this state; no entry is invalid.
func ctStateNew() [][]byte {
	return encode(&expr.Ct{Key: expr.CtKeySTATE, Register: reg(0).nr()},
		bitwise(0, expr.CtStateBitNEW, 0), cmp(0, false, host32(0)))
}

// ctStateEstablished: `ct state established`: there was a reply.
func ctStateEstablished() [][]byte {
	return encode(&expr.Ct{Key: expr.CtKeySTATE, Register: reg(0).nr()},
		bitwise(0, expr.CtStateBitESTABLISHED, 0), cmp(0, false, host32(0)))
}

// ctOriginal: `ct direction original`.
func ctOriginal() [][]byte {
	return encode(&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg(0).nr()}, cmp(0, true, []byte{expr.CtDirOriginal}))
}

func loadZone(r reg) [][]byte { return encode(&expr.Ct{Key: expr.CtKeyZONE, Register: r.nr()}) }

// zoneSet: `ct original zone set`, from a register. The library leaves out the
// direction, so the attribute is added here to what it encodes.
func zoneSet(r reg) [][]byte {
	data, err := expr.MarshalExprData(familyINet, &expr.Ct{Key: expr.CtKeyZONE, SourceRegister: true, Register: r.nr()})
	if err != nil {
		panic(fmt.Sprintf("encode ct zone: %v", err))
	}
	data = appendAttr(data, unix.NFTA_CT_DIRECTION, []byte{expr.CtDirOriginal})
	b := appendAttr(nil, unix.NFTA_EXPR_NAME, []byte("ct\x00"))
	return [][]byte{appendAttr(b, unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, data)}
}

// ctEvents: `ct event set reply,destroy`: the only two that ctsync uses.
func ctEvents() [][]byte {
	const ipctDestroy, ipctReply = 2, 3 // enum ip_conntrack_events, nf_conntrack_common.h
	return encode(&expr.Immediate{Register: reg(0).nr(), Data: host32(1<<ipctDestroy | 1<<ipctReply)},
		&expr.Ct{Key: expr.CtKeyEVENTMASK, SourceRegister: true, Register: reg(0).nr()})
}

func ctTimeout(name string) [][]byte {
	return encode(&expr.Objref{Type: objectCtTimeout, Name: name})
}

// jhash: `jhash ... mod n seed s` of n bytes from src on, into dst.
func jhash(src, dst reg, length int, modulus, seed uint32) [][]byte {
	return encode(&expr.Hash{SourceRegister: src.nr(), DestRegister: dst.nr(), Length: uint32(length), Modulus: modulus, Seed: seed, Type: expr.HashTypeJenkins})
}

func verdict(k expr.VerdictKind, chain string) [][]byte {
	return encode(&expr.Verdict{Kind: k, Chain: chain})
}

func accept() [][]byte             { return verdict(expr.VerdictAccept, "") }
func drop() [][]byte               { return verdict(expr.VerdictDrop, "") }
func jumpTo(chain string) [][]byte { return verdict(expr.VerdictGoto, chain) }
func counter() [][]byte            { return encode(&expr.Counter{}) }

// reject: `reject with icmpx port-unreachable`.
func reject() [][]byte {
	return encode(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH})
}

// nat translates to address and port that lie from register 0 on.
func nat(t expr.NATType, v6 bool) [][]byte {
	fam := uint32(familyV4)
	if v6 {
		fam = familyV6
	}
	port := reg(0).after(addrLen(v6)).nr()
	return encode(&expr.NAT{
		Type: t, Family: fam, RegAddrMin: reg(0).nr(), RegProtoMin: port,
		// With one port to choose from nothing is random, but only this way
		// does the kernel clear expired entries out of the source's way.
		Random: t == expr.NATTypeSourceNAT,
	})
}

func masquerade() [][]byte { return encode(&expr.Masq{}) }

// Operations of a rule on a map. The rule ends at a full map, so they stand
// last in it.
const (
	opAdd    = unix.NFT_DYNSET_OP_ADD    // leaves what is there
	opUpdate = unix.NFT_DYNSET_OP_UPDATE // gives what is there another timeout, and leaves its data
	opDelete = 2                         // NFT_DYNSET_OP_DELETE
)

func dynset(op uint32, name string, key, data reg, timeout time.Duration) expr.Any {
	return &expr.Dynset{SrcRegKey: key.nr(), SrcRegData: data.nr(), SetName: name, Operation: op, Timeout: timeout}
}

// replace: `delete @name {key}; update @name {key timeout t : data}`.
func replace(name string, key, data reg, timeout time.Duration) [][]byte {
	return encode(dynset(opDelete, name, key, data, 0), dynset(opUpdate, name, key, data, timeout))
}

// add: `add @name {key timeout t : data}`.
func add(name string, key, data reg, timeout time.Duration) [][]byte {
	return encode(dynset(opAdd, name, key, data, timeout))
}

// refresh: `update @name {key timeout t : data}`.
func refresh(name string, key, data reg, timeout time.Duration) [][]byte {
	return encode(dynset(opUpdate, name, key, data, timeout))
}

// queue: `queue num first-last bypass`, or the xt target that does the same on
// kernels built without the native expression. Which of several queues a
// packet goes to is a hash of its addresses: a flow's packets stay in order
// wherever they were received.
func queue(native bool, first, total uint16) [][]byte {
	if native {
		return encode(&expr.Queue{Num: first, Total: total, Flag: expr.QueueFlagBypass})
	}
	// struct xt_NFQ_info_v3 (linux/netfilter/xt_NFQUEUE.h):
	// u16 queuenum, u16 queues_total, u16 flags; native byte order.
	info := binary.NativeEndian.AppendUint16(nil, first)
	info = binary.NativeEndian.AppendUint16(info, total)
	info = binary.NativeEndian.AppendUint16(info, uint16(expr.QueueFlagBypass))
	u := xt.Unknown(append(info, 0, 0)) // XT_ALIGN to eight bytes
	return encode(&expr.Target{Name: "NFQUEUE", Rev: 3, Info: &u})
}
