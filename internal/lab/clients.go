package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
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

// portKey names a socket: all addresses of a family at one port.
type portKey struct {
	port uint16
	ipv4 bool
}

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
// for a reply go on waiting for their contexts.
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

func keyOf(src netip.AddrPort) portKey {
	return portKey{port: src.Port(), ipv4: src.Addr().Is4()}
}

var errClientsClosed = errors.New("clients are closed")

// openPorts opens the sockets that the datagrams need and that are not open
// yet: all in one visit to the namespace, for a visit costs much more than a
// socket.
func (c *Clients) openPorts(list []Datagram) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClientsClosed
	}
	var missing []portKey
	for _, d := range list {
		if key := keyOf(d.Src); c.sockets[key] == nil {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return c.ns.Do(func() error {
		for _, key := range missing {
			if c.sockets[key] != nil { // it was listed twice
				continue
			}
			sockets, err := c.open(key)
			if err != nil {
				return fmt.Errorf("open client port %d: %w", key.port, err)
			}
			c.sockets[key] = sockets
			for _, s := range sockets {
				c.readers.Go(func() { c.read(s, key) })
			}
		}
		return nil
	})
}

// open opens the sockets of a port in the namespace of the calling thread. The
// caller holds mu.
func (c *Clients) open(key portKey) ([]*socket, error) {
	discover, report := unix.IP_PMTUDISC_WANT, 0
	if c.opts.DontFragment {
		discover = unix.IP_PMTUDISC_DO
	}
	if c.opts.ICMPErrors {
		report = 1
	}
	wildcard := netip.AddrPortFrom(netip.IPv6Unspecified(), key.port)
	options := []option{
		{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		// The addresses are routed to this host, but no link has them.
		{unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVERR, report},
		{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover},
	}
	if key.ipv4 {
		wildcard = netip.AddrPortFrom(netip.IPv4Unspecified(), key.port)
		options = []option{
			{unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
			{unix.IPPROTO_IP, unix.IP_RECVERR, report},
			{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover},
		}
	}
	// Where there are a few ports, each serves many clients; thousands of
	// ports have little to do and must not take all descriptors.
	return listen(wildcard, options, 64/(len(c.sockets)+1))
}

func (c *Clients) read(s *socket, key portKey) {
	s.receive(func(fd uintptr) {
		for c.opts.ICMPErrors {
			list := readErrors(fd, key)
			if len(list) == 0 {
				break
			}
			c.keep(list)
		}
		for {
			list := readReplies(fd, key)
			if len(list) == 0 {
				return
			}
			c.deliver(list)
		}
	})
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
