package bench

import (
	"fmt"
	"strings"
)

// describe is a sample in a line.
func describe(s Sample) string {
	var parts []string
	add := func(name, format string) {
		if v, ok := s.Values[name]; ok {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	if s.Sessions > 0 {
		parts = append(parts, fmt.Sprintf("%d sessions", s.Sessions))
	}
	add(rate, "%7.0f/s")
	add(p50, "p50 %.0f µs")
	add(p99, "p99 %.0f µs")
	add(seconds, "%.3f s")
	add(reconciled, "reconciled after %.3f s")
	add(heap, "%.0f bytes of Go heap")
	add(slab, "%.0f bytes in the kernel")
	add(cpuTogether, "%.2f µs of processor a packet")
	add(cpuProcess, "of it Go %.2f")
	add(asked, "asked %.0f")
	add(allocated, "%.2f allocations a packet")
	add(lost, "lost %.0f")
	add(misplaced, "misplaced %.0f")
	add(leftBehind, "left behind %.0f")
	if v := s.Values[load]; v > 0.15 {
		parts = append(parts, fmt.Sprintf("(the machine was busy: %.0f %%)", 100*v))
	}
	return strings.Join(parts, "  ")
}
