package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// EchoOptions are the choices for [NewEcho]; the zero value will do.
type EchoOptions struct {
	// Number is the byte that ends every reply and tells clients who answered.
	Number byte
	// Key returns the part of a payload by which arrivals are counted: a
	// slice of the payload, or nil to count it in the total only. A nil Key
	// counts nothing by key. It is called from several goroutines.
	Key func(payload []byte) []byte
	// Answer tells whether a payload is answered. A nil Answer answers all.
	// It is called from several goroutines.
	Answer func(payload []byte) bool
	// OnArrival, if any, is called for every datagram, before the answer: for
	// each sender in the order of arrival, for several senders from several
	// goroutines. It must not block for long, and not keep the payload.
	OnArrival func(Arrival)
}

// Echo is a backend: it answers each datagram from the address it came to,
// with the same payload and one byte more, [EchoOptions.Number]. It counts
// what arrives. All methods may be called from any goroutine.
type Echo struct {
	Arrivals // Total, Seen, SeenAll, Reset

	opts    EchoOptions
	sockets map[netip.AddrPort][]*socket
	order   []netip.AddrPort
	silent  atomic.Bool
	replies atomic.Uint64
	readers sync.WaitGroup
}

// NewEcho starts an Echo inside the namespace at each of the addresses, whose
// ports are not 0. It counts and answers on them together. The caller closes
// it.
func NewEcho(n *Namespace, opts EchoOptions, addrs ...netip.AddrPort) (*Echo, error) {
	e := &Echo{opts: opts, sockets: make(map[netip.AddrPort][]*socket), order: addrs}
	for _, addr := range addrs {
		err := n.Do(func() (err error) {
			e.sockets[addr], err = listen(addr, nil, maxShare)
			return err
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("echo at %s in namespace %s: %w", addr, n.name, err), e.Close())
		}
		for _, s := range e.sockets[addr] {
			e.readers.Go(func() {
				s.receive(func(fd uintptr) bool { return e.serve(s, fd, addr) })
			})
		}
	}
	return e, nil
}

// Echo starts an Echo at the port of both of the backend's addresses. A
// Number of 0 becomes the backend's.
func (b *Backend) Echo(port uint16, opts EchoOptions) (*Echo, error) {
	if opts.Number == 0 {
		opts.Number = byte(b.Number)
	}
	return NewEcho(b.Namespace, opts, netip.AddrPortFrom(b.IPv4, port), netip.AddrPortFrom(b.IPv6, port))
}

// SetSilent turns all answers off, or on again. Arrivals count either way.
func (e *Echo) SetSilent(silent bool) { e.silent.Store(silent) }

// Replies returns how many answers have been sent.
func (e *Echo) Replies() uint64 { return e.replies.Load() }

// Send sends a datagram as it is, with no byte added, to any address: from
// the first of the Echo's addresses that has the same family.
func (e *Echo) Send(to netip.AddrPort, payload []byte) error {
	for _, addr := range e.order {
		if addr.Addr().Is4() == to.Addr().Is4() {
			return e.SendFrom(addr, to, payload)
		}
	}
	return fmt.Errorf("send to %s: the echo has no address of that family", to)
}

// SendFrom is Send from the one of the Echo's addresses that is given.
func (e *Echo) SendFrom(from, to netip.AddrPort, payload []byte) error {
	sockets := e.sockets[from]
	if len(sockets) == 0 {
		return fmt.Errorf("send from %s: not an address of the echo", from)
	}
	b := sendBatches.get()
	defer sendBatches.put(b)
	b.point(0, payload)
	b.addressTo(0, to)
	b.headers[0].hdr.SetControllen(0)
	if _, err := sockets[0].send(b, 1); err != nil {
		return fmt.Errorf("send from %s to %s: %w", from, to, err)
	}
	return nil
}

// Close stops the Echo and waits for its goroutines. From then on the kernel
// answers with ICMP port unreachable. It may be called again.
func (e *Echo) Close() error {
	var errs []error
	for _, sockets := range e.sockets {
		errs = append(errs, closeAll(sockets))
	}
	e.readers.Wait()
	return errors.Join(errs...)
}

// serve takes one burst, answers it and tells whether there was any.
func (e *Echo) serve(s *socket, fd uintptr, at netip.AddrPort) bool {
	in, out := receiveBatches.get(), sendBatches.get()
	defer receiveBatches.put(in)
	defer sendBatches.put(out)
	in.prepare(false)
	n := recvmmsg(fd, in, 0)
	e.count(in, n, at)
	// What the kernel refuses to send is a lost answer: the client sees that,
	// and Replies does.
	sent, _ := s.send(out, e.answer(in, n, out))
	e.replies.Add(uint64(sent))
	return n > 0
}

// count records the n datagrams of a batch that came to an address.
func (e *Echo) count(in *batch, n int, at netip.AddrPort) {
	now := time.Now()
	e.mu.Lock()
	for i := range n {
		payload := in.received(i)
		var key []byte
		if e.opts.Key != nil {
			key = e.opts.Key(payload)
		}
		e.add(key, Arrival{From: in.from(i), At: at, Payload: payload, Time: now})
	}
	e.mu.Unlock()
	if e.opts.OnArrival == nil {
		return
	}
	for i := range n {
		e.opts.OnArrival(Arrival{From: in.from(i), At: at, Payload: in.received(i), Time: now})
	}
}

// answer makes out the answers to the n datagrams of in, in the memory of in,
// and returns how many these are.
func (e *Echo) answer(in *batch, n int, out *batch) (answers int) {
	silent := e.silent.Load()
	for i := range n {
		payload := in.received(i)
		if silent || e.opts.Answer != nil && !e.opts.Answer(payload) {
			continue
		}
		reply := in.slot(i)[:len(payload)+1]
		reply[len(payload)] = e.opts.Number
		out.point(answers, reply)
		h := &out.headers[answers].hdr
		h.Name, h.Namelen = in.headers[i].hdr.Name, in.headers[i].hdr.Namelen
		h.SetControllen(0)
		answers++
	}
	return answers
}
