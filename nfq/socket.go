package nfq

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// socket is the connection that go-nfqueue works on: its own one, with two
// differences that let queues be opened, configured and closed under traffic.
//
// First, it keeps packets and replies apart. Execute of mdlayher/netlink takes
// the next message for the reply, and fails when that is a packet, which is
// then lost. Second, it completes the library's command to bind the queue: the
// kernel drops what arrives at a queue without a copy mode, which the library
// would set only after another round trip.
//
// Once the queue is bound, the goroutine that reads it uses the socket. Others
// may set its read deadline, duplicate it, and send what needs no reply.
type socket struct {
	*netlink.Conn
	raw      syscall.RawConn
	settings []byte // attributes that complete the command to bind
	buf      []byte // what Receive read last
	asked    uint32 // sequence number of the request that waits for its reply, 0 for none
	bindSent bool
	aside    [][]byte             // packets that came before a reply, oldest first
	refused  func(request uint16) // told of every refused message of ours
}

// newSocket puts a socket over the library's connection.
func newSocket(conn *netlink.Conn, settings []byte, bufferLen int, refused func(uint16)) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &socket{Conn: conn, raw: raw, settings: settings, buf: make([]byte, bufferLen), refused: refused}, nil
}

// Send sends one message of the library.
func (s *socket) Send(m netlink.Message) error {
	if isBind(m.Data) {
		s.bindSent = true
		m.Data = append(bytes.Clone(m.Data), s.settings...)
		m.Header.Length = 0 // the connection fills it in
	}
	sent, err := s.Conn.Send(m)
	if err == nil && sent.Header.Flags&netlink.Acknowledge != 0 {
		s.asked = sent.Header.Sequence
	}
	return err
}

// isBind tells the command to bind a queue:
//
//	struct nfgenmsg; NFQA_CFG_CMD { u8 command; u8 pad; be16 family; }
func isBind(data []byte) bool {
	if len(data) < genericLen {
		return false
	}
	kind, value, _, _, ok := nextAttr(data[genericLen:])
	return ok && kind == cfgCommand && len(value) > 0 && value[0] == cmdBind
}

// SendMessages sends several messages of the library.
func (s *socket) SendMessages(list []netlink.Message) error {
	for _, m := range list {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// Receive waits for the reply while a request waits for one, and else for a
// packet. The message is valid until the next call.
func (s *socket) Receive() ([]netlink.Message, error) {
	if s.asked == 0 && len(s.aside) > 0 {
		m, ok := libraryMessage(s.takeAside())
		if ok {
			return m, nil
		}
	}
	for {
		b, err := s.read()
		if err != nil {
			return nil, err
		}
		m, _, ok := nextMessage(b)
		switch {
		case !ok:
		case m.kind == unix.NLMSG_ERROR && m.seq == s.asked && s.asked != 0:
			s.asked = 0
			reply, _ := libraryMessage(b)
			return reply, nil
		case m.kind == unix.NLMSG_ERROR:
			s.refusal(m.body)
		case s.asked != 0:
			s.aside = append(s.aside, bytes.Clone(b))
		default:
			packet, _ := libraryMessage(b)
			return packet, nil
		}
	}
}

// takeAside returns the oldest packet that came before a reply, nil for none.
func (s *socket) takeAside() []byte {
	if len(s.aside) == 0 {
		s.aside = nil
		return nil
	}
	b := s.aside[0]
	s.aside = s.aside[1:]
	return b
}

// refusal reports a message that the kernel refused.
func (s *socket) refusal(body []byte) {
	if code, request, ok := refusal(body); ok && code != 0 {
		s.refused(request)
	}
}

// read waits for a datagram and reads it into the buffer. A datagram that is
// longer is cut: no packet's header is.
func (s *socket) read() (b []byte, err error) {
	waited := s.raw.Read(func(fd uintptr) bool {
		var n int
		for {
			n, _, err = unix.Recvfrom(int(fd), s.buf, unix.MSG_DONTWAIT)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		b = s.buf[:max(n, 0)]
		return !errors.Is(err, unix.EAGAIN)
	})
	if waited != nil {
		return nil, waited
	}
	return b, os.NewSyscallError("recvfrom", err)
}

// dup returns a duplicate of the descriptor, which the caller closes.
func (s *socket) dup() (fd int, err error) {
	called := s.raw.Control(func(own uintptr) {
		fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(called, err); err != nil {
		return -1, fmt.Errorf("duplicate queue socket: %w", err)
	}
	return fd, nil
}

// closedSocket tells errors of Receive that stay from those that pass.
func closedSocket(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENOTSOCK)
}

// libraryMessage is a message as the library takes it.
func libraryMessage(b []byte) ([]netlink.Message, bool) {
	m, _, ok := nextMessage(b)
	if !ok {
		return nil, false
	}
	return []netlink.Message{{
		Header: netlink.Header{
			Length:   uint32(headerLen + len(m.body)),
			Type:     netlink.HeaderType(m.kind),
			Flags:    netlink.HeaderFlags(binary.NativeEndian.Uint16(b[6:])),
			Sequence: m.seq,
			PID:      binary.NativeEndian.Uint32(b[12:]),
		},
		Data: m.body,
	}}, true
}

// receive reads what waits, without waiting for more.
func (s *socket) receive(in *inbox) (n int) {
	// The error is that the socket was closed: nothing to read then.
	_ = s.raw.Control(func(fd uintptr) { n = in.receive(fd) })
	return n
}

// send sends messages to the kernel, which acts on them before send returns.
func (s *socket) send(b []byte) (err error) {
	called := s.raw.Control(func(fd uintptr) { err = sendKernel(int(fd), b) })
	return errors.Join(called, err)
}

// sendKernel sends netlink messages to the kernel.
func sendKernel(fd int, b []byte) error {
	to := unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for {
		err := unix.Sendto(fd, b, 0, &to)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("sendto", err)
		}
	}
}

// resize gives the socket's buffer room for the messages of as many packets as
// may wait: where that is not permitted, for as many as the host allows. The
// kernel counts a message with the memory that it takes, about 1.5 KB more
// than what is copied, and doubles the number that it is told.
func (s *socket) resize(copyRange, length uint32) error {
	const overhead, most = 2048, 1 << 30
	size := min(uint64(length)*uint64(copyRange+overhead), most)
	if err := s.SetReadBuffer(int(size)); err != nil {
		return fmt.Errorf("size socket buffer: %w", err)
	}
	return nil
}
