package nfq

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// How many messages one recvmmsg takes. More would make the first packet of a
// burst wait longer for its verdict and the buffers leave the cache; fewer
// would not share the system calls among enough packets. Where a key far into
// the packet needs large buffers there are fewer.
const (
	burstLen    = 128
	burstMin    = 8
	inboxMemory = 1 << 20 // bytes, unless burstMin messages need more
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// inbox is what one recvmmsg reads into.
type inbox struct {
	headers []mmsghdr
	vectors []unix.Iovec
	memory  []byte
	size    int // of one message's buffer
}

// validCopyRange is the number of bytes that the kernel can copy that is
// nearest to n. It would take 0 for all.
func validCopyRange(n uint32) uint32 { return min(max(n, 1), maxCopyRange) }

// bufferLen is the length of a buffer for messages with n bytes of a packet.
func bufferLen(n uint32) int { return align(int(n) + attributesLen) }

func newInbox(copyRange uint32) *inbox {
	size := bufferLen(copyRange)
	return newInboxOf(min(max(inboxMemory/size, burstMin), burstLen), size)
}

// newInboxOf makes an inbox for n messages of size bytes.
func newInboxOf(n, size int) *inbox {
	in := &inbox{
		headers: make([]mmsghdr, n),
		vectors: make([]unix.Iovec, n),
		memory:  make([]byte, n*size),
		size:    size,
	}
	for i := range n {
		in.vectors[i].Base = &in.memory[i*size]
		in.vectors[i].SetLen(size)
		in.headers[i].hdr.Iov = &in.vectors[i]
		in.headers[i].hdr.SetIovlen(1)
	}
	return in
}

// receive reads what waits at the socket, as far as there is room, and returns
// the number of messages. It does not wait.
func (in *inbox) receive(fd uintptr) int {
	// EAGAIN: nothing waits. Any other error is the library's next Receive's to
	// meet.
	n, _ := in.receiveOr(fd)
	return n
}

// receiveOr is receive for who wants to know the error.
func (in *inbox) receiveOr(fd uintptr) (int, error) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.headers[0])),
			uintptr(len(in.headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// message returns the i-th message that was read; it is valid until the next
// receive. The end of one that was longer than its buffer is missing.
func (in *inbox) message(i int) []byte {
	start := i * in.size
	return in.memory[start : start+min(int(in.headers[i].len), in.size)]
}

// capacity is the number of messages that receive takes at most.
func (in *inbox) capacity() int { return len(in.headers) }
