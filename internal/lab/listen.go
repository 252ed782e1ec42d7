package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// enoughBuffer, in bytes, lets a reader wait for its turn for a tenth of a
	// second at 100,000 datagrams a second.
	enoughBuffer = 8 << 20
	// maxShare bounds the sockets that make up for small buffers.
	maxShare = 16
)

// option is a socket option with a number for its value.
type option struct{ level, name, value int }

// listen opens a UDP socket at addr in the namespace of the calling thread.
// Where the host's limit leaves it a small buffer, which would lose datagrams
// at the rates this package is for, more sockets share the address, at most
// the given number in all; the kernel spreads flows over them.
func listen(addr netip.AddrPort, options []option, most int) ([]*socket, error) {
	return listenShared(addr, options, func(buffer int) int { return min(most, maxShare, enoughBuffer/buffer) })
}

// listenShared opens as many sockets at addr as count says of the size, in
// bytes, of the first one's buffer, and at least that one.
func listenShared(addr netip.AddrPort, options []option, count func(buffer int) int) (list []*socket, err error) {
	wanted := 1
	first := func(fd int) error {
		if err := setOptions(fd, options); err != nil {
			return err
		}
		if err := bind(fd, addr); err != nil {
			return err
		}
		size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		if err != nil {
			return os.NewSyscallError("getsockopt", err)
		}
		if wanted = count(size); wanted <= 1 {
			return nil
		}
		// Not before bind: an address that is in use stays an error.
		return setOptions(fd, sharing)
	}
	further := func(fd int) error {
		return errors.Join(setOptions(fd, sharing), setOptions(fd, options), bind(fd, addr))
	}
	for setup := first; len(list) == 0 || len(list) < wanted; setup = further {
		s, err := openSocket(family(addr.Addr()), unix.SOCK_DGRAM, setup)
		if err != nil {
			return nil, errors.Join(err, closeAll(list))
		}
		list = append(list, s)
	}
	return list, nil
}

// spreadByClient lets the destination of a datagram choose among sockets that
// share a port of all addresses. By itself the kernel goes by the other side
// alone, and that is mostly the same: one listener.
func spreadByClient(list []*socket, ipv4 bool) error {
	// The last four bytes of the address, where the IP header has it; negative
	// offsets count from there (SKF_NET_OFF in linux/filter.h).
	offset := uint32(36)
	if ipv4 {
		offset = 16
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: netOffset + offset},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(len(list))},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	var failed error
	err := list[0].conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	return errors.Join(err, os.NewSyscallError("setsockopt", failed))
}

const netOffset = 1<<32 - 0x100000 // SKF_NET_OFF, -0x100000, as BPF has it

var sharing = []option{{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}}

// family returns the socket family for addr.
func family(addr netip.Addr) int {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func bind(fd int, addr netip.AddrPort) error {
	if addr.Addr().Is4() {
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}))
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}))
}

func setOptions(fd int, list []option) error {
	for _, o := range list {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("set socket option %d/%d: %w", o.level, o.name, err)
		}
	}
	return nil
}

func closeAll(list []*socket) error {
	var errs []error
	for _, s := range list {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
