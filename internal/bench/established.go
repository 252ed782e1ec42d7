package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const established = "established"

// established measures packets of flows that everybody knows.
func (r *runner) established(ctx context.Context) error {
	return r.each([]string{dnat, hash, session, flow, kernel, ipvsMH, ipvsSH}, func(c contender) (Sample, error) {
		t, err := newTrial(c, r.view, r.packets(r.opts.Size.Established), r.opts.Size.Established)
		if err != nil {
			return Sample{}, err
		}
		values, err := t.known(ctx, r.opts.Size.Packets)
		return Sample{Experiment: established, Values: values}, errors.Join(err, t.bed.close())
	})
}

// known makes all of the trial's flows known, measures packets of them, and
// stops the contender.
func (t *trial) known(ctx context.Context, count int) (values map[string]float64, err error) {
	if err = t.introduce(ctx, introduced); err == nil {
		values, err = t.run(ctx, 0, count, unlimited)
	}
	if err = errors.Join(err, t.running.stop()); err != nil {
		return nil, err
	}
	seen, err := t.running.asked()
	if err != nil {
		return nil, err
	}
	if seen.packets > t.contender.introductions()*t.train.Len() {
		return nil, fmt.Errorf("user space was asked about %d packets of %d known flows", seen.packets, t.train.Len())
	}
	values[asked] = float64(seen.packets)
	return values, nil
}

// introduced is how many first packets a second none is lost of.
const introduced = 40_000

// introductions are how many packets of a flow make it known. The kernel learns a
// session that Go has bound with the first that comes 10 ms or more behind the
// first, and forgets it after 30 s without an answer: more packets, where flows
// are many, would only take of that time.
func (c *contender) introductions() int {
	if c.name == session {
		return 2
	}
	return 1
}

// introduce sends the first packets of all flows.
func (t *trial) introduce(ctx context.Context, perSecond int) error {
	for range t.contender.introductions() {
		values, err := t.run(ctx, 0, t.train.Len(), perSecond)
		if err != nil {
			return err
		}
		if n := values[lost]; n > 0 && perSecond != unlimited {
			return fmt.Errorf("%.0f of %d first packets are lost", n, t.train.Len())
		}
		if err := sleep(ctx, 30*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
