package demo

import (
	"context"
	"net/netip"

	"github.com/roamlb/roamlb/internal/lab"
)

// takeover is a session that leaves a client address and another one that gets
// it while the old entry lives.
type takeover struct {
	leaver, heir session
	packets      [4]packet
}

// packet is one of a takeover's.
type packet struct {
	of   session
	from netip.AddrPort
	home int    // the backend, counted from 0, that it belongs to
	by   [2]int // who answered: roamlb's network, the plain one; -1 for nobody
}

// newTakeover makes sessions of different backends and their places.
func (s *show) newTakeover() *takeover {
	t := &takeover{leaver: newSession()}
	for t.heir = newSession(); s.settings.home(t.heir) == s.settings.home(t.leaver); {
		t.heir = newSession()
	}
	old, next, other := s.places.fresh(false), s.places.fresh(false), s.places.fresh(false)
	t.packets = [4]packet{
		{of: t.leaver, from: old},
		{of: t.leaver, from: next}, // roams
		{of: t.heir, from: other},
		{of: t.heir, from: old}, // takes over
	}
	for i := range t.packets {
		t.packets[i].home = s.settings.home(t.packets[i].of)
	}
	return t
}

// takeover shows what becomes of sessions that get an address whose old entry
// still lives: with roamlb and, the same packets, with plain nftables.
func (s *show) takeover(ctx context.Context) error {
	n := s.opts.Size.Takeovers
	s.text("Here the stale entry stays on purpose (stale: never), and somebody else gets the address and port meanwhile. " +
		"roamlb tracks each backend's flows in a conntrack zone of their own, where a newcomer never meets it. " +
		"The same packets go to plain nftables in the second network: jhash of the key, the same seed and ring, dnat at prerouting.")
	var list []*takeover
	for range n {
		list = append(list, s.newTakeover())
	}
	for step := range len(list[0].packets) {
		s.progress("packet %d of each of %d takeovers", step+1, n)
		if err := s.sendTakeovers(ctx, list, step); err != nil {
			return err
		}
	}
	var alive [2]int
	for i, b := range []*bed{s.bed, s.plain} {
		var err error
		if alive[i], err = oldEntries(b, list); err != nil {
			return err
		}
	}
	s.showTakeover(list[0])
	s.showTakeovers(list, alive)
	return nil
}

// sendTakeovers sends one packet of each takeover, in both networks.
func (s *show) sendTakeovers(ctx context.Context, list []*takeover, step int) error {
	var datagrams []lab.Datagram
	for _, t := range list {
		p := &t.packets[step]
		datagrams = append(datagrams, lab.Datagram{Src: p.from, Dst: listener(keptPort, false), Payload: p.of.payload()})
	}
	for i, b := range []*bed{s.bed, s.plain} {
		replies, err := b.exchangeAll(ctx, datagrams)
		if err != nil {
			return err
		}
		for j, t := range list {
			t.packets[step].by[i] = answerer(replies[j])
		}
	}
	return nil
}

// oldEntries counts the entries that the leavers have left and that still lead
// to their backends.
func oldEntries(b *bed, list []*takeover) (int, error) {
	entries, err := openEntries(b.LB)
	if err != nil {
		return 0, err
	}
	defer entries.close()
	left := make(map[netip.AddrPort]netip.Addr)
	for _, t := range list {
		left[t.packets[0].from] = b.Backends[t.packets[0].home].IPv4
	}
	old, err := entries.dump(func(e entry) bool {
		return e.listener.Port() == keptPort && left[e.client] == e.backend.Addr()
	})
	return len(old), err
}

// showTakeover shows one takeover, packet by packet.
func (s *screen) showTakeover(t *takeover) {
	columns := table{{"packet", 43, false}, {"belongs to", 10, false}, {"roamlb", 6, false}, {"plain DNAT", 10, false}}
	s.blank()
	s.head(columns)
	old := t.packets[0].from
	for i, text := range []string{
		"session " + t.leaver.String() + " at " + old.String(),
		"  roams to " + t.packets[1].from.String(),
		"session " + t.heir.String() + " at " + t.packets[2].from.String(),
		"  gets the old place, " + old.String(),
	} {
		p := &t.packets[i]
		s.row(columns, normal.of("%s", text), inkOf(p.home).of("%s", serverName(p.home)), s.answerOf(p, 0), s.answerOf(p, 1))
	}
}

// answerOf is who answered a packet in one of the networks.
func (s *screen) answerOf(p *packet, network int) cell {
	switch by := p.by[network]; {
	case by < 0:
		return bad.of("%s none", s.glyphs.cross)
	case by != p.home:
		return bad.of("%s %s", s.glyphs.cross, serverName(by))
	default:
		return inkOf(by).of("%s %s", s.glyphs.tick, serverName(by))
	}
}

// showTakeovers sums up all takeovers.
func (s *screen) showTakeovers(list []*takeover, alive [2]int) {
	n := len(list)
	var right, wrong [2]int
	before := 0 // packets before the takeover that went right in both networks
	for _, t := range list {
		for _, p := range t.packets[:3] {
			if p.by == [2]int{p.home, p.home} {
				before++
			}
		}
		last := &t.packets[3]
		for i, by := range last.by {
			switch by {
			case last.home:
				right[i]++
			case -1:
			default:
				wrong[i]++
			}
		}
	}
	columns := table{{"", 27, false}, {"roamlb", 6, true}, {"", 11, false}, {"plain DNAT", 10, true}, {"", 11, false}}
	s.blank()
	s.head(columns)
	row := func(what string, values [2]int, paint ink) {
		cells := []cell{normal.of("%s", what)}
		for _, v := range values {
			cells = append(cells, normal.of("%d", v), paint.of("%s", s.bar(float64(v), float64(n), 11)))
		}
		s.row(columns, cells...)
	}
	row("old entry alive at the end", alive, dim)
	row("right backend answered", right, good)
	row("wrong backend answered", wrong, bad)
	s.blank()
	s.claim(before == 3*n, "before that %d of %d packets at the right backend in both networks", before, 3*n)
	s.claim(right[0] == n && alive[0] == n, "roamlb: %d of %d at the right backend, beside %d living old entries", right[0], n, alive[0])
	s.claim(wrong[1] == n, "plain DNAT: %d of %d at the wrong backend, sent there by %d old entries", wrong[1], n, alive[1])
}
