package suite

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// Whatever the network delivers, the daemon must neither die nor stall: it is
// in every client's way.
func TestGarbage(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: " + pinning))
			raw, err := b.RawSender(b.Clients)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			random := rand.New(rand.NewPCG(1, 2))
			for i := range 100 { // one by one, so that the queues never fail open
				for _, v6 := range []bool{false, true} {
					// what a link refuses to carry needs no balancing
					_, _ = raw.Send(garbage(random, client(v6, i, uint16(1+i)), listener(v6))...)
				}
			}
			var list []lab.Datagram
			for i := range 100 {
				list = append(list, datagram(client(i%2 == 1, i, 20000), i, 0))
			}
			b.exchange(2000, list...)
			for _, l := range b.daemon.find(func(l logLine) bool { return l.str("level") == "ERROR" || len(l.fields) == 0 }) {
				t.Errorf("the daemon says: %s", l.text)
			}
			b.daemon.stop()
			if got := b.daemon.packets(); got < len(list) {
				t.Errorf("the daemon saw %d packets, want at least the %d that are sound", got, len(list))
			}
		})
	}
}

// garbage are packets from a client to a listener with something wrong about
// each.
func garbage(random *rand.Rand, src, dst netip.AddrPort) [][]byte {
	list := append(brokenDatagrams(random, src, dst), brokenErrors(src, dst)...)
	sound := lab.UDPPacket(src, dst, payload(random.IntN(1000), 1), lab.PacketOptions{})
	for range 10 { // bytes behind the IP header and the ports, as chance will have them
		p := append([]byte(nil), sound...)
		behind := ipHeader(p) + 4
		for range 1 + random.IntN(3) {
			p[behind+random.IntN(len(p)-behind)] = byte(random.Uint32())
		}
		list = append(list, p)
	}
	return list
}

func brokenDatagrams(random *rand.Rand, src, dst netip.AddrPort) [][]byte {
	sound := func() []byte { return lab.UDPPacket(src, dst, payload(random.IntN(1000), 1), lab.PacketOptions{}) }
	list := [][]byte{lab.UDPPacket(src, dst, nil, lab.PacketOptions{})}
	for _, length := range []uint16{0, 7, 8, 9, 12, 500, 0xffff} { // as UDP gives it
		p := sound()
		binary.BigEndian.PutUint16(p[ipHeader(p)+4:], length)
		list = append(list, p)
	}
	for n := range 12 { // cut within UDP's header and behind it
		p := sound()
		list = append(list, resize(p[:ipHeader(p)+n]))
	}
	for range 4 { // pieces that never become a whole
		large := lab.UDPPacket(src, dst, deep(random.IntN(1000), 1), lab.PacketOptions{})
		pieces := lab.Fragments(large, 600, random.Uint32())
		list = append(list, pieces[random.IntN(len(pieces))])
	}
	if src.Addr().Is6() {
		beyond := lab.UDPPacket(src, dst, payload(1, 1), lab.PacketOptions{Extensions: []lab.Extension{{Header: lab.DestinationOptions}}})
		beyond[41] = 255 // an extension header that ends behind the packet
		nested := append([]byte(nil), beyond...)
		nested[40], nested[41] = unix.IPPROTO_DSTOPTS, 0 // and one that announces another where UDP begins
		list = append(list, beyond, nested)
	}
	return list
}

// brokenErrors are ICMP errors about a reply that quote too little of it, or
// nonsense.
func brokenErrors(src, dst netip.AddrPort) [][]byte {
	const icmpHeader = 8
	reply := lab.UDPPacket(dst, src, payload(1, 1), lab.PacketOptions{})
	whole := lab.PortUnreachable(src.Addr(), reply)
	begin := ipHeader(whole)
	var list [][]byte
	for n := 0; begin+n <= len(whole); n++ {
		list = append(list, resize(whole[:begin+n]))
	}
	for _, first := range []byte{0x00, 0x4f, 0x60, 0xff} { // the quoted header's version and length
		p := append([]byte(nil), whole...)
		p[begin+icmpHeader] = first
		list = append(list, p)
	}
	return list
}

// ipHeader is the length of a packet's IP header, which has no options.
func ipHeader(p []byte) int {
	if p[0]>>4 == 6 {
		return 40
	}
	return 20
}

// resize gives a packet the length, and IPv4 the checksum, that it has.
func resize(p []byte) []byte {
	p = append([]byte(nil), p...)
	if p[0]>>4 == 6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		return p
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[10:], 0)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p[10:], ^uint16(sum))
	return p
}
