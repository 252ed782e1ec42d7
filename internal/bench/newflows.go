package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"
)

// The experiments with new flows: as many a second as nothing is lost of, and
// as many as the kernel alone can take.
const (
	newFlows = "new-flows"
	overload = "overload"
)

// newFlows looks for the highest rate at which a contender loses nothing, and
// offers roamlb the one of the kernel alone.
func (r *runner) newFlows(ctx context.Context) error {
	highest := 0.0
	err := r.each([]string{dnat, hash, session, flow, kernel, simple, ipvsMH, ipvsSH}, func(c contender) (Sample, error) {
		values, err := r.lossless(ctx, c)
		if c.name == hash {
			highest = values[rate]
		}
		return Sample{Experiment: newFlows, Values: values}, err
	})
	if err != nil {
		return err
	}
	return r.each([]string{session, flow, kernel}, func(c contender) (Sample, error) {
		values, err := r.attempt(ctx, c, int(highest))
		return Sample{Experiment: overload, Values: values}, err
	})
}

// lossless offers new flows as fast as possible, and where some are lost
// slower and slower until none is.
func (r *runner) lossless(ctx context.Context, c contender) (map[string]float64, error) {
	const tries, step = 12, 0.93
	perSecond := unlimited
	for try := 1; ; try++ {
		values, err := r.attempt(ctx, c, perSecond)
		if err != nil {
			return nil, err
		}
		if values[lost] == 0 {
			return values, nil
		}
		if try == tries {
			return nil, fmt.Errorf("%.0f of %.0f are lost even at %d a second", values[lost], values[sent], perSecond)
		}
		fmt.Fprintf(r.opts.Out, "            %-10s lost %.0f of %.0f at %.0f/s, slower\n", c.name, values[lost], values[sent], values[rate])
		if perSecond == unlimited {
			perSecond = int(values[rate])
		}
		perSecond = int(float64(perSecond) * step)
	}
}

// attempt sends the first packets of new flows, for some seconds at most.
func (r *runner) attempt(ctx context.Context, c contender, perSecond int) (values map[string]float64, err error) {
	const warm, enough = 64, 3
	n := r.opts.Size.Flows
	if perSecond != unlimited {
		n = min(n, enough*perSecond)
	}
	t, err := newTrial(c, r.view, r.packets(n+warm), n+warm)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.bed.close()) }()
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, t.running.stop())
		}
	}()
	// The first packets wake everybody up.
	if _, err := t.run(ctx, n, warm, 1000); err != nil {
		return nil, err
	}
	before, err := t.running.allocations()
	if err != nil {
		return nil, err
	}
	if err := r.profiled(t, func() error { values, err = t.run(ctx, 0, n, perSecond); return err }); err != nil {
		return nil, err
	}
	after, err := t.running.allocations()
	if err != nil {
		return nil, err
	}
	stopped = true
	if err := t.running.stop(); err != nil {
		return nil, err
	}
	seen, err := t.running.asked()
	if err != nil {
		return nil, err
	}
	values[asked] = float64(seen.packets)
	if seen.packets > 0 {
		values[allocated] = seen.allocatedOf(after - before)
	}
	if n := t.tally.doubled(); n > 0 {
		return nil, fmt.Errorf("%d packets arrived twice", n)
	}
	return values, nil
}

// libraryAllocations is how often go-nfqueue's Receive allocates for the packet
// that it reads itself, the first of each burst.
const libraryAllocations = 27

// allocatedOf is how many of n allocations a packet took, without those of the
// library, to the hundredth: what tables and the runtime take now and then is
// less.
func (a answers) allocatedOf(n uint64) float64 {
	ours := max(float64(n)-float64(libraryAllocations*a.bursts), 0)
	return math.Round(100*ours/float64(a.packets)) / 100
}

// profiled runs do, under roamlb's profiler where that is asked for.
func (r *runner) profiled(t *trial, do func() error) error {
	if r.opts.Profile == "" || !t.running.daemon {
		return do()
	}
	path := filepath.Join(r.opts.Profile, fmt.Sprintf("%s-%d.pprof", t.contender.name, time.Now().UnixMilli()))
	var ok string
	if err := t.running.child.ask("profile "+path, &ok); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return t.running.child.ask("profile", &ok)
}
