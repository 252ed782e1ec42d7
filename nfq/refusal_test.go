package nfq

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// A backend that refuses its clients' packets is to be probed at once; nobody
// without a flow there may have that done, and errors go on to their clients.
func TestRefusals(t *testing.T) {
	at4 := netip.AddrPortFrom(lab.BackendIPv4(2), 1194)
	at6 := netip.AddrPortFrom(lab.BackendIPv6(3), 1194)
	udp := func(src, dst netip.AddrPort) []byte {
		return lab.UDPPacket(src, dst, make([]byte, 20), lab.PacketOptions{})
	}
	stranger := netip.MustParseAddrPort("198.18.0.2:5000")
	notProbed := netip.AddrPortFrom(at4.Addr(), 9)
	otherCode := lab.PortUnreachable(at4.Addr(), udp(client4, at4))
	otherCode[21] = 1 // of the ICMP header: host unreachable
	for _, c := range []struct {
		name   string
		packet []byte
		masked bool // the service masquerades
		want   []uint16
	}{
		{"IPv4", lab.PortUnreachable(at4.Addr(), udp(client4, at4)), false, []uint16{2}},
		{"IPv6", lab.PortUnreachable(at6.Addr(), udp(client6, at6)), false, []uint16{3}},
		{"from another", lab.PortUnreachable(lab.BackendIPv4(1), udp(client4, at4)), false, nil},
		{"to nobody's flow", lab.PortUnreachable(at4.Addr(), udp(stranger, at4)), false, nil},
		{"to nobody's flow, or this host's", lab.PortUnreachable(at4.Addr(), udp(stranger, at4)), true, []uint16{2}},
		{"another backend's flow", lab.PortUnreachable(at6.Addr(), udp(client4, netip.AddrPortFrom(lab.BackendIPv4(1), 1194))), false, nil},
		{"a port that is not probed", lab.PortUnreachable(at4.Addr(), udp(client4, notProbed)), false, nil},
		{"another error", lab.PacketTooBig(at4.Addr(), 1400, udp(client4, at4)), false, nil},
		{"another code", otherCode, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJudge(&fakeBindings{})
			s := *j.snapshot.View("a-session").Service
			s.Health = &balancer.Health{}
			if c.masked {
				s.SNAT = balancer.SNATMasquerade
			}
			s.Backends = nil
			for i := range 3 {
				s.Backends = append(s.Backends, balancer.Backend{
					ID: uint16(i + 1), Name: fmt.Sprint("b", i+1), Port: 1194, Weight: 1,
					Addresses: []netip.Addr{lab.BackendIPv4(i + 1), lab.BackendIPv6(i + 1)},
				})
			}
			v := balancer.NewView(&s, balancer.Capabilities{PayloadOffset: 255, KeyBytes: 60}, nil, &fakeBindings{})
			j.snapshot = balancer.NewSnapshot(marks, 0, []*balancer.View{v})
			var got []uint16
			j.refused = func(id uint16) { got = append(got, id) }
			if v := j.judge(&queued{mark: foreign, data: c.packet}); v != asItCame {
				t.Errorf("verdict %+v, want the error to go on as it came", v)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("told of %v, want %v", got, c.want)
			}
			j.refused = nil
			j.judge(&queued{mark: foreign, data: c.packet})
		})
	}
}
