package lab

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call takes.
	batchSize = 64
	// slotSize holds the largest datagram and, for Echo, one byte more.
	slotSize = 1 << 16
	// controlSize holds packet info and an extended error with its sender.
	controlSize = 128
)

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// batch is what one recvmmsg or sendmmsg works on. The memory of a slot that
// is never used is never touched.
type batch struct {
	headers [batchSize]mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]rawAddr
	control [batchSize][controlSize]byte
	payload []byte // batchSize slots of slotSize bytes; nil in a batch that only points elsewhere
}

// newBatch makes a batch with memory to receive into.
func newBatch() *batch { return &batch{payload: make([]byte, batchSize*slotSize)} }

// Batches are borrowed for as long as there is traffic to move: thousands of
// idle sockets hold none. The places are what is kept for the next; beyond
// them batches are left to the garbage collector.
var (
	receiveBatches = pool{make(chan *batch, 8), newBatch}
	sendBatches    = pool{make(chan *batch, 8), func() *batch { return new(batch) }}
)

type pool struct {
	idle  chan *batch
	fresh func() *batch
}

func (p pool) get() *batch {
	select {
	case b := <-p.idle:
		return b
	default:
		return p.fresh()
	}
}

func (p pool) put(b *batch) {
	select {
	case p.idle <- b:
	default:
	}
}

// slot returns the memory of datagram i.
func (b *batch) slot(i int) []byte { return b.payload[i*slotSize : (i+1)*slotSize : (i+1)*slotSize] }

// prepare readies all slots for receiving; control says whether ancillary
// data is wanted.
func (b *batch) prepare(control bool) {
	for i := range b.headers {
		b.point(i, b.slot(i)[:slotSize-1])
		h := &b.headers[i].hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), uint32(unsafe.Sizeof(b.names[i]))
		h.Control = &b.control[i][0]
		h.SetControllen(0)
		if control {
			h.SetControllen(controlSize)
		}
	}
}

// point makes datagram i consist of data, which must stay as it is until the
// batch is sent.
func (b *batch) point(i int, data []byte) {
	b.vectors[i].Base = unsafe.SliceData(data)
	b.vectors[i].SetLen(len(data))
	h := &b.headers[i].hdr
	h.Iov = &b.vectors[i]
	h.SetIovlen(1)
}

// addressTo makes datagram i go to addr.
func (b *batch) addressTo(i int, addr netip.AddrPort) {
	b.headers[i].hdr.Name = (*byte)(unsafe.Pointer(&b.names[i]))
	b.headers[i].hdr.Namelen = b.names[i].set(addr)
}

// addressLink makes datagram i go to a neighbour on a link.
func (b *batch) addressLink(i int, protocol uint16, link int, mac [6]byte) {
	b.headers[i].hdr.Name = (*byte)(unsafe.Pointer(&b.names[i]))
	b.headers[i].hdr.Namelen = b.names[i].setLink(protocol, link, mac)
}

// addressFrom makes datagram i leave under src, by packet info (ip(7),
// ipv6(7)).
func (b *batch) addressFrom(i int, src netip.Addr) {
	control := &b.control[i]
	h := (*unix.Cmsghdr)(unsafe.Pointer(control))
	data := control[unix.CmsgLen(0):]
	size := unix.SizeofInet6Pktinfo
	if src.Is4() {
		size = unix.SizeofInet4Pktinfo
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		*(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet4Pktinfo{Spec_dst: src.As4()}
	} else {
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		*(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet6Pktinfo{Addr: src.As16()}
	}
	h.SetLen(unix.CmsgLen(size))
	b.headers[i].hdr.Control = &control[0]
	b.headers[i].hdr.SetControllen(unix.CmsgSpace(size))
}

// received returns datagram i of a received batch. It is valid until the
// batch receives again.
func (b *batch) received(i int) []byte { return b.slot(i)[:b.headers[i].len] }

// from returns the other side's address of received datagram i.
func (b *batch) from(i int) netip.AddrPort { return b.names[i].addrPort() }

// ancillary is what the kernel says about a datagram beside its payload.
type ancillary struct {
	to    netip.Addr           // the destination, by packet info
	err   unix.SockExtendedErr // of a datagram from the error queue
	cause netip.Addr           // who sent the ICMP error; invalid: the kernel here
}

// ancillary decodes the control messages of received datagram i.
func (b *batch) ancillary(i int) ancillary {
	var a ancillary
	rest := b.control[i][:b.headers[i].hdr.Controllen]
	for len(rest) >= unix.CmsgLen(0) {
		header, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break
		}
		rest = next
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			a.to = netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Addr)
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			a.to = netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr)
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_RECVERR,
			header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_RECVERR:
			a.err, a.cause = extendedError(data)
		}
	}
	return a
}

// extendedError decodes struct sock_extended_err and the address behind it
// (linux/errqueue.h).
func extendedError(data []byte) (unix.SockExtendedErr, netip.Addr) {
	const size = int(unsafe.Sizeof(unix.SockExtendedErr{}))
	if len(data) < size {
		return unix.SockExtendedErr{}, netip.Addr{}
	}
	report := *(*unix.SockExtendedErr)(unsafe.Pointer(&data[0]))
	var cause rawAddr
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&cause)), unsafe.Sizeof(cause)), data[size:])
	return report, cause.addrPort().Addr()
}
