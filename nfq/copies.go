package nfq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
)

// CopiesOptions is what [OpenCopies] needs.
type CopiesOptions struct {
	Group    uint16                    // of NFLOG
	Snapshot func() *balancer.Snapshot // nil while there is none
	Facts    func([]balancer.Fact)     // as in Options
	Now      func() int64              // nanoseconds on the daemon's monotonic clock
	Lost     func()                    // called when copies were lost; must not block
	Log      *slog.Logger              // nil: nothing is logged
	Events   event.Sink                // takes event.Overflow, at most one a second; nil: none
}

// Copies reads the copies of packets that the kernel has decided by itself.
// The packets are under way already: nothing here can hold one up.
type Copies struct {
	opts  CopiesOptions
	conn  *netlink.Conn
	raw   syscall.RawConn
	inbox *inbox
	teller
	told   time.Time // of losses, last
	copies atomic.Uint64
	losses atomic.Uint64
	ended  chan struct{} // closed when Run has read the last
}

const (
	// The kernel gathers as many copies, or waits as long, before it sends them
	// on together: a fact is late by so much at most.
	copiesAtOnce   = 64
	copiesPatience = 1 // hundredths of a second
	// copiesBuffer holds them if they are short. A little more, with what the
	// kernel adds, and each would take twice the memory of the socket's share.
	copiesBuffer = 16<<10 - 512
	// copiesFarewell is how long Run still reads in the end: twice the patience,
	// and time for the kernel's timer to be late.
	copiesFarewell = 30 * time.Millisecond
	// copiesInbox has room for one copy of the largest packet.
	copiesInbox = 80 << 10
	copiesQueue = 16 << 20
)

// OpenCopies takes the copies of an NFLOG group in the calling thread's network
// namespace. The caller must then call Run, which also closes it. The error is
// [ErrOwned] where another process has the group.
func OpenCopies(opts CopiesOptions) (*Copies, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open group %d: %w", opts.Group, err)
	}
	c := &Copies{opts: opts, conn: conn, inbox: newInboxOf(copiesAtOnce/4, copiesInbox), ended: make(chan struct{})}
	if err := c.bind(); err != nil {
		return nil, errors.Join(fmt.Errorf("open group %d: %w", opts.Group, err), conn.Close())
	}
	return c, nil
}

// bind takes the group and says how its copies are to come.
func (c *Copies) bind() (err error) {
	if c.raw, err = c.conn.SyscallConn(); err != nil {
		return err
	}
	if err := c.conn.SetReadBuffer(copiesQueue); err != nil {
		return fmt.Errorf("size socket buffer: %w", err)
	}
	for try := 1; ; try++ {
		err := c.ask(appendGroup(nil, c.opts.Group))
		// Of another's group the kernel says EPERM, as to who lacks CAP_NET_ADMIN:
		// but that one has not come so far.
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EPERM) {
			return err
		}
		if try == bindTries {
			return ErrOwned
		}
		time.Sleep(bindPause)
	}
}

// ask sends a request and waits for its acknowledgement. Copies that come
// before it are passed over.
func (c *Copies) ask(request []byte) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	var failed error
	if err := errors.Join(c.raw.Control(func(fd uintptr) { failed = sendKernel(int(fd), request) }), failed); err != nil {
		return err
	}
	for answered := false; !answered; {
		n, err := c.receive()
		if err != nil {
			return err
		}
		for i := range n {
			m, _, ok := nextMessage(c.inbox.message(i))
			if !ok || m.kind != unix.NLMSG_ERROR {
				continue
			}
			answered = true
			if code, _, ok := refusal(m.body); ok && code != 0 {
				return code
			}
		}
	}
	return c.conn.SetReadDeadline(time.Time{})
}

// receive waits for copies and reads a burst.
func (c *Copies) receive() (n int, err error) {
	waited := c.raw.Read(func(fd uintptr) bool {
		n, err = c.inbox.receiveOr(fd)
		return !errors.Is(err, unix.EAGAIN)
	})
	if waited != nil {
		return 0, waited
	}
	return n, err
}

// Run reads until ctx ends and the kernel has sent what it had gathered by
// then, and returns nil.
func (c *Copies) Run(ctx context.Context) error {
	defer close(c.ended)
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Now().Add(copiesFarewell)) })
	defer stop()
	for {
		n, err := c.receive()
		switch {
		case err != nil && ctx.Err() != nil:
			return c.conn.Close()
		case errors.Is(err, unix.ENOBUFS):
			c.lost()
		case err != nil:
			return errors.Join(fmt.Errorf("read group %d: %w", c.opts.Group, err), c.conn.Close())
		default:
			c.burst(n)
		}
	}
}

// Ended is closed when Run has told the last copy.
func (c *Copies) Ended() <-chan struct{} { return c.ended }

// burst turns copies into facts.
func (c *Copies) burst(n int) {
	c.begin(c.opts.Snapshot(), c.opts.Now())
	for i := range n {
		for b := c.inbox.message(i); len(b) > 0; {
			m, rest, ok := nextMessage(b)
			if !ok {
				break
			}
			b = rest
			if m.kind == msgCopy {
				c.copies.Add(1)
				c.hear(m.body)
			}
		}
	}
	if len(c.facts) > 0 {
		c.opts.Facts(c.facts)
	}
}

// lost makes good that the kernel had to drop copies.
func (c *Copies) lost() {
	c.losses.Add(1)
	c.opts.Lost()
	if c.opts.Events != nil && time.Since(c.told) >= overflowInterval {
		c.told = time.Now()
		c.opts.Events(event.Event{Time: c.told, Kind: event.Overflow, Detail: "copies of packets were lost"})
	}
}

// CopiesStats is what has been read. The counters only grow.
type CopiesStats struct {
	Copies uint64
	Losses uint64 // times that the kernel said it had dropped some
}

// Stats returns what has been read. It may be called from any goroutine.
func (c *Copies) Stats() CopiesStats {
	return CopiesStats{Copies: c.copies.Load(), Losses: c.losses.Load()}
}
