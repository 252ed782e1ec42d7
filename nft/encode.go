package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// request is one message of a transaction and what it is for, in words, for
// the error when the kernel refuses it.
type request struct {
	typ   uint16
	flags uint16
	what  string
	body  []byte
}

func create(typ uint16, what string, body []byte) request {
	return request{typ: typ, flags: unix.NLM_F_CREATE, what: what, body: body}
}

func addTable(name string) request {
	b := appendString(nil, unix.NFTA_TABLE_NAME, name)
	b = appendU32(b, unix.NFTA_TABLE_FLAGS, 0)
	return create(msgNewTable, "add table inet "+name, b)
}

func delTable(name string) request {
	return request{typ: msgDelTable, what: "delete table inet " + name, body: appendString(nil, unix.NFTA_TABLE_NAME, name)}
}

func addChain(table string, c *Chain) request {
	b := appendString(nil, unix.NFTA_CHAIN_TABLE, table)
	b = appendString(b, unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook != nil {
		b = appendNested(b, unix.NFTA_CHAIN_HOOK, func(b []byte) []byte {
			b = appendU32(b, unix.NFTA_HOOK_HOOKNUM, c.Hook.Hook)
			return appendU32(b, unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
		})
		b = appendU32(b, unix.NFTA_CHAIN_POLICY, nfAccept)
		b = appendString(b, unix.NFTA_CHAIN_TYPE, c.Hook.Type)
	}
	return create(msgNewChain, "add chain "+c.Name, b)
}

func delChain(table, name string) request {
	b := appendString(nil, unix.NFTA_CHAIN_TABLE, table)
	b = appendString(b, unix.NFTA_CHAIN_NAME, name)
	return request{typ: msgDelChain, what: "delete chain " + name, body: b}
}

// flushChain deletes all rules of a chain.
func flushChain(table, name string) request {
	b := appendString(nil, unix.NFTA_RULE_TABLE, table)
	b = appendString(b, unix.NFTA_RULE_CHAIN, name)
	return request{typ: msgDelRule, what: "flush chain " + name, body: b}
}

func addRule(table, chain string, r *Rule) request {
	b := appendString(nil, unix.NFTA_RULE_TABLE, table)
	b = appendString(b, unix.NFTA_RULE_CHAIN, chain)
	b = appendNested(b, unix.NFTA_RULE_EXPRESSIONS, func(b []byte) []byte {
		for _, e := range r.Exprs {
			b = appendAttr(b, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, e)
		}
		return b
	})
	b = appendAttr(b, unix.NFTA_RULE_USERDATA, ruleUserdata(r))
	return request{typ: msgNewRule, flags: unix.NLM_F_CREATE | unix.NLM_F_APPEND, what: fmt.Sprintf("add rule %s %q", chain, r.Comment), body: b}
}

// ruleUserdata is a list of type, length, value with a byte each for the first
// two (libnftnl, udata.c): the comment that `nft list` shows, and our tag.
func ruleUserdata(r *Rule) []byte {
	comment := r.Comment[:min(len(r.Comment), 127)]
	b := append([]byte{userdataComment, byte(len(comment) + 1)}, comment...)
	b = append(b, 0, userdataTag, 8)
	return binary.BigEndian.AppendUint64(b, r.Tag())
}

// tagOf finds our tag in a rule's user data; 0 where there is none.
func tagOf(b []byte) uint64 {
	if d := udata(b, userdataTag); len(d) == 8 {
		return binary.BigEndian.Uint64(d)
	}
	return 0
}

// Flags of sets, enum nft_set_flags.
const (
	setAnonymous = 0x01
	setConstant  = 0x02
	setInterval  = 0x04
	setMap       = 0x08
	setTimeout   = 0x10
	setDynamic   = 0x20
	setObject    = 0x40
)

func (m *Map) flags() uint32 {
	f := m.Flags
	if m.Data.ID != 0 {
		f |= setMap
	}
	if m.Learned {
		f |= setTimeout | setDynamic
	}
	if m.Intervals {
		f |= setInterval
	}
	return f
}

func addMap(table string, m *Map, id uint32) request {
	b := appendString(nil, unix.NFTA_SET_TABLE, table)
	b = appendString(b, unix.NFTA_SET_NAME, m.Name)
	b = appendU32(b, unix.NFTA_SET_FLAGS, m.flags())
	b = appendU32(b, unix.NFTA_SET_KEY_TYPE, m.Key.ID)
	b = appendU32(b, unix.NFTA_SET_KEY_LEN, m.Key.Len)
	if m.Data.ID != 0 {
		b = appendU32(b, unix.NFTA_SET_DATA_TYPE, m.Data.ID)
		if m.Data.ID != typeVerdict {
			b = appendU32(b, unix.NFTA_SET_DATA_LEN, m.Data.Len)
		}
	}
	if m.Size > 0 {
		b = appendNested(b, unix.NFTA_SET_DESC, func(b []byte) []byte { return appendU32(b, unix.NFTA_SET_DESC_SIZE, m.Size) })
	}
	if m.Timeout > 0 {
		b = appendU64(b, unix.NFTA_SET_TIMEOUT, uint64(m.Timeout.Milliseconds()))
	}
	if m.Counter {
		b = appendNested(b, nftaSetExpr, func(b []byte) []byte {
			b = appendString(b, unix.NFTA_EXPR_NAME, "counter")
			return appendNested(b, unix.NFTA_EXPR_DATA, func(b []byte) []byte { return b })
		})
	}
	b = appendU32(b, unix.NFTA_SET_ID, id)
	b = appendAttr(b, unix.NFTA_SET_USERDATA, mapUserdata(m))
	return create(msgNewSet, "add map "+m.Name, b)
}

// nfAccept is NF_ACCEPT of linux/netfilter.h.
const nfAccept = 1

const nftaSetExpr = 17 // NFTA_SET_EXPR

// mapUserdata tells `nft` the byte order of key and data (libnftnl, udata.h:
// NFTNL_UDATA_SET_KEYBYTEORDER, _DATABYTEORDER; 1 host, 2 big endian).
func mapUserdata(m *Map) []byte {
	order := func(t Type) uint32 {
		if t.Host {
			return 1
		}
		return 2
	}
	b := binary.NativeEndian.AppendUint32([]byte{0, 4}, order(m.Key))
	if m.Data.ID != 0 {
		b = binary.NativeEndian.AppendUint32(append(b, 1, 4), order(m.Data))
	}
	return b
}

func delMap(table, name string) request {
	b := appendString(nil, unix.NFTA_SET_TABLE, table)
	b = appendString(b, unix.NFTA_SET_NAME, name)
	return request{typ: msgDelSet, what: "delete map " + name, body: b}
}

// Limits of what one message, and one transaction that fills a map, carries.
// An attribute is at most 65,535 bytes long.
const (
	elementBytes = 48 << 10
	batchBytes   = 1 << 20
)

// elements encodes messages about a map's elements; a long list becomes
// several.
func elements(typ uint16, table, name string, es []Element) []request {
	var out []request
	for len(es) > 0 {
		b := appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, table)
		b = appendString(b, unix.NFTA_SET_ELEM_LIST_SET, name)
		n := 0
		b = appendNested(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(b []byte) []byte {
			for n < len(es) && len(b) < elementBytes {
				b = appendElement(b, &es[n], typ == msgNewSetElem)
				n++
			}
			return b
		})
		r := request{typ: typ, body: b, what: "change elements of " + name}
		if typ == msgNewSetElem {
			r.flags = unix.NLM_F_CREATE
		}
		out = append(out, r)
		es = es[n:]
	}
	return out
}

// emptyMap deletes all elements of a map.
func emptyMap(table, name string) request {
	b := appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, table)
	b = appendString(b, unix.NFTA_SET_ELEM_LIST_SET, name)
	return request{typ: msgDelSetElem, what: "empty " + name, body: b}
}

func appendElement(b []byte, e *Element, adding bool) []byte {
	return appendNested(b, unix.NFTA_LIST_ELEM, func(b []byte) []byte {
		b = appendNested(b, unix.NFTA_SET_ELEM_KEY, func(b []byte) []byte { return appendAttr(b, unix.NFTA_DATA_VALUE, e.Key) })
		if e.End {
			b = appendU32(b, unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
		}
		if !adding {
			return b
		}
		switch {
		case e.Goto != "":
			const gotoChain = -4 // NFT_GOTO
			b = appendNested(b, unix.NFTA_SET_ELEM_DATA, func(b []byte) []byte {
				return appendNested(b, unix.NFTA_DATA_VERDICT, func(b []byte) []byte {
					code := int32(gotoChain)
					b = appendU32(b, unix.NFTA_VERDICT_CODE, uint32(code))
					return appendString(b, unix.NFTA_VERDICT_CHAIN, e.Goto)
				})
			})
		case e.Data != nil:
			b = appendNested(b, unix.NFTA_SET_ELEM_DATA, func(b []byte) []byte { return appendAttr(b, unix.NFTA_DATA_VALUE, e.Data) })
		}
		if e.Timeout > 0 {
			b = appendU64(b, unix.NFTA_SET_ELEM_TIMEOUT, uint64(e.Timeout.Milliseconds()))
		}
		return b
	})
}

func addTimeout(table string, t Timeout) request {
	b := appendString(nil, unix.NFTA_OBJ_TABLE, table)
	b = appendString(b, unix.NFTA_OBJ_NAME, t.Name)
	b = appendU32(b, unix.NFTA_OBJ_TYPE, objectCtTimeout)
	b = appendNested(b, unix.NFTA_OBJ_DATA, func(b []byte) []byte {
		// NFTA_CT_TIMEOUT_L3PROTO, _L4PROTO, _DATA; within the last
		// CTA_TIMEOUT_UDP_UNREPLIED and _REPLIED in seconds.
		l3 := uint16(unix.AF_INET)
		if t.V6 {
			l3 = unix.AF_INET6
		}
		b = appendAttr(b, 1, binary.BigEndian.AppendUint16(nil, l3))
		b = appendAttr(b, 2, []byte{unix.IPPROTO_UDP})
		return appendNested(b, 3, func(b []byte) []byte {
			b = appendU32(b, 1, uint32(t.Unreplied.Seconds()))
			return appendU32(b, 2, uint32(t.Replied.Seconds()))
		})
	})
	return create(msgNewObj, "add ct timeout "+t.Name, b)
}

func delTimeout(table, name string) request {
	b := appendString(nil, unix.NFTA_OBJ_TABLE, table)
	b = appendString(b, unix.NFTA_OBJ_NAME, name)
	b = appendU32(b, unix.NFTA_OBJ_TYPE, objectCtTimeout)
	return request{typ: msgDelObj, what: "delete ct timeout " + name, body: b}
}

func delStray(table string, s stray) request {
	b := appendString(nil, unix.NFTA_OBJ_TABLE, table)
	b = appendString(b, unix.NFTA_OBJ_NAME, s.name)
	b = appendU32(b, unix.NFTA_OBJ_TYPE, s.typ)
	return request{typ: msgDelObj, what: "delete object " + s.name, body: b}
}
