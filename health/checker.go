package health

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/balancer"
)

// atOnce is how many probes may be on their way at the same time: each holds a
// goroutine and a descriptor.
const atOnce = 512

// Options is what a Checker needs from its caller.
type Options struct {
	// Prober makes what probes as a service asks; nil: NewProber.
	Prober func(*balancer.Health) (Prober, error)
	// Tell takes each transition, from one goroutine, before Standings shows
	// it. It must not block and must not call the Checker; nil: nobody is told.
	Tell func(Transition)
	Log  *slog.Logger
}

// Checker probes targets while it runs. Its methods may be called from any
// goroutine.
type Checker struct {
	opts    Options
	wake    chan struct{} // there is news for the loop; full: it knows
	changed chan struct{} // the standings differ; full: the reader is due already
	settled chan struct{} // closed once every target of the first Set was probed, or is gone

	mu        sync.Mutex // guards the following
	wanted    []Target
	renewed   bool            // wanted has not been taken in
	refused   map[uint16]bool // since the last look; nil for none
	standings map[uint16]Standing
}

// New makes a Checker without targets.
func New(o Options) *Checker {
	if o.Prober == nil {
		o.Prober = NewProber
	}
	if o.Tell == nil {
		o.Tell = func(Transition) {}
	}
	return &Checker{
		opts: o, standings: make(map[uint16]Standing),
		wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), settled: make(chan struct{}),
	}
}

// Set makes targets what is probed; it may be repeated. What is known of a
// backend stays as long as it is a target with the same addresses.
func (c *Checker) Set(targets []Target) {
	c.mu.Lock()
	c.wanted, c.renewed = targets, true
	c.mu.Unlock()
	signal(c.wake)
}

// Refused tells that a packet to the backend was refused. It never blocks; of
// many calls between two looks one counts.
func (c *Checker) Refused(id uint16) {
	c.mu.Lock()
	if c.refused == nil {
		c.refused = make(map[uint16]bool)
	}
	c.refused[id] = true
	c.mu.Unlock()
	signal(c.wake)
}

// Standings is what is known of the targets by backend id; a copy.
func (c *Checker) Standings() map[uint16]Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.standings)
}

// Changed has a value when a state or a share in Standings differs from what it
// was.
func (c *Checker) Changed() <-chan struct{} { return c.changed }

// Settled is closed once each target of the first Set has been probed, or is a
// target no longer.
func (c *Checker) Settled() <-chan struct{} { return c.settled }

func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// result is how a probe ended.
type result struct {
	subject      *subject
	err          error
	inconclusive bool
}

// loop is what Run keeps: no other goroutine touches it.
type loop struct {
	*Checker
	subjects map[uint16]*subject
	agenda   agenda
	results  chan result // holds as many as can be on their way: no probe waits
	flying   int
	unprobed int // subjects of the first Set that have not been probed yet
	aimed    bool
}

// Run probes until ctx ends, and returns nil when every probe is over. It is
// called once.
func (c *Checker) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	l := &loop{Checker: c, subjects: make(map[uint16]*subject), results: make(chan result, atOnce)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return g.Wait()
		case <-c.wake:
			l.takeIn(time.Now())
		case r := <-l.results:
			l.land(r, time.Now())
		case <-timer.C:
		}
		l.act(ctx, g, time.Now())
		if len(l.agenda) > 0 && l.flying < atOnce {
			timer.Reset(time.Until(l.agenda[0].at))
		} else { // nothing is due, or nothing can be done before a probe ends
			timer.Stop()
		}
	}
}

// act does what is due.
func (l *loop) act(ctx context.Context, g *errgroup.Group, now time.Time) {
	for len(l.agenda) > 0 && !l.agenda[0].at.After(now) {
		s := l.agenda[0]
		if !s.flying && !s.due.After(now) {
			if l.flying == atOnce {
				return
			}
			l.launch(ctx, g, s, now)
		}
		l.update(s, now)
	}
}

func (l *loop) launch(ctx context.Context, g *errgroup.Group, s *subject, now time.Time) {
	s.launch(now)
	l.flying++
	target, prober := s.target, s.prober
	g.Go(func() error {
		err := probe(ctx, &target, prober)
		l.results <- result{subject: s, err: err, inconclusive: errors.Is(err, ErrInconclusive)}
		return nil
	})
}

// land takes in how a probe ended.
func (l *loop) land(r result, now time.Time) {
	l.flying--
	s := r.subject
	if s.gone {
		return
	}
	first := !s.probed
	if t := s.land(now, &r); t != nil {
		l.opts.Tell(*t)
	}
	l.update(s, now)
	if first {
		l.settle(s)
	}
}

// update shows what is known of a subject, and plans its next date.
func (l *loop) update(s *subject, now time.Time) {
	s.plan(now)
	l.agenda.fix(s)
	l.show(s, now)
}

func (l *loop) show(s *subject, now time.Time) {
	is := s.standing(now)
	l.mu.Lock()
	was, known := l.standings[s.target.ID]
	l.standings[s.target.ID] = is
	l.mu.Unlock()
	if !known || was.State != is.State || was.Share != is.Share {
		signal(l.changed)
	}
}

// takeIn takes in what callers have said since.
func (l *loop) takeIn(now time.Time) {
	l.mu.Lock()
	wanted, renewed, refused := l.wanted, l.renewed, l.refused
	l.renewed, l.refused = false, nil
	l.mu.Unlock()
	if renewed {
		l.aim(wanted, now)
	}
	for id := range refused {
		s := l.subjects[id]
		if s == nil {
			continue
		}
		if t := s.refused(now); t != nil {
			l.opts.Tell(*t)
			l.update(s, now)
		}
	}
}

// aim makes targets the subjects. What has the same settings shares a prober.
func (l *loop) aim(targets []Target, now time.Time) {
	probers := make(map[*balancer.Health]Prober)
	for _, s := range l.subjects {
		probers[s.target.Spec] = s.prober
	}
	before := l.subjects
	l.subjects = make(map[uint16]*subject, len(targets))
	for _, t := range targets {
		p := probers[t.Spec]
		if p == nil {
			p = l.prober(t)
			probers[t.Spec] = p
		}
		s := before[t.ID]
		if s != nil && s.target.Addresses == t.Addresses {
			s.become(t, p)
			delete(before, t.ID)
		} else {
			s = newSubject(t, p, now)
			l.agenda.add(s)
		}
		l.subjects[t.ID] = s
		l.update(s, now)
	}
	for id, s := range before {
		s.gone = true
		l.agenda.remove(s)
		if !s.probed {
			l.settle(s)
		}
		if l.subjects[id] == nil {
			l.mu.Lock()
			delete(l.standings, id)
			l.mu.Unlock()
			signal(l.changed)
		}
	}
	l.begin()
}

// begin counts the subjects of the first Set.
func (l *loop) begin() {
	if l.aimed {
		return
	}
	l.aimed = true
	for _, s := range l.subjects {
		s.early = true
		l.unprobed++
	}
	if l.unprobed == 0 {
		close(l.settled)
	}
}

// settle notes that a subject has been probed for the first time.
func (l *loop) settle(s *subject) {
	if !s.early {
		return
	}
	if l.unprobed--; l.unprobed == 0 {
		close(l.settled)
	}
}

func (l *loop) prober(t Target) Prober {
	p, err := l.opts.Prober(t.Spec)
	if err == nil {
		return p
	}
	l.opts.Log.Error("backends cannot be probed", "service", t.Service, "error", err)
	return unable{err}
}

// probe asks every address of a target, one after the other, each with the
// timeout; the first that does not answer ends it.
func probe(ctx context.Context, t *Target, p Prober) error {
	for _, to := range t.Addresses {
		if !to.IsValid() {
			continue
		}
		if err := probeOne(ctx, to, t.Spec.Timeout, p); err != nil {
			return err
		}
	}
	return nil
}
