package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// fate is what happens to the daemon while traffic flows.
type fate struct {
	begun time.Time

	mu             sync.Mutex // guards what follows
	killed, serves time.Time
	notes          []note
}

type note struct {
	at   time.Duration // since begun
	text string
}

// add notes what has just happened.
func (f *fate) add(text string) time.Time {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = append(f.notes, note{now.Sub(f.begun), text})
	return now
}

// in returns the notes of a second, counted from 1.
func (f *fate) in(second int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, n := range f.notes {
		if int(n.at/time.Second)+1 == second {
			list = append(list, fmt.Sprintf("%.2f s %s", n.at.Seconds(), n.text))
		}
	}
	from := f.begun.Add(time.Duration(second-1) * time.Second)
	dead := !f.killed.IsZero() && f.killed.Before(from) && (f.serves.IsZero() || f.serves.After(from.Add(time.Second)))
	if len(list) == 0 && dead {
		return "nobody: the kernel decides alone"
	}
	return strings.Join(list, ", ")
}

var killTable = table{{"second", 6, true}, {"sent", 6, true}, {"answered", 8, true}, {"lost", 4, true}, {"misplaced", 9, true}, {"", 34, false}}

// kill shows what traffic loses when the daemon crashes: nothing.
func (s *show) kill(ctx context.Context) error {
	seconds := int(s.opts.Size.Traffic / time.Second)
	t := newTraffic(s.bed, &s.crowd, s.settings.home, s.opts.Size.Rate)
	s.text("%s datagrams a second: half on established flows of %s sessions, a quarter from new sessions, "+
		"a quarter from sessions that have just roamed. Misplaced is what another backend answers than the session's own.",
		count(t.rate), count(poolSize))
	s.blank()
	s.head(killTable)
	sum := t.begin(ctx)
	if sum.err != nil {
		return sum.err
	}
	s.showTally("before", sum, fmt.Sprintf("the %s sessions begin", count(poolSize)))
	f := &fate{begun: time.Now()}
	g, both := errgroup.WithContext(ctx)
	g.Go(func() error { return s.crash(both, f, time.Duration(seconds)*time.Second) })
	g.Go(func() error {
		return t.run(both, seconds, func(second int, one tally) {
			sum.add(one)
			s.showTally(count(second), one, f.in(second))
		})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	s.showTally("all", sum, "")
	s.showKill(&sum, f)
	return s.deletesAgain(ctx)
}

// crash kills the daemon a third of the time into the traffic, and starts it
// again after another quarter.
func (s *show) crash(ctx context.Context, f *fate, traffic time.Duration) error {
	if sleep(ctx, traffic*5/16); ctx.Err() != nil {
		return ctx.Err()
	}
	old := s.daemon.pid()
	s.daemon.kill()
	killed := f.add(fmt.Sprintf("SIGKILL to process %d", old))
	f.mu.Lock()
	f.killed = killed
	f.mu.Unlock()
	if sleep(ctx, traffic/4); ctx.Err() != nil {
		return ctx.Err()
	}
	f.add("start")
	if _, err := s.daemon.start(ctx); err != nil {
		return err
	}
	serves := f.add("serves again")
	f.mu.Lock()
	f.serves = serves
	f.mu.Unlock()
	return nil
}

func (s *screen) showTally(name string, t tally, what string) {
	figure := func(n int) cell {
		if n > 0 {
			return bad.of("%s", count(n))
		}
		return normal.of("0")
	}
	s.row(killTable, normal.of("%s", name), normal.of("%s", count(t.sent)), normal.of("%s", count(t.answered)),
		figure(t.lost()), figure(t.misplaced), dim.of("%s", what))
}

// showKill says what the figures mean.
func (s *screen) showKill(sum *tally, f *fate) {
	alone := sum.during(f.killed, f.serves)
	s.blank()
	s.text("For %s there was no daemon. Its keeper, a small process that outlives it, let pass what waited in the queues; "+
		"from then on the kernel's own rules decided by the same hash and ring, and recorded what they decided.",
		span(f.serves.Sub(f.killed)))
	total := 0
	for _, n := range alone {
		total += n
	}
	s.claim(sum.lost() == 0, "lost: %s of %s datagrams", count(sum.lost()), count(sum.sent))
	s.claim(sum.misplaced == 0 && sum.answered > 0, "misplaced: %s of %s answers", count(sum.misplaced), count(sum.answered))
	s.claim(alone[beginning] > 0 && alone[roaming] > 0, "%s answers meanwhile, %s to new sessions and %s to roamed ones",
		count(total), count(alone[beginning]), count(alone[roaming]))
}

// deletesAgain shows that the second daemon has taken up the first one's work.
func (s *show) deletesAgain(ctx context.Context) error {
	zones, err := s.zones()
	if err != nil {
		return err
	}
	delay, ok, err := s.timeOne(ctx, 0, zones)
	if err != nil {
		return err
	}
	if !ok {
		s.claim(false, "the second daemon does not delete a stale entry within %s", span(staleLimit))
		return nil
	}
	s.claim(true, "the second daemon deletes stale entries too: %s after the answer", span(delay))
	return nil
}
