package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bufferSize is what sockets ask for, in bytes: at 100,000 datagrams a second
// a reader that waits half a second for its turn on a busy machine loses none.
const bufferSize = 32 << 20

// socket sends and receives datagrams in batches. One goroutine may receive
// and any may send.
type socket struct {
	file    *os.File
	conn    syscall.RawConn
	closing atomic.Bool
}

// openSocket opens a socket in the namespace of the calling thread; setup sets
// options and binds it.
func openSocket(family, kind int, setup func(fd int) error) (*socket, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	enlargeBuffers(fd)
	if err := setup(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "socket")
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &socket{file: file, conn: conn}, nil
}

// enlargeBuffers asks for room regardless of the host's limit, which only the
// host's root may exceed, and else for as much as there is. Either way the
// socket works: the kernel cuts the request down.
func enlargeBuffers(fd int) {
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], bufferSize) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], bufferSize)
		}
	}
}

// close ends receive and closes the descriptor. It may be called again.
func (s *socket) close() error {
	if s.closing.Swap(true) {
		return nil
	}
	return s.file.Close()
}

// receive calls ready, which takes a burst by recvmmsg and tells whether there
// was any, each time that something may have arrived, until the socket is
// closed.
func (s *socket) receive(ready func(fd uintptr) bool) {
	// The error is that the socket was closed: that is how this ends.
	_ = s.conn.Read(func(fd uintptr) bool {
		// To the last: only what arrives later wakes this up again.
		for more := true; more && !s.closing.Load(); {
			more = ready(fd)
		}
		return s.closing.Load()
	})
}

// recvmmsg fills the batch with what waits at the socket, or in its error
// queue with MSG_ERRQUEUE, and returns how much that is. It does not wait.
func recvmmsg(fd uintptr, b *batch, flags int) int {
	// An ICMP error fails one call and is then forgotten: ask again, but not
	// for ever, lest an error that stays keeps a CPU busy.
	for range 1000 {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.headers)), batchSize,
			uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
		if errno == 0 {
			return int(n)
		}
		if errno == unix.EAGAIN {
			break
		}
	}
	return 0
}

// sendTries is how often the kernel is asked to send a datagram: an ICMP error
// about another one makes it fail once, and so does a full link.
const sendTries = 8

// send sends the first n datagrams of the batch, waiting while the socket's
// buffer is full. A datagram that the kernel refuses is left out; sent counts
// the others and err is the first refusal.
func (s *socket) send(b *batch, n int) (sent int, err error) {
	sent, err = s.sendAll(b.headers[:n])
	runtime.KeepAlive(b)
	return sent, err
}

// sendAll is send for headers that need not be a batch's.
func (s *socket) sendAll(headers []mmsghdr) (sent int, err error) {
	next, tries := 0, 0
	closed := s.conn.Write(func(fd uintptr) bool {
		for next < len(headers) {
			done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&headers[next])),
				uintptr(len(headers)-next), unix.MSG_DONTWAIT, 0, 0)
			switch {
			case errno == 0:
				sent, next, tries = sent+int(done), next+int(done), 0
			case errno == unix.EAGAIN:
				return false
			case errno == unix.EINTR:
			case errno == unix.ECONNREFUSED:
				// Always about an earlier datagram, since the socket is not
				// connected; many can come while this one waits.
			case tries < sendTries:
				tries++
				if errno == unix.ENOBUFS {
					time.Sleep(100 * time.Microsecond)
				}
			default:
				if err == nil {
					err = os.NewSyscallError("sendmmsg", errno)
				}
				next, tries = next+1, 0
			}
		}
		return true
	})
	runtime.KeepAlive(headers)
	if closed != nil {
		return sent, fmt.Errorf("send: %w", os.ErrClosed)
	}
	return sent, err
}
