package bench

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nft"
)

// plainTable is what people write with nftables alone, one chain or two:
//
//	table ip plain {
//		chain prerouting {
//			type nat hook prerouting priority dstnat;
//			...
//		}
//	}
type plainTable struct {
	conn  *nftables.Conn
	table *nftables.Table
	nat   *nftables.Chain
}

// addPlain hands add a table to write its rules into, in the namespace.
func addPlain(n *lab.Namespace, add func(*plainTable) error) error {
	p := &plainTable{}
	err := n.Do(func() (err error) {
		p.conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	defer func() { _ = p.conn.CloseLasting() }() // all that counts is what Flush says
	p.table = p.conn.AddTable(&nftables.Table{Name: "plain", Family: nftables.TableFamilyIPv4})
	p.nat = p.conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: p.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	if err := add(p); err != nil {
		return err
	}
	if err := p.conn.Flush(); err != nil {
		return fmt.Errorf("add plain rules: %w (\"roamlb check\" says what this kernel lacks)", err)
	}
	return nil
}

// rule appends a rule about packets to the listener.
func (p *plainTable) rule(c *nftables.Chain, es ...expr.Any) {
	// ip daddr 192.0.2.10 udp dport 1194
	to := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: listener.Addr().AsSlice()},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(listener.Port())},
	}
	p.conn.AddRule(&nftables.Rule{Table: p.table, Chain: c, Exprs: append(to, es...)})
}

// addressMap adds a map from a number to a backend's address.
func (p *plainTable) addressMap(name string, elements []nftables.SetElement) (*nftables.Set, error) {
	m := &nftables.Set{Table: p.table, Name: name, IsMap: true, KeyType: nftables.TypeMark, DataType: nftables.TypeIPAddr}
	if err := p.conn.AddSet(m, elements); err != nil {
		return nil, fmt.Errorf("add map %s: %w", name, err)
	}
	return m, nil
}

func element(number uint32, backend int) nftables.SetElement {
	return nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(number), Val: lab.BackendIPv4(backend).AsSlice()}
}

// toRegister1: `dnat to` the address in register 1.
func toRegister1() expr.Any {
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1}
}

// addDNAT sends everything to the first backend: `... dnat to 198.51.100.1`.
func addDNAT(n *lab.Namespace) error {
	return addPlain(n, func(p *plainTable) error {
		p.rule(p.nat, &expr.Immediate{Register: 1, Data: lab.BackendIPv4(1).AsSlice()}, toRegister1())
		return nil
	})
}

// addHash balances by the key's hash with roamlb's own ring:
// `... dnat to jhash @th,72,64 mod 4093 seed 0x5eed map @ring`.
func addHash(n *lab.Namespace, v *balancer.View) error {
	return addPlain(n, func(p *plainTable) error {
		var slots []nftables.SetElement
		for slot, id := range v.Ring(false) {
			slots = append(slots, element(uint32(slot), int(id)))
		}
		ring, err := p.addressMap("ring", slots)
		if err != nil {
			return err
		}
		const udpHeader = 8
		p.rule(p.nat,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: udpHeader + keyOffset, Len: keyLength},
			&expr.Hash{SourceRegister: 1, DestRegister: 2, Length: keyLength, Modulus: v.Service.Slots, Seed: v.Service.Seed, Type: expr.HashTypeJenkins},
			&expr.Lookup{SourceRegister: 2, DestRegister: 1, IsDestRegSet: true, SetName: ring.Name, SetID: ring.ID},
			toRegister1())
		return nil
	})
}

// addCallback asks a queue about new flows, whose answer is a packet mark:
//
//	chain ask { type filter hook prerouting priority mangle; ... ct state new queue num 0 }
//	... dnat to meta mark map @backends
func addCallback(n *lab.Namespace) error {
	native, err := nativeQueue(n)
	if err != nil {
		return err
	}
	return addPlain(n, func(p *plainTable) error {
		var list []nftables.SetElement
		for i := range backends {
			list = append(list, element(uint32(i+1), i+1))
		}
		byMark, err := p.addressMap("backends", list)
		if err != nil {
			return err
		}
		ask := p.conn.AddChain(&nftables.Chain{
			Name: "ask", Table: p.table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle,
		})
		p.rule(ask,
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW), Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
			queue(native))
		p.rule(p.nat,
			&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
			&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: byMark.Name, SetID: byMark.ID},
			toRegister1())
		return nil
	})
}

// queue is `queue num 0`, or the xt target that does the same.
func queue(native bool) expr.Any {
	if native {
		return &expr.Queue{Num: 0, Total: 1}
	}
	// struct xt_NFQ_info_v3: u16 queuenum, queues_total, flags; native byte
	// order, padded to eight bytes.
	info := binary.NativeEndian.AppendUint16(make([]byte, 2, 8), 1)
	u := xt.Unknown(append(info, 0, 0, 0, 0))
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &u}
}

// nativeQueue reports whether the kernel's nft has the queue expression.
func nativeQueue(n *lab.Namespace) (bool, error) {
	var rules *nft.Ruleset
	if err := n.Do(func() (err error) { rules, err = nft.Open(); return err }); err != nil {
		return false, err
	}
	defer rules.Close()
	return rules.Features().NativeQueue, nil
}
