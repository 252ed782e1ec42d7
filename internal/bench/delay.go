package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

const delay = "delay"

// delays measures how long first packets of new flows are under way, at a
// steady rate: from the system call that sends one to its arrival in the
// backend's namespace, as the kernel noted it there.
func (r *runner) delays(ctx context.Context) error {
	return r.each([]string{dnat, hash, session, flow, kernel, simple}, func(c contender) (Sample, error) {
		values, err := r.delayOf(ctx, c)
		return Sample{Experiment: delay, Values: values}, err
	})
}

func (r *runner) delayOf(ctx context.Context, c contender) (values map[string]float64, err error) {
	n := r.opts.Size.Timed
	b, err := newBed()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	at := make([]int64, n)
	var arrived atomic.Uint64
	err = b.listen(true, func(_ uint8, p []byte, when int64) {
		if i, ok := numberOf(p); ok && i < n {
			at[i] = when
			arrived.Add(1)
		}
	})
	if err != nil {
		return nil, err
	}
	sys, err := c.started(b)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sys.stop()) }()
	sentAt := make([]int64, n)
	if err := b.raw.Train(r.packets(n)).SendTimed(ctx, r.opts.Size.TimedRate, sentAt); err != nil {
		return nil, err
	}
	if err := await(ctx, arrived.Load, n); err != nil {
		return nil, err
	}
	var took []float64
	for i := range at {
		if at[i] != 0 {
			took = append(took, float64(at[i]-sentAt[i])/1000)
		}
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("none of %d arrived", n)
	}
	slices.Sort(took)
	return map[string]float64{
		sent: float64(n), lost: float64(n - len(took)), offered: float64(r.opts.Size.TimedRate),
		p50: percentile(took, 0.50), p99: percentile(took, 0.99),
	}, nil
}
