package nft

import (
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// UnsupportedError names a feature of nftables that the kernel lacks and the
// configuration symbol or version that has it.
type UnsupportedError struct {
	Feature string
	Needs   string
	Err     error
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("this kernel's nftables has no %s (needs %s): %v", e.Feature, e.Needs, e.Err)
}

// Unwrap gives the kernel's own answer.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// prober tries rules in a table of its own, which has no base chain and so
// touches no packet.
type prober struct {
	conn  *conn
	table string
}

// probe finds out what the kernel's nft can do, by trying it once.
func probe(c *conn) (Features, error) {
	p := &prober{conn: c, table: fmt.Sprintf("roamlb-probe-%d", os.Getpid())}
	if err := c.commit([]request{addTable(p.table), addChain(p.table, &Chain{Name: "try"})}); err != nil {
		if errors.Is(err, unix.EPERM) {
			return Features{}, fmt.Errorf("change nftables: %w (needs CAP_NET_ADMIN in this network namespace)", unix.EPERM)
		}
		return Features{}, fmt.Errorf("change nftables: %w", err)
	}
	defer func() { _ = c.commit([]request{delTable(p.table)}) }()
	return p.features()
}

func (p *prober) features() (Features, error) {
	var f Features
	f.NativeQueue = p.try(queue(true, 0, 2)) == nil
	for _, must := range []struct {
		exprs          [][]byte
		feature, needs string
	}{
		{queue(f.NativeQueue, 0, 2), "queue", "CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE"},
		{join(encode(loadMark(0)), jhash(0, 1, 4, 7, 1)), "jhash", "CONFIG_NFT_HASH"},
		{join(encode(&expr.Immediate{Register: reg(0).nr(), Data: host16(1)}), zoneSet(0)), "ct original zone set", "CONFIG_NF_CONNTRACK_ZONES"},
		{ctEvents(), "ct event set", "CONFIG_NF_CONNTRACK_EVENTS"},
		{reject(), "reject at prerouting", "CONFIG_NFT_REJECT_INET, Linux 5.9"},
	} {
		if err := p.try(must.exprs); err != nil {
			return f, &UnsupportedError{Feature: must.feature, Needs: must.needs, Err: err}
		}
	}
	load := func(base expr.PayloadBase, off int) bool {
		return p.try(encode(&expr.Payload{DestRegister: reg(0).nr(), Base: base, Offset: uint32(off), Len: 1})) == nil
	}
	f.TransportOffset = greatest(func(off int) bool { return load(expr.PayloadBaseTransportHeader, off) })
	f.PayloadOffset = max(f.TransportOffset-8, greatest(func(off int) bool { return load(payloadBaseInner, off) }))
	// A map's key and its data share the sixteen registers, the hash that finds
	// a slot has one beside the key.
	f.KeyBytes = greatest(func(n int) bool { return n <= 60 && p.try(encode(network(0, 0, uint32(max(1, n))))) == nil })
	f.DestroyElements = p.tryDestroy() == nil
	return f, nil
}

// greatest is the largest offset up to a packet's size that ok takes, given
// that it takes all below one that it takes.
func greatest(ok func(int) bool) int {
	return sort.Search(1<<16, func(i int) bool { return !ok(i) }) - 1
}

// try says whether the kernel takes a rule. Nothing of it stays.
func (p *prober) try(exprs [][]byte) error {
	return p.conn.commit([]request{addRule(p.table, "try", &Rule{Exprs: exprs}), flushChain(p.table, "try")})
}

func (p *prober) tryDestroy() error {
	m := &Map{Name: "try", Key: typeSlot, Data: typeZone}
	reqs := append([]request{addMap(p.table, m, 1)}, elements(msgDestroySetElem, p.table, m.Name, []Element{{Key: host32(1)}})...)
	return p.conn.commit(append(reqs, delMap(p.table, m.Name)))
}
