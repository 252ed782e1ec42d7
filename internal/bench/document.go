package bench

import (
	"fmt"
	"strings"
)

// documentOf is the page about the results. The plot stands beside it.
func documentOf(r Results, plot string) string {
	var s strings.Builder
	fmt.Fprintf(&s, documentHead, r.Taken.Format("2 January 2006"), r.Machine, r.Rounds)
	s.WriteString(busyNote(r.Samples))
	s.WriteString("\n## What was to be reached\n\nMedians of the rounds, and what they lie between. Ratios are of rates within a round.\n\n")
	s.WriteString("| figure | target | median | from, to | |\n| --- | --- | --- | --- | --- |\n")
	for i := range r.Figures {
		f := &r.Figures[i]
		verdict := "reached"
		if !f.Reached() {
			verdict = "**not reached**"
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s, %s | %s |\n", f.Name, f.target(),
			strings.TrimSpace(number(f.Value.Median)+" "+f.Unit), number(f.Value.Min), number(f.Value.Max), verdict)
	}
	for _, t := range documentTables {
		s.WriteString(t.of(r))
	}
	fmt.Fprintf(&s, documentTail, plot)
	return s.String()
}

const documentHead = `# Performance

<!-- "make bench" writes this page and its plot. Words are in internal/bench/document.go. -->

Measured %s on %s, in %d rounds.

## Method

All contenders run on one machine, in network namespaces: clients, the load
balancer, three backends. Each measurement has a network, conntrack entries and
a daemon of its own, and begins when the machine has come to rest. In a round
each contender has its turn, in an order that changes; what the machine does
otherwise meets all alike, so the ratios within a round say more than the rates.

- Packets of 13 bytes of payload are made up before the clock runs and sent by
  AF_PACKET and sendmmsg, 64 a call. Generator, load balancer and backends share
  the processors: the rates are of all three together.
- Backends count what arrives, and compare the place of each packet with the ring.
- "New flows" is the highest rate at which no packet is lost: as fast as the
  generator can, and where that loses any, 7 %% slower until none is. Each flow is
  one packet of a new session from a new client.
- "Established" is as fast as the generator can, over 1,000 known flows.
- Delays are from the sending system call to the arrival in the backend's
  namespace as the kernel noted it.
- Processor time is that of generator, backends and daemon together, a packet. The
  kernel forwards a packet on the time of who sends it, or of who lets it go on.
  The whole machine's is beside it: with what the kernel does in threads of its
  own, and whatever else ran.
- A roam's figure is from the backend's answer at the new address until conntrack
  tells of the old entry's end.

| contender | |
| --- | --- |
| dnat | nft, plain DNAT to one backend |
| hash | nft, jhash of the key into a map of the ring: the kernel alone |
| session | roamlb, session pinning |
| flow | roamlb, flow pinning |
| kernel | roamlb, session pinning, ` + "`datapath: kernel`" + ` |
| callback | go-nfqueue as its documentation shows it: one callback, one verdict a packet |
| ipvs-mh, ipvs-sh | IPVS with these schedulers, NAT (` + "`make bench-vm`" + `) |
`

const documentTail = `
![Rate of established flows against the number of sessions](%s)

Run it with ` + "`make bench`" + `; ` + "`make bench-vm`" + ` does the same under Debian's kernel,
emulated, beside IPVS.
`

// busyNote says how many measurements began while the machine was busy.
func busyNote(s samples) string {
	const quiet = 0.15
	n := 0
	for _, x := range s {
		if x.Values[load] > quiet {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("\n%d of %d measurements began while something else kept the machine busy.\n", n, len(s))
}

// documentTable is a table of one experiment, a contender a line.
type documentTable struct {
	title, experiment string
	columns           []column
}

type column struct{ title, value string }

var documentTables = []documentTable{
	{"New flows", newFlows, []column{
		{"flows/s", rate}, {"processor, µs", cpuTogether}, {"of it the daemon's, µs", cpuProcess}, {"the whole machine, µs", cpuMachine}, {"asked in user space", asked}, {"lost", lost}, {"misplaced", misplaced},
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

func (t documentTable) of(r Results) string {
	var s strings.Builder
	for _, name := range allContenders {
		list := r.Samples.of(t.experiment, name, 0)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&s, "| %s |", name)
		for _, c := range t.columns {
			d := list.distribution(c.value)
			if d.Min == d.Max {
				fmt.Fprintf(&s, " %s |", number(d.Median))
			} else {
				fmt.Fprintf(&s, " %s (%s to %s) |", number(d.Median), number(d.Min), number(d.Max))
			}
		}
		s.WriteString("\n")
	}
	if s.Len() == 0 {
		return ""
	}
	var head strings.Builder
	fmt.Fprintf(&head, "\n## %s\n\n| |", t.title)
	for _, c := range t.columns {
		fmt.Fprintf(&head, " %s |", c.title)
	}
	head.WriteString("\n| --- |" + strings.Repeat(" --- |", len(t.columns)) + "\n")
	return head.String() + s.String()
}
