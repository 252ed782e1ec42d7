package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/ctsync"
	"github.com/roamlb/roamlb/internal/lab"
)

const roams = "roams"

// roams lets sessions roam at a steady rate and measures when, after the
// backend's answer at the new address, the entry of the old one is gone.
func (r *runner) roams(ctx context.Context) error {
	return r.each([]string{session, flow, kernel}, func(c contender) (Sample, error) {
		values, err := r.roamsOf(ctx, c)
		return Sample{Experiment: roams, Values: values}, err
	})
}

// wanderers are sessions that roam. Flow number k*n+i is session i's k-th.
type wanderers struct {
	n, flows int
	answered []atomic.Int64 // by flow: when its backend answered, in nanoseconds of the machine's clock
	deleted  []atomic.Int64 // by flow: when its entry was gone
	arrived  atomic.Uint64
}

func newWanderers(n, times int) *wanderers {
	flows := n * (times + 1)
	return &wanderers{n: n, flows: flows, answered: make([]atomic.Int64, flows), deleted: make([]atomic.Int64, flows)}
}

func (w *wanderers) packets() [][]byte {
	list := make([][]byte, w.flows)
	for i := range list {
		list[i] = packet(i%w.n, i)
	}
	return list
}

// arrive notes what reached a backend, which answers it at once.
func (w *wanderers) arrive(a lab.Arrival) {
	if i, ok := numberOf(a.Payload); ok && i < w.flows {
		w.answered[i].Store(a.Time.UnixNano())
		w.arrived.Add(1)
	}
}

// events notes what conntrack says has ended.
func (w *wanderers) events(list []ctsync.Event) {
	now := time.Now().UnixNano()
	for _, e := range list {
		if i := flowOf(e.Client); e.Destroyed && i >= 0 && i < w.flows {
			w.deleted[i].Store(now)
		}
	}
}

// delays are how long each old entry outlived the answer at the new address,
// in µs, sorted, and how many entries did not end.
func (w *wanderers) delays() (took []float64, left int) {
	for i := range w.flows - w.n {
		gone, answer := w.deleted[i].Load(), w.answered[i+w.n].Load()
		if gone == 0 {
			left++
		} else {
			took = append(took, float64(gone-answer)/1000)
		}
	}
	slices.Sort(took)
	return took, left
}

func (r *runner) roamsOf(ctx context.Context, c contender) (values map[string]float64, err error) {
	b, err := newBed()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	w := newWanderers(r.opts.Size.Roaming, r.opts.Size.Roams)
	if err := b.answer(w.arrive); err != nil {
		return nil, err
	}
	sys, err := c.started(b)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sys.stop()) }()
	var conntrack *ctsync.Kernel
	if err := b.net.LB.Do(func() (err error) { conntrack, err = ctsync.NewKernel(); return err }); err != nil {
		return nil, err
	}
	defer conntrack.Close()
	if err := w.roam(ctx, b, conntrack, r.opts.Size.RoamRate); err != nil {
		return nil, err
	}
	took, left := w.delays()
	entries, err := countEntries(conntrack)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		sent: float64(w.flows), lost: float64(w.flows) - float64(w.arrived.Load()), offered: float64(r.opts.Size.RoamRate),
		p50: percentile(took, 0.50), p99: percentile(took, 0.99), leftBehind: float64(max(left, entries-w.n)),
	}, nil
}

// roam sends everything, and gives the last deletions time.
func (w *wanderers) roam(ctx context.Context, b *bed, conntrack *ctsync.Kernel, perSecond int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	ready := make(chan struct{})
	var missed atomic.Uint64
	g.Go(func() error {
		err := conntrack.Events(ctx, ourMark(), func() { close(ready) }, w.events, func() { missed.Add(1) })
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	<-ready
	if _, err := b.raw.Train(w.packets()).Send(ctx, 0, w.flows, perSecond); err != nil {
		return err
	}
	if err := await(ctx, w.arrived.Load, w.flows); err != nil {
		return err
	}
	const patience = 2 * time.Second
	for deadline := time.Now().Add(lab.Slow(patience)); time.Now().Before(deadline); {
		if _, left := w.delays(); left == 0 {
			break
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	stop()
	if err := g.Wait(); err != nil {
		return err
	}
	if n := missed.Load(); n > 0 {
		return fmt.Errorf("conntrack's events were lost %d times: the machine is too busy to measure", n)
	}
	return nil
}

// ourMark is the bit of the ct mark of entries that roamlb made.
func ourMark() uint32 { return balancer.Marks{Mask: defaultMarkMask}.Ours() }

const defaultMarkMask = 0xffff

// countEntries counts the entries that roamlb made.
func countEntries(conntrack *ctsync.Kernel) (int, error) {
	n := 0
	err := conntrack.Dump(ourMark(), ourMark(), func(*ctsync.Entry) bool { n++; return true })
	return n, err
}
