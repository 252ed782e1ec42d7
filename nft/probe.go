package nft

import (
	"fmt"
	"os"
	"time"

	"github.com/google/nftables/expr"

	"github.com/roamlb/roamlb/balancer"
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

// trial is one thing to try: what makes it fail is in the request at index at.
type trial struct {
	feature, needs string
	at             int
}

// prober gathers what to try for a transaction that is never committed: its
// last request must fail. So no rule of it ever exists, and none is destroyed
// later, in the kernel's own time.
type prober struct {
	table string
	reqs  []request
}

// add tries a rule and returns its index among the answers.
func (p *prober) add(exprs [][]byte) int {
	p.reqs = append(p.reqs, addRule(p.table, "try", &Rule{Exprs: exprs}))
	return len(p.reqs) - 1
}

// probe finds out what the kernel's nft can do, by trying it once.
func probe(c *conn) (Features, error) {
	p := &prober{table: fmt.Sprintf("roamlb-probe-%d", os.Getpid())}
	p.reqs = []request{addTable(p.table), addChain(p.table, &Chain{Name: "try"})}
	load := func(base expr.PayloadBase, off int) int {
		return p.add(encode(&expr.Payload{DestRegister: reg(0).nr(), Base: base, Offset: uint32(off), Len: 1}))
	}
	native, xt := p.add(queue(true, 0, 2)), p.add(queue(false, 0, 2))
	must := []trial{
		{feature: "jhash", needs: "CONFIG_NFT_HASH", at: p.add(join(encode(loadMark(0)), jhash(0, 1, 4, 7, 1)))},
		// Where a zone can be read it can be set. A rule that sets one must not be
		// tried: when it is refused, or undone, the kernel drops what waits in all
		// queues of the namespace (nft_ct_set_destroy).
		{feature: "ct zone", needs: "CONFIG_NF_CONNTRACK_ZONES", at: p.add(loadZone(0))},
		{feature: "ct event set", needs: "CONFIG_NF_CONNTRACK_EVENTS", at: p.add(ctEvents())},
		{feature: "reject at prerouting", needs: "CONFIG_NFT_REJECT_INET, Linux 5.9", at: p.add(reject())},
		{feature: "loads of 60 bytes", needs: "Linux 4.1", at: p.add(encode(network(0, 0, keyBytes)))},
		{feature: "@th loads from offset 255", needs: "Linux 3.13", at: load(expr.PayloadBaseTransportHeader, shortOffset)},
	}
	copies := p.add(copyTo(balancer.LogGroup, CopyNewFlow))
	farTransport, farInner := load(expr.PayloadBaseTransportHeader, longOffset), load(payloadBaseInner, longOffset)
	nearInner := load(payloadBaseInner, shortOffset)
	p.reqs = append(p.reqs, addMap(p.table, &Map{Name: "try", Key: typeSlot, Data: typeZone}, 1))
	destroy := len(p.reqs)
	p.reqs = append(p.reqs, elements(msgDestroySetElem, p.table, "try", []Element{{Key: host32(1)}})...)
	p.reqs = append(p.reqs, delChain(p.table, "which is not there"))

	errnos, err := c.transact(p.reqs)
	if err != nil {
		return Features{}, err
	}
	ok := func(at int) bool { return errnos[at] == 0 }
	if own := errnos[len(p.reqs)]; own != 0 || !ok(0) {
		return Features{}, fmt.Errorf("change nftables: %w (needs CAP_NET_ADMIN in this network namespace)", max(own, errnos[0]))
	}
	if !ok(native) && !ok(xt) {
		return Features{}, &UnsupportedError{Feature: "queue", Needs: "CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE", Err: errnos[native]}
	}
	for _, t := range must {
		if !ok(t.at) {
			return Features{}, &UnsupportedError{Feature: t.feature, Needs: t.needs, Err: errnos[t.at]}
		}
	}
	const udpHeader = 8
	f := Features{NativeQueue: ok(native), TransportOffset: shortOffset, DestroyElements: ok(destroy)}
	f.Copies = ok(copies)
	f.KeyBytes, f.PayloadOffset = keyBytes, shortOffset-udpHeader
	if ok(nearInner) {
		f.PayloadOffset = shortOffset
	}
	if ok(farTransport) {
		f.TransportOffset, f.PayloadOffset = longOffset, longOffset-udpHeader
	}
	if ok(farInner) {
		f.PayloadOffset = longOffset
	}
	return f, nil
}

const (
	// A map's key and its data share the sixteen registers of four bytes; the
	// hash that finds a slot has one beside the key.
	keyBytes = 60
	// Offsets of loads have eight bits, or sixteen in newer kernels.
	shortOffset = 1<<8 - 1
	longOffset  = 1<<16 - 1
)

// awaitDestruction returns when the kernel has destroyed what earlier
// transactions removed, which it does in its own time: before it takes an xt
// target it waits for that. Where there are none, a grace period and the work
// behind it are over long before the pause.
func awaitDestruction(c *conn) error {
	const pause = 100 * time.Millisecond
	table := fmt.Sprintf("roamlb-probe-%d", os.Getpid())
	errnos, err := c.transact([]request{
		addTable(table), addChain(table, &Chain{Name: "try"}),
		addRule(table, "try", &Rule{Exprs: queue(false, 0, 1)}),
		delChain(table, "which is not there"),
	})
	if err == nil && errnos[2] != 0 {
		time.Sleep(pause)
	}
	return err
}
