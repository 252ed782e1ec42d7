package check

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The messages of a rehearsed transaction, as in the kernel's
// include/uapi/linux/netfilter/nf_tables.h. Numbers are in network order.

func nftMsg(msg int) uint16 { return uint16(unix.NFNL_SUBSYS_NFTABLES<<8 | msg) }

func create(msg int, attrs []byte) request {
	return request{typ: nftMsg(msg), flags: unix.NLM_F_CREATE, family: unix.NFPROTO_INET, attrs: attrs}
}

// attributes encodes what fill writes. It fails only for an attribute over
// 64 KiB, of which there is none.
func attributes(fill func(*netlink.AttributeEncoder)) []byte {
	a := netlink.NewAttributeEncoder()
	a.ByteOrder = binary.BigEndian
	fill(a)
	b, err := a.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

// nested is an expression that the library does not have as we need it.
func nested(name string, fill func(*netlink.AttributeEncoder)) []byte {
	return attributes(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_EXPR_NAME, name)
		nest(a, unix.NFTA_EXPR_DATA, fill)
	})
}

func nest(a *netlink.AttributeEncoder, typ uint16, fill func(*netlink.AttributeEncoder)) {
	a.Nested(typ, func(a *netlink.AttributeEncoder) error {
		fill(a)
		return nil
	})
}

// encode is an expression of the library's. Those used here always encode.
func encode(e expr.Any) []byte {
	b, err := expr.Marshal(unix.NFPROTO_INET, e)
	if err != nil {
		panic(err)
	}
	return b
}

func (t trial) newTable() request {
	return create(unix.NFT_MSG_NEWTABLE, attributes(func(a *netlink.AttributeEncoder) { a.String(unix.NFTA_TABLE_NAME, t.table) }))
}

func (t trial) newChain() request {
	return create(unix.NFT_MSG_NEWCHAIN, attributes(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_CHAIN_TABLE, t.table)
		a.String(unix.NFTA_CHAIN_NAME, t.chain)
	}))
}

func (t trial) rule(exprs [][]byte) request {
	r := create(unix.NFT_MSG_NEWRULE, attributes(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_RULE_TABLE, t.table)
		a.String(unix.NFTA_RULE_CHAIN, t.chain)
		nest(a, unix.NFTA_RULE_EXPRESSIONS, func(a *netlink.AttributeEncoder) {
			for _, e := range exprs {
				a.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, e)
			}
		})
	}))
	r.flags |= unix.NLM_F_APPEND
	return r
}

// newDynamicMap: map { typeof @th,72,64 : ct zone; flags dynamic, timeout; size 16 }.
func (t trial) newDynamicMap() request {
	return create(unix.NFT_MSG_NEWSET, attributes(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_SET_TABLE, t.table)
		a.String(unix.NFTA_SET_NAME, t.dynamic)
		a.Uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_MAP|unix.NFT_SET_TIMEOUT|unix.NFT_SET_EVAL)
		a.Uint32(unix.NFTA_SET_KEY_TYPE, 0) // the kernel does not care
		a.Uint32(unix.NFTA_SET_KEY_LEN, 8)
		a.Uint32(unix.NFTA_SET_DATA_TYPE, 0)
		a.Uint32(unix.NFTA_SET_DATA_LEN, 2)
		a.Uint32(unix.NFTA_SET_ID, 1)
		nest(a, unix.NFTA_SET_DESC, func(a *netlink.AttributeEncoder) { a.Uint32(unix.NFTA_SET_DESC_SIZE, 16) })
	}))
}

// destroyElement: destroy element m { 0 : }, which is not there.
func (t trial) destroyElement() request {
	return request{typ: nftMsg(nftMsgDestroySetElem), family: unix.NFPROTO_INET, attrs: attributes(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_SET_ELEM_LIST_TABLE, t.table)
		a.String(unix.NFTA_SET_ELEM_LIST_SET, t.dynamic)
		nest(a, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(a *netlink.AttributeEncoder) {
			nest(a, unix.NFTA_LIST_ELEM, func(a *netlink.AttributeEncoder) {
				nest(a, unix.NFTA_SET_ELEM_KEY, func(a *netlink.AttributeEncoder) {
					a.Bytes(unix.NFTA_DATA_VALUE, make([]byte, 8))
				})
			})
		})
	})}
}

// timeoutObject: ct timeout t { protocol udp; l3proto ip; policy = { unreplied : 30, replied : 120 } }.
// timeoutObject asks for a timeout object without saying what it is for, which
// the kernel refuses with EINVAL. One that it takes must not be tried: when that
// is undone the kernel drops what waits in all queues of the namespace
// (nft_ct_timeout_obj_destroy).
func (t trial) timeoutObject() request {
	return create(unix.NFT_MSG_NEWOBJ, attributes(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_OBJ_TABLE, t.table)
		a.String(unix.NFTA_OBJ_NAME, "timeout")
		a.Uint32(unix.NFTA_OBJ_TYPE, nftObjectCtTimeout)
		nest(a, unix.NFTA_OBJ_DATA, func(a *netlink.AttributeEncoder) {
			a.Uint16(expr.NFTA_CT_TIMEOUT_L3PROTO, unix.NFPROTO_IPV4)
		})
	}))
}
