package nfq

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"
)

// reader serves one queue, on the goroutine that go-nfqueue makes for it: the
// library waits for a packet, and the reader answers that one and all that
// wait behind it.
type reader struct {
	opts   *Options
	number uint16
	log    *slog.Logger
	lib    *nfqueue.Nfqueue
	sock   *socket
	slot   *slot
	bound  bool // Open's and close's alone

	// The rest, up to the channels, is the goroutine's own.
	judge     judge
	inbox     *inbox
	out       []byte // the verdicts of the burst
	answers   uint64 // how many these are
	last      uint32 // id of the packet that was read last
	run       int    // packets since the socket was last found empty
	copyRange uint32
	failures  int // of Receive, one after another
	stopped   bool
	err       error // why it stopped by itself

	requests chan request  // work for the goroutine; one at a time, whoever sends wakes it
	exited   chan struct{} // closed when the goroutine reads no more

	mu    sync.Mutex // guards total
	total Stats
}

// maxFailures is how many errors of Receive in a row end a reader.
const maxFailures = 100

// first is the library's callback: it has read and parsed one packet.
func (r *reader) first(a nfqueue.Attribute) int {
	r.failures = 0
	q := queued{cut: a.CapLen != nil}
	if a.PacketID != nil {
		q.id = *a.PacketID
	}
	if a.Mark != nil {
		q.mark = *a.Mark
	}
	if a.Payload != nil {
		q.data = *a.Payload
	}
	r.serve(&q)
	return r.goOn()
}

// failed is the library's callback for errors of Receive.
func (r *reader) failed(err error) int {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Somebody wakes us. First the deadline: whoever comes from here on
		// sets it again.
		if err := r.sock.SetReadDeadline(time.Time{}); err != nil {
			r.stop(errors.Join(fmt.Errorf("queue %d: %w", r.number, err), r.finish()))
			break
		}
		r.attend()
	case closedSocket(err) || r.failures == maxFailures:
		r.stop(errors.Join(fmt.Errorf("queue %d: %w", r.number, err), r.finish()))
	default:
		r.failures++
		r.log.Warn("read queue", "error", err)
	}
	return r.goOn()
}

// goOn tells the library, which reads on only after 0, whether to.
func (r *reader) goOn() int {
	if !r.stopped {
		return 0
	}
	close(r.exited)
	return 1
}

// stop ends the reader; err is nil where that was asked for.
func (r *reader) stop(err error) {
	r.stopped, r.err = true, err
}

// serve answers a packet and all that wait behind it.
func (r *reader) serve(first *queued) {
	r.begin()
	if r.slot.state.Load() == keeperDone {
		// The keeper has answered this one already.
		r.sees(first.id)
		r.resume(1)
		return
	}
	r.run++
	r.answer(first)
	for b := r.sock.takeAside(); b != nil; b = r.sock.takeAside() {
		r.message(b)
	}
	r.drain()
}

// drain answers, burst by burst, until nothing waits.
func (r *reader) drain() {
	for {
		n := r.sock.receive(r.inbox)
		for i := range n {
			r.message(r.inbox.message(i))
		}
		r.crowding(n)
		r.flush()
		r.attend()
		if n == 0 || r.stopped {
			return
		}
		r.begin()
	}
}

// begin starts a burst: one snapshot and one time for all its packets.
func (r *reader) begin() {
	r.judge.snapshot = r.opts.Snapshot()
	r.judge.now = r.opts.Now()
}

// message answers a message if it is a packet.
func (r *reader) message(b []byte) {
	for len(b) > 0 {
		m, rest, ok := nextMessage(b)
		if !ok {
			return
		}
		b = rest
		switch m.kind {
		case msgPacket:
			if q, ok := decodeQueued(m.body); ok {
				r.answer(&q)
			}
		case unix.NLMSG_ERROR:
			r.sock.refusal(m.body)
		}
	}
}

// answer decides a packet and appends its verdict to the burst's.
func (r *reader) answer(q *queued) {
	r.sees(q.id)
	v := r.judge.judge(q)
	r.out = appendVerdict(r.out, msgVerdict, r.number, q.id, v.code, v.mark, v.marked)
	r.answers++
}

// sees keeps the id of a packet that was read. Ids are given out one by one,
// also to packets whose message then finds no room in the socket's buffer.
func (r *reader) sees(id uint32) {
	if gap := id - r.last - 1; int32(gap) > 0 {
		r.judge.count.Missed += uint64(gap)
	}
	r.last = id
}

// crowding notices that the queue has likely been full, which the kernel does
// not count for queues that fail open: what one run without a pause for breath
// reads has waited together.
func (r *reader) crowding(n int) {
	r.run += n
	if r.run >= int(r.opts.Queues.Length) {
		r.judge.count.Crowded++
		r.run = 0
	} else if n < r.inbox.capacity() {
		r.run = n
	}
}

// flush ends a burst: facts first, so that ctsync has them before anything
// that the verdicts cause.
func (r *reader) flush() {
	j := &r.judge
	if len(j.facts) > 0 {
		r.opts.Facts(j.facts)
		j.facts = j.facts[:0]
	}
	if r.answers > 0 {
		r.slot.last.Store(r.last)
		r.send()
		j.count.Bursts++
		j.count.Verdicts += r.answers
	}
	r.out, r.answers = r.out[:0], 0
	r.slot.rounds.Add(1)
	r.mu.Lock()
	r.total.add(&j.count)
	r.mu.Unlock()
	j.count = Stats{}
}

// send sends the verdicts. Where the kernel has no memory for them all, one
// short message lets everything go on as it came.
func (r *reader) send() {
	err := r.sock.send(r.out)
	if err == nil {
		return
	}
	r.log.Error("send verdicts, leave the packets to the kernel", "error", err)
	if err := r.acceptAll(0); err != nil {
		r.log.Error("answer all that waits", "error", err)
	}
}

// acceptAll accepts all packets that wait up to the given distance behind the
// last one that was read, as they came.
func (r *reader) acceptAll(room uint32) error {
	return r.sock.send(appendAcceptAll(r.out[:0], r.number, r.last+room))
}

// stats returns what the queue has done.
func (r *reader) stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.total
	s.Queue = r.number
	return s
}
