// Package nfq answers the packets that nft hands to NFQUEUE: it reads a burst,
// decides each packet by the snapshot of the moment, and sends the verdicts of
// the burst in one message. A small child process, the keeper, answers what
// waits when the daemon was killed or hangs.
package nfq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// Options is what [Open] needs. Every function is called from the goroutines
// of several queues at once.
type Options struct {
	// Queues are the numbers to serve, at least one, and how many packets may
	// wait in each, at least one.
	Queues balancer.Queues
	// Snapshot returns what to decide by; nil while there is none: then every
	// packet goes on as it came, and the kernel decides. It must not block.
	Snapshot func() *balancer.Snapshot
	// Facts takes the decisions of one burst, before their verdicts are sent.
	// It must not block; the slice is used again after it returns.
	Facts func([]balancer.Fact)
	// Flows returns the backend that a client of a listener talks to, for ICMP
	// errors about what was sent to that client. It must not block. Nil: errors
	// go on as they came.
	Flows func(client, listener netip.AddrPort) (backend uint16, ok bool)
	// Refused takes each backend that a client's packet was refused by, with an
	// ICMP port unreachable. It must not block. Nil: nobody is told.
	Refused func(backend uint16)
	// Now is the daemon's monotonic clock, in nanoseconds.
	Now func() int64
	// Keeper starts the keeper. The program must call [KeeperMain] first.
	Keeper bool
	// Log takes what an operator should know; nil: nothing is logged.
	Log *slog.Logger
	// Events takes event.Keeper, once for each queue where the keeper had to
	// answer for a daemon that hung, and event.Overflow, at most one a second,
	// when packets went on without having been seen: the kernel has then made
	// bindings that Go does not know. Nil: none.
	Events event.Sink
}

// emit tells of an event that happens now.
func (o *Options) emit(e event.Event) {
	if o.Events != nil {
		e.Time = time.Now()
		o.Events(e)
	}
}

// Queues are the served queues. Its methods may be called from any goroutine.
type Queues struct {
	opts    Options
	readers []*reader // in the order of their numbers
	mem     *shared
	keeper  *keeperProcess // nil without one; Run's goroutine's alone
	kernel  kernelTable
}

// ErrOwned says that another process serves one of the queue numbers.
var ErrOwned = errors.New("another process serves this queue")

const (
	// maxCopyRange is the most that NFQUEUE copies of a packet, in bytes.
	maxCopyRange = 0xffff - attrLen
	// startCopyRange is for the time before there is a snapshot.
	startCopyRange = 512
	// idRoom is how far behind the last packet that was read one may wait: far
	// more than any queue holds, and less than half of the id space.
	idRoom = 1 << 30
	// bindTries is how often a queue may be another process's, and bindPause the
	// time between: of a daemon that was killed, the keeper takes some milliseconds.
	// Tries are counted, not time: a machine that stood still for a second has not
	// let the keeper run either.
	bindTries = 200
	bindPause = 5 * time.Millisecond
	// watchInterval is how often Run looks after the queues.
	watchInterval = 100 * time.Millisecond
	// overflowInterval is the least time between two events.
	overflowInterval = time.Second
)

// Open binds the queues in the calling thread's network namespace, and serves
// them from then on, wherever its goroutines run. The caller must then call
// [Queues.Run], which also closes them. The error is [ErrOwned] where another
// process serves one of the numbers and does not let go of it within a second.
func Open(opts Options) (*Queues, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	qs := opts.Queues
	if qs.Count == 0 || qs.Length == 0 || int(qs.First)+int(qs.Count) > 1<<16 {
		return nil, fmt.Errorf("%d queues of length %d from number %d on", qs.Count, qs.Length, qs.First)
	}
	if opts.Keeper && os.Getenv(keeperEnv) != "" {
		// Else each keeper would be a daemon that starts a keeper.
		return nil, errors.New("this is a keeper's process: the program must call nfq.KeeperMain first")
	}
	mem, err := newShared(qs.First, qs.Count)
	if err != nil {
		return nil, err
	}
	q := &Queues{opts: opts, mem: mem, kernel: openKernelTable()}
	if err := q.open(); err != nil {
		return nil, errors.Join(err, q.close())
	}
	return q, nil
}

// open opens all sockets, hands them to a keeper and only then binds, so that
// no packet ever waits without a keeper.
func (q *Queues) open() error {
	copyRange := uint32(startCopyRange)
	if s := q.opts.Snapshot(); s != nil {
		copyRange = s.CopyRange()
	}
	for i := range int(q.opts.Queues.Count) {
		r, err := newReader(&q.opts, q.opts.Queues.First+uint16(i), q.mem.slot(i), copyRange)
		if err != nil {
			return err
		}
		q.readers = append(q.readers, r)
	}
	if q.opts.Keeper {
		if err := q.startKeeper(); err != nil {
			return err
		}
	}
	for _, r := range q.readers {
		if err := r.bind(); err != nil {
			return q.explain(r, err)
		}
	}
	return nil
}

// Run supervises until ctx ends, then closes the queues so that no packet is
// lost, and returns nil. An error says which queue could not be read any more;
// the queues are then closed too.
func (q *Queues) Run(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	var w watch
	for {
		select {
		case <-ctx.Done():
			return q.close()
		case <-ticker.C:
			if err := q.watch(&w); err != nil {
				return errors.Join(err, q.close())
			}
		}
	}
}

// watch is what Run remembers between two looks at the queues.
type watch struct {
	missed, crowded uint64
	reported        time.Time
}

// watch looks after readers, the keeper and the counters.
func (q *Queues) watch(w *watch) error {
	var missed, crowded uint64
	for _, r := range q.readers {
		select {
		case <-r.exited:
			return r.err
		default:
		}
		if r.slot.state.Load() == keeperDone {
			// A reader that waits for a packet does not see it: none comes.
			if err := r.wake(); err != nil {
				return fmt.Errorf("queue %d: %w", r.number, err)
			}
		}
		s := r.stats()
		missed, crowded = missed+s.Missed, crowded+s.Crowded
	}
	q.tendKeeper()
	if (missed > w.missed || crowded > w.crowded) && time.Since(w.reported) >= overflowInterval {
		q.opts.emit(event.Event{
			Kind: event.Overflow, Count: int(missed - w.missed),
			Detail: "packets found a queue full and went on without us",
		})
		*w = watch{missed: missed, crowded: crowded, reported: time.Now()}
	}
	return nil
}

// Serving reports whether every queue is answered by its reader. While it is
// not, the keeper has found one that hangs.
func (q *Queues) Serving() bool {
	for _, r := range q.readers {
		if r.slot.state.Load() != daemonServes {
			return false
		}
	}
	return true
}

// SetCopyRange sets how many bytes of a packet the kernel copies, from the
// IP header on: [balancer.Snapshot.CopyRange] of the snapshot in use. It
// returns when all queues copy as much, and must not be called from a function
// of [Options].
func (q *Queues) SetCopyRange(n uint32) error {
	for _, r := range q.readers {
		if err := r.do(func() error { return r.setCopyRange(n) }); err != nil {
			return err
		}
	}
	return nil
}

// Stats returns what each queue has done, in the order of their numbers.
func (q *Queues) Stats() []Stats {
	kernel := q.kernel.read()
	list := make([]Stats, len(q.readers))
	for i, r := range q.readers {
		list[i] = r.stats()
		if k, ok := kernel[r.number]; ok {
			list[i].Kernel = &k
		}
	}
	return list
}

// close ends the readers, each with the queue empty, and then the keeper.
func (q *Queues) close() error {
	var errs []error
	for _, r := range q.readers {
		errs = append(errs, r.close())
	}
	if q.keeper != nil {
		errs = append(errs, q.keeper.dismiss())
	}
	q.kernel.close()
	return errors.Join(append(errs, q.mem.close())...)
}

// close ends the reader if it runs, and closes the socket.
func (r *reader) close() error {
	var err error
	if r.bound {
		if err = r.do(r.finish); errors.Is(err, errClosed) {
			err = nil
		}
	}
	return errors.Join(err, r.lib.Close())
}
