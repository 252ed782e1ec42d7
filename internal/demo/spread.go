package demo

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// spreading is what came of sending many sessions their first datagram.
type spreading struct {
	sent, foreign int   // datagrams; answers that came from elsewhere than the listener
	by            []int // answers of each backend
	took          time.Duration
}

// spread shows that the backends' shares of sessions follow their weights.
func (s *show) spread(ctx context.Context) error {
	n := s.opts.Size.Sessions
	s.text("%s new sessions, each from a client of its own, every other one over IPv6.", count(n))
	s.progress("sending")
	var list []lab.Datagram
	for i := range n {
		v6 := i%2 == 1
		list = append(list, lab.Datagram{Src: s.crowd.fresh(v6), Dst: listener(vpnPort, v6), Payload: newSession().payload()})
	}
	begun := time.Now()
	replies, err := s.bed.exchangeAll(ctx, list)
	if err != nil {
		return err
	}
	r := spreading{sent: n, by: make([]int, len(weights)), took: time.Since(begun)}
	for i, reply := range replies {
		if by := answerer(reply); by >= 0 {
			r.by[by]++
		}
		if reply.Answered() && reply.From != list[i].Dst {
			r.foreign++
		}
	}
	s.showSpreading(&r)
	return nil
}

func (s *screen) showSpreading(r *spreading) {
	answered, total := 0, 0
	for i, n := range r.by {
		answered += n
		total += weights[i]
	}
	t := table{{"backend", 7, false}, {"weight", 6, true}, {"wanted", 6, true}, {"share", 6, true}, {"sessions", 8, true}, {"", 33, false}}
	s.blank()
	s.head(t)
	worst, limit := 0.0, 0.0
	whole := max(0.75, float64(slices.Max(r.by))/float64(max(answered, 1))) // what the longest bar stands for
	for i, n := range r.by {
		want := float64(weights[i]) / float64(total)
		share := float64(n) / float64(max(answered, 1))
		worst = max(worst, math.Abs(share-want))
		limit = max(limit, tolerance(want, r.sent))
		s.row(t, inkOf(i).of("%s", serverName(i)), normal.of("%d", weights[i]), normal.of("%.1f%%", 100*want),
			normal.of("%.1f%%", 100*share), normal.of("%s", count(n)), inkOf(i).of("%s", s.bar(share, whole, 33)))
	}
	s.blank()
	s.claim(answered == r.sent, "%s of %s sessions answered, in %s", count(answered), count(r.sent), span(r.took))
	s.claim(r.foreign == 0 && answered > 0, "%s of %s answers came from the listener's own address", count(answered-r.foreign), count(answered))
	s.claim(worst <= limit, "shares are at most %.1f points off the weights (chance can make %.1f)", 100*worst, 100*limit)
}

// tolerance is how far the share of a backend that gets each of n sessions with
// probability p can be from p: five standard deviations, and the slots of a
// ring that are not exactly its.
func tolerance(p float64, n int) float64 {
	return 5*math.Sqrt(p*(1-p)/float64(n)) + 0.001
}
