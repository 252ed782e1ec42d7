package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roamlb/roamlb/internal/lab"
)

const restart = "restart"

// restart measures how long a daemon with many sessions is away when it is
// started again, and whether their packets notice.
func (r *runner) restart(ctx context.Context) error {
	list := r.opts.Size.Sessions
	n := list[len(list)-1]
	return r.withRoom(n, func() error {
		return r.each([]string{session}, func(c contender) (Sample, error) {
			values, err := r.restarted(ctx, c, n)
			return Sample{Experiment: restart, Sessions: n, Values: values}, err
		})
	})
}

func (r *runner) restarted(ctx context.Context, c contender, n int) (values map[string]float64, err error) {
	t, err := r.sizedTrial(c, n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.bed.close()) }()
	err = t.introduce(ctx, unlimited)
	if err = errors.Join(err, t.running.stop()); err != nil {
		return nil, err
	}
	var g errgroup.Group
	speaking, stop := context.WithCancel(ctx)
	g.Go(func() (err error) { values, err = t.speak(speaking); return err })
	begin := time.Now()
	t.running, err = c.start(t.bed)
	started := time.Since(begin)
	compared := time.Duration(0)
	if err == nil {
		compared, err = t.compared(ctx, begin)
	}
	stop()
	if t.running != nil {
		err = errors.Join(err, t.running.stop())
	}
	if err = errors.Join(err, g.Wait()); err != nil {
		return nil, err
	}
	values[seconds], values[reconciled] = started.Seconds(), compared.Seconds()
	return values, nil
}

// speak sends packets of known sessions until ctx ends.
func (t *trial) speak(ctx context.Context) (map[string]float64, error) {
	const perSecond = 10_000
	t.tally.reset()
	took := 0
	for ctx.Err() == nil {
		n, err := t.train.Send(ctx, took%t.train.Len(), min(perSecond, t.train.Len()), perSecond)
		took += n
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	if err := await(context.WithoutCancel(ctx), t.tally.arrived.Load, took); err != nil {
		return nil, err
	}
	return map[string]float64{
		sent: float64(took), lost: float64(took) - float64(t.tally.arrived.Load()), misplaced: float64(t.tally.misplaced.Load()),
	}, nil
}

// compared is when, after a moment, the daemon that was started last had
// compared all that it knows with conntrack.
func (t *trial) compared(ctx context.Context, since time.Time) (time.Duration, error) {
	patience := lab.Slow(2 * time.Minute)
	for time.Since(since) < patience {
		lines := t.running.child.lines()
		for i := len(lines) - 1; i >= 0 && !strings.Contains(lines[i], "msg=kernel"); i-- {
			if strings.Contains(lines[i], `msg="conntrack compared"`) {
				return time.Since(since), nil
			}
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("not reconciled after %v", patience)
}
