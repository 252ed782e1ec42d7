package nft

import (
	"testing"
	"time"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Every expression must come out as what it does. What the text does not know
// it must say, and must not take what is in the registers then for something it
// knows: an operator would be told of a rule that is not there.
func TestDisassemble(t *testing.T) {
	sets := newListing("t")
	for _, m := range []*Map{
		{Name: "listeners", Key: typeAddrPort4},
		{Name: "steer", Key: typeAddrPort4, Data: typeGoto},
		{Name: "targets", Key: typeZone, Data: typeAddrPort4},
		{Name: "sessions", Key: Type{ID: typeInteger, Len: 8}, Data: typeZone},
		{Name: "slots4-vpn-0123abcd", Key: typeSlot, Data: typeZone},
	} {
		sets.message(msgNewSet, addMap("t", m, 1).body)
	}
	other := xt.Unknown(make([]byte, 8))
	saddr := encode(network(0, 12, 4))
	hash := jhash(0, 1, 4, 7, 4711)
	for _, c := range []struct {
		name  string
		exprs [][]byte
		style style
		want  string
	}{
		{"family and protocol go without saying", join(udp(false), dest(false), in("listeners")), style{}, "ip daddr . udp dport @listeners"},
		{"but not before a statement", join(udp(false), counter(), dest(false), in("listeners")), style{stateless: true}, "meta nfproto ipv4 meta l4proto udp counter ip daddr . udp dport @listeners"},
		{"nor where nothing says them", join(udp(false), ctMarkHas(1), drop()), style{}, "meta nfproto ipv4 meta l4proto udp ct mark & 0x00000001 != 0x00000000 drop"},
		{"nor for the other family", join(nfproto(true), saddr, encode(cmp(0, true, []byte{192, 0, 2, 1}))), style{}, "meta nfproto ipv6 @nh,96,32 0xc0000201"},
		{"not in a set", join(udp(false), dest(false), notIn("listeners"), drop()), style{}, "ip daddr . udp dport != @listeners drop"},
		{"a set that is not there", join(saddr, in("gone"), drop()), style{}, "@nh,96,32 @gone drop"},
		{"a map of verdicts", join(udp(false), dest(false), vmap("steer")), style{}, "ip daddr . udp dport vmap @steer"},
		{"address and port of a map", join(loadZone(0), lookup(0, 0, "targets"), nat(expr.NATTypeDestNAT, false)), style{}, "dnat ip to ct zone map @targets"},
		{"a given address and port", join(
			encode(&expr.Immediate{Register: reg(0).nr(), Data: []byte{192, 0, 2, 1}}, &expr.Immediate{Register: reg(1).nr(), Data: []byte{4, 210}}),
			nat(expr.NATTypeSourceNAT, false),
		), style{}, "snat ip to 192.0.2.1:1234 random"},
		{"a port whose protocol nft must be told", join(loadZone(0), lookup(0, 0, "targets"), nat(expr.NATTypeDestNAT, false)), style{loadable: true}, "meta l4proto udp dnat ip to ct zone map @targets"},
		{"bits of a mark", markSet(8, 0xffff, 0x30000), style{}, "meta mark set meta mark & 0xffff0000 | 0x00030000"},
		{"bits that are turned", encode(loadMark(0), bitwise(0, 0xffffffff, 1), &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg(0).nr()}), style{}, "meta mark set meta mark ^ 0x00000001"},
		{"arithmetic on arithmetic", encode(loadMark(0), bitwise(0, 0xfffffffe, 1), bitwise(0, 0xff, 0), cmp(0, true, host32(3))), style{}, "(meta mark | 0x00000001) & 0x000000ff == 0x00000003"},
		{"a masked part of a key", join(encode(transport(0, 8, 4)), masked(0, []byte{0xff, 0xff, 0, 0}), encode(transport(1, 20, 4)), lookup(0, 0, "sessions"), zoneSet(0)), style{}, "ct original zone set @th,64,32 & 0xffff0000 . @th,160,32 map @sessions"},
		{"which nft reads in parentheses only", join(encode(transport(0, 8, 4)), masked(0, []byte{0xff, 0xff, 0, 0}), encode(transport(1, 20, 4)), lookup(0, 0, "sessions"), zoneSet(0)), style{loadable: true}, "ct original zone set ( @th,64,32 & 0xffff0000 ) . @th,160,32 map @sessions"},
		{"two values at once", join(encode(transport(0, 8, 4), transport(1, 20, 2), cmp(0, true, []byte{0, 0, 0, 1, 0, 2}))), style{}, "@th,64,32 . @th,160,16 0x1 . 0x2"},
		{"a binding that is learned", join(encode(transport(0, 9, 8)), loadZone(2), replace("sessions", 0, 2, 90061001*time.Millisecond)), style{}, "delete @sessions { @th,72,64 : ct zone } update @sessions { @th,72,64 timeout 1d1h1m1s1ms : ct zone }"},
		{"a given datum", join(encode(transport(0, 9, 8), &expr.Immediate{Register: reg(2).nr(), Data: host16(5)}), replace("sessions", 0, 2, 0)), style{}, "delete @sessions { @th,72,64 : 5 } update @sessions { @th,72,64 : 5 }"},
		{"one that is learned if it is not there", join(encode(transport(0, 9, 8)), loadZone(2), add("sessions", 0, 2, time.Minute)), style{}, "add @sessions { @th,72,64 timeout 1m : ct zone }"},
		{"a slot", join(saddr, hash, lookup(1, 0, "slots4-vpn-0123abcd"), zoneSet(0)), style{}, "ct original zone set jhash @nh,96,32 mod 7 seed 0x1267 map @slots4-vpn-0123abcd"},
		{"whose seed is not for all", join(saddr, hash, lookup(1, 0, "slots4-vpn-0123abcd"), zoneSet(0)), style{redact: true}, "ct original zone set jhash @nh,96,32 mod 7 seed (hidden) map @slots4-vpn"},
		{"events", ctEvents(), style{}, "ct event set destroy,reply"},
		{"states", ctStateNew(), style{}, "ct state new"},
		{"the native queue", queue(true, 3, 2), style{}, "queue flags bypass to 3-4"},
		{"one queue", queue(true, 3, 1), style{}, "queue flags bypass to 3"},
		{"the target that does the same", queue(false, 3, 2), style{}, "queue flags bypass to 3-4"},
		{"another target", join(encode(&expr.Target{Name: "TRACE", Info: &other}), accept()), style{}, "# unknown expression target accept"},
		{"a copy to a group", encode(&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN | 1<<unix.NFTA_LOG_PREFIX, Group: 4, Snaplen: 128, Data: []byte("roam")}), style{}, `log prefix "roam" group 4 snaplen 128`},
		{"counters", counter(), style{}, "counter packets 0 bytes 0"},
		{"reject", reject(), style{}, "reject"},
		{"verdicts", join(jumpTo("bound"), verdict(expr.VerdictJump, "x"), verdict(expr.VerdictReturn, "")), style{}, "goto bound jump x return"},
		{"what is not known", join(saddr, encode(&expr.Quota{Bytes: 1}, cmp(0, true, []byte{192, 0, 2, 1}))), style{}, "# unknown expression quota unknown 0xc0000201"},
		{"a key of meta that is not known", encode(&expr.Meta{Key: expr.MetaKeyPRANDOM, Register: reg(0).nr()}, cmp(0, true, []byte{1, 2, 3, 4})), style{}, "# unknown expression meta unknown 0x1020304"},
		{"an empty register", encode(cmp(5, false, []byte{1})), style{}, "unknown != 0x1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var list []byte
			for _, e := range c.exprs {
				list = appendAttr(list, unix.NFTA_LIST_ELEM, e)
			}
			d := disassembler{find: sets.set, style: c.style}
			if got := d.disassemble(decodeInstructions(list)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
