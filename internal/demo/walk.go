package demo

import (
	"context"
	"encoding/binary"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/internal/lab"
)

// walker is a session that speaks now and then, and moves.
type walker struct {
	of session
	at netip.AddrPort
	by int // who answered last, -1 for nobody
}

// walk is the sessions of a service while the network stays up: they speak,
// move, end and begin, and their number stays. Of every so many datagrams one is
// something special; 0 is never.
type walk struct {
	port     uint16
	sessions int
	rate     int // datagrams a second, on average
	roams    int // comes from a new place
	begins   int // is the first of a new session, which takes another one's turn
	usurps   int // of those that begin, one is where the other one was: a takeover
	keyless  int // is too short for a key
	payload  func(of session, number uint64) []byte

	walkers []walker
	sent    int
	begun   int
}

// walks are the services' sessions, in the order of their services.
func walks() []*walk {
	return []*walk{
		{port: vpnPort, sessions: 24, rate: 12, roams: 12, begins: 60, payload: func(of session, _ uint64) []byte { return of.payload() }},
		{port: gamePort, sessions: 80, rate: 28, roams: 40, begins: 30, usurps: 3, payload: gamePayload},
		{port: tunnelPort, sessions: 16, rate: 10, roams: 25, begins: 80, usurps: 2, keyless: 50, payload: tunnelPayload},
	}
}

// turn is whose datagram it is: a walker may be another session when the answer
// comes. Nobody's is the zero turn.
type turn struct {
	*walker
	of session
}

// next is whose turn it is, and what they send. Backends answer with what was
// sent, so that no two datagrams of a walk are alike.
func (w *walk) next(p *places) (turn, lab.Datagram) {
	w.sent++
	whose := w.sent % w.sessions
	if w.walkers == nil { // never grows: turns point into it
		w.walkers = make([]walker, 0, w.sessions)
	}
	if len(w.walkers) < w.sessions {
		w.walkers = append(w.walkers, walker{of: newSession(), at: p.fresh(len(w.walkers)%3 == 2), by: -1})
		whose = len(w.walkers) - 1
	}
	k := &w.walkers[whose]
	switch {
	case every(w.begins, w.sent):
		w.begun++
		at := k.at
		if !every(w.usurps, w.begun) {
			at = p.fresh(at.Addr().Is6())
		}
		*k = walker{of: newSession(), at: at, by: -1}
	case every(w.roams, w.sent):
		k.at = moves[w.sent/w.roams%len(moves)].apply(k.at, p)
	}
	d := lab.Datagram{Src: k.at, Dst: listener(w.port, k.at.Addr().Is6()), Payload: w.payload(k.of, datagrams.Add(1))}
	if every(w.keyless, w.sent) {
		d.Payload = binary.BigEndian.AppendUint32([]byte{tunnelKeepalive}, uint32(w.sent))
		return turn{}, d
	}
	return turn{k, k.of}, d
}

func every(n, i int) bool { return n > 0 && i%n == 0 }

// strollTick is how often datagrams are sent.
const strollTick = 250 * time.Millisecond

// stroll lets several services' sessions walk until ctx ends. It is bounded: a
// few dozen datagrams a second, more by day than by night, and at most a few
// ticks' that wait for their answers.
type stroll struct {
	bed    *bed
	places places
	walks  []*walk
	due    []float64 // datagrams of each walk that are not yet sent

	mu  sync.Mutex // guards what follows, and the walkers' by
	sum strollSum
}

// strollSum is what has become of the datagrams. moved are those that another
// backend answered than the one before.
type strollSum struct{ sent, answered, moved, sessions int }

// day is how long traffic takes to rise and fall.
const day = 2 * time.Minute

func newStroll(b *bed) *stroll {
	s := &stroll{bed: b, places: places{first: strollPlaces, last: strollPlaces}, walks: walks()}
	s.due = make([]float64, len(s.walks))
	return s
}

// run sends until ctx ends, and calls show with what has been since the start.
func (s *stroll) run(ctx context.Context, show func(strollSum)) error {
	const waiting = 16 // ticks; patience is less than they take
	var g errgroup.Group
	g.SetLimit(waiting)
	tick := time.NewTicker(strollTick)
	defer tick.Stop()
	for begun := time.Now(); ctx.Err() == nil; {
		list, turns := s.tick(time.Since(begun))
		g.Go(func() error { return s.exchange(ctx, list, turns) })
		s.mu.Lock()
		sum := s.sum
		s.mu.Unlock()
		show(sum)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// tick returns the datagrams that are due, and whose they are.
func (s *stroll) tick(since time.Duration) (list []lab.Datagram, turns []turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	light := 1 - 0.5*math.Cos(2*math.Pi*since.Seconds()/day.Seconds())
	s.sum.sessions = 0
	for i, w := range s.walks {
		s.due[i] += float64(w.rate) * light * strollTick.Seconds()
		for ; s.due[i] >= 1; s.due[i]-- {
			t, d := w.next(&s.places)
			list, turns = append(list, d), append(turns, t)
		}
		s.sum.sessions += len(w.walkers)
	}
	return list, turns
}

// exchange sends and waits for the answers.
func (s *stroll) exchange(ctx context.Context, list []lab.Datagram, turns []turn) error {
	replies, err := s.bed.clients.ExchangeAll(ctx, list, 0, patience)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range replies {
		s.sum.sent++
		by := answerer(r)
		if by < 0 {
			continue
		}
		s.sum.answered++
		t := turns[i]
		if t.walker == nil || t.walker.of != t.of {
			continue
		}
		if t.by >= 0 && t.by != by {
			s.sum.moved++
		}
		t.by = by
	}
	return nil
}
