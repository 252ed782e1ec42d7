package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// trial is a contender on a bed, with packets ready to be sent to it.
type trial struct {
	contender contender
	bed       *bed
	running   *running
	tally     *tally
	train     *lab.Train
}

// newTrial starts a contender. The packets are numbered as home and tally have
// them.
func newTrial(c contender, v *balancer.View, list [][]byte, sessions int, members ...string) (t *trial, err error) {
	t = &trial{contender: c, tally: newTally(sessions, func(i int) uint8 { return c.home(v, i) })}
	if t.bed, err = newBed(members...); err != nil {
		return nil, err
	}
	err = t.bed.listen(false, func(backend uint8, p []byte, _ int64) { t.tally.take(backend, p) })
	if err == nil {
		t.running, err = c.started(t.bed)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.name, err), t.close())
	}
	t.train = t.bed.raw.Train(list)
	return t, nil
}

func (t *trial) close() error { return errors.Join(t.running.stop(), t.bed.close()) }

// run sends count packets from the one at first on and says what became of
// them.
func (t *trial) run(ctx context.Context, first, count, perSecond int) (map[string]float64, error) {
	t.tally.reset()
	began, err := t.times()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	took, err := t.train.Send(ctx, first, count, perSecond)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, t.tally.arrived.Load, took); err != nil {
		return nil, err
	}
	ended, err := t.times()
	if err != nil {
		return nil, err
	}
	dropped, err := t.bed.dropped()
	if err != nil {
		return nil, err
	}
	if n := t.tally.strange.Load(); n > 0 || dropped > 0 {
		return nil, fmt.Errorf("the sinks lost %d datagrams and have %d that nobody sent: the machine is too busy to measure", dropped, n)
	}
	arrived := float64(t.tally.arrived.Load())
	return map[string]float64{
		offered: float64(perSecond), sent: float64(took), lost: float64(took) - arrived,
		misplaced:   float64(t.tally.misplaced.Load()),
		rate:        arrived / max(t.bed.last().Sub(start).Seconds(), 1e-6),
		cpuMachine:  microseconds(ended.machine-began.machine) / max(arrived, 1),
		cpuTogether: microseconds(ended.own+ended.process-began.own-began.process) / max(arrived, 1),
		cpuProcess:  microseconds(ended.process-began.process) / max(arrived, 1),
	}, nil
}

// times are the processor times of a moment.
type times struct{ machine, own, process time.Duration }

func (t *trial) times() (times, error) {
	machine, err := machineTime()
	if err != nil {
		return times{}, err
	}
	own, err := processTime(os.Getpid())
	if err != nil {
		return times{}, err
	}
	process, err := t.running.time()
	return times{machine, own, process}, err
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
