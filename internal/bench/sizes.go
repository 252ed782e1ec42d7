package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const sizes = "sizes"

// sizes measures what a packet costs among few sessions and among many, and
// what a session takes of memory.
func (r *runner) sizes(ctx context.Context) error {
	for _, n := range r.opts.Size.Sessions {
		err := r.withRoom(n, func() error {
			return r.each([]string{dnat, hash, session, flow, kernel}, func(c contender) (Sample, error) {
				values, err := r.sized(ctx, c, n)
				return Sample{Experiment: sizes, Sessions: n, Values: values}, err
			})
		})
		if err != nil {
			return fmt.Errorf("%d sessions: %w", n, err)
		}
	}
	return nil
}

// withRoom calls do while conntrack has room for n sessions, and says so where
// it has not.
func (r *runner) withRoom(n int, do func() error) (err error) {
	restore, err := raiseLimits(n + n/2)
	defer func() { err = errors.Join(err, restore()) }()
	if err != nil {
		fmt.Fprintf(r.opts.Out, "            conntrack's limits cannot be raised: %v\n", err)
	}
	room, err := limit()
	if err != nil {
		return err
	}
	if n >= room {
		fmt.Fprintf(r.opts.Out, "            %d sessions left out: conntrack has room for %d\n", n, room)
		return nil
	}
	return do()
}

// sizedTrial is a trial of n sessions that stay although nobody answers them.
func (r *runner) sizedTrial(c contender, n int) (*trial, error) {
	t, err := newTrial(c, r.view, r.packets(n), n, "session_ttl: 10m")
	if err != nil {
		return nil, err
	}
	if err := t.bed.net.LB.SetSysctl("net.netfilter.nf_conntrack_udp_timeout", "600"); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (r *runner) sized(ctx context.Context, c contender, n int) (values map[string]float64, err error) {
	t, err := r.sizedTrial(c, n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.bed.close()) }()
	before, err := t.memory()
	if err != nil {
		return nil, errors.Join(err, t.running.stop())
	}
	return t.among(ctx, before, max(n, r.opts.Size.Packets))
}

// among makes all sessions known, measures count packets of them and what they
// take, and stops the contender.
func (t *trial) among(ctx context.Context, before memories, count int) (values map[string]float64, err error) {
	defer func() { err = errors.Join(err, t.running.stop()) }()
	// A second: what every contender takes without a loss.
	const quickly = 60_000
	n := t.train.Len()
	if err := t.introduce(ctx, quickly); err != nil {
		return nil, err
	}
	if values, err = t.run(ctx, 0, count, unlimited); err != nil {
		return nil, err
	}
	after, err := t.memory()
	if err != nil {
		return nil, err
	}
	values[slab] = float64(after.kernel-before.kernel) / float64(n)
	if t.running.daemon {
		values[heap] = (float64(after.heap) - float64(before.heap)) / float64(n)
	}
	return values, nil
}

// memories are those of a moment, in bytes.
type memories struct{ heap, kernel int64 }

// memory is what roamlb's heap and the kernel hold.
func (t *trial) memory() (memories, error) {
	var m memories
	if t.running.daemon {
		var answer memory
		if err := t.running.child.ask("memory", &answer); err != nil {
			return m, err
		}
		m.heap = int64(answer.Heap)
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "Slab:" && f[0] != "VmallocUsed:" {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return m, fmt.Errorf("read /proc/meminfo: %w", err)
		}
		m.kernel += kib << 10
	}
	return m, nil
}
