package lab

import (
	"net/netip"
	"slices"
	"time"
)

// Reply is a datagram that a client received.
type Reply struct {
	At      netip.AddrPort // the client
	From    netip.AddrPort // who sent it, as the client sees it
	Payload []byte         // the receiver's to keep
	Time    time.Time      // when it was read; zero: there is no reply
}

// Answered tells whether r is a reply at all: ExchangeAll leaves a zero Reply
// where none came.
func (r Reply) Answered() bool { return !r.Time.IsZero() }

// Number returns the byte that an [Echo] put at the end, which tells who
// answered: [EchoOptions.Number].
func (r Reply) Number() int {
	if len(r.Payload) == 0 {
		return 0
	}
	return int(r.Payload[len(r.Payload)-1])
}

// readReplies returns copies of the datagrams that wait at a socket, at most a
// batch. It does not keep the batch while anything else is waited for, so that
// few batches serve thousands of sockets.
func readReplies(fd uintptr, key portKey) []Reply {
	b := receiveBatches.get()
	defer receiveBatches.put(b)
	b.prepare(true)
	list := make([]Reply, recvmmsg(fd, b, 0))
	now := time.Now()
	for i := range list {
		list[i] = Reply{
			At:      netip.AddrPortFrom(b.ancillary(i).to, key.port),
			From:    b.from(i),
			Payload: slices.Clone(b.received(i)),
			Time:    now,
		}
	}
	return list
}

// deliver hands replies to whoever expects them, and to OnReply.
func (c *Clients) deliver(list []Reply) {
	c.mu.Lock()
	c.counts.Received += uint64(len(list))
	for _, r := range list {
		if !c.claim(r) {
			c.counts.Unclaimed++
		}
	}
	c.mu.Unlock()
	if c.opts.OnReply == nil {
		return
	}
	for _, r := range list {
		c.opts.OnReply(r)
	}
}
