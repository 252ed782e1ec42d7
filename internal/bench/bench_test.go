package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A wrong median or ratio is a wrong page about performance.
func TestDistribution(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   distribution
	}{
		{"none", nil, distribution{}},
		{"odd", []float64{3, 1, 2}, distribution{Median: 2, Min: 1, Max: 3, N: 3}},
		{"even", []float64{4, 1, 2, 3}, distribution{Median: 2.5, Min: 1, Max: 4, N: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, distributionOf(c.values)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Ratios compare what was measured in the same round only.
func TestRatiosAreOfOneRound(t *testing.T) {
	at := func(round int, v float64) Sample {
		return Sample{Round: round, Values: map[string]float64{rate: v}}
	}
	a := samples{at(1, 50), at(2, 80), at(3, 10)}
	b := samples{at(2, 100), at(1, 200)}
	if diff := cmp.Diff([]float64{0.25, 0.8}, a.ratios(rate, b)); diff != "" {
		t.Error(diff)
	}
}

// Allocations a packet are to be none: those of the library, once a burst, must
// not hide ours, nor the other way round.
func TestAllocationsWithoutTheLibrarys(t *testing.T) {
	a := answers{packets: 1000, bursts: 10}
	for n, want := range map[uint64]float64{270: 0, 100: 0, 274: 0, 1270: 1} {
		if got := a.allocatedOf(n); got != want {
			t.Errorf("%d allocations: %v a packet, want %v", n, got, want)
		}
	}
}

// A roam's old entry is found by its client.
func TestFlowOfClient(t *testing.T) {
	for _, flow := range []int{0, 1, clientAddrs - 1, clientAddrs, 999_999} {
		if got := flowOf(clientOf(flow)); got != flow {
			t.Errorf("the client of flow %d is that of flow %d", flow, got)
		}
	}
}

// Nobody would notice a packet at the wrong backend if the tally did not.
func TestTally(t *testing.T) {
	c := newTally(3, func(i int) uint8 { return uint8(i) }) // 0: anywhere
	for i, backend := range []uint8{2, 1, 1} {
		p := packet(i, i)
		c.take(backend, p[len(p)-payloadLen:])
	}
	p := packet(9, 9)
	c.take(1, p[len(p)-payloadLen:])
	c.take(1, nil)
	if c.arrived.Load() != 3 || c.misplaced.Load() != 1 || c.strange.Load() != 2 || c.doubled() != 0 {
		t.Errorf("arrived %d, misplaced %d, strange %d, doubled %d", c.arrived.Load(), c.misplaced.Load(), c.strange.Load(), c.doubled())
	}
	p = packet(1, 1)
	if c.take(1, p[len(p)-payloadLen:]); c.doubled() != 1 {
		t.Errorf("doubled %d", c.doubled())
	}
}

// The page must say which figures were not reached, and its plot must be one.
func TestDocument(t *testing.T) {
	r := Results{Size: FullSize, Rounds: 1}
	for _, n := range r.Size.Sessions {
		for i, c := range []string{dnat, session} {
			r.Samples = append(r.Samples, Sample{Experiment: sizes, Contender: c, Round: 1, Sessions: n, Values: map[string]float64{rate: 1e5 - 3e4*float64(i)}})
		}
	}
	for i, c := range []string{hash, session, flow} {
		r.Samples = append(r.Samples, Sample{Experiment: newFlows, Contender: c, Round: 1, Values: map[string]float64{rate: 100 - 9*float64(i)}})
	}
	r.Figures = figures(r.Samples, r.Size)
	beside := Results{Size: VMSize, Samples: samples{
		{Experiment: newFlows, Contender: ipvsMH, Round: 1, Values: map[string]float64{rate: 100}},
		{Experiment: newFlows, Contender: session, Round: 1, Values: map[string]float64{rate: 55}},
	}}
	const said = "It is the map.\n"
	page := (&page{results: r, beside: &beside, plot: "performance.svg", notes: said}).String()
	if got := notesOf(page); got != said {
		t.Errorf("notes that people wrote: %q, want them kept", got)
	}
	for _, line := range []string{
		"| new flows, session pinning, against jhash in the kernel | ≥ 0.75 | 0.91 | 0.91, 0.91 | reached |",
		"| new flows, flow pinning, against jhash in the kernel | ≥ 0.90 | 0.82 | 0.82, 0.82 | **not reached** |",
		"| new flows, session pinning, against IPVS mh, Debian's kernel | ≥ 0.60 | 0.55 | 0.55, 0.55 | **not reached** |",
	} {
		if !strings.Contains(page, line) {
			t.Errorf("the page lacks %q:\n%s", line, page)
		}
	}
	plot := plotOf(r)
	for d := xml.NewDecoder(strings.NewReader(plot)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, plot)
		}
	}
	if n := strings.Count(plot, "<polyline"); n != 2 {
		t.Errorf("%d lines, want one a contender", n)
	}
}
