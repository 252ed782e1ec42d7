package demo

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// addPlainRules gives a load balancer what people write with nftables alone,
// with the same hash, seed and ring as roamlb's:
//
//	table ip plain {
//		map ring { type mark : ipv4_addr; elements = { 0 : 198.51.100.3, ... } }
//		chain prerouting {
//			type nat hook prerouting priority dstnat;
//			ip daddr 192.0.2.10 meta l4proto udp dnat to jhash @th,72,64 mod 4093 seed ... map @ring
//		}
//	}
//
// Its namespace has no other rules.
func addPlainRules(n *lab.Namespace, s *settings) error {
	var conn *nftables.Conn
	err := n.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	defer func() { _ = conn.CloseLasting() }() // all that counts is what Flush says
	table := conn.AddTable(&nftables.Table{Name: "plain", Family: nftables.TableFamilyIPv4})
	ring := &nftables.Set{Table: table, Name: "ring", IsMap: true, KeyType: nftables.TypeMark, DataType: nftables.TypeIPAddr}
	if err := conn.AddSet(ring, ringElements(s)); err != nil {
		return fmt.Errorf("plain nftables: add map: %w", err)
	}
	chain := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: plainRule(s, ring)})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("plain nftables: add rules: %w (\"roamlb check\" says what this kernel lacks)", err)
	}
	return nil
}

// ringElements maps slots to the backends' addresses.
func ringElements(s *settings) []nftables.SetElement {
	var list []nftables.SetElement
	for slot, id := range s.view.Ring(false) {
		list = append(list, nftables.SetElement{
			Key: binaryutil.NativeEndian.PutUint32(uint32(slot)), Val: lab.BackendIPv4(int(id)).AsSlice(),
		})
	}
	return list
}

// plainRule is the rule that addPlainRules shows.
func plainRule(s *settings, ring *nftables.Set) []expr.Any {
	const udpHeader = 8
	svc := s.view.Service
	return []expr.Any{
		// ip daddr 192.0.2.10
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: lab.ListenerIPv4(0).AsSlice()},
		// meta l4proto udp
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		// jhash @th,72,64 mod 4093 seed ...: the key of eight bytes is in
		// register 1, its slot then in register 2
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: udpHeader + keyOffset, Len: keyLength},
		&expr.Hash{SourceRegister: 1, DestRegister: 2, Length: keyLength, Modulus: svc.Slots, Seed: svc.Seed, Type: expr.HashTypeJenkins},
		// map @ring: the address, in register 1
		&expr.Lookup{SourceRegister: 2, DestRegister: 1, IsDestRegSet: true, SetName: ring.Name, SetID: ring.ID},
		// dnat to
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}
}
