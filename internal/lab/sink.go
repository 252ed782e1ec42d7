package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SinkOptions are the choices for [NewSink]; the zero value will do.
type SinkOptions struct {
	// Take, if any, is called for every datagram, which it must not keep. It is
	// called from several goroutines where the host grants small buffers only.
	// at is when the datagram came to the namespace, in nanoseconds of the
	// machine's clock; 0 without Timed.
	Take func(payload []byte, at int64)
	// Timed asks the kernel when each datagram came.
	Timed bool
}

// Sink is a backend that never answers, and takes datagrams at the rates of a
// benchmark. All methods may be called from any goroutine.
type Sink struct {
	opts    SinkOptions
	sockets []*socket
	total   atomic.Uint64
	last    atomic.Int64
	readers sync.WaitGroup
}

// NewSink starts a Sink inside the namespace. The caller closes it.
func NewSink(n *Namespace, addr netip.AddrPort, opts SinkOptions) (*Sink, error) {
	s := &Sink{opts: opts}
	var options []option
	if opts.Timed {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1})
	}
	err := n.Do(func() (err error) {
		s.sockets, err = listen(addr, options, maxShare)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sink at %s in namespace %s: %w", addr, n.name, err)
	}
	for _, sock := range s.sockets {
		s.readers.Go(func() {
			b := newBatch()
			b.prepare(opts.Timed)
			sock.receive(func(fd uintptr) bool { return s.take(b, recvmmsg(fd, b, 0)) })
		})
	}
	return s, nil
}

// take counts the n datagrams of a batch and tells whether there were any.
func (s *Sink) take(b *batch, n int) bool {
	if n == 0 {
		return false
	}
	for i := range n {
		var at int64
		if s.opts.Timed {
			at = b.arrived(i)
			b.headers[i].hdr.SetControllen(controlSize)
		}
		if s.opts.Take != nil {
			s.opts.Take(b.received(i), at)
		}
		b.headers[i].hdr.Namelen = uint32(unsafe.Sizeof(b.names[i]))
	}
	s.total.Add(uint64(n))
	s.last.Store(time.Now().UnixNano())
	return true
}

// arrived is when the kernel took received datagram i, 0 where it does not say.
func (b *batch) arrived(i int) int64 {
	rest := b.control[i][:b.headers[i].hdr.Controllen]
	for len(rest) >= unix.CmsgLen(0) {
		header, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return 0
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SO_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			return (*unix.Timespec)(unsafe.Pointer(&data[0])).Nano()
		}
		rest = next
	}
	return 0
}

// Total returns how many datagrams have been read.
func (s *Sink) Total() uint64 { return s.total.Load() }

// Last returns when the last burst was read.
func (s *Sink) Last() time.Time { return time.Unix(0, s.last.Load()) }

// Dropped returns how many datagrams the kernel dropped because they were not
// read in time: of these the Sink knows nothing, and a benchmark is void.
func (s *Sink) Dropped() (uint64, error) {
	const drops, words = 8, 9 // SK_MEMINFO_DROPS of linux/sock_diag.h
	var sum uint64
	for _, sock := range s.sockets {
		var info [words]uint32
		var errno unix.Errno
		size := uint32(unsafe.Sizeof(info))
		err := sock.conn.Control(func(fd uintptr) {
			_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
				uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		})
		if errno != 0 {
			err = errors.Join(err, os.NewSyscallError("getsockopt", errno))
		}
		if err != nil {
			return 0, err
		}
		sum += uint64(info[drops])
	}
	return sum, nil
}

// Close stops the Sink and waits for its goroutines. It may be called again.
func (s *Sink) Close() error {
	err := closeAll(s.sockets)
	s.readers.Wait()
	return err
}
