package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// What rules are made of, as the kernel lists them: one value an expression,
// decoded from its attributes (linux/netfilter/nf_tables.h, enum
// nft_*_attributes). Known are the kinds that the compiler uses,
// log, and what nft adds to such for itself.
type (
	instruction any

	immediateIns struct {
		dst     reg
		value   []byte
		verdict *ruling // instead of a value, where dst is verdictReg
	}
	compareIns struct {
		src   reg
		op    uint32 // NFT_CMP_*
		value []byte
	}
	rangeIns struct {
		src      reg
		not      bool
		from, to []byte
	}
	payloadIns struct {
		dst                  reg
		base, offset, length uint32
	}
	metaIns struct { // a load into at, or with set a store from it
		at  reg
		key uint32
		set bool
	}
	ctIns struct {
		at        reg
		key       uint32
		direction int // -1: none
		set       bool
	}
	bitwiseIns struct { // dst = src & mask ^ xor
		src, dst  reg
		mask, xor []byte
	}
	swapIns struct { // from the host's byte order to the network's, or back
		src, dst reg
		length   uint32
	}
	lookupIns struct {
		set    string
		src    reg
		dst    reg // where the data goes; noReg: it is only asked whether it is there
		invert bool
	}
	dynsetIns struct {
		set       string
		op        uint32 // add, update, delete
		key, data reg    // data: noReg for a set
		timeout   uint64 // ms
		stateful  []instruction
	}
	hashIns struct {
		src, dst              reg
		length                uint32
		modulus, seed, offset uint32
		seeded, symmetric     bool
	}
	natIns struct {
		source        bool
		family        uint32
		addr, addrMax reg // noReg: none
		port, portMax reg
		flags         uint32
	}
	masqueradeIns struct {
		port, portMax reg
		flags         uint32
	}
	rejectIns  struct{ typ, code uint32 }
	counterIns struct{ packets, bytes uint64 }
	limitIns   struct {
		rate, unit uint64 // so many in so many seconds
		burst      uint32
		bytes      bool // not packets
		over       bool
	}
	objectIns struct {
		typ  uint32
		name string
	}
	queueIns struct{ first, total, flags uint16 }
	logIns   struct {
		prefix           string
		grouped          bool
		group, threshold uint16
		snaplen, level   uint32
	}
	unknownIns struct{ name string }
)

// ruling is a verdict: NFT_* below zero, NF_* above.
type ruling struct {
	code  int32
	chain string
}

// Registers that are none of the sixteen.
const (
	noReg      = ^reg(0)
	verdictReg = ^reg(1)
)

// registerOf turns the kernel's number of a register into ours: it lists every
// fourth by the name of a register of sixteen bytes.
func registerOf(nr uint32) reg {
	const words = 4
	switch {
	case nr == unix.NFT_REG_VERDICT:
		return verdictReg
	case nr <= unix.NFT_REG_4:
		return reg(nr-unix.NFT_REG_1) * words
	case nr >= unix.NFT_REG32_00 && nr <= unix.NFT_REG32_15:
		return reg(nr - unix.NFT_REG32_00)
	}
	return noReg
}

// reg reads a member that names a register; noReg where it is missing.
func (a *attrs) reg(typ int) reg {
	if !a.has(typ) {
		return noReg
	}
	return registerOf(a.u32(typ))
}

// value reads a member that holds a constant (enum nft_data_attributes).
func (a *attrs) value(typ int) []byte {
	n := a.nested(typ)
	return n[unix.NFTA_DATA_VALUE]
}

// ruling reads a member that holds a verdict.
func (a *attrs) ruling(typ int) *ruling {
	n := a.nested(typ)
	if !n.has(unix.NFTA_DATA_VERDICT) {
		return nil
	}
	v := n.nested(unix.NFTA_DATA_VERDICT)
	return &ruling{code: int32(v.u32(unix.NFTA_VERDICT_CODE)), chain: v.str(unix.NFTA_VERDICT_CHAIN)}
}

// decodeInstructions reads a list of expressions.
func decodeInstructions(list []byte) []instruction {
	var out []instruction
	eachAttr(list, func(_ uint16, e []byte) { out = append(out, decodeInstruction(e)) })
	return out
}

// decodeInstruction reads one expression: its name and its data.
func decodeInstruction(b []byte) instruction {
	e := parseAttrs(b)
	name, d := e.str(unix.NFTA_EXPR_NAME), e.nested(unix.NFTA_EXPR_DATA)
	var in instruction
	switch name {
	case "immediate":
		in = immediateIns{dst: d.reg(unix.NFTA_IMMEDIATE_DREG), value: d.value(unix.NFTA_IMMEDIATE_DATA), verdict: d.ruling(unix.NFTA_IMMEDIATE_DATA)}
	case "cmp":
		in = compareIns{src: d.reg(unix.NFTA_CMP_SREG), op: d.u32(unix.NFTA_CMP_OP), value: d.value(unix.NFTA_CMP_DATA)}
	case "range":
		in = rangeIns{src: d.reg(unix.NFTA_RANGE_SREG), not: d.u32(unix.NFTA_RANGE_OP) == unix.NFT_RANGE_NEQ, from: d.value(unix.NFTA_RANGE_FROM_DATA), to: d.value(unix.NFTA_RANGE_TO_DATA)}
	case "payload":
		in = decodePayload(&d)
	case "meta":
		in = decodeMeta(&d)
	case "ct":
		in = decodeCT(&d)
	case "bitwise":
		in = decodeBitwise(&d)
	case "byteorder":
		in = swapIns{src: d.reg(unix.NFTA_BYTEORDER_SREG), dst: d.reg(unix.NFTA_BYTEORDER_DREG), length: d.u32(unix.NFTA_BYTEORDER_LEN)}
	case "lookup":
		in = lookupIns{set: d.str(unix.NFTA_LOOKUP_SET), src: d.reg(unix.NFTA_LOOKUP_SREG), dst: d.reg(unix.NFTA_LOOKUP_DREG), invert: d.u32(unix.NFTA_LOOKUP_FLAGS)&unix.NFT_LOOKUP_F_INV != 0}
	case "dynset":
		in = decodeDynset(&d)
	case "hash":
		in = hashIns{
			src: d.reg(unix.NFTA_HASH_SREG), dst: d.reg(unix.NFTA_HASH_DREG), length: d.u32(unix.NFTA_HASH_LEN), modulus: d.u32(unix.NFTA_HASH_MODULUS),
			seed: d.u32(unix.NFTA_HASH_SEED), seeded: d.has(unix.NFTA_HASH_SEED), offset: d.u32(unix.NFTA_HASH_OFFSET), symmetric: d.u32(unix.NFTA_HASH_TYPE) == unix.NFT_HASH_SYM,
		}
	default:
		in = decodeStatement(name, &d)
	}
	if in == nil {
		return unknownIns{name: name}
	}
	return in
}

const nftaLimitFlags = 5 // NFTA_LIMIT_FLAGS

// decodeStatement reads an expression that loads nothing; nil where it is not
// known.
func decodeStatement(name string, d *attrs) instruction {
	switch name {
	case "nat":
		return natIns{
			source: d.u32(unix.NFTA_NAT_TYPE) == unix.NFT_NAT_SNAT, family: d.u32(unix.NFTA_NAT_FAMILY), flags: d.u32(unix.NFTA_NAT_FLAGS),
			addr: d.reg(unix.NFTA_NAT_REG_ADDR_MIN), addrMax: d.reg(unix.NFTA_NAT_REG_ADDR_MAX), port: d.reg(unix.NFTA_NAT_REG_PROTO_MIN), portMax: d.reg(unix.NFTA_NAT_REG_PROTO_MAX),
		}
	case "masq":
		return masqueradeIns{port: d.reg(unix.NFTA_MASQ_REG_PROTO_MIN), portMax: d.reg(unix.NFTA_MASQ_REG_PROTO_MAX), flags: d.u32(unix.NFTA_MASQ_FLAGS)}
	case "reject":
		return rejectIns{typ: d.u32(unix.NFTA_REJECT_TYPE), code: uint32(d.u8(unix.NFTA_REJECT_ICMP_CODE))}
	case "counter":
		return counterIns{packets: d.u64(unix.NFTA_COUNTER_PACKETS), bytes: d.u64(unix.NFTA_COUNTER_BYTES)}
	case "limit":
		return limitIns{
			rate: d.u64(unix.NFTA_LIMIT_RATE), unit: d.u64(unix.NFTA_LIMIT_UNIT), burst: d.u32(unix.NFTA_LIMIT_BURST),
			bytes: d.u32(unix.NFTA_LIMIT_TYPE) == unix.NFT_LIMIT_PKT_BYTES, over: d.u32(nftaLimitFlags)&unix.NFT_LIMIT_F_INV != 0,
		}
	case "objref":
		if d.has(unix.NFTA_OBJREF_SET_NAME) {
			return nil
		}
		return objectIns{typ: d.u32(unix.NFTA_OBJREF_IMM_TYPE), name: d.str(unix.NFTA_OBJREF_IMM_NAME)}
	case "queue":
		if d.has(unix.NFTA_QUEUE_SREG_QNUM) {
			return nil
		}
		return queueIns{first: d.u16(unix.NFTA_QUEUE_NUM), total: d.u16(unix.NFTA_QUEUE_TOTAL), flags: d.u16(unix.NFTA_QUEUE_FLAGS)}
	case "target":
		return decodeTarget(d)
	case "log":
		const defaultLevel = 4 // LOG_WARNING
		l := logIns{
			prefix: d.str(unix.NFTA_LOG_PREFIX), grouped: d.has(unix.NFTA_LOG_GROUP), group: d.u16(unix.NFTA_LOG_GROUP), threshold: d.u16(unix.NFTA_LOG_QTHRESHOLD),
			snaplen: d.u32(unix.NFTA_LOG_SNAPLEN), level: defaultLevel,
		}
		if d.has(unix.NFTA_LOG_LEVEL) {
			l.level = d.u32(unix.NFTA_LOG_LEVEL)
		}
		return l
	}
	return nil
}

func decodePayload(d *attrs) instruction {
	if d.has(unix.NFTA_PAYLOAD_SREG) { // it writes the packet
		return nil
	}
	return payloadIns{dst: d.reg(unix.NFTA_PAYLOAD_DREG), base: d.u32(unix.NFTA_PAYLOAD_BASE), offset: d.u32(unix.NFTA_PAYLOAD_OFFSET), length: d.u32(unix.NFTA_PAYLOAD_LEN)}
}

func decodeMeta(d *attrs) instruction {
	if d.has(unix.NFTA_META_SREG) {
		return metaIns{at: d.reg(unix.NFTA_META_SREG), key: d.u32(unix.NFTA_META_KEY), set: true}
	}
	return metaIns{at: d.reg(unix.NFTA_META_DREG), key: d.u32(unix.NFTA_META_KEY)}
}

func decodeCT(d *attrs) instruction {
	c := ctIns{at: d.reg(unix.NFTA_CT_DREG), key: d.u32(unix.NFTA_CT_KEY), direction: -1}
	if d.has(unix.NFTA_CT_DIRECTION) {
		c.direction = int(d.u8(unix.NFTA_CT_DIRECTION))
	}
	if d.has(unix.NFTA_CT_SREG) {
		c.at, c.set = d.reg(unix.NFTA_CT_SREG), true
	}
	return c
}

func decodeBitwise(d *attrs) instruction {
	const op = 6 // NFTA_BITWISE_OP: anything but mask and xor (NFT_BITWISE_MASK_XOR, 0)
	b := bitwiseIns{src: d.reg(unix.NFTA_BITWISE_SREG), dst: d.reg(unix.NFTA_BITWISE_DREG), mask: d.value(unix.NFTA_BITWISE_MASK), xor: d.value(unix.NFTA_BITWISE_XOR)}
	if d.u32(op) != 0 || len(b.mask) == 0 || len(b.mask) != len(b.xor) {
		return nil
	}
	return b
}

func decodeDynset(d *attrs) instruction {
	const expressions = 10 // NFTA_DYNSET_EXPRESSIONS
	s := dynsetIns{
		set: d.str(unix.NFTA_DYNSET_SET_NAME), op: d.u32(unix.NFTA_DYNSET_OP), key: d.reg(unix.NFTA_DYNSET_SREG_KEY), data: d.reg(unix.NFTA_DYNSET_SREG_DATA),
		timeout: d.u64(unix.NFTA_DYNSET_TIMEOUT),
	}
	if d.has(unix.NFTA_DYNSET_EXPR) {
		s.stateful = []instruction{decodeInstruction(d[unix.NFTA_DYNSET_EXPR])}
	} else {
		s.stateful = decodeInstructions(d[expressions])
	}
	return s
}

// decodeTarget reads the xt target that does what the expression queue does.
func decodeTarget(d *attrs) instruction {
	info := d[unix.NFTA_TARGET_INFO]
	if d.str(unix.NFTA_TARGET_NAME) != "NFQUEUE" || d.u32(unix.NFTA_TARGET_REV) != 3 || len(info) < 6 {
		return nil
	}
	// struct xt_NFQ_info_v3, see queue.
	return queueIns{first: binary.NativeEndian.Uint16(info), total: binary.NativeEndian.Uint16(info[2:]), flags: binary.NativeEndian.Uint16(info[4:])}
}
