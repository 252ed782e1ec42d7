package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
)

// A backend that speaks first is answered as the listener only where there is no
// doubt which that is; a backend that changes its name meanwhile raises none. Its
// refusals are heard, once, if any of its services probes it.
func TestAnswers(t *testing.T) {
	service := func(name, listen string, backends ...string) *balancer.View {
		name, probed := strings.CutSuffix(name, " probed")
		s := &balancer.Service{
			Name: name, Listen: []netip.AddrPort{netip.MustParseAddrPort(listen)}, Slots: 7, Seed: 1,
			Key: balancer.Key{Variants: []balancer.Variant{{Fields: []balancer.Field{{Offset: 1, Length: 8}}}}, Fallback: balancer.FallbackSource},
		}
		if probed {
			s.Health = &balancer.Health{}
		}
		for i, b := range backends {
			at := netip.MustParseAddrPort(b)
			s.Backends = append(s.Backends, balancer.Backend{
				ID: uint16(10*int(name[0]-'a') + i + 1), Name: fmt.Sprint("b", i), Addresses: []netip.Addr{at.Addr()}, Port: at.Port(), Weight: 1,
			})
		}
		return balancer.NewView(s, balancer.Capabilities{PayloadOffset: 255, KeyBytes: 60}, nil, unbound{})
	}
	const l1, l2, l6 = "192.0.2.10:1", "192.0.2.10:2", "[2001:db8::10]:1"
	const x, y, six = "198.51.100.1:9", "198.51.100.2:9", "[2001:db8:b::1]:9"
	for _, tc := range []struct {
		name     string
		views    []*balancer.View
		answered []string
		dropped  []string
		probed   []string
	}{
		{"one service", []*balancer.View{service("a", l1, x, y)}, []string{x + " as " + l1, y + " as " + l1}, nil, nil},
		{"two that share one", []*balancer.View{service("a", l1, x), service("b", l2, x, y)}, []string{y + " as " + l2}, []string{x}, nil},
		{"three that share one", []*balancer.View{service("a", l1, x), service("b", l2, x), service("c", l6, six)}, []string{six + " as " + l6}, []string{x}, nil},
		{"one leaves where another arrives", []*balancer.View{service("a", l1, x, x)}, []string{x + " as " + l1}, nil, nil},
		{"one service that probes", []*balancer.View{service("a probed", l1, x)}, []string{x + " as " + l1}, nil, []string{x}},
		{"two that share, and one probes", []*balancer.View{service("a", l1, x), service("b probed", l2, x, y)}, []string{y + " as " + l2}, []string{x}, []string{x, y}},
		{"two that share, and both probe", []*balancer.View{service("a probed", l1, x), service("b probed", l2, x)}, nil, []string{x}, []string{x}},
		{"no listener of its family", []*balancer.View{service("a", l1, six, y)}, []string{y + " as " + l1}, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := Compile(balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, tc.views), balancer.Queues{Count: 1}, Features{})
			var answered, dropped, probed []string
			for _, m := range table.Maps {
				for _, e := range m.all() {
					switch m.Name {
					case "answers4", "answers6":
						answered = append(answered, addrPort(e.Key)+" as "+addrPort(e.Data))
					case "answersdropped4", "answersdropped6":
						dropped = append(dropped, addrPort(e.Key))
					case "probed4", "probed6":
						probed = append(probed, addrPort(e.Key))
					}
				}
			}
			slices.Sort(answered)
			if d := gocmp.Diff(tc.answered, answered); d != "" {
				t.Errorf("answered (-want +got):\n%s", d)
			}
			if d := gocmp.Diff(tc.dropped, dropped); d != "" {
				t.Errorf("dropped (-want +got):\n%s", d)
			}
			if d := gocmp.Diff(tc.probed, probed); d != "" {
				t.Errorf("probed (-want +got):\n%s", d)
			}
		})
	}
}

// addrPort is what addrPortKey made a key of.
func addrPort(key []byte) string {
	a, _ := netip.AddrFromSlice(key[:len(key)-4])
	return netip.AddrPortFrom(a, uint16(key[len(key)-4])<<8|uint16(key[len(key)-3])).String()
}
