package nfq

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// ruleset is a table that queues what goes to the services and counts, one
// hook later, with which mark it comes back.
type ruleset struct {
	t     *testing.T
	conn  *nftables.Conn
	table *nftables.Table
	check *nftables.Chain
}

// loadRules loads, into the namespace:
//
//	chain steer  { type filter hook prerouting priority -300; UDP PORT counter meta mark set MARK queue num FIRST-LAST bypass }
//	chain local  { type filter hook output priority -300; the same }
//	chain check  { type filter hook prerouting priority -299; }
//
// The marks are as package nft sets them: MISS for the services pinned to
// sessions, and always a bit of somebody else's.
func loadRules(t *testing.T, n *lab.Namespace, q balancer.Queues) *ruleset {
	t.Helper()
	conn, err := nftables.New(nftables.WithNetNSFd(n.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	r := &ruleset{t: t, conn: conn}
	queue := r.queueExpr(q)
	r.table = conn.AddTable(&nftables.Table{Name: "nfq", Family: nftables.TableFamilyINet})
	steer := r.chain("steer", nftables.ChainHookPrerouting, -300)
	local := r.chain("local", nftables.ChainHookOutput, -300)
	r.check = r.chain("check", nftables.ChainHookPrerouting, -299)
	for _, chain := range []*nftables.Chain{steer, local} {
		for port, mark := range map[uint16]uint32{
			sessionPort: foreign | marks.Miss(), emptyPort: foreign | marks.Miss(), freePort: foreign | marks.Miss(),
			flowPort: foreign, dropPort: foreign,
		} {
			r.rule(chain, port, &expr.Counter{},
				&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
				&expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true},
				queue)
		}
	}
	r.flush()
	return r
}

func (r *ruleset) chain(name string, hook *nftables.ChainHook, priority nftables.ChainPriority) *nftables.Chain {
	return r.conn.AddChain(&nftables.Chain{
		Name: name, Table: r.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: &priority,
	})
}

// rule adds "meta l4proto udp th dport PORT ...".
func (r *ruleset) rule(chain *nftables.Chain, port uint16, more ...expr.Any) {
	exprs := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: chain, Exprs: append(exprs, more...)})
}

// queueExpr is "queue num FIRST-LAST bypass": nft's own where the kernel has
// it, and else the xt target.
func (r *ruleset) queueExpr(q balancer.Queues) expr.Any {
	native := &expr.Queue{Num: q.First, Total: q.Count, Flag: expr.QueueFlagBypass}
	probe, err := nftables.New(nftables.WithNetNSFd(r.conn.NetNS))
	if err != nil {
		r.t.Fatal(err)
	}
	table := probe.AddTable(&nftables.Table{Name: "probe", Family: nftables.TableFamilyINet})
	chain := probe.AddChain(&nftables.Chain{Name: "probe", Table: table})
	probe.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{native}})
	switch err := probe.Flush(); {
	case err == nil:
		probe.DelTable(table)
		if err := probe.Flush(); err != nil {
			r.t.Fatal(err)
		}
		return native
	case !errors.Is(err, unix.ENOENT):
		r.t.Fatal(err)
	}
	const bypass = 1
	info := make([]byte, 8) // struct xt_NFQ_info_v3, filled up
	binary.NativeEndian.PutUint16(info[0:], q.First)
	binary.NativeEndian.PutUint16(info[2:], q.Count)
	binary.NativeEndian.PutUint16(info[4:], bypass)
	raw := xt.Unknown(info)
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &raw}
}

func (r *ruleset) flush() {
	r.t.Helper()
	if err := r.conn.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

// countMarks counts, from now on, the packets to a port by mark.
func (r *ruleset) countMarks(port uint16, list ...uint32) {
	r.t.Helper()
	for _, mark := range list {
		r.rule(r.check, port,
			&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
			&expr.Counter{})
	}
	r.flush()
}

// marked returns the packets to a port by mark, as far as countMarks counts them.
func (r *ruleset) marked(port uint16) map[uint32]uint64 {
	r.t.Helper()
	result := make(map[uint32]uint64)
	for _, rule := range r.rules("check") {
		if portOf(rule) != port {
			continue
		}
		mark := rule.Exprs[5].(*expr.Cmp).Data
		result[binary.NativeEndian.Uint32(mark)] += packetsOf(rule)
	}
	return result
}

// queued returns how many packets to a port a chain has queued or let pass.
func (r *ruleset) queued(chain string, port uint16) uint64 {
	r.t.Helper()
	for _, rule := range r.rules(chain) {
		if portOf(rule) == port {
			return packetsOf(rule)
		}
	}
	return 0
}

func (r *ruleset) rules(chain string) []*nftables.Rule {
	r.t.Helper()
	rules, err := r.conn.GetRules(r.table, &nftables.Chain{Name: chain, Table: r.table})
	if err != nil {
		r.t.Fatal(err)
	}
	return rules
}

func portOf(rule *nftables.Rule) uint16 {
	return binary.BigEndian.Uint16(rule.Exprs[3].(*expr.Cmp).Data)
}

func packetsOf(rule *nftables.Rule) uint64 {
	for _, e := range rule.Exprs {
		if c, ok := e.(*expr.Counter); ok {
			return c.Packets
		}
	}
	return 0
}
