package demo

import (
	"context"
	"net/netip"
	"slices"

	"github.com/roamlb/roamlb/internal/lab"
)

// talk is what became of the datagrams of one session.
type talk struct {
	of   session
	home int
	by   [2][]int // for each backend, answers: in roamlb's network, in the plain one
}

// oneSocket shows two sessions behind one client address and port.
func (s *show) oneSocket(ctx context.Context) error {
	const each = 20
	at, to := s.places.fresh(false), listener(vpnPort, false)
	s.text("%d datagrams each, by turns, from %s to %s.", each, at, to)
	talks := [2]*talk{}
	for i := range talks {
		home := []int{0, 2}[i]
		talks[i] = &talk{of: s.settings.sessionAt(home), home: home}
	}
	var list []lab.Datagram
	for i := range 2 * each {
		list = append(list, lab.Datagram{Src: at, Dst: to, Payload: talks[i%2].of.payload()})
	}
	for i, b := range []*bed{s.bed, s.plain} {
		replies, err := b.exchangeAll(ctx, list)
		if err != nil {
			return err
		}
		for j, t := range talks {
			t.by[i] = make([]int, len(weights))
			for k := j; k < len(replies); k += 2 {
				if by := answerer(replies[k]); by >= 0 {
					t.by[i][by]++
				}
			}
		}
	}
	entries, err := s.entriesOf(at)
	if err != nil {
		return err
	}
	s.showTalks(talks[:], each)
	s.blank()
	s.showEntries(entries, netip.AddrPort{})
	zones := make(map[uint16]bool)
	for _, e := range entries {
		zones[e.zone] = true
	}
	ok := 0
	for _, t := range talks {
		ok += t.by[0][t.home]
	}
	s.claim(ok == 2*each, "%d of %d datagrams answered by their session's own backend", ok, 2*each)
	s.claim(len(entries) == 2 && len(zones) == 2, "one 5-tuple, %d conntrack entries in %d zones", len(entries), len(zones))
	return nil
}

func (s *screen) showTalks(talks []*talk, each int) {
	columns := table{{"session", 8, false}, {"belongs to", 10, false}, {"roamlb", 24, false}, {"plain nftables", 24, false}}
	s.blank()
	s.head(columns)
	for _, t := range talks {
		cells := []cell{normal.of("%s", t.of), inkOf(t.home).of("%s", serverName(t.home))}
		for _, by := range t.by {
			most := slices.Index(by, slices.Max(by))
			paint, sign := inkOf(most), s.glyphs.tick
			if by[t.home] != each {
				paint, sign = bad, s.glyphs.cross
			}
			cells = append(cells, paint.of("%s %s answered %d of %d", sign, serverName(most), by[most], each))
		}
		s.row(columns, cells...)
	}
}
