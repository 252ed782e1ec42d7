package bench

import (
	"fmt"
	"math"
)

// Figure is one of those to reach.
type Figure struct {
	Name   string
	Unit   string // "": a ratio within a round
	Target float64
	AtMost bool // the target is a bound above
	Value  distribution
}

// Reached reports whether the median reaches the target.
func (f *Figure) Reached() bool {
	if f.AtMost {
		return f.Value.Median <= f.Target
	}
	return f.Value.Median >= f.Target
}

// target is the target in words.
func (f *Figure) target() string {
	if f.AtMost {
		return "≤ " + number(f.Target)
	}
	return "≥ " + number(f.Target)
}

// number shows a value with three digits at most behind the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// againstIPVS ends the names of figures that only a kernel with IPVS tells of.
const againstIPVS = ", against IPVS mh"

// figures are those that the samples tell of.
func figures(s samples, size Size) []Figure {
	var all []Figure
	add := func(name, unit string, target float64, atMost bool, values []float64) {
		if len(values) > 0 {
			all = append(all, Figure{Name: name, Unit: unit, Target: target, AtMost: atMost, Value: distributionOf(values)})
		}
	}
	ratio := func(name, experiment, of, to string, target float64) {
		add(name, "", target, false, s.of(experiment, of, 0).ratios(rate, s.of(experiment, to, 0)))
	}
	ratio("new flows, flow pinning, against jhash in the kernel", newFlows, flow, hash, 0.90)
	ratio("new flows, session pinning, against jhash in the kernel", newFlows, session, hash, 0.75)
	ratio("new flows, datapath kernel, against jhash in the kernel", newFlows, kernel, hash, 0.70)
	ratio("established flows, flow pinning, against plain DNAT", established, flow, dnat, 0.97)
	ratio("established flows, session pinning, against plain DNAT", established, session, dnat, 0.93)
	ratio("established flows, datapath kernel, against plain DNAT", established, kernel, dnat, 0.93)
	ratio("new flows, flow pinning, against a plain callback", newFlows, flow, simple, 3)
	ratio("new flows, session pinning, against a plain callback", newFlows, session, simple, 3)
	ratio("new flows, session pinning"+againstIPVS, newFlows, session, ipvsMH, 0.60)
	ratio("new flows, datapath kernel"+againstIPVS, newFlows, kernel, ipvsMH, 0.80)
	for _, c := range []string{session, flow, kernel} {
		add("lost at the highest rate of jhash in the kernel, "+c, "packets", 0, true, s.of(overload, c, 0).values(lost))
		add("misplaced at that rate, "+c, "packets", 0, true, s.of(overload, c, 0).values(misplaced))
	}
	minus := func(a, b float64) float64 { return a - b }
	for _, c := range []string{session, flow, kernel} {
		at := fmt.Sprintf("first packet's added delay at %d/s, %s, ", size.TimedRate, c)
		add(at+"p50", "µs", 60, true, s.of(delay, c, 0).against(s.of(delay, hash, 0), p50, minus))
		add(at+"p99", "µs", 1000, true, s.of(delay, c, 0).against(s.of(delay, hash, 0), p99, minus))
	}
	for _, c := range []string{session, flow, kernel} {
		at := fmt.Sprintf("roams at %d/s, %s, ", size.RoamRate, c)
		add(at+"old entry gone after the reply, p99", "µs", 20_000, true, s.of(roams, c, 0).values(p99))
		add(at+"old entries left behind", "entries", 0, true, s.of(roams, c, 0).values(leftBehind))
	}
	for _, c := range []string{session, flow} {
		add("Go allocations a new flow, but for the library's once a burst, "+c, "allocations", 0, true, s.of(newFlows, c, 0).values(allocated))
	}
	return append(all, largeFigures(s, size)...)
}

// largeFigures are those about numbers of sessions, backends and services.
func largeFigures(s samples, size Size) []Figure {
	var all []Figure
	add := func(name, unit string, target float64, values []float64) {
		if len(values) > 0 {
			all = append(all, Figure{Name: name, Unit: unit, Target: target, AtMost: true, Value: distributionOf(values)})
		}
	}
	few, many := size.Sessions[0], size.Sessions[len(size.Sessions)-1]
	growth := func(c string) []float64 { // of the cost, from few to many
		return s.of(sizes, c, few).against(s.of(sizes, c, many), rate, func(a, b float64) float64 { return a / b })
	}
	plain := growth(dnat)
	for _, c := range []string{session, flow, kernel} {
		var over []float64
		for i, g := range growth(c) {
			if i < len(plain) {
				over = append(over, g/plain[i])
			}
		}
		add(fmt.Sprintf("cost of a packet, %d sessions to %d, over plain DNAT's growth, %s", many, few, c), "", 1.25, over)
	}
	for _, c := range []string{session, flow, kernel} {
		add(fmt.Sprintf("Go heap a session at %d, %s", many, c), "bytes", 200, s.of(sizes, c, many).values(heap))
	}
	add("one of 100 backends changed, to the kernel", "s", 0.050, s.of(change, session, 0).values(seconds))
	again := s.of(restart, session, many)
	add(fmt.Sprintf("restart with %d sessions, to the first decision", many), "s", 10, again.values(seconds))
	add("compared with conntrack after it", "s", 60, again.values(reconciled))
	add("lost meanwhile", "packets", 0, again.values(lost))
	add("misplaced meanwhile", "packets", 0, again.values(misplaced))
	add(fmt.Sprintf("start with %d services", size.Services), "s", 5, s.of(start, session, 0).values(seconds))
	return all
}
