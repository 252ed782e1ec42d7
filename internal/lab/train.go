package lab

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Train is packets that are made up in advance, to be sent as often as wanted:
// what it costs is the system calls alone, one for many packets. One goroutine
// at a time uses it.
type Train struct {
	socket  *socket
	headers []mmsghdr
	vectors []unix.Iovec
	names   [2]rawAddr // of IPv4 and of IPv6 packets
}

// Train couples packets, which must stay as they are as long as the train is
// in use. Closing the sender ends it too.
func (r *RawSender) Train(packets [][]byte) *Train {
	t := &Train{socket: r.socket, headers: make([]mmsghdr, len(packets)), vectors: make([]unix.Iovec, len(packets))}
	size := t.names[0].setLink(unix.ETH_P_IP, r.link, r.to)
	t.names[1].setLink(unix.ETH_P_IPV6, r.link, r.to)
	for i, p := range packets {
		t.vectors[i].Base = &p[0]
		t.vectors[i].SetLen(len(p))
		name := &t.names[0]
		if p[0]>>4 == 6 {
			name = &t.names[1]
		}
		h := &t.headers[i].hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(name)), size
		h.Iov = &t.vectors[i]
		h.SetIovlen(1)
	}
	return t
}

// Len returns how many packets the train has.
func (t *Train) Len() int { return len(t.headers) }

// Send sends count packets from the one at first on, beginning again behind
// the last one, rate a second or, where that is 0, as fast as possible. It
// returns how many the kernel took: all of them, unless ctx ends or the kernel
// refuses some.
func (t *Train) Send(ctx context.Context, first, count, rate int) (sent int, err error) {
	p := pace{start: time.Now(), rate: rate}
	for done := 0; done < count; {
		at := (first + done) % len(t.headers)
		n := p.next(ctx, done, min(batchSize, count-done, len(t.headers)-at))
		if n == 0 {
			return sent, fmt.Errorf("send train: %w", ctx.Err())
		}
		took, refused := t.socket.sendAll(t.headers[at : at+n])
		sent += took
		if refused != nil && err == nil {
			err = fmt.Errorf("send train: %w", refused)
		}
		done += n
	}
	return sent, err
}

// SendTimed sends the first len(at) packets one by one, evenly, rate a second,
// and notes in at when each was sent, in nanoseconds of the machine's clock.
// Unlike Send it never gathers several: what is late catches up.
func (t *Train) SendTimed(ctx context.Context, rate int, at []int64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// A sleep may else be 50 µs longer than asked for.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set timer slack: %w", err)
	}
	var start unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &start); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	for i := range at {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("send train: %w", err)
		}
		due := unix.NsecToTimespec(start.Nano() + int64(i)*int64(time.Second)/int64(rate))
		for interrupted := true; interrupted; {
			interrupted = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &due, nil) == unix.EINTR
		}
		at[i] = time.Now().UnixNano()
		if _, err := t.socket.sendAll(t.headers[i : i+1]); err != nil {
			return fmt.Errorf("send train: %w", err)
		}
	}
	return nil
}
