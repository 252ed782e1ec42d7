package suite

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// icmpKind is an ICMP error that matters to UDP.
type icmpKind struct {
	name      string
	mtu       int     // of the path; 0 where the error is not about that
	four, six [2]byte // type and code, of ICMP and of ICMPv6
}

var icmpKinds = []icmpKind{
	{name: "port unreachable", four: [2]byte{3, 3}, six: [2]byte{1, 4}},
	{name: "packet too big", mtu: 1300, four: [2]byte{3, 4}, six: [2]byte{2, 0}},
}

func (k *icmpKind) number(v6 bool) [2]byte {
	if v6 {
		return k.six
	}
	return k.four
}

// packet is the error, from a host about the packet inner.
func (k *icmpKind) packet(from netip.Addr, inner []byte) []byte {
	if k.mtu > 0 {
		return lab.PacketTooBig(from, k.mtu, inner)
	}
	return lab.PortUnreachable(from, inner)
}

// ICMP errors must find their way through every kind of translation.
func TestErrors(t *testing.T) {
	atLeisure(t)
	for _, lines := range [][]string{{"pinning: session"}, {"pinning: flow"}, {"pinning: session", "snat: masquerade"}} {
		t.Run(fmt.Sprint(lines), func(t *testing.T) {
			b := newBed(t, bedOptions{clients: lab.ClientOptions{ICMPErrors: true}})
			b.serve(b.service(lines...))
			for _, v6 := range []bool{false, true} {
				b.errorsAboutABackend(v6)
				b.errorsAboutAReply(v6)
			}
		})
	}
}

// A client must learn that its backend is gone, or that its datagrams are too
// big for a link behind the balancer: from an error about the listener, for it
// knows of no backend.
func (b *bed) errorsAboutABackend(v6 bool) {
	b.t.Helper()
	for i, k := range append(icmpKinds, icmpKinds...) {
		at := client(v6, i, 20000)
		d := datagram(at, i, 0)
		home := b.Backend(b.exchange(0, d)[0].Number())
		by := addressOf(home, v6)
		if i >= len(icmpKinds) { // a router's, in front of the backend
			by = router(v6)
		}
		inner := lab.UDPPacket(b.arrived.of(i).from, netip.AddrPortFrom(addressOf(home, v6), port), d.Payload, lab.PacketOptions{TTL: 63})
		before := len(b.clients.Errors())
		b.sendRaw(home.Namespace, k.packet(by, inner))
		waitFor(b.t, 5*time.Second, k.name+" reaches the client", func() bool { return len(b.clients.Errors()) > before })
		e := b.clients.Errors()[before]
		if e.At != at || e.To != d.Dst || [2]byte{e.Type, e.Code} != k.number(v6) || k.mtu > 0 && e.MTU != k.mtu {
			b.t.Errorf("%s, by %v: the client has %+v, want it about %v -> %v", k.name, by, e, at, d.Dst)
		}
	}
}

// A backend must learn that its client is gone, or that its answers are too big
// for a link on the client's side: without that every large answer is lost for
// good. The error speaks of the listener; the backend knows only itself.
func (b *bed) errorsAboutAReply(v6 bool) {
	b.t.Helper()
	for i, k := range append(icmpKinds, icmpKinds...) {
		at := client(v6, i, 20000)
		d := datagram(at, i, 0)
		home := b.Backend(b.exchange(0, d)[0].Number())
		if i == 1 { // the same after the session has roamed
			at = client(v6, 100+i, 20000)
			d.Src = at
			b.exchange(0, d)
		}
		by := at.Addr()
		if i >= len(icmpKinds) {
			by = router(v6)
		}
		tap := b.tap(home.Namespace, v6)
		want := quote{
			kind: k.number(v6), mtu: k.mtu,
			src: netip.AddrPortFrom(addressOf(home, v6), port), dst: b.arrived.of(i).from,
		}
		got := b.sendUntil(tap, k.packet(by, lab.UDPPacket(d.Dst, at, d.Payload, lab.PacketOptions{TTL: 63})))
		if got[0] != want {
			b.t.Errorf("%s by %v: backend %d has %+v, want %+v", k.name, by, home.Number, got[0], want)
		}
	}
}

// router is the address of one on the way, on no host of the network.
func router(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr("2001:db8:77::1")
	}
	return netip.MustParseAddr("203.0.113.77")
}

// addressOf is a backend's address of a family.
func addressOf(be *lab.Backend, v6 bool) netip.Addr {
	if v6 {
		return be.IPv6
	}
	return be.IPv4
}

// sendRaw puts packets onto a namespace's link to the balancer.
func (b *bed) sendRaw(from *lab.Namespace, packets ...[]byte) {
	b.t.Helper()
	raw, err := b.RawSender(from)
	if err != nil {
		b.t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Send(packets...); err != nil {
		b.t.Fatal(err)
	}
}

// sendUntil sends errors from the clients' side until the tap has one. The
// first may overtake what the daemon is still to learn of the flow, and be
// lost: hosts repeat their errors as long as there is cause.
func (b *bed) sendUntil(at *tap, packets ...[]byte) []quote {
	b.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		b.sendRaw(b.Clients, packets...)
		for again := time.Now().Add(200 * time.Millisecond); time.Now().Before(again); time.Sleep(time.Millisecond) {
			if got := at.all(); len(got) > 0 {
				return got
			}
		}
	}
	b.t.Fatal("no error has arrived")
	return nil
}

// quote is an ICMP error and the packet that it is about.
type quote struct {
	kind     [2]byte // type and code
	mtu      int
	src, dst netip.AddrPort
}

// tap collects the ICMP errors that a host gets.
type tap struct {
	mu   sync.Mutex // guards list
	list []quote
}

func (b *bed) tap(n *lab.Namespace, v6 bool) *tap {
	b.t.Helper()
	protocol, wildcard := "ip4:icmp", "0.0.0.0"
	if v6 {
		protocol, wildcard = "ip6:ipv6-icmp", "::"
	}
	var c net.PacketConn
	if err := n.Do(func() (err error) { c, err = net.ListenPacket(protocol, wildcard); return err }); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	tap := &tap{}
	go func() {
		buf := make([]byte, 2000)
		for {
			n, _, err := c.ReadFrom(buf) // without the IP header
			if err != nil {
				return
			}
			tap.add(buf[:n], v6)
		}
	}()
	return tap
}

func (p *tap) add(message []byte, v6 bool) {
	const icmpHeader = 8
	header := 20
	if v6 {
		header = 40
	}
	if len(message) < icmpHeader+header+4 {
		return
	}
	q := quote{kind: [2]byte(message[:2]), mtu: int(binary.BigEndian.Uint32(message[4:]))}
	inner := message[icmpHeader:]
	addresses := inner[12:20]
	if v6 {
		addresses = inner[8:40]
	}
	half := len(addresses) / 2
	src, _ := netip.AddrFromSlice(addresses[:half])
	dst, _ := netip.AddrFromSlice(addresses[half:])
	q.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(inner[header:]))
	q.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(inner[header+2:]))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, q)
}

func (p *tap) all() []quote {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]quote(nil), p.list...)
}
