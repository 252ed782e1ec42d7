package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// conn is a nfnetlink socket for transactions and dumps. One call at a time;
// safe for concurrent use.
type conn struct {
	mu  sync.Mutex // guards the socket from a request to the last of its answers, and seq
	nl  *netlink.Conn
	raw syscall.RawConn
	seq uint32
	buf []byte
}

// dial opens the socket in the calling thread's network namespace.
func dial() (*conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open nftables socket: %w", err)
	}
	raw, err := nl.SyscallConn()
	if err != nil {
		nl.Close()
		return nil, fmt.Errorf("open nftables socket: %w", err)
	}
	c := &conn{nl: nl, raw: raw, seq: 1, buf: make([]byte, 256<<10)}
	err = raw.Control(func(fd uintptr) {
		// A transaction is one datagram: it must fit. FORCE needs CAP_NET_ADMIN
		// in the namespace's owner; the plain option is the fallback.
		const size = 16 << 20
		for _, o := range [][2]int{{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}, {unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}} {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o[0], size) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o[1], size)
			}
		}
	})
	if err != nil {
		nl.Close()
		return nil, fmt.Errorf("open nftables socket: %w", err)
	}
	return c, nil
}

func (c *conn) close() error { return c.nl.Close() }

// portID is what the kernel calls this socket in notifications.
func (c *conn) portID() uint32 { return c.nl.PID() }

// RequestError is a request that the kernel refused.
type RequestError struct {
	What  string // the request, in words
	Errno syscall.Errno
}

func (e *RequestError) Error() string { return e.What + ": " + e.Errno.Error() }

// Unwrap lets errors.Is match the errno.
func (e *RequestError) Unwrap() error { return e.Errno }

// appendMessage writes struct nlmsghdr (length u32, type u16, flags u16,
// sequence u32, port id u32) and struct nfgenmsg (family u8, version u8,
// resource id be16) before body.
func appendMessage(b []byte, typ, flags uint16, seq uint32, family byte, resource uint16, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+4+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, family, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, resource)
	return append(b, body...)
}

const subsys = unix.NFNL_SUBSYS_NFTABLES

// commit sends requests as one transaction: all take effect, or none and the
// error is a *RequestError that names the first refused.
func (c *conn) commit(reqs []request) error {
	errnos, err := c.transact(reqs)
	if err != nil {
		return err
	}
	for i, errno := range errnos {
		if errno == 0 {
			continue
		}
		what := "commit"
		if i < len(reqs) {
			what = reqs[i].what
		}
		return &RequestError{What: what, Errno: errno}
	}
	return nil
}

// transact sends requests as one transaction and returns the kernel's answer
// to each, 0 for none, and behind them the one to the transaction itself. It
// took effect if all are 0.
func (c *conn) transact(reqs []request) ([]syscall.Errno, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.seq
	c.seq += uint32(len(reqs)) + 2
	b := appendMessage(nil, unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, first, unix.AF_UNSPEC, subsys, nil)
	for i, r := range reqs {
		flags := unix.NLM_F_REQUEST | r.flags
		if i == len(reqs)-1 {
			flags |= unix.NLM_F_ACK
		}
		b = appendMessage(b, subsys<<8|r.typ, flags, first+1+uint32(i), familyINet, 0, r.body)
	}
	b = appendMessage(b, unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, first+uint32(len(reqs))+1, unix.AF_UNSPEC, subsys, nil)
	if err := c.send(b); err != nil {
		return nil, fmt.Errorf("send %d nftables requests: %w", len(reqs), err)
	}
	return c.answers(len(reqs), first)
}

// answers reads the answers to a transaction of n requests. The last request's
// comes last, or the transaction's own, which is that to its first message.
func (c *conn) answers(n int, first uint32) ([]syscall.Errno, error) {
	errnos := make([]syscall.Errno, n+1)
	for done := false; !done; {
		err := c.receive(func(h header, body []byte) {
			at := h.seq - first // 0 for the transaction, else 1 and the request's index
			if h.typ != unix.NLMSG_ERROR || len(body) < 4 || at > uint32(n) {
				return // not of this transaction
			}
			i := (int(at) + n) % (n + 1)
			errnos[i] = syscall.Errno(-int32(binary.NativeEndian.Uint32(body)))
			done = done || at == 0 || int(at) == n
		})
		if err != nil {
			return nil, fmt.Errorf("read the answer to nftables requests: %w", err)
		}
	}
	return errnos, nil
}

// ask sends requests that are no transaction, each for one thing, and hands fn
// the attributes of what is there by the request's index. Their answers must fit
// into the socket's buffer.
func (c *conn) ask(reqs []request, fn func(i int, attrs []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.seq
	c.seq += uint32(len(reqs))
	var b []byte
	for i, r := range reqs {
		b = appendMessage(b, subsys<<8|r.typ, unix.NLM_F_REQUEST, first+uint32(i), familyINet, 0, r.body)
	}
	if err := c.send(b); err != nil {
		return fmt.Errorf("send %d nftables requests: %w", len(reqs), err)
	}
	var failed error
	for left := len(reqs); left > 0; {
		err := c.receive(func(h header, body []byte) {
			at := h.seq - first
			if at >= uint32(len(reqs)) || len(body) < 4 {
				return
			}
			left--
			if h.typ != unix.NLMSG_ERROR {
				fn(int(at), body[4:])
				return
			}
			errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(body)))
			if errno != syscall.ENOENT && failed == nil {
				failed = &RequestError{What: reqs[at].what, Errno: errno}
			}
		})
		if err != nil {
			return fmt.Errorf("read the answer to nftables requests: %w", err)
		}
	}
	return failed
}

// dump asks for a list and hands every answer's attributes to fn. A table that
// is not there gives an empty list.
func (c *conn) dump(typ uint16, what string, body []byte, fn func(typ uint16, attrs []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seq := c.seq
	c.seq++
	if err := c.send(appendMessage(nil, subsys<<8|typ, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq, familyINet, 0, body)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var failed error
	for done := false; !done; {
		err := c.receive(func(h header, body []byte) {
			t := h.typ
			if h.seq != seq {
				return
			}
			if h.flags&unix.NLM_F_DUMP_INTR != 0 {
				failed = errInterrupted
			}
			switch {
			case t == unix.NLMSG_DONE || t == unix.NLMSG_ERROR:
				done = true
				if len(body) >= 4 {
					if errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(body))); errno != 0 && errno != syscall.ENOENT {
						failed = &RequestError{What: what, Errno: errno}
					}
				}
			case t>>8 == subsys && len(body) >= 4:
				fn(t&0xff, body[4:])
			}
		})
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return failed
}

// dumpTries is how often a list is asked for that changes meanwhile.
const dumpTries = 3

// dumpWhole is dump that hands on what can be kept, and of several tries only
// the last one's answers: the first that nothing interrupted, or, with an error
// that is errInterrupted, what the last gave.
func (c *conn) dumpWhole(typ uint16, what string, body []byte, fn func(typ uint16, attrs []byte)) error {
	type answer struct {
		typ   uint16
		attrs []byte
	}
	var got []answer
	var err error
	for range dumpTries {
		got = got[:0]
		err = c.dump(typ, what, body, func(typ uint16, attrs []byte) { got = append(got, answer{typ, bytes.Clone(attrs)}) })
		if !errors.Is(err, errInterrupted) {
			break
		}
	}
	if err != nil && !errors.Is(err, errInterrupted) {
		return err
	}
	for _, a := range got {
		fn(a.typ, a.attrs)
	}
	return err
}

// generation is how many transactions the namespace has seen, whoever's.
func (c *conn) generation() (gen uint32, err error) {
	err = c.ask([]request{{typ: msgGetGen, what: "ask for the ruleset's generation"}}, func(_ int, attrs []byte) {
		eachAttr(attrs, func(typ uint16, d []byte) {
			if typ == unix.NFTA_GEN_ID && len(d) >= 4 {
				gen = binary.BigEndian.Uint32(d)
			}
		})
	})
	return gen, err
}

// errInterrupted: the table changed while it was being listed.
var errInterrupted = errors.New("the table changed while it was listed")

func (c *conn) send(b []byte) error {
	var serr error
	err := c.raw.Write(func(fd uintptr) bool {
		serr = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return !errors.Is(serr, unix.EAGAIN)
	})
	return errors.Join(err, serr)
}

// receive reads one datagram and hands each message in it to fn.
func (c *conn) receive(fn func(h header, body []byte)) error {
	var n int
	var rerr error
	err := c.raw.Read(func(fd uintptr) bool {
		n, _, rerr = unix.Recvfrom(int(fd), c.buf, 0)
		return !errors.Is(rerr, unix.EAGAIN)
	})
	if err := errors.Join(err, rerr); err != nil {
		return err
	}
	eachMessage(c.buf[:n], fn)
	return nil
}

type header struct {
	typ, flags uint16
	seq, port  uint32
}

// eachMessage splits a datagram into its netlink messages.
func eachMessage(b []byte, fn func(h header, body []byte)) {
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			return
		}
		fn(header{
			typ: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
			seq: binary.NativeEndian.Uint32(b[8:]), port: binary.NativeEndian.Uint32(b[12:]),
		}, b[unix.NLMSG_HDRLEN:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}
