package bench

import (
	"slices"
)

// Sample is what one measurement of one contender gave.
type Sample struct {
	Experiment string
	Contender  string
	Round      int // counted from 1
	Sessions   int `json:",omitempty"`
	Values     map[string]float64
}

// Names of values, with their units.
const (
	rate       = "rate"      // datagrams that arrived, a second
	offered    = "offered"   // a second; 0: as fast as possible
	sent       = "sent"      // datagrams
	lost       = "lost"      // datagrams
	misplaced  = "misplaced" // datagrams
	asked      = "asked"     // packets that user space has answered
	cpuMachine = "cpu_us"    // processor time a packet of the whole machine, generator and sinks too, in µs
	// cpuTogether is that of the generator, the backends and the contender's
	// process alone: what the kernel does for a packet is done on the time of
	// who sends it, or lets it go on.
	cpuTogether = "cpu_together_us"
	cpuProcess  = "cpu_go_us"    // of it the contender's process, in µs
	load        = "load"         // what else the machine did just before, as a share of one processor
	p50         = "p50_us"       // µs
	p99         = "p99_us"       // µs
	seconds     = "seconds"      // s
	reconciled  = "reconciled"   // s
	leftBehind  = "left_behind"  // entries of clients that have roamed away
	allocated   = "allocations"  // of Go a packet that user space was asked about, but for the library's
	heap        = "heap_bytes"   // a session
	slab        = "kernel_bytes" // a session
)

// distribution is the median of some values and what they lie between.
type distribution struct {
	Median, Min, Max float64
	N                int
}

func distributionOf(values []float64) distribution {
	if len(values) == 0 {
		return distribution{}
	}
	s := slices.Sorted(slices.Values(values))
	d := distribution{Median: s[len(s)/2], Min: s[0], Max: s[len(s)-1], N: len(s)}
	if len(s)%2 == 0 {
		d.Median = (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	return d
}

// samples are those of a run.
type samples []Sample

// of are those of one experiment and contender; sessions 0 takes all sizes.
func (s samples) of(experiment, contender string, sessions int) samples {
	var out samples
	for _, x := range s {
		if x.Experiment == experiment && x.Contender == contender && (sessions == 0 || x.Sessions == sessions) {
			out = append(out, x)
		}
	}
	return out
}

// values are those of a name, where there are any.
func (s samples) values(name string) []float64 {
	var out []float64
	for _, x := range s {
		if v, ok := x.Values[name]; ok {
			out = append(out, v)
		}
	}
	return out
}

func (s samples) distribution(name string) distribution { return distributionOf(s.values(name)) }

// ratios are a value's of each round to that of another set's same round.
func (s samples) ratios(name string, to samples) []float64 {
	return s.against(to, name, func(a, b float64) float64 { return a / b })
}

func (s samples) against(to samples, name string, f func(a, b float64) float64) []float64 {
	var out []float64
	for _, x := range s {
		i := slices.IndexFunc(to, func(y Sample) bool { return y.Round == x.Round })
		if i < 0 {
			continue
		}
		a, ok := x.Values[name]
		b, too := to[i].Values[name]
		if ok && too && b != 0 {
			out = append(out, f(a, b))
		}
	}
	return out
}

// percentile is that of sorted values; 0 where there are none.
func percentile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
