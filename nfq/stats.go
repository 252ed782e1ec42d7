package nfq

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
)

// Stats is what one queue has done since [Open]. The counters only grow.
type Stats struct {
	Queue           uint16
	Packets         uint64 // read
	Bursts          uint64 // rounds of reading that found packets
	Verdicts        uint64 // sent
	NoKey           uint64 // packets to a listener without a key, as far as it was copied
	Nobody          uint64 // packets that no backend could serve
	Dropped         uint64 // packets without a key that their service has dropped
	UnknownListener uint64 // packets to no listener of ours: a service has just gone
	Errors          uint64 // ICMP errors
	Undecoded       uint64 // what is neither UDP nor an ICMP error about it, or is damaged
	Refused         uint64 // messages that the kernel refused: mostly verdicts that came after the keeper's
	// Missed is how many packets went on without us because the socket's
	// buffer was full: each leaves a gap in the ids.
	Missed uint64
	// Crowded is how often as many packets as the queue may hold were read in
	// one go: others have then likely found it full and gone on without us.
	Crowded uint64
	// KeeperAnswers is how often the keeper had to answer for a daemon that hung.
	KeeperAnswers uint64
	// Kernel is what the kernel has counted, nil where the process may not read it.
	Kernel *KernelStats
}

// KernelStats is a line of /proc/net/netfilter/nfnetlink_queue.
type KernelStats struct {
	Owner       uint32 // netlink port: of a process's first socket, the process id
	Waiting     uint32 // packets without a verdict
	Dropped     uint32 // because the queue was full
	UserDropped uint32 // because the socket's buffer was full
}

// add adds a burst's counters. Those that Stats reports as they are stay 0 in it.
func (s *Stats) add(b *Stats) {
	s.Packets += b.Packets
	s.Bursts += b.Bursts
	s.Verdicts += b.Verdicts
	s.NoKey += b.NoKey
	s.Nobody += b.Nobody
	s.Dropped += b.Dropped
	s.UnknownListener += b.UnknownListener
	s.Errors += b.Errors
	s.Undecoded += b.Undecoded
	s.Refused += b.Refused
	s.Missed += b.Missed
	s.Crowded += b.Crowded
	s.KeeperAnswers += b.KeeperAnswers
}

// kernelTable is the kernel's list of queues of one network namespace.
type kernelTable struct{ file *os.File }

// openKernelTable opens the list of the calling thread's namespace, which it
// goes on to show whoever reads it. Only the host's root may: anyone else gets
// a table that is always empty.
func openKernelTable() kernelTable {
	file, err := os.Open("/proc/thread-self/net/netfilter/nfnetlink_queue")
	if err != nil {
		return kernelTable{}
	}
	return kernelTable{file}
}

func (t kernelTable) close() {
	if t.file != nil {
		// Only read from: nothing to lose.
		_ = t.file.Close()
	}
}

// read returns the queues by their numbers; nil where the list is not to be read.
func (t kernelTable) read() map[uint16]KernelStats {
	if t.file == nil {
		return nil
	}
	// From the start, without moving the position that others share.
	text, err := io.ReadAll(io.NewSectionReader(t.file, 0, 1<<20))
	if err != nil {
		return nil
	}
	return parseKernelTable(text)
}

// parseKernelTable reads lines of nine numbers, seq_show of
// net/netfilter/nfnetlink_queue.c: queue, port, waiting, copy mode, copy range,
// dropped, dropped for the socket, last id, 1.
func parseKernelTable(text []byte) map[uint16]KernelStats {
	table := make(map[uint16]KernelStats)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var queue uint16
		var mode, size uint32
		var k KernelStats
		if _, err := fmt.Sscan(lines.Text(), &queue, &k.Owner, &k.Waiting, &mode, &size, &k.Dropped, &k.UserDropped); err == nil {
			table[queue] = k
		}
	}
	return table
}
