package demo

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/internal/lab"
)

// kind is what a datagram is to the load balancer.
type kind uint8

const (
	established kind = iota // of a session, from where it was last
	beginning               // of a new session
	roaming                 // of a session, from a new client
	kinds
)

// traffic is datagrams at a steady rate: half of them on established flows, a
// quarter begins sessions, a quarter comes from sessions that have roamed.
type traffic struct {
	bed     *bed
	clients *places
	home    func(session) int
	rate    int // datagrams a second, a multiple of 4
	pool    []session
	at      []netip.AddrPort // where the sessions of the pool are
	next    [kinds]int       // whose turn it is
}

// poolSize is how many sessions speak again and again: so many that none does
// so before its last answer is there.
const poolSize = 1000

func newTraffic(b *bed, clients *places, home func(session) int, rate int) *traffic {
	t := &traffic{bed: b, clients: clients, home: home, rate: rate / 4 * 4}
	t.next[roaming] = poolSize / 2 // far from those that speak meanwhile
	for i := range poolSize {
		t.pool, t.at = append(t.pool, newSession()), append(t.at, clients.fresh(i%2 == 1))
	}
	return t
}

// begin lets each session of the pool begin.
func (t *traffic) begin(ctx context.Context) tally {
	s := &second{}
	for i, of := range t.pool {
		s.add(beginning, of, t.at[i], t.home(of))
	}
	return t.send(ctx, s)
}

// second is the datagrams of a second.
type second struct {
	list  []lab.Datagram
	kinds []kind
	homes []int
}

func (s *second) add(k kind, of session, from netip.AddrPort, home int) {
	s.list = append(s.list, lab.Datagram{Src: from, Dst: listener(vpnPort, from.Addr().Is6()), Payload: of.payload()})
	s.kinds = append(s.kinds, k)
	s.homes = append(s.homes, home)
}

// prepare makes the next second's datagrams.
func (t *traffic) prepare() *second {
	s := &second{}
	for i := range t.rate {
		k := []kind{established, beginning, established, roaming}[i%4]
		var of session
		var from netip.AddrPort
		switch k {
		case beginning:
			of, from = newSession(), t.clients.fresh(i%8 > 3)
		default:
			j := t.next[k] % poolSize
			t.next[k]++
			if k == roaming {
				// the other family every other time
				t.at[j] = t.clients.fresh(t.at[j].Addr().Is6() == (i%8 > 3))
			}
			of, from = t.pool[j], t.at[j]
		}
		s.add(k, of, from, t.home(of))
	}
	return s
}

// tally is what became of a second's datagrams.
type tally struct {
	sent, answered, misplaced int
	answers                   []arrival // in the order of the datagrams
	err                       error
}

// arrival is when an answer came, and to what.
type arrival struct {
	time time.Time
	kind kind
}

func (t tally) lost() int { return t.sent - t.answered }

// add sums tallies up.
func (t *tally) add(more tally) {
	t.sent += more.sent
	t.answered += more.answered
	t.misplaced += more.misplaced
	t.answers = append(t.answers, more.answers...)
}

// during counts the answers that came between two moments, by kind.
func (t tally) during(from, to time.Time) (n [kinds]int) {
	for _, a := range t.answers {
		if a.time.After(from) && a.time.Before(to) {
			n[a.kind]++
		}
	}
	return n
}

// parts is in how many parts a second's datagrams are sent. Whoever is late,
// on a busy machine, catches up within a part: more at once than a part would
// only show how much fits into the sockets' buffers.
const parts = 20

// send sends a second's datagrams at their rate and waits for the answers.
func (t *traffic) send(ctx context.Context, s *second) tally {
	tick := time.NewTicker(time.Second / parts)
	defer tick.Stop()
	replies := make([]lab.Reply, len(s.list))
	g, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		from, to := len(s.list)*i/parts, len(s.list)*(i+1)/parts
		g.Go(func() error {
			part, err := t.bed.clients.ExchangeAll(ctx, s.list[from:to], t.rate, patience)
			copy(replies[from:to], part)
			return err
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := g.Wait(); err != nil {
		return tally{err: err}
	}
	return s.tally(replies)
}

// tally sums up the replies to a second's datagrams.
func (s *second) tally(replies []lab.Reply) tally {
	sum := tally{sent: len(replies)}
	for i, r := range replies {
		if !r.Answered() {
			continue
		}
		sum.answered++
		if answerer(r) != s.homes[i] || r.From != s.list[i].Dst {
			sum.misplaced++
		}
		sum.answers = append(sum.answers, arrival{r.Time, s.kinds[i]})
	}
	return sum
}

// run sends for n seconds, whatever became of the ones before, and hands every
// second's tally to show, in their order and as soon as it is known. It returns
// when all are shown, or with the first error.
func (t *traffic) run(ctx context.Context, n int, show func(int, tally)) error {
	results := make(chan chan tally, n) // a place for each second: never full
	go func() {
		defer close(results)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		next := t.prepare()
		for range n {
			now, result := next, make(chan tally, 1)
			results <- result
			go func() { result <- t.send(ctx, now) }()
			next = t.prepare()
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	second := 0
	var failed error
	for result := range results {
		second++
		sum := <-result
		switch {
		case failed != nil:
		case sum.err != nil:
			failed = sum.err
		default:
			show(second, sum)
		}
	}
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}
