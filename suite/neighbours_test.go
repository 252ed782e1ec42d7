package suite

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// Bits and ports of the neighbour, another program that uses the same kernel.
var (
	ourMarks    = balancer.Marks{Mask: 0xffff} // by the file's default
	theirMark   = ^ourMarks.All()              // every bit that is not ours
	theirCTMark = ^ourMarks.CTAll() & 0x1fffffff
)

const (
	masqueradedPort = 9001 // masqueraded by the neighbour
	zonedPort       = 9002 // tracked in a zone of the neighbour's
	sameZonePort    = 9003 // tracked in the zone of one of our backends
)

// neighbour is a table of somebody else's in the balancer's namespace: it
// marks every packet and entry with bits of its own, has flows of its own, and
// looks, where packets leave, what became of the bits.
type neighbour struct {
	*ruleset
	table *nftables.Table
	post  *nftables.Chain
}

func (b *bed) addNeighbour() *neighbour {
	b.t.Helper()
	n := &neighbour{ruleset: b.ruleset()}
	n.table = n.AddTable(&nftables.Table{Name: "neighbour", Family: nftables.TableFamilyINet})
	for _, hook := range []*nftables.ChainHook{nftables.ChainHookPrerouting, nftables.ChainHookOutput} {
		raw := n.chain(fmt.Sprint("raw-", *hook), nftables.ChainTypeFilter, hook, -310)
		n.rule(raw, setBits(expr.MetaKeyMARK, theirMark)...)
		n.zones(raw)
		// ct marks, before and behind where roamlb looks at its own
		for _, at := range []nftables.ChainPriority{-151, -149} {
			mangle := n.chain(fmt.Sprint("mangle-", *hook, at), nftables.ChainTypeFilter, hook, at)
			n.rule(mangle, setCTBits(theirCTMark)...)
		}
	}
	nat := n.chain("nat", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 90)
	n.rule(nat, append(udpPort(2, masqueradedPort), &expr.Masq{})...)

	n.post = n.chain("post", nftables.ChainTypeFilter, nftables.ChainHookPostrouting, 300)
	n.look("all", nil)
	n.look("mark lost", bits(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, theirMark, theirMark, expr.CmpOpNeq))
	n.look("mark not clean", bits(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, ourMarks.All(), 0, expr.CmpOpNeq))
	n.look("ct mark lost", bits(&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, theirCTMark, theirCTMark, expr.CmpOpNeq))
	n.commit()
	return n
}

func (n *neighbour) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, at nftables.ChainPriority) *nftables.Chain {
	return n.AddChain(&nftables.Chain{Name: name, Table: n.table, Type: kind, Hooknum: hook, Priority: &at})
}

func (n *neighbour) rule(c *nftables.Chain, exprs ...expr.Any) {
	n.AddRule(&nftables.Rule{Table: n.table, Chain: c, Exprs: exprs})
}

// zones puts two ports' flows, both directions, into zones: one of the
// neighbour's, and one that a backend of ours has too.
func (n *neighbour) zones(c *nftables.Chain) {
	for port, zone := range map[uint16]uint16{zonedPort: 4242, sameZonePort: 1} {
		for _, offset := range []uint32{0, 2} { // source and destination port
			n.rule(c, append(udpPort(offset, port),
				&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint16(nil, zone)},
				&expr.Ct{Key: expr.CtKeyZONE, SourceRegister: true, Register: 1})...)
		}
	}
}

// look counts the UDP packets that leave and match.
func (n *neighbour) look(name string, match []expr.Any) {
	exprs := append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
	}, match...)
	n.AddRule(&nftables.Rule{
		Table: n.table, Chain: n.post, Exprs: append(exprs, &expr.Counter{}),
		UserData: append([]byte{0, byte(len(name) + 1)}, name+"\x00"...),
	})
}

// seen is what the neighbour has counted, by name.
func (n *neighbour) seen() map[string]uint64 {
	n.t.Helper()
	rules, err := n.GetRules(n.table, n.post)
	if err != nil {
		n.t.Fatal(err)
	}
	out := make(map[string]uint64)
	for _, r := range rules {
		out[comment(r)] = counted(r)
	}
	return out
}

// udpPort matches UDP packets by the port at an offset of the header.
func udpPort(offset uint32, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
	}
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// bits compares some bits of a mark.
func bits(load expr.Any, mask, value uint32, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		load,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(mask), Xor: native32(0)},
		&expr.Cmp{Op: op, Register: 1, Data: native32(value)},
	}
}

func setBits(key expr.MetaKey, set uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(^set), Xor: native32(set)},
		&expr.Meta{Key: key, SourceRegister: true, Register: 1},
	}
}

func setCTBits(set uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(^set), Xor: native32(set)},
		&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1},
	}
}

// theirs are the conntrack entries that are not ours, as text.
func (b *bed) theirs() []string {
	b.t.Helper()
	var out []string
	for _, e := range b.entries() {
		if e.mark&ourMarks.Ours() == 0 {
			e.timeout = 0 // it runs
			out = append(out, fmt.Sprintf("%+v", e))
		}
	}
	return out
}

// twinEntries are entries of the neighbour's that look like ours in all but the
// mark: to our listener, in the zone of a backend of ours.
func (b *bed) twinEntries() {
	b.t.Helper()
	for zone := range uint16(len(b.Backends)) {
		for _, v6 := range []bool{false, true} {
			src, dst := client(v6, 900, 30000+zone), listener(v6)
			f := conntrack.NewFlow(unix.IPPROTO_UDP, conntrack.StatusConfirmed|conntrack.StatusSeenReply, src.Addr(), dst.Addr(), src.Port(), dst.Port(), 600, theirCTMark)
			f.TupleOrig.Zone = 1 + zone
			if err := b.ct.Create(f); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// neighbourFlows begins the neighbour's own flows, and direct ones to the
// address and port of a backend: as like to ours as others' can be.
func (b *bed) neighbourFlows(n int) {
	b.t.Helper()
	var list []lab.Datagram
	for i := range n {
		be := b.Backends[i%len(b.Backends)]
		for _, to := range []uint16{port, masqueradedPort, zonedPort, sameZonePort} {
			for _, v6 := range []bool{false, true} {
				list = append(list, lab.Datagram{Src: client(v6, i, 30000), Dst: netip.AddrPortFrom(addressOf(be, v6), to), Payload: fmt.Appendf(nil, "%d %d of theirs", i, to)})
			}
		}
	}
	for i, r := range b.exchange(2000, list...) {
		if want := b.Backends[i/8%len(b.Backends)].Number; r.Number() != want {
			b.t.Fatalf("the neighbour's flow to backend %d was answered by %d", want, r.Number())
		}
	}
}

// neighbourEchoes answers the neighbour's flows, and demands that those which
// it masquerades are.
func (b *bed) neighbourEchoes() {
	b.t.Helper()
	for _, be := range b.Backends {
		for _, p := range []uint16{masqueradedPort, zonedPort, sameZonePort} {
			e, err := be.Echo(p, lab.EchoOptions{OnArrival: func(a lab.Arrival) {
				client := lab.ClientsIPv4.Contains(a.From.Addr()) || lab.ClientsIPv6.Contains(a.From.Addr())
				if client == (p == masqueradedPort) {
					b.t.Errorf("the neighbour's traffic to port %d came from %v", p, a.From)
				}
			}})
			if err != nil {
				b.t.Fatal(err)
			}
			b.echoes = append(b.echoes, e)
		}
	}
}

// check demands that every packet and entry has kept the neighbour's bits, and
// that there were as many packets as that takes to mean something.
func (n *neighbour) check(b *bed, atLeast uint64) {
	b.t.Helper()
	for _, e := range b.entries() {
		if e.mark&theirCTMark != theirCTMark {
			b.t.Fatalf("an entry has lost the neighbour's bits of the ct mark: %+v", e)
		}
	}
	seen := n.seen()
	for name, count := range seen {
		if name != "all" && count > 0 {
			b.t.Errorf("%s on %d of %d packets", name, count, seen["all"])
		}
	}
	if seen["all"] < atLeast {
		b.t.Errorf("the neighbour saw %d packets, want %d at least: the test shows nothing", seen["all"], atLeast)
	}
}

// The balancer shares its kernel: with firewalls, container networks, VPNs,
// which keep their own bits in marks and their own flows in conntrack. None of
// it may change because roamlb runs.
func TestNeighbours(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.neighbourEchoes()
			them := b.addNeighbour()
			b.serve(b.service("pinning: " + pinning))
			b.neighbourFlows(9)
			b.twinEntries()
			before := b.theirs()

			const sessions = 60
			var list []lab.Datagram
			for round := range 4 { // arrive, and roam three times
				list = nil
				for i := range sessions {
					list = append(list, datagram(client((i+round)%2 == 1, 100*round+i, 20000), i, round))
				}
				b.exchange(2000, list...)
			}
			newest := func() bool { return len(b.entries()) == len(before)+sessions }
			waitFor(t, 5*time.Second, "our stale entries are gone", newest)
			// A backend goes, and all that is its; a restart begins with a look at everything.
			if refusal := b.reload(b.service("pinning: "+pinning, b.backends(map[int]string{1: "-"}))); refusal != "" {
				t.Fatal(refusal)
			}
			b.exchange(2000, list...)
			b.daemon.stop()
			b.start()
			b.exchange(2000, list...)
			waitFor(t, 5*time.Second, "our entries are as many as sessions", newest)

			if diff := cmp.Diff(before, b.theirs()); diff != "" {
				t.Errorf("the neighbour's conntrack entries have changed (-before +after):\n%s", diff)
			}
			b.neighbourFlows(9)
			them.check(b, 2*(6*sessions+2*9*8))
			for _, l := range b.daemon.events("drift") {
				t.Errorf("the neighbour's rules are taken for ours: %s", l.text)
			}
		})
	}
}
