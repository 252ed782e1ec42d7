package lab

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxErrors bounds what Clients.Errors keeps.
const maxErrors = 1 << 16

// ICMPError is an ICMP error about a datagram that a client sent.
type ICMPError struct {
	At         netip.AddrPort // the client
	To         netip.AddrPort // where the datagram was going
	By         netip.Addr     // who reports: the ICMP packet's source
	Type, Code uint8          // of ICMP or, where At is IPv6, of ICMPv6
	MTU        int            // in bytes, where Errno is EMSGSIZE
	Errno      syscall.Errno  // what the kernel makes of it: ECONNREFUSED, EMSGSIZE, ...
	Payload    []byte         // as much of the datagram's payload as was quoted
	Time       time.Time      // when it was read
}

// Errors returns the ICMP errors so far, oldest first, at most 65,536: later
// ones are dropped. It needs [ClientOptions.ICMPErrors].
func (c *Clients) Errors() []ICMPError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.errors)
}

// readErrors empties a socket's error queue.
func (c *Clients) readErrors(fd uintptr, b *batch, key portKey) {
	for {
		b.prepare(true)
		n := recvmmsg(fd, b, unix.MSG_ERRQUEUE)
		if n == 0 {
			return
		}
		now := time.Now()
		c.mu.Lock()
		for i := range n {
			a := b.ancillary(i)
			// The kernel's own refusals are the sender's error already.
			if a.err == nil || a.err.Origin == unix.SO_EE_ORIGIN_LOCAL || len(c.errors) == maxErrors {
				continue
			}
			c.errors = append(c.errors, ICMPError{
				At:      netip.AddrPortFrom(a.to, key.port),
				To:      b.from(i),
				By:      a.cause,
				Type:    a.err.Type,
				Code:    a.err.Code,
				MTU:     int(a.err.Info),
				Errno:   syscall.Errno(a.err.Errno),
				Payload: slices.Clone(b.received(i)),
				Time:    now,
			})
		}
		c.mu.Unlock()
	}
}
