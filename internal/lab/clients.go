package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// ClientOptions are the choices for [NewClients]; the zero value will do.
type ClientOptions struct {
	// OnReply, if any, is called for every datagram that a client receives,
	// expected or not: for each client and sender in the order of arrival, for
	// several from several goroutines. It must not block for long.
	OnReply func(Reply)
	// ICMPErrors collects the ICMP errors about the clients' datagrams, for
	// Clients.Errors. Otherwise the kernel ignores them.
	ICMPErrors bool
	// DontFragment refuses, with EMSGSIZE, datagrams that exceed the known
	// path MTU. Otherwise the kernel sends those in fragments, as it does by
	// default.
	DontFragment bool
}

// Datagram is a payload on its way from a client.
type Datagram struct {
	Src, Dst netip.AddrPort
	Payload  []byte
}

// Counts sums up the traffic of [Clients].
type Counts struct {
	Sent      uint64 // datagrams given to the kernel
	Received  uint64 // datagrams received
	Unclaimed uint64 // of them, those that nothing expected
}

// Clients sends datagrams from any address that its namespace owns, and any
// port, and receives what is sent there. It keeps a socket for each family and
// source port that has been used: many addresses are cheap, many ports cost a
// descriptor and a goroutine each. All methods may be called from any
// goroutine.
type Clients struct {
	ns   *Namespace
	opts ClientOptions

	mu       sync.Mutex // guards what follows
	closed   bool
	sockets  map[portKey][]*socket
	counts   Counts
	expected map[netip.AddrPort][]*expectation
	errors   []ICMPError

	readers sync.WaitGroup
}

var errClientsClosed = errors.New("clients are closed")

// NewClients makes clients in the namespace, usually [Network.Clients]. Two
// Clients in one namespace must not use the same port. The caller closes it.
func NewClients(n *Namespace, opts ClientOptions) *Clients {
	return &Clients{
		ns:       n,
		opts:     opts,
		sockets:  make(map[portKey][]*socket),
		expected: make(map[netip.AddrPort][]*expectation),
	}
}

// Send sends one datagram.
func (c *Clients) Send(src, dst netip.AddrPort, payload []byte) error {
	_, err := c.SendAll([]Datagram{{src, dst, payload}})
	return err
}

// SendAll sends datagrams in their order, as fast as the kernel takes them;
// neighbours with the same source port share system calls. It returns how
// many the kernel took, and the first error; a datagram that it refuses does
// not keep the later ones back, a port that cannot be opened keeps them all.
func (c *Clients) SendAll(list []Datagram) (sent int, err error) {
	if err := c.openPorts(list); err != nil {
		return 0, err
	}
	b := sendBatches.get()
	defer sendBatches.put(b)
	for len(list) > 0 {
		key := keyOf(list[0].Src)
		n := 1
		for n < min(len(list), batchSize) && keyOf(list[n].Src) == key {
			n++
		}
		done, refused := c.sendRun(b, key, list[:n])
		sent += done
		if refused != nil && err == nil {
			err = refused
		}
		list = list[n:]
	}
	return sent, err
}

// sendRun sends what one batch and one socket can send together.
func (c *Clients) sendRun(b *batch, key portKey, list []Datagram) (int, error) {
	c.mu.Lock()
	sockets := c.sockets[key]
	c.mu.Unlock()
	if len(sockets) == 0 { // closed meanwhile
		return 0, errClientsClosed
	}
	for i, d := range list {
		b.point(i, d.Payload)
		b.addressTo(i, d.Dst)
		b.addressFrom(i, d.Src.Addr())
	}
	sent, err := sockets[0].send(b, len(list))
	c.mu.Lock()
	c.counts.Sent += uint64(sent)
	c.mu.Unlock()
	if err != nil {
		return sent, fmt.Errorf("send from port %d: %w", key.port, err)
	}
	return sent, nil
}

// Counts returns the traffic so far.
func (c *Clients) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Close ends all sockets and waits for their goroutines. Exchanges that wait
// for a reply go on waiting for their contexts. It may be called again.
func (c *Clients) Close() error {
	c.mu.Lock()
	c.closed = true
	var errs []error
	sockets := c.sockets
	c.sockets = nil
	c.mu.Unlock()
	for _, list := range sockets {
		errs = append(errs, closeAll(list))
	}
	c.readers.Wait()
	return errors.Join(errs...)
}
