package bench

import (
	"fmt"
	"strings"
)

// documentTable is a table of one experiment, a contender a line.
type documentTable struct {
	title, experiment string
	columns           []column
}

type column struct{ title, value string }

var documentTables = []documentTable{
	{"New flows", newFlows, []column{
		{"flows/s", rate}, {"processor, µs", cpuTogether}, {"of it the daemon's, µs", cpuProcess}, {"the whole machine, µs", cpuMachine}, {"asked in user space", asked}, {"allocations", allocated}, {"lost", lost}, {"misplaced", misplaced},
	}},
	{"New flows at the highest rate of the kernel alone", overload, []column{
		{"flows/s", rate}, {"asked in user space", asked}, {"lost", lost}, {"misplaced", misplaced},
	}},
	{"Established flows", established, []column{
		{"packets/s", rate}, {"processor, µs", cpuTogether}, {"the whole machine, µs", cpuMachine}, {"lost", lost}, {"misplaced", misplaced},
	}},
	{"The first packet's delay", delay, []column{{"p50, µs", p50}, {"p99, µs", p99}, {"lost", lost}}},
	{"Roams", roams, []column{{"p50, µs", p50}, {"p99, µs", p99}, {"left behind", leftBehind}, {"lost", lost}}},
}

// of is the table, below a heading of a level; empty where nothing was measured.
func (t documentTable) of(r *Results, level int) string {
	var s strings.Builder
	for _, name := range allContenders {
		list := r.Samples.of(t.experiment, name, 0)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&s, "| %s |", name)
		for _, c := range t.columns {
			fmt.Fprintf(&s, " %s |", cell(list.distribution(c.value)))
		}
		s.WriteString("\n")
	}
	if s.Len() == 0 {
		return ""
	}
	var head strings.Builder
	fmt.Fprintf(&head, "\n%s %s\n\n| |", strings.Repeat("#", level), t.title)
	for _, c := range t.columns {
		fmt.Fprintf(&head, " %s |", c.title)
	}
	head.WriteString("\n| --- |" + strings.Repeat(" --- |", len(t.columns)) + "\n")
	return head.String() + s.String()
}

// cell is a distribution in a table; empty where there is none.
func cell(d distribution) string {
	switch {
	case d.N == 0:
		return ""
	case d.Min == d.Max:
		return number(d.Median)
	default:
		return fmt.Sprintf("%s (%s to %s)", number(d.Median), number(d.Min), number(d.Max))
	}
}

// sizesTable is what a packet and a session cost, by how many sessions there
// are.
func sizesTable(r *Results) string {
	var s strings.Builder
	for _, name := range allContenders {
		for _, n := range r.Size.Sessions {
			list := r.Samples.of(sizes, name, n)
			if len(list) == 0 {
				continue
			}
			fmt.Fprintf(&s, "| %s | %d | %s | %s | %s |\n", name, n,
				cell(list.distribution(rate)), cell(list.distribution(heap)), cell(list.distribution(slab)))
		}
	}
	if s.Len() == 0 {
		return ""
	}
	return "\n## Few sessions and many\n\n" +
		"The kernel's memory is that of everything in it, conntrack's entries and the sessions map above all.\n\n" +
		"| | sessions | packets/s | Go heap a session, bytes | kernel memory a session, bytes |\n| --- | --- | --- | --- | --- |\n" + s.String()
}
