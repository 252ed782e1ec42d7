package nfq

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

var (
	client4 = netip.MustParseAddrPort("198.18.0.1:5000")
	client6 = netip.MustParseAddrPort("[2001:db8:f::1]:5000")
)

// compareAddrPort compares by value, for cmp.
var compareAddrPort = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// withAuthentication puts an authentication header (RFC 4302) of 24 bytes
// before the body of an IPv6 packet without extension headers.
func withAuthentication(packet []byte) []byte {
	b := append([]byte(nil), packet[:40]...)
	b[6] = unix.IPPROTO_AH
	binary.BigEndian.PutUint16(b[4:], uint16(len(packet)-40+24))
	header := make([]byte, 24)
	header[0], header[1] = packet[6], 4
	return append(append(b, header...), packet[40:]...)
}

// withFragment puts a fragment header before the body of an IPv6 packet
// without extension headers.
func withFragment(packet []byte, offset uint16, more bool) []byte {
	b := append([]byte(nil), packet[:40]...)
	b[6] = unix.IPPROTO_FRAGMENT
	binary.BigEndian.PutUint16(b[4:], uint16(len(packet)-40+8))
	header := make([]byte, 8)
	header[0] = packet[6]
	binary.BigEndian.PutUint16(header[2:], offset<<3)
	if more {
		header[3] |= 1
	}
	return append(append(b, header...), packet[40:]...)
}

// asFragment makes an IPv4 packet a fragment.
func asFragment(packet []byte, offset uint16, more bool) []byte {
	b := append([]byte(nil), packet...)
	if more {
		offset |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], offset)
	return b
}

func TestDecodeDatagrams(t *testing.T) {
	payload := []byte("the payload of a datagram")
	to4, to6 := listener4(sessionPort), listener6(sessionPort)
	plain4 := lab.UDPPacket(client4, to4, payload, lab.PacketOptions{})
	plain6 := lab.UDPPacket(client6, to6, payload, lab.PacketOptions{})
	extended := lab.UDPPacket(client6, to6, payload, lab.PacketOptions{Extensions: []lab.Extension{
		{Header: lab.HopByHop, Length: 16}, {Header: lab.DestinationOptions, Length: 256},
	}})
	options := lab.UDPPacket(client4, to4, payload, lab.PacketOptions{IPv4Options: make([]byte, 40)})
	padded := append(append([]byte(nil), plain4...), "trailer"...)
	for _, c := range []struct {
		name string
		b    []byte
		cut  bool
		want datagram
	}{
		{"IPv4", plain4, false, datagram{client4, to4, payload, false}},
		{"IPv4 with options", options, false, datagram{client4, to4, payload, false}},
		{"IPv4 with a trailer", padded, false, datagram{client4, to4, payload, false}},
		{"IPv4 copied in part", plain4[:38], true, datagram{client4, to4, payload[:10], true}},
		{"IPv4 first fragment", asFragment(plain4, 0, true), false, datagram{client4, to4, payload, false}},
		{"IPv6", plain6, false, datagram{client6, to6, payload, false}},
		{"IPv6 with options", extended, false, datagram{client6, to6, payload, false}},
		{"IPv6 copied in part", plain6[:58], true, datagram{client6, to6, payload[:10], true}},
		{"IPv6 authenticated", withAuthentication(plain6), false, datagram{client6, to6, payload, false}},
		{"IPv6 only fragment", withFragment(plain6, 0, false), false, datagram{client6, to6, payload, false}},
		{"IPv6 empty", lab.UDPPacket(client6, to6, nil, lab.PacketOptions{}), false, datagram{client6, to6, []byte{}, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, ok := decodePacket(c.b, c.cut)
			if !ok {
				t.Fatal("a good packet is not decoded: the kernel must place its session without us")
			}
			got, ok := p.datagram()
			if !ok {
				t.Fatal("a good datagram is not decoded: the kernel must place its session without us")
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(datagram{}), compareAddrPort); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The bytes of a later fragment, or of a damaged packet, must not be taken for
// headers: that would bind somebody's session to nonsense.
func TestDecodeRefuses(t *testing.T) {
	payload := make([]byte, 40)
	plain4 := lab.UDPPacket(client4, listener4(sessionPort), payload, lab.PacketOptions{})
	plain6 := lab.UDPPacket(client6, listener6(sessionPort), payload, lab.PacketOptions{})
	change := func(b []byte, at int, v ...byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"empty", nil},
		{"version 5", change(plain4, 0, 0x55)},
		{"IPv4 header of 16 bytes", change(plain4, 0, 0x44)},
		{"IPv4 header beyond the packet", change(plain4[:24], 0, 0x4f)},
		{"IPv4 shorter than its header", change(plain4, 2, 0, 19)},
		{"IPv4 longer than what came", change(plain4, 2, 0x10, 0)},
		{"IPv4 later fragment", asFragment(plain4, 1, true)},
		{"IPv4 last fragment", asFragment(plain4, 185, false)},
		{"TCP", change(plain4, 9, unix.IPPROTO_TCP)},
		{"UDP header cut off", change(plain4[:27], 2, 0, 27)},
		{"UDP shorter than its header", change(plain4, 24, 0, 7)},
		{"UDP longer than the packet", change(plain4, 24, 0, 49)},
		{"IPv6 header cut off", plain6[:39]},
		{"IPv6 longer than what came", change(plain6, 4, 1, 0)},
		{"IPv6 later fragment", withFragment(plain6, 1, true)},
		{"IPv6 options beyond the packet", change(change(plain6, 6, unix.IPPROTO_DSTOPTS), 41, 255)},
		{"IPv6 without a next header", change(plain6, 6, unix.IPPROTO_NONE)},
		{"IPv6 options cut off", change(plain6[:44], 4, 0, 4, unix.IPPROTO_HOPOPTS)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if p, ok := decodePacket(c.b, false); ok {
				if d, ok := p.datagram(); ok {
					t.Errorf("decoded: %+v", d)
				}
			}
		})
	}
}

func TestQuotedFlow(t *testing.T) {
	router4, router6 := lab.BackendIPv4(9), lab.BackendIPv6(9)
	reply4 := lab.UDPPacket(listener4(sessionPort), client4, make([]byte, 600), lab.PacketOptions{})
	reply6 := lab.UDPPacket(listener6(sessionPort), client6, make([]byte, 1300), lab.PacketOptions{
		Extensions: []lab.Extension{{Header: lab.DestinationOptions}},
	})
	change := func(b []byte, at int, v byte) []byte {
		b = append([]byte(nil), b...)
		b[at] = v
		return b
	}
	tooBig4, tooBig6 := lab.PacketTooBig(router4, 1400, reply4), lab.PacketTooBig(router6, 1280, reply6)
	short4 := lab.PortUnreachable(router4, reply4[:28])
	for _, c := range []struct {
		name     string
		b        []byte
		from, to netip.AddrPort
		ok       bool
	}{
		{"fragmentation needed", tooBig4, listener4(sessionPort), client4, true},
		{"packet too big", tooBig6, listener6(sessionPort), client6, true},
		{"64 bits of the datagram", short4, listener4(sessionPort), client4, true},
		{"echo reply", change(tooBig4, 20, 0), netip.AddrPort{}, netip.AddrPort{}, false},
		{"ICMPv6 echo request", change(tooBig6, 40, 128), netip.AddrPort{}, netip.AddrPort{}, false},
		{"about TCP", change(tooBig4, 28+9, unix.IPPROTO_TCP), netip.AddrPort{}, netip.AddrPort{}, false},
		{"about a later fragment", change(tooBig4, 28+7, 1), netip.AddrPort{}, netip.AddrPort{}, false},
		{"about the other family", change(tooBig4, 28, 0x60), netip.AddrPort{}, netip.AddrPort{}, false},
		{"ICMPv6 in IPv4", change(tooBig4, 9, unix.IPPROTO_ICMPV6), netip.AddrPort{}, netip.AddrPort{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, ok := decodePacket(c.b, true)
			if !ok {
				t.Fatal("the error's own packet is not decoded")
			}
			from, to, ok := p.quoted()
			if from != c.from || to != c.to || ok != c.ok {
				t.Errorf("from %v to %v, %t; want from %v to %v, %t: path MTU discovery breaks", from, to, ok, c.from, c.to, c.ok)
			}
		})
	}
}

// FuzzPacket: no packet may crash the decoder, nor make it look behind the
// packet's end.
func FuzzPacket(f *testing.F) {
	payload := []byte("the payload")
	plain4 := lab.UDPPacket(client4, listener4(sessionPort), payload, lab.PacketOptions{IPv4Options: make([]byte, 8)})
	plain6 := lab.UDPPacket(client6, listener6(sessionPort), payload, lab.PacketOptions{})
	f.Add(plain4, false)
	f.Add(plain6, true)
	f.Add(asFragment(plain4, 0, true), true)
	f.Add(withFragment(plain6, 0, true), false)
	f.Add(withAuthentication(plain6), false)
	f.Add(lab.UDPPacket(client6, listener6(sessionPort), payload, lab.PacketOptions{Extensions: []lab.Extension{{Header: lab.HopByHop}}}), false)
	f.Add(lab.PacketTooBig(lab.BackendIPv4(9), 1400, plain4), true)
	f.Add(lab.PortUnreachable(lab.BackendIPv6(9), plain6), true)
	f.Fuzz(func(t *testing.T, b []byte, cut bool) {
		p, ok := decodePacket(b, cut)
		if !ok {
			return
		}
		if len(p.body) > len(b) || p.source.Is4() != p.destination.Is4() {
			t.Errorf("packet %+v of %d bytes", p, len(b))
		}
		if d, ok := p.datagram(); ok {
			if len(d.payload) > len(p.body)-8 || d.source.Addr() != p.source || d.destination.Addr() != p.destination {
				t.Errorf("datagram %+v in packet %+v", d, p)
			}
		}
		if from, to, ok := p.quoted(); ok && (!from.IsValid() || !to.IsValid()) {
			t.Errorf("error about %v to %v", from, to)
		}
	})
}

// FuzzMessage: nothing that looks like a message may crash the reader.
func FuzzMessage(f *testing.F) {
	packet := lab.UDPPacket(client4, listener4(sessionPort), []byte("the payload"), lab.PacketOptions{})
	f.Add(queuedMessage(1, foreign, packet, len(packet)))
	f.Add(queuedMessage(2, 0, packet, 10))
	f.Add(append(queuedMessage(3, 0, packet, len(packet)), queuedMessage(4, 0, packet, 10)...))
	f.Add(appendMaxLen(nil, 40, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, ok := nextMessage(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("the reader would never end")
			}
			b = rest
			decodeQueued(m.body)
			refusal(m.body)
			isBind(m.body)
		}
	})
}
