package check

import (
	"encoding/binary"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"github.com/roamlb/roamlb/internal/lab"
)

func native(words ...uint32) []byte {
	var b []byte
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func masked(mask, xor uint32) *expr.Bitwise {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(mask), Xor: native(xor)}
}

func set(v uint32) *expr.Immediate { return &expr.Immediate{Register: 1, Data: native(v)} }

var (
	loadMark   = &expr.Meta{Key: expr.MetaKeyMARK, Register: 1}
	storeMark  = &expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true}
	loadCt     = &expr.Ct{Key: expr.CtKeyMARK, Register: 1}
	storeCt    = &expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true}
	accept     = &expr.Verdict{Kind: expr.VerdictAccept}
	policyDrop = nftables.ChainPolicyDrop
)

// other is another program's table with one chain, made in the load
// balancer's namespace and taken away when the test ends.
type other struct {
	t     *testing.T
	n     *lab.Network
	table *nftables.Table
	chain *nftables.Chain
}

func newOther(t *testing.T, n *lab.Network, family nftables.TableFamily, table string, c nftables.Chain) other {
	t.Helper()
	o := other{t, n, &nftables.Table{Name: table, Family: family}, &c}
	c.Table = o.table
	o.do(func(conn *nftables.Conn) {
		conn.AddTable(o.table)
		conn.AddChain(&c)
	})
	t.Cleanup(func() { o.do(func(conn *nftables.Conn) { conn.DelTable(o.table) }) })
	return o
}

func (o other) do(f func(*nftables.Conn)) {
	o.t.Helper()
	in(o.t, o.n, func() error {
		conn := &nftables.Conn{}
		f(conn)
		return conn.Flush()
	})
}

// add appends a rule.
func (o other) add(exprs ...expr.Any) {
	o.t.Helper()
	o.do(func(conn *nftables.Conn) { conn.AddRule(&nftables.Rule{Table: o.table, Chain: o.chain, Exprs: exprs}) })
}

// only makes a rule the chain's only one.
func (o other) only(exprs ...expr.Any) {
	o.t.Helper()
	o.do(func(conn *nftables.Conn) { conn.FlushChain(o.chain) })
	o.add(exprs...)
}

func base(name string, typ nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority, policy *nftables.ChainPolicy) nftables.Chain {
	return nftables.Chain{Name: name, Type: typ, Hooknum: hook, Priority: &priority, Policy: policy}
}

func forward(policy *nftables.ChainPolicy) nftables.Chain {
	return base("FORWARD", nftables.ChainTypeFilter, nftables.ChainHookForward, 0, policy)
}

// A firewall that forwards nothing by default is the second most common
// reason why nothing arrives. What the advice says must then satisfy the check.
func TestForwardPolicyDrop(t *testing.T) {
	const ours = 0x10000 // the bit above mark_mask
	for _, tt := range []struct {
		name   string
		family nftables.TableFamily
		table  string
		fix    string
		accept []expr.Any
	}{
		{
			"nft", nftables.TableFamilyINet, "fw", "nft insert rule inet fw FORWARD 'ct mark & 0x10000 == 0x10000 accept'",
			[]expr.Any{loadCt, masked(ours, 0), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native(ours)}, accept},
		},
		{
			"nft, not zero", nftables.TableFamilyIPv6, "fw; reboot", "nft insert rule ip6 'fw; reboot' FORWARD",
			[]expr.Any{loadCt, masked(ours, 0), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)}, &expr.Counter{}, accept},
		},
		{
			"iptables-nft", nftables.TableFamilyIPv4, "filter", "iptables -I FORWARD -m connmark --mark 0x10000/0x10000 -j ACCEPT",
			[]expr.Any{&expr.Match{Name: "connmark", Rev: 1, Info: new(xt.Unknown(native(ours, ours, 0)))}, &expr.Counter{}, accept},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetwork(t)
			o := newOther(t, n, tt.family, tt.table, forward(&policyDrop))
			expect(t, run(t, n, input(n)), "forward chains", Warn, "table "+nftFamily(tt.family)+" "+tt.table+" chain FORWARD has policy drop", tt.fix)
			o.add(tt.accept...)
			expect(t, run(t, n, input(n)), "forward chains", OK)
		})
	}
}

// Rules that accept something else, or too late, do not help.
func TestForwardStillRefused(t *testing.T) {
	const ours = 0x10000
	n := newNetwork(t)
	o := newOther(t, n, nftables.TableFamilyINet, "fw", forward(&policyDrop))
	for name, exprs := range map[string][]expr.Any{
		"another bit":     {loadCt, masked(0x20000, 0), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)}, accept},
		"the packet mark": {loadMark, masked(ours, 0), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)}, accept},
		"more conditions": {loadCt, masked(ours, 0), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)}, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Register: 1, Data: []byte{6}}, accept},
		"not accepted":    {loadCt, masked(ours, 0), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)}, &expr.Counter{}},
		"no condition":    {&expr.Counter{}},
	} {
		o.only(exprs...)
		if got := of(run(t, n, input(n)), "forward chains"); len(got) != 1 || got[0].Status != Warn {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// As firewalld has it: policy accept, and a last rule that rejects everything.
func TestForwardEndsInReject(t *testing.T) {
	n := newNetwork(t)
	o := newOther(t, n, nftables.TableFamilyINet, "firewalld", forward(nil))
	expect(t, run(t, n, input(n)), "forward chains", OK, "other tables have 1")
	o.add(loadMark, &expr.Cmp{Register: 1, Data: native(7)}, &expr.Verdict{Kind: expr.VerdictDrop}) // a condition
	expect(t, run(t, n, input(n)), "forward chains", OK)
	o.add(&expr.Counter{}, &expr.Reject{Type: 2, Code: 3})
	expect(t, run(t, n, input(n)), "forward chains", Warn, "ends in a rule that rejects everything")
}

// A firewall for a family that nobody forwards does no harm.
func TestForwardOfTheOtherFamily(t *testing.T) {
	n := newNetwork(t)
	newOther(t, n, nftables.TableFamilyIPv6, "filter", forward(&policyDrop))
	i := input(n)
	i.Config.Services[0].Listen = i.Config.Services[0].Listen[:1]
	expect(t, run(t, n, i), "forward chains", OK)
}

// Bits that another program sets on packets between our chains send them to
// wrong backends.
func TestForeignMarks(t *testing.T) {
	regular := func(name string) nftables.Chain { return nftables.Chain{Name: name} }
	for _, tt := range []struct {
		name   string
		table  string
		chain  string
		exprs  []expr.Any
		status Status
		words  []string
	}{
		{"whole mark", "vpn", "x", []expr.Any{set(7), storeMark}, Warn, []string{"table ip vpn sets bits 0xffffffff of the packet mark", "chain x", "only the bits they need"}},
		{"one bit", "vpn", "x", []expr.Any{loadMark, masked(^uint32(0x4000), 0x4000), storeMark}, Warn, []string{"0x00004000 of the packet mark", "set mark_mask: 0x"}},
		{"other bits", "vpn", "x", []expr.Any{loadMark, masked(^uint32(0x1f000000), 0x1f000000), storeMark}, OK, nil},
		{"ct mark", "vpn", "x", []expr.Any{loadCt, masked(^uint32(0x10000), 0x10000), storeCt}, Warn, []string{"0x00010000 of the ct mark"}},
		{"only read", "vpn", "x", []expr.Any{loadMark, masked(0x4000, 0), &expr.Cmp{Register: 1, Data: native(0)}, accept}, OK, nil},
		{"kube-proxy", "nat", "KUBE-MARK-MASQ", []expr.Any{&expr.Target{Name: "MARK", Rev: 2, Info: new(xt.Unknown(native(0x4000, 0x4000)))}}, Warn, []string{"kube-proxy sets bits 0x0000c000", "KUBE-MARK-MASQ"}},
		{"Calico", "mangle", "cali-PREROUTING", nil, Warn, []string{"of which 0x000f0000 are ours"}}, // our helper bits
		{"Tailscale", "filter", "ts-forward", nil, Warn, []string{"Tailscale sets bits 0x00ff0000", "as it documents"}},
		{"Docker", "nat", "DOCKER", nil, OK, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetwork(t)
			o := newOther(t, n, nftables.TableFamilyIPv4, tt.table, regular(tt.chain))
			if tt.exprs != nil {
				o.add(tt.exprs...)
			}
			expect(t, run(t, n, input(n)), "marks of others", tt.status, tt.words...)
		})
	}
}

// The advice has to be one that helps.
func TestAdvisedMaskIsFree(t *testing.T) {
	n := newNetwork(t)
	newOther(t, n, nftables.TableFamilyIPv4, "nat", nftables.Chain{Name: "KUBE-SERVICES"})
	newOther(t, n, nftables.TableFamilyIPv4, "filter", nftables.Chain{Name: "ts-input"})
	i := input(n)
	if got := of(run(t, n, i), "marks of others"); len(got) != 2 || got[0].Fix != "set mark_mask: 0x000003ff" {
		t.Fatalf("%+v", got)
	}
	i.Config.MarkMask = 0x3ff
	expect(t, run(t, n, i), "marks of others", OK)
}

func TestMarksSet(t *testing.T) {
	connmark := func(ctmark, ctmask, nfmask uint32, mode byte) *expr.Target {
		return &expr.Target{Name: "CONNMARK", Rev: 1, Info: new(xt.Unknown(append(native(ctmark, ctmask, nfmask), mode, 0, 0, 0)))}
	}
	const all = ^uint32(0)
	for _, tt := range []struct {
		name       string
		exprs      []expr.Any
		packet, ct uint32
	}{
		{"nothing", nil, 0, 0},
		{"restore", []expr.Any{loadCt, storeMark}, all, 0},
		{"save some", []expr.Any{loadMark, masked(0xff, 0), storeCt}, 0, all},
		{"same mark", []expr.Any{loadCt, storeCt}, 0, 0},
		{"twice masked", []expr.Any{loadMark, masked(^uint32(1), 0), masked(^uint32(0), 2), storeMark}, 3, 0},
		{"another value between", []expr.Any{loadMark, set(1), storeMark}, all, 0},
		{"another load between", []expr.Any{loadMark, &expr.Meta{Key: expr.MetaKeyIIF, Register: 1}, storeMark}, all, 0},
		{"ct state between", []expr.Any{loadMark, &expr.Ct{Key: expr.CtKeySTATE, Register: 1}, storeMark}, all, 0},
		{"map", []expr.Any{loadMark, &expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true}, storeMark}, all, 0},
		{"lookup without data", []expr.Any{loadMark, &expr.Lookup{SourceRegister: 1}, storeMark}, 0, 0},
		{"other field", []expr.Any{set(1), &expr.Meta{Key: expr.MetaKeyPRIORITY, Register: 1, SourceRegister: true}}, 0, 0},
		{"CONNMARK set", []expr.Any{connmark(0x10, 0x30, 0, 0)}, 0, 0x30},
		{"CONNMARK save", []expr.Any{connmark(0, 0x30, 0x40, 1)}, 0, 0x70},
		{"CONNMARK restore", []expr.Any{connmark(0, 0x30, 0x40, 2)}, 0x70, 0},
		{"target of another kind", []expr.Any{&expr.Target{Name: "LOG", Info: new(xt.Unknown(make([]byte, 32)))}}, 0, 0},
		{"MARK cut short", []expr.Any{&expr.Target{Name: "MARK", Info: new(xt.Unknown(native(1)))}}, 0, 0},
	} {
		if packet, ct := marksSet(tt.exprs); packet != tt.packet || ct != tt.ct {
			t.Errorf("%s: packet %#x ct %#x, want %#x and %#x", tt.name, packet, ct, tt.packet, tt.ct)
		}
	}
}

func TestEarlierNAT(t *testing.T) {
	n := newNetwork(t)
	newOther(t, n, nftables.TableFamilyIPv4, "same", base("PREROUTING", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100, nil))
	newOther(t, n, nftables.TableFamilyIPv4, "later", base("POSTROUTING", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100, nil))
	expect(t, run(t, n, input(n)), "nat before ours", OK)
	newOther(t, n, nftables.TableFamilyIPv4, "early", base("pre", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -101, nil))
	expect(t, run(t, n, input(n)), "nat before ours", Warn, "table ip early chain pre has priority -101", "nft list chain ip early pre")
}

func TestUntracked(t *testing.T) {
	n := newNetwork(t)
	raw := newOther(t, n, nftables.TableFamilyIPv4, "raw", base("PREROUTING", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -300, nil))
	raw.add(&expr.Counter{})
	expect(t, run(t, n, input(n)), "untracked packets", OK)
	raw.add(&expr.Notrack{})
	expect(t, run(t, n, input(n)), "untracked packets", Warn, "table ip raw chain PREROUTING")
	// -j CT --notrack; another CT rule, with a helper or a zone, is none.
	for flags, want := range map[byte]bool{1: true, 0: false, 2: false} {
		info := make([]byte, 48)
		binary.NativeEndian.PutUint16(info, uint16(flags))
		r := &nftables.Rule{Exprs: []expr.Any{&expr.Target{Name: "CT", Rev: 2, Info: new(xt.Unknown(info))}}}
		if got := untracks(r); got != want {
			t.Errorf("CT with flags %d: %v, want %v", flags, got, want)
		}
	}
}

// Our own table's chains and rules are not held against us.
func TestOwnTableIsNoOther(t *testing.T) {
	n := newNetwork(t)
	o := newOther(t, n, nftables.TableFamilyINet, tableName, base("x", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -150, nil))
	o.add(set(1), storeMark)
	if worst := Worst(run(t, n, input(n))); worst != OK {
		t.Errorf("worst is %s", worst)
	}
}
