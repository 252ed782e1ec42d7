package bench

import (
	"fmt"
	"strings"
)

// page is what the page about the results is made of.
type page struct {
	results Results
	beside  *Results // of another kernel, which has IPVS; nil: none
	plot    string   // the file of the plot, which stands beside the page
	notes   string   // what people have written on it
}

// notes stand on the page between these lines, and are kept.
const (
	notesBegin = "<!-- notes: what stands from here to their end is kept -->\n"
	notesEnd   = "<!-- end of notes -->\n"
)

// notesOf is the notes on a page that was written before.
func notesOf(old string) string {
	_, rest, _ := strings.Cut(old, notesBegin)
	notes, _, ok := strings.Cut(rest, notesEnd)
	if !ok {
		return ""
	}
	return notes
}

func (p *page) String() string {
	var s strings.Builder
	r := &p.results
	fmt.Fprintf(&s, documentHead, r.Taken.Format("2 January 2006"), r.Machine, r.Rounds)
	s.WriteString(busyNote(r.Samples))
	s.WriteString("\n## What was to be reached\n\nMedians of the rounds, and what they lie between. Ratios are of rates within a round.\n\n")
	s.WriteString("| figure | target | median | from, to | |\n| --- | --- | --- | --- | --- |\n")
	figures := r.allFigures(p.beside)
	for i := range figures {
		f := &figures[i]
		verdict := "reached"
		if !f.Reached() {
			verdict = "**not reached**"
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s, %s | %s |\n", f.Name, f.target(),
			strings.TrimSpace(number(f.Value.Median)+" "+f.Unit), number(f.Value.Min), number(f.Value.Max), verdict)
	}
	s.WriteString("\n" + notesBegin + p.notes + notesEnd)
	for _, t := range documentTables {
		s.WriteString(t.of(r, 2))
	}
	s.WriteString(sizesTable(r))
	fmt.Fprintf(&s, documentPlot, p.plot)
	if b := p.beside; b != nil {
		fmt.Fprintf(&s, documentBeside, b.Taken.Format("2 January 2006"), b.Machine, b.Rounds)
		s.WriteString(busyNote(b.Samples))
		for _, t := range documentTables[:3] {
			s.WriteString(t.of(b, 3))
		}
	}
	s.WriteString(documentTail)
	return s.String()
}

const documentHead = `# Performance

<!-- "make bench" writes this page and its plot. Words are in internal/bench/document.go. -->

Measured %s on %s, in %d rounds.

## Method

All contenders run on one machine, in network namespaces: clients, the load
balancer, three backends. Each measurement has a network, conntrack entries and
a daemon of its own, and begins when the machine has come to rest and the daemon
is done with its start, which compares with conntrack. In a round
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

const documentPlot = `
![Rate of established flows against the number of sessions](%s)
`

const documentBeside = `
## Beside IPVS

Measured %s on %s, in %d rounds, by ` + "`make bench-vm`" + `:
Debian's kernel on a processor that is emulated in software. The rates say
little, the ratios within a round something.
`

const documentTail = `
Run it with ` + "`make bench`" + `; ` + "`make bench-vm`" + ` does the same under Debian's kernel,
emulated, beside IPVS, and the next ` + "`make bench`" + ` or ` + "`make bench-page`" + ` shows both.
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
