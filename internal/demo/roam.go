package demo

import (
	"context"
	"net/netip"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// move is a change of place.
type move struct {
	name          string
	address, port bool
	v6            bool // only where address is set
}

// moves are what happens to a phone: new networks, new NAT bindings.
var moves = []move{
	{"address", true, false, false},
	{"port", false, true, false},
	{"to IPv6", true, true, true},
	{"address", true, false, true},
	{"port", false, true, true},
	{"to IPv4", true, true, false},
	{"both", true, true, false},
	{"port", false, true, false},
	{"to IPv6", true, true, true},
	{"both", true, true, true},
	{"to IPv4", true, true, false},
	{"address", true, false, false},
}

// apply returns where a client is after the move.
func (m move) apply(from netip.AddrPort, p *places) netip.AddrPort {
	to := p.fresh(m.address && m.v6 || !m.address && from.Addr().Is6())
	if !m.address {
		to = netip.AddrPortFrom(from.Addr(), to.Port())
	}
	if !m.port {
		to = netip.AddrPortFrom(to.Addr(), from.Port())
	}
	return to
}

// roam shows one client's way.
func (s *show) roam(ctx context.Context) error {
	of := s.settings.sessionAt(0)
	at := s.places.fresh(false)
	first, took, err := s.bed.exchange(ctx, at, listener(vpnPort, false), of)
	if err != nil {
		return err
	}
	home := answerer(first)
	s.text("Session %s begins at %s. Its backend has one share in eight: luck would not find it again and again.", of, at)
	s.blank()
	s.head(roamTable)
	s.showMove("", netip.AddrPort{}, at, first, took)
	kept, own := 0, 0
	for i := range s.opts.Size.Roams {
		s.pause(ctx, 300*time.Millisecond)
		m := moves[i%len(moves)]
		to := m.apply(at, &s.places)
		dst := listener(vpnPort, to.Addr().Is6())
		reply, took, err := s.bed.exchange(ctx, to, dst, of)
		if err != nil {
			return err
		}
		s.showMove(m.name, at, to, reply, took)
		if home >= 0 && answerer(reply) == home {
			kept++
		}
		if reply.From == dst {
			own++
		}
		at = to
	}
	s.blank()
	s.claim(kept == s.opts.Size.Roams, "%d of %d roams answered by the backend where the session began", kept, s.opts.Size.Roams)
	s.claim(own == s.opts.Size.Roams, "%d of %d answers came from the listener's own address", own, s.opts.Size.Roams)
	return nil
}

var roamTable = table{{"from", 22, false}, {"to", 25, false}, {"moved", 7, false}, {"backend", 7, false}, {"answer", 8, true}}

func (s *screen) showMove(name string, from, to netip.AddrPort, r lab.Reply, took time.Duration) {
	origin := "the beginning"
	if from.IsValid() {
		origin = from.String()
	}
	backend, after := bad.of("none"), bad.of("%s", s.glyphs.cross)
	if by := answerer(r); by >= 0 {
		backend, after = inkOf(by).of("%s", serverName(by)), normal.of("%s", span(took))
	}
	s.row(roamTable, dim.of("%s", origin), normal.of("%s %s", s.glyphs.arrow, to), normal.of("%s", name), backend, after)
}
