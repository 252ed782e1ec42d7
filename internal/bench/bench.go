package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// Options are the choices for [Run].
type Options struct {
	Out    io.Writer // takes what happens, line by line, and the table
	Size   Size
	Smoke  bool     // only that it runs and counts right is of interest
	IPVS   bool     // measure it too; the kernel must have it
	Rounds int      // of each experiment
	Only   []string // experiments; empty: all
	Among  []string // contenders; empty: all
	// JSON and Document are files to write: the results, and the page about
	// them, with its plot beside it. Empty: none. JSON "-": to Out.
	JSON, Document string
	// Beside is results of a kernel that has IPVS, for figures that this one
	// cannot tell of. Nil: none.
	Beside *Results
	// Profile is a directory for processor profiles of roamlb, one a
	// contender, of new flows. Empty: none.
	Profile string
}

// Size is how much is measured.
type Size struct {
	Flows       int           // new ones a measurement
	Packets     int           // of established flows a measurement
	Established int           // flows that these are of
	Timed       int           // first packets whose delay is measured
	TimedRate   int           // of these a second
	Roaming     int           // sessions that roam
	Roams       int           // times each
	RoamRate    int           // roams a second
	Sessions    []int         // numbers of sessions to compare the cost of a packet at
	Services    int           // to start with
	Slots       int           // of a ring of a hundred backends that changes
	Rest        time.Duration // to wait for, at most, before each measurement
}

// FullSize is what "make bench" measures; SmokeSize shows in a minute that all
// of it works.
var (
	FullSize = Size{
		Flows: 200_000, Packets: 1_000_000, Established: 1000, Timed: 40_000, TimedRate: 20_000,
		Roaming: 10_000, Roams: 5, RoamRate: 10_000, Sessions: []int{1000, 10_000, 100_000, 1_000_000}, Services: 1000, Slots: 16381, Rest: 10 * time.Second,
	}
	// VMSize is for a kernel on an emulated processor, which is ten times slower.
	VMSize = Size{
		Flows: 20_000, Packets: 50_000, Established: 1000, Timed: 2000, TimedRate: 500,
		Roaming: 500, Roams: 2, RoamRate: 500, Sessions: []int{1000, 10_000}, Services: 100, Slots: 16381, Rest: 10 * time.Second,
	}
	SmokeSize = Size{
		Flows: 5000, Packets: 10_000, Established: 100, Timed: 500, TimedRate: 2000,
		Roaming: 500, Roams: 2, RoamRate: 1000, Sessions: []int{100, 1000}, Services: 20, Slots: 1021,
	}
)

// experiment measures something of every contender once.
type experiment struct {
	name  string
	about string
	round func(*runner, context.Context) error
	most  int // rounds, of what takes long; 0: all
}

func experiments() []experiment {
	return []experiment{
		{name: newFlows, about: "first packets of new flows", round: (*runner).newFlows},
		{name: established, about: "packets of established flows", round: (*runner).established},
		{name: delay, about: "the first packet's delay", round: (*runner).delays},
		{name: roams, about: "sessions that roam", round: (*runner).roams},
		{name: change, about: "one of a hundred backends changes", round: (*runner).change},
		{name: start, about: "start with many services", round: (*runner).start},
		{name: restart, about: "restart with many sessions", round: (*runner).restart, most: 3},
		{name: sizes, about: "few sessions and many", round: (*runner).sizes, most: 3},
	}
}

// runner is a run of the benchmarks.
type runner struct {
	ctx        context.Context
	opts       Options
	view       *balancer.View
	contenders []contender
	made       [][]byte // packets of the first sessions
	results    Results
	round      int
	begun      time.Time
}

// Run measures, and writes what came of it. It returns an error where a
// measurement could not be made or something was counted wrong; that a figure
// was not reached is none. The program must call [ChildMain] first, and be
// inside the lab.
func Run(ctx context.Context, opts Options) error {
	r := &runner{ctx: ctx, opts: opts, begun: time.Now()}
	var err error
	if r.view, err = newView(); err != nil {
		return err
	}
	r.contenders = contenders(r.view, &opts)
	r.results.Machine = thisMachine()
	r.results.Taken, r.results.Rounds, r.results.Size = r.begun.UTC().Truncate(time.Second), opts.Rounds, opts.Size
	fmt.Fprintf(opts.Out, "%s\n", r.results.Machine)
	if err := r.all(); err != nil {
		return err
	}
	r.results.Figures = figures(r.results.Samples, r.results.Size)
	if err := errors.Join(r.write(), wrong(r.results.Samples)); err != nil || opts.Smoke {
		return err
	}
	printFigures(opts.Out, r.results.allFigures(opts.Beside))
	return nil
}

// Show prints the figures of results that a run has written, and writes the
// page about them.
func Show(path string, opts Options) error {
	r, err := ReadResults(path)
	if err != nil {
		return err
	}
	printFigures(opts.Out, r.allFigures(opts.Beside))
	if opts.Document == "" {
		return nil
	}
	return r.WritePage(opts.Document, opts.Beside)
}

// all runs the experiments, each in all rounds before the next: the rounds are
// of its contenders.
func (r *runner) all() error {
	for _, e := range experiments() {
		if len(r.opts.Only) > 0 && !slices.Contains(r.opts.Only, e.name) {
			continue
		}
		fmt.Fprintf(r.opts.Out, "\n%s\n", e.about)
		rounds := r.opts.Rounds
		if e.most > 0 {
			rounds = min(rounds, e.most)
		}
		for r.round = 1; r.round <= rounds; r.round++ {
			if err := e.round(r, r.ctx); err != nil {
				return fmt.Errorf("%s, round %d: %w", e.about, r.round, err)
			}
		}
	}
	return nil
}

// note keeps a sample and shows it.
func (r *runner) note(s Sample) {
	s.Round = r.round
	r.results.Samples = append(r.results.Samples, s)
	fmt.Fprintf(r.opts.Out, "%6.0fs %d/%d %-10s %s\n", time.Since(r.begun).Seconds(), s.Round, r.opts.Rounds, s.Contender, describe(s))
}

// packets are those of the first count sessions.
func (r *runner) packets(count int) [][]byte {
	if have := len(r.made); have < count {
		r.made = append(r.made, packets(have, count-have)...)
	}
	return r.made[:count]
}

// each runs do for the named contenders that there are, one behind the other,
// each when the machine has come to rest. The order moves on from round to
// round.
func (r *runner) each(names []string, do func(contender) (Sample, error)) error {
	var list []contender
	for _, c := range r.contenders {
		if slices.Contains(names, c.name) && (len(r.opts.Among) == 0 || slices.Contains(r.opts.Among, c.name)) {
			list = append(list, c)
		}
	}
	for i := range list {
		c := list[(i+r.round)%len(list)]
		busy, err := settle(r.ctx, r.opts.Size.Rest)
		if err != nil {
			return err
		}
		s, err := do(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		s.Contender, s.Values[load] = c.name, busy
		r.note(s)
	}
	return nil
}

// write writes the files.
func (r *runner) write() error {
	if path := r.opts.JSON; path != "" {
		text, err := r.results.text()
		if err != nil {
			return err
		}
		if path == "-" {
			_, err = r.opts.Out.Write(text)
		} else {
			err = os.WriteFile(path, text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if path := r.opts.Document; path != "" {
		return r.results.WritePage(path, r.opts.Beside)
	}
	return nil
}

// wrong is an error where something was misplaced, or lost at a rate at which
// nothing may be.
func wrong(s samples) error {
	var errs []error
	for _, x := range s {
		if n := x.Values[misplaced]; n > 0 {
			errs = append(errs, fmt.Errorf("%s, %s, round %d: %.0f misplaced", x.Experiment, x.Contender, x.Round, n))
		}
	}
	return errors.Join(errs...)
}
