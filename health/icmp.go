package health

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
)

// echoProbe sends an ICMP echo request and waits for its reply: through a ping
// socket where the host lets this user have one, else through a raw one, which
// needs CAP_NET_RAW.
type echoProbe struct{ spec *balancer.Health }

// An echo message, RFC 792 and RFC 4443, section 4:
//
//	0 type   1 code   2 checksum   4 identifier   6 sequence number   8 data
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoHeader               = 8
	cookieLen                = 16 // of data, by which a reply is told from others'
)

func (p *echoProbe) Probe(ctx context.Context, to netip.AddrPort) error {
	v6 := to.Addr().Is6()
	conn, raw, err := openEcho(p.spec.Source(v6), to.Addr())
	if err != nil {
		return judged(ctx, err)
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	request, err := newEcho(v6)
	if err != nil {
		return judged(ctx, err)
	}
	if _, err := conn.Write(request); err != nil {
		return judged(ctx, err)
	}
	b := make([]byte, 512)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return judged(ctx, timedOut(err))
		}
		if isReply(b[:n], request, v6, raw) {
			return nil
		}
	}
}

// newEcho is an echo request with random data.
func newEcho(v6 bool) ([]byte, error) {
	b := make([]byte, echoHeader+cookieLen)
	b[0] = echoRequest4
	if v6 {
		b[0] = echoRequest6 // whose checksum the kernel makes
	}
	if _, err := rand.Read(b[4:]); err != nil {
		return nil, err
	}
	if !v6 {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b, nil
}

// checksum is the Internet checksum, RFC 1071, of a message that has none yet
// and an even length.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// isReply reports whether a message is the reply to a request. A raw socket of
// IPv4 gets the IP header too.
func isReply(b, request []byte, v6, raw bool) bool {
	if raw && !v6 {
		if len(b) == 0 || len(b) < int(b[0]&0x0f)*4 {
			return false
		}
		b = b[int(b[0]&0x0f)*4:]
	}
	want := byte(echoReply4)
	if v6 {
		want = echoReply6
	}
	// A ping socket has an identifier of its own in place of ours.
	return len(b) >= len(request) && b[0] == want && bytes.Equal(b[echoHeader:len(request)], request[echoHeader:])
}

// timedOut turns the error of a deadline into one that tells of a timeout.
func timedOut(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// openEcho opens a socket of either kind, connected: only the backend's packets
// reach it.
func openEcho(from, to netip.Addr) (conn *os.File, raw bool, err error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if to.Is6() {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|flags, protocol)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		raw = true
		if fd, err = unix.Socket(family, unix.SOCK_RAW|flags, protocol); err != nil {
			return nil, raw, fmt.Errorf("open an ICMP socket: %w; it takes net.ipv4.ping_group_range with group %d in it, or CAP_NET_RAW", err, os.Getegid())
		}
	}
	if err != nil {
		return nil, raw, fmt.Errorf("open an ICMP socket: %w", err)
	}
	if err := prepareEcho(fd, raw, from, to); err != nil {
		unix.Close(fd)
		return nil, raw, err
	}
	return os.NewFile(uintptr(fd), "icmp"), raw, nil
}

func prepareEcho(fd int, raw bool, from, to netip.Addr) error {
	if raw {
		if err := onlyReplies(fd, to.Is6()); err != nil {
			return fmt.Errorf("filter ICMP: %w", err)
		}
	}
	if from.IsValid() {
		if err := unix.Bind(fd, sockaddr(from)); err != nil {
			return fmt.Errorf("probe from %s: %w", from, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// onlyReplies keeps all messages from a raw socket that are no echo replies:
// linux/icmp.h and linux/icmpv6.h, a bit that is set keeps a type away.
func onlyReplies(fd int, v6 bool) error {
	if !v6 {
		const solRaw, icmpFilter = 255, 1
		return unix.SetsockoptInt(fd, solRaw, icmpFilter, ^(1 << echoReply4))
	}
	f := &unix.ICMPv6Filter{}
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	const icmpv6Filter = 1
	return unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, icmpv6Filter, f)
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}
