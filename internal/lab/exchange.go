package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// expectation waits for one reply.
type expectation struct {
	at      netip.AddrPort
	match   func(Reply) bool
	deliver func(Reply) // must not block; called with the Clients' mutex held
}

// expect registers expectations.
func (c *Clients) expect(list ...*expectation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range list {
		c.expected[e.at] = append(c.expected[e.at], e)
	}
}

// forget removes those of the expectations that have not been met.
func (c *Clients) forget(list ...*expectation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range list {
		c.remove(e)
	}
}

// remove takes an expectation out; the caller holds mu.
func (c *Clients) remove(e *expectation) {
	waiting := c.expected[e.at]
	i := slices.Index(waiting, e)
	switch {
	case i < 0:
	case len(waiting) == 1:
		delete(c.expected, e.at)
	default:
		c.expected[e.at] = slices.Delete(waiting, i, i+1)
	}
}

// claim gives a reply to the oldest expectation that it meets; the caller
// holds mu.
func (c *Clients) claim(r Reply) bool {
	for _, e := range c.expected[r.At] {
		if e.match(r) {
			c.remove(e)
			e.deliver(r)
			return true
		}
	}
	return false
}

// answers tells replies to a request, as an [Echo] makes them, from others:
// they begin with the request's payload.
func answers(request []byte) func(Reply) bool {
	return func(r Reply) bool { return bytes.HasPrefix(r.Payload, request) }
}

// Expectation is a reply that is waited for.
type Expectation struct {
	clients *Clients
	inner   *expectation
	replies chan Reply // one place: deliver, called at most once, never blocks
}

// Expect begins to wait for the first datagram that arrives at a client and
// that match, unless nil, agrees to. Meanwhile the client's port is open even
// if it never sent anything. match must not call the Clients. The caller calls
// Wait once.
func (c *Clients) Expect(at netip.AddrPort, match func(Reply) bool) (*Expectation, error) {
	if err := c.openPorts([]Datagram{{Src: at}}); err != nil {
		return nil, err
	}
	if match == nil {
		match = func(Reply) bool { return true }
	}
	e := &Expectation{clients: c, replies: make(chan Reply, 1)}
	e.inner = &expectation{at: at, match: match, deliver: func(r Reply) { e.replies <- r }}
	c.expect(e.inner)
	return e, nil
}

// Wait returns the reply or, once ctx has ended, an error that wraps ctx's.
func (e *Expectation) Wait(ctx context.Context) (Reply, error) {
	select {
	case r := <-e.replies:
		return r, nil
	case <-ctx.Done():
		e.clients.forget(e.inner)
		return Reply{}, fmt.Errorf("no reply at %s: %w", e.inner.at, ctx.Err())
	}
}

// Exchange sends one datagram and waits for the reply: the first datagram
// that arrives at src, from anywhere, and begins with the same payload. An
// empty payload matches every datagram.
func (c *Clients) Exchange(ctx context.Context, src, dst netip.AddrPort, payload []byte) (Reply, error) {
	e, err := c.Expect(src, answers(payload))
	if err != nil {
		return Reply{}, err
	}
	if err := c.Send(src, dst, payload); err != nil {
		c.forget(e.inner)
		return Reply{}, err
	}
	return e.Wait(ctx)
}

// ExchangeAll sends all datagrams, rate of them a second (0: as fast as
// possible), and waits for the replies, at most timeout after the last one
// was sent. The replies stand where their requests do; those that did not
// come are zero, see [Reply.Answered]. Payloads should differ where sources do
// not: equal requests take each other's replies. The error is that ctx ended
// or that the kernel refused to send.
func (c *Clients) ExchangeAll(ctx context.Context, list []Datagram, rate int, timeout time.Duration) ([]Reply, error) {
	// Before the clock runs: this takes time, and the pace would catch up.
	if err := c.openPorts(list); err != nil {
		return nil, err
	}
	replies := make([]Reply, len(list))
	left := len(list) // guarded by the Clients' mutex, as replies is
	complete := make(chan struct{})
	expectations := make([]*expectation, len(list))
	for i, d := range list {
		expectations[i] = &expectation{at: d.Src, match: answers(d.Payload), deliver: func(r Reply) {
			replies[i] = r
			if left--; left == 0 {
				close(complete)
			}
		}}
	}
	if len(list) == 0 {
		close(complete)
	}
	c.expect(expectations...)
	refused := c.sendPaced(ctx, list, rate)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-complete:
	case <-timer.C:
	case <-ctx.Done():
	}
	c.forget(expectations...) // from here on the replies are the caller's
	if refused == nil {
		refused = ctx.Err()
	}
	return replies, refused
}

// sendPaced sends datagrams at a rate until ctx ends, and returns the first
// error.
func (c *Clients) sendPaced(ctx context.Context, list []Datagram, rate int) error {
	p := pace{start: time.Now(), rate: rate}
	var first error
	for done := 0; done < len(list); {
		n := p.next(ctx, done, min(batchSize, len(list)-done))
		if n == 0 {
			return ctx.Err()
		}
		if _, err := c.SendAll(list[done : done+n]); err != nil && first == nil {
			first = err
		}
		done += n
	}
	return first
}

// Unanswered returns the indices of the zero replies in a list that
// ExchangeAll returned.
func Unanswered(replies []Reply) []int {
	var list []int
	for i, r := range replies {
		if !r.Answered() {
			list = append(list, i)
		}
	}
	return list
}
