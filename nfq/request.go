package nfq

import (
	"errors"
	"fmt"
	"time"

	"github.com/roamlb/roamlb/event"
)

// request is work that touches the queue and so is the reader's to do.
type request struct {
	do   func() error
	done chan error // buffered
}

// errClosed is the answer to work for a queue that is served no more.
var errClosed = errors.New("queue is closed")

// attend takes the queue back from the keeper, and does what others have asked
// for.
func (r *reader) attend() {
	if r.slot.state.Load() == keeperDone {
		r.resume(0)
	}
	for !r.stopped {
		select {
		case req := <-r.requests:
			req.done <- req.do()
		default:
			return
		}
	}
}

// do has the reader's goroutine call f between two bursts, and waits.
func (r *reader) do(f func() error) error {
	req := request{do: f, done: make(chan error, 1)}
	select {
	case r.requests <- req:
	case <-r.exited:
		return errClosed
	}
	if err := r.wake(); err != nil {
		return err
	}
	select {
	case err := <-req.done:
		return err
	case <-r.exited:
	}
	// It may have been the reader's last work.
	select {
	case err := <-req.done:
		return err
	default:
		return errClosed
	}
}

// wake makes Receive return, if it waits.
func (r *reader) wake() error { return r.sock.SetReadDeadline(time.Unix(1, 0)) }

// setCopyRange sets how much of a packet is copied. The buffers grow before
// the kernel copies more.
func (r *reader) setCopyRange(n uint32) error {
	n = validCopyRange(n)
	if n == r.copyRange {
		return nil
	}
	r.inbox = newInbox(n)
	if err := r.sock.resize(n, r.opts.Queues.Length); err != nil {
		return err
	}
	if err := r.sock.send(appendCopyRange(nil, r.number, n)); err != nil {
		return fmt.Errorf("queue %d: set copy range: %w", r.number, err)
	}
	r.copyRange = n
	return nil
}

// finish lets everything pass that comes from here on, answers what waits, and
// ends the reader. The library then unbinds the queue, which is empty.
func (r *reader) finish() error {
	err := r.empty()
	r.stop(nil)
	return err
}

// resume takes the queue back from the keeper, which has answered everything
// while this process hung. What the socket still holds is stale, and so are the
// given number of packets that were read and not decided.
func (r *reader) resume(stale int) {
	stale += len(r.sock.aside)
	r.sock.aside = nil
	for n := r.sock.receive(r.inbox); n > 0; n = r.sock.receive(r.inbox) {
		for i := range n {
			m, _, ok := nextMessage(r.inbox.message(i))
			if !ok || m.kind != msgPacket {
				continue
			}
			if q, ok := decodeQueued(m.body); ok {
				r.sees(q.id)
				stale++
			}
		}
	}
	// A keeper that was killed at its work may have left some.
	err := r.acceptAll(idRoom)
	err = errors.Join(err, r.sock.send(appendMaxLen(nil, r.number, r.opts.Queues.Length)))
	if err != nil {
		r.log.Error("take the queue back from the keeper", "error", err)
	}
	r.run = 0
	r.judge.count.Missed += uint64(stale)
	r.judge.count.KeeperAnswers++
	r.flush()
	r.slot.last.Store(r.last)
	r.slot.state.Store(daemonServes)
	r.log.Warn("keeper answered for us while we hung", "unseen", stale)
	r.opts.emit(event.Event{
		Kind: event.Keeper, Count: stale,
		Detail: fmt.Sprintf("queue %d: the daemon hung, the keeper let pass what waited", r.number),
	})
}
