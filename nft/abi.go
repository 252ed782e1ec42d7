package nft

import "golang.org/x/sys/unix"

// From include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h and netfilter.h,
// where golang.org/x/sys/unix has no name for it.
const (
	msgDestroySetElem = 0x1e // NFT_MSG_DESTROYSETELEM, since 6.3
	msgNewTable       = unix.NFT_MSG_NEWTABLE
	msgGetTable       = unix.NFT_MSG_GETTABLE
	msgDelTable       = unix.NFT_MSG_DELTABLE
	msgNewChain       = unix.NFT_MSG_NEWCHAIN
	msgGetChain       = unix.NFT_MSG_GETCHAIN
	msgDelChain       = unix.NFT_MSG_DELCHAIN
	msgNewRule        = unix.NFT_MSG_NEWRULE
	msgGetRule        = unix.NFT_MSG_GETRULE
	msgDelRule        = unix.NFT_MSG_DELRULE
	msgNewSet         = unix.NFT_MSG_NEWSET
	msgGetSet         = unix.NFT_MSG_GETSET
	msgDelSet         = unix.NFT_MSG_DELSET
	msgNewSetElem     = unix.NFT_MSG_NEWSETELEM
	msgGetSetElem     = unix.NFT_MSG_GETSETELEM
	msgDelSetElem     = unix.NFT_MSG_DELSETELEM
	msgNewGen         = unix.NFT_MSG_NEWGEN
	msgGetGen         = unix.NFT_MSG_GETGEN
	msgNewObj         = unix.NFT_MSG_NEWOBJ
	msgGetObj         = unix.NFT_MSG_GETOBJ
	msgDelObj         = unix.NFT_MSG_DELOBJ

	objectCtTimeout = 7 // NFT_OBJECT_CT_TIMEOUT

	groupNFTables = 7 // NFNLGRP_NFTABLES

	familyINet = unix.NFPROTO_INET
	familyV4   = unix.NFPROTO_IPV4
	familyV6   = unix.NFPROTO_IPV6

	hookPrerouting  = unix.NF_INET_PRE_ROUTING
	hookInput       = unix.NF_INET_LOCAL_IN
	hookOutput      = unix.NF_INET_LOCAL_OUT
	hookPostrouting = unix.NF_INET_POST_ROUTING
)

// Priorities of our base chains, from include/uapi/linux/netfilter_ipv4.h:
// what conntrack (-200) must find set stands before it, what needs its entry
// behind it.
const (
	prioSteer       = -300 // raw
	prioBind        = -299 // a reinjected packet goes on at the next hook, not at the next rule
	prioTrack       = -150 // mangle: behind conntrack, before NAT
	prioDNAT        = -100
	prioSNAT        = 100
	userdataComment = 0   // NFTNL_UDATA_RULE_COMMENT, shown by `nft list`
	userdataTag     = 200 // ours; `nft` skips what it does not know
)

// Data types as `nft` numbers them (nftables, include/datatype.h): only for
// how the table lists, the kernel does not care.
const (
	typeInteger = 4
	typeIPv4    = 7
	typeIPv6    = 8
	typePort    = 13
	typeMark    = 19
	typeVerdict = 0xffffff00 // NFT_DATA_VERDICT
	typeBits    = 6          // a concatenation shifts its types by this
)

var (
	typeAddrPort4 = Type{ID: typeIPv4<<typeBits | typePort, Len: 8}
	typeAddrPort6 = Type{ID: typeIPv6<<typeBits | typePort, Len: 20}
	typeAddr4     = Type{ID: typeIPv4, Len: 4}
	typeAddr6     = Type{ID: typeIPv6, Len: 16}
	typeZone      = Type{ID: typeInteger, Len: 2, Host: true}
	typeSlot      = Type{ID: typeInteger, Len: 4, Host: true}
	typeMarkValue = Type{ID: typeMark, Len: 4, Host: true}
	typeGoto      = Type{ID: typeVerdict}
)

func addrPortType(v6 bool) Type {
	if v6 {
		return typeAddrPort6
	}
	return typeAddrPort4
}

func addrType(v6 bool) Type {
	if v6 {
		return typeAddr6
	}
	return typeAddr4
}
