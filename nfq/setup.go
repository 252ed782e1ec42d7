package nfq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// explain adds to an error who the owner of a queue is, where that can be known.
func (q *Queues) explain(r *reader, err error) error {
	if k, ok := q.kernel.read()[r.number]; ok && errors.Is(err, ErrOwned) {
		return fmt.Errorf("bind queue %d: %w (netlink port %d): choose other numbers with queues.first", r.number, err, k.Owner)
	}
	return fmt.Errorf("bind queue %d: %w", r.number, err)
}

// newReader opens the socket of a queue and makes it ready to bind.
func newReader(opts *Options, number uint16, slot *slot, copyRange uint32) (*reader, error) {
	copyRange = validCopyRange(copyRange)
	lib, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      number,
		MaxQueueLen:  opts.Queues.Length,
		MaxPacketLen: copyRange,
		Copymode:     nfqueue.NfQnlCopyPacket,
		AfFamily:     unix.AF_UNSPEC,
	})
	if err != nil {
		return nil, fmt.Errorf("open queue %d: %w", number, err)
	}
	r := &reader{
		opts: opts, number: number, slot: slot, lib: lib,
		log:       opts.Log.With("queue", number),
		judge:     judge{flows: opts.Flows, refused: opts.Refused},
		inbox:     newInbox(copyRange),
		copyRange: copyRange,
		requests:  make(chan request, 1),
		exited:    make(chan struct{}),
	}
	err = r.adopt(copyRange)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open queue %d: %w", number, err), lib.Close())
	}
	return r, nil
}

// adopt puts our socket under the library and sets its options.
func (r *reader) adopt(copyRange uint32) (err error) {
	length := r.opts.Queues.Length
	r.sock, err = newSocket(r.lib.Con, appendSettings(nil, copyRange, length), bufferLen(maxCopyRange), r.refused)
	if err != nil {
		return err
	}
	// What finds the buffer full fails open, and its id is missing: no need
	// for an error that only says so.
	if err := r.sock.SetOption(netlink.NoENOBUFS, true); err != nil {
		return err
	}
	if err := r.sock.resize(copyRange, length); err != nil {
		return err
	}
	r.lib.Con = netlink.NewConn(r.sock, r.sock.PID())
	return nil
}

// refused counts a message that the kernel refused. A verdict comes too late
// when the keeper has answered, or when all hooks were flushed; a configuration
// is refused when the queue is not ours.
func (r *reader) refused(request uint16) {
	r.judge.count.Refused++
	if request == msgConfig {
		r.log.Error("the kernel refused a change of the queue's configuration")
	}
}

// bind binds the queue and starts to serve it.
func (r *reader) bind() error {
	for try := 1; ; try++ {
		r.sock.bindSent = false
		err := r.lib.RegisterWithErrorFunc(context.Background(), r.first, r.failed)
		if err == nil {
			r.bound = true
			return nil
		}
		owned := r.sock.bindSent && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EBUSY))
		switch {
		case owned && try == bindTries:
			return ErrOwned
		case owned:
			time.Sleep(bindPause)
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("CAP_NET_ADMIN is needed: %w", err)
		default:
			return err
		}
	}
}
