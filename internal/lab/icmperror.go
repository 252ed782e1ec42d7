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

// keep adds errors to those that Errors returns. The kernel's own refusals are
// the sender's error already.
func (c *Clients) keep(list []ICMPError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range list {
		if e.By.IsValid() && len(c.errors) < maxErrors {
			c.errors = append(c.errors, e)
		}
	}
}

// readErrors returns what waits in a socket's error queue, at most a batch.
func readErrors(fd uintptr, key portKey) []ICMPError {
	b := receiveBatches.get()
	defer receiveBatches.put(b)
	b.prepare(true)
	list := make([]ICMPError, recvmmsg(fd, b, unix.MSG_ERRQUEUE))
	now := time.Now()
	for i := range list {
		a := b.ancillary(i)
		list[i] = ICMPError{
			At:      netip.AddrPortFrom(a.to, key.port),
			To:      b.from(i),
			By:      a.cause,
			Type:    a.err.Type,
			Code:    a.err.Code,
			MTU:     int(a.err.Info),
			Errno:   syscall.Errno(a.err.Errno),
			Payload: slices.Clone(b.received(i)),
			Time:    now,
		}
	}
	return list
}
