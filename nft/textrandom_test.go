package nft

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// dice makes services up.
type dice struct{ *rand.Rand }

// bytes favours those that a mask or a number has something special with.
func (d dice) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = []byte{0, 0xff, 0xf0, byte(d.Uint32()), byte(d.Uint32()), byte(d.Uint32())}[d.IntN(6)]
	}
	return b
}

// mask is now and then one that masks nothing.
func (d dice) mask(n int) []byte {
	if d.IntN(3) == 0 {
		return bytes.Repeat([]byte{0xff}, n)
	}
	return d.bytes(n)
}

func (d dice) offset() int {
	if d.IntN(3) == 0 {
		return d.IntN(240)
	}
	return d.IntN(40)
}

func (d dice) port() uint16 { return uint16(1 + d.IntN(65535)) }

func (d dice) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for range d.IntN(8) {
		v4, v6 := netip.AddrFrom4([4]byte(d.bytes(4))), netip.AddrFrom16([16]byte(d.bytes(16)))
		out = append(out, netip.PrefixFrom(v4, d.IntN(33)).Masked(), netip.PrefixFrom(v6, d.IntN(129)).Masked())
	}
	return out
}

func (d dice) variant() balancer.Variant {
	var v balancer.Variant
	for range d.IntN(3) {
		n := 1 + d.IntN(16)
		m := balancer.Match{Offset: d.offset(), Value: d.bytes(n)}
		if d.IntN(2) == 0 {
			m.Mask = d.bytes(n)
			for i := range m.Mask {
				m.Value[i] &= m.Mask[i]
			}
		}
		v.Match = append(v.Match, m)
	}
	for room := 56; len(v.Fields) == 0 || d.IntN(2) == 0; {
		n := 1 + d.IntN(20)
		if room -= (n + 3) &^ 3; room < 0 {
			break
		}
		f := balancer.Field{Offset: d.offset(), Length: n}
		if d.IntN(3) == 0 {
			f.Mask = d.mask(n)
		}
		v.Fields = append(v.Fields, f)
	}
	return v
}

// service makes up one with the bed's backends, their ids from first on.
func (d dice) service(b *bed, name string, first uint16) *balancer.Service {
	return b.small(name, port, func(s *balancer.Service) {
		s.Slots, s.Seed, s.MaxSessions = uint32(2+d.IntN(40)), d.Uint32()>>d.IntN(30)|1, 1+d.IntN(5000)
		s.Listen = nil
		for range 1 + d.IntN(6) {
			v6 := netip.MustParseAddr("2001:db8::").As16()
			copy(v6[4:], d.bytes(12))
			s.Listen = append(s.Listen, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(d.Uint32())}), d.port()), netip.AddrPortFrom(netip.AddrFrom16(v6), d.port()))
		}
		for i := range s.Backends {
			be := &s.Backends[i]
			be.ID, be.Port, be.Weight = be.ID+first, d.port(), d.IntN(4)
			be.Admin = []balancer.Admin{balancer.AdminUp, balancer.AdminUp, balancer.AdminDrain, balancer.AdminDown}[d.IntN(4)]
		}
		s.Pinning = []balancer.Pinning{balancer.PinAuto, balancer.PinAuto, balancer.PinFlow}[d.IntN(3)]
		s.SNAT = []balancer.SNAT{balancer.SNATNone, balancer.SNATMasquerade}[d.IntN(2)]
		s.NoBackend = []balancer.NoBackend{balancer.NoBackendReject, balancer.NoBackendDrop}[d.IntN(2)]
		s.Datapath = []balancer.Datapath{balancer.DatapathQueue, balancer.DatapathKernel}[d.IntN(2)]
		s.Key.Fallback = []balancer.Fallback{balancer.FallbackSource, balancer.FallbackSourcePort, balancer.FallbackDrop}[d.IntN(3)]
		if d.IntN(3) == 0 { // with what nft takes for the defaults among them
			s.Timeouts.Unreplied = []time.Duration{time.Duration(1+d.IntN(99)) * time.Second, 30 * time.Second}[d.IntN(2)]
			s.Timeouts.Replied = []time.Duration{time.Duration(1+d.IntN(999)) * time.Second, 120 * time.Second}[d.IntN(2)]
		}
		s.Allow, s.Deny = d.prefixes(), d.prefixes()
		s.Key.Variants = nil
		for range 1 + d.IntN(3) {
			s.Key.Variants = append(s.Key.Variants, d.variant())
		}
	})
}

// pieces are the lengths of the loads of a variant's key.
func pieces(v *balancer.Variant) []int {
	var out []int
	for _, f := range v.Fields {
		n := f.Length
		for f.Mask != nil && n > 16 {
			out = append(out, 16)
			n -= 16
		}
		out = append(out, n)
	}
	return out
}

// loadable reports whether nft 1.0.6 reads the rules of a service's keys: not
// with several loads of more than sixteen bytes, nor different ones in one map.
func loadable(v *balancer.View) bool {
	if v.Pinning == balancer.PinFlow {
		return true
	}
	shapes := make(map[int][]int)
	for i := range v.Service.Key.Variants {
		vr := &v.Service.Key.Variants[i]
		p, n := pieces(vr), vr.KeyLen()
		sum := 0
		for _, l := range p {
			sum += (l + 3) &^ 3
		}
		if len(p) > 1 && sum > 16 || shapes[n] != nil && !slices.Equal(shapes[n], p) {
			return false
		}
		shapes[n] = p
	}
	return true
}

// Whatever is configured, what operators see without nft must be what nft shows
// them, and what nft loads must be the same table.
func TestTextOfRandomServices(t *testing.T) {
	tool := goldenTool(t)
	b := newBed(t)
	const rounds = 12
	ran, loaded := 0, 0
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			ran++
			d := dice{rand.New(rand.NewPCG(seed, 1))}
			services := []*balancer.Service{d.service(b, "one", 0), d.service(b, "two", 20)}[:1+d.IntN(2)]
			if err := b.rules.Flush(); err != nil {
				t.Fatal(err)
			}
			var views []*balancer.View
			for _, s := range services {
				views = append(views, balancer.NewView(s, b.rules.Features().Capabilities, nil, unbound{}))
			}
			snap := balancer.NewSnapshot(balancer.Marks{Mask: 0xffff << d.IntN(3)}, uint16(d.IntN(1000)), views)
			if err := b.rules.Apply(Compile(snap, balancer.Queues{First: uint16(d.IntN(9)), Count: uint16(1 + d.IntN(4))}, b.rules.Features())); err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				var es []balancer.Element
				for i := range v.Service.Key.Variants {
					for range d.IntN(20) {
						es = append(es, balancer.Element{Key: d.bytes(v.Service.Key.Variants[i].KeyLen()), Backend: 1, V6: d.IntN(2) == 0, Timeout: time.Hour})
					}
				}
				if err := b.rules.Put(v, 0, es); err != nil && v.Service.MaxSessions > 100 {
					t.Fatal(err)
				}
			}
			sameText(t, "the text is not as nft lists", b.normal(list(t, b.LB, tool, "-s")), b.normal(textOf(t, b.rules, TextOptions{Slots: true, Sessions: true, Stateless: true})))
			if slices.ContainsFunc(views, func(v *balancer.View) bool { return !loadable(v) }) {
				return
			}
			loaded++
			b.loadsAgain(t, tool)
		})
	}
	if ran == rounds && loaded < 3 {
		t.Errorf("only %d of the tables could be loaded", loaded)
	}
}
