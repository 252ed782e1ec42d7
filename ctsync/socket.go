package ctsync

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// socket is a netfilter netlink socket that is read a burst at a time. Reading
// and writing is for one goroutine at a time each.
type socket struct {
	conn    *netlink.Conn
	raw     syscall.RawConn
	headers []mmsghdr
	buffers [][]byte
	read    func(fd uintptr) bool // made once
	got     int
	errno   syscall.Errno
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// openSocket opens a socket in the calling thread's network namespace. It
// reads up to burst datagrams at once, each of at most size bytes; the kernel
// may queue about queue bytes.
func openSocket(burst, size, queue int) (*socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := conn.SetReadBuffer(queue); err != nil {
		conn.Close()
		return nil, fmt.Errorf("set receive buffer: %w", err)
	}
	// Refusals need not quote the whole request.
	if err := conn.SetOption(netlink.CapAcknowledge, true); err != nil {
		conn.Close()
		return nil, fmt.Errorf("shorten acknowledgements: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	s := &socket{conn: conn, raw: raw, headers: make([]mmsghdr, burst), buffers: make([][]byte, burst)}
	vectors := make([]unix.Iovec, burst)
	for i := range s.buffers {
		s.buffers[i] = make([]byte, size)
		vectors[i].Base = &s.buffers[i][0]
		vectors[i].SetLen(size)
		s.headers[i].hdr.Iov = &vectors[i]
		s.headers[i].hdr.SetIovlen(1)
	}
	s.read = func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.headers[0])),
				uintptr(len(s.headers)), unix.MSG_DONTWAIT, 0, 0)
			if errno == unix.EINTR {
				continue
			}
			s.got, s.errno = int(n), errno
			return errno != unix.EAGAIN
		}
	}
	return s, nil
}

func (s *socket) close() error { return s.conn.Close() }

// receive waits for datagrams and hands each to fn, whose slice is valid
// during the call; cut says that a datagram was longer than there is room. An
// error of the kernel's is returned as it is, as ENOBUFS when datagrams had to
// be dropped.
func (s *socket) receive(fn func(datagram []byte, cut bool)) error {
	if err := s.raw.Read(s.read); err != nil {
		return err
	}
	if s.errno != 0 {
		return os.NewSyscallError("recvmmsg", s.errno)
	}
	for i := range s.headers[:s.got] {
		h := &s.headers[i]
		fn(s.buffers[i][:min(int(h.len), len(s.buffers[i]))], h.hdr.Flags&unix.MSG_TRUNC != 0)
		h.hdr.Flags = 0
	}
	return nil
}

// send sends a buffer of messages in one datagram.
func (s *socket) send(b []byte) error {
	var err error
	waited := s.raw.Write(func(fd uintptr) bool {
		for {
			err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if waited != nil {
		return waited
	}
	return os.NewSyscallError("sendto", err)
}

// patience bounds the wait for an answer of the kernel's.
const patience = 10 * time.Second

func (s *socket) deadline(t time.Time) error { return s.conn.SetReadDeadline(t) }
