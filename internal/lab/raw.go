package lab

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// RawSender puts packets onto a link as they are: no route, no firewall and no
// address of the sending namespace matters. Its methods may be called from any
// goroutine.
type RawSender struct {
	socket *socket
	link   int
	to     [6]byte
}

// NewRawSender makes a sender for a link of the namespace, towards the
// neighbour with that hardware address. The caller closes it.
func NewRawSender(n *Namespace, link string, to net.HardwareAddr) (*RawSender, error) {
	l, err := n.link(link)
	if err != nil {
		return nil, err
	}
	r := &RawSender{link: l.Attrs().Index}
	if copy(r.to[:], to) != len(r.to) {
		return nil, fmt.Errorf("send raw on %s: hardware address %s", link, to)
	}
	// Protocol 0: the socket receives nothing. SOCK_DGRAM: the kernel makes the
	// link's header.
	err = n.Do(func() (err error) {
		r.socket, err = openSocket(unix.AF_PACKET, unix.SOCK_DGRAM, func(int) error { return nil })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("send raw on %s in namespace %s: %w", link, n.name, err)
	}
	return r, nil
}

// RawSender makes a sender from Clients or a backend's namespace to LB. The
// caller closes it.
func (n *Network) RawSender(from *Namespace) (*RawSender, error) {
	if from == n.Clients {
		return NewRawSender(from, uplink, hardwareAddr(0, 2))
	}
	for _, b := range n.Backends {
		if from == b.Namespace {
			return NewRawSender(from, uplink, hardwareAddr(b.Number, 2))
		}
	}
	return nil, fmt.Errorf("namespace %s has no link to the load balancer", from.name)
}

// Send sends IPv4 and IPv6 packets in their order. It returns how many the
// kernel took, and the first error; a packet that it refuses, because it is
// larger than the link's MTU for instance, does not keep the later ones back.
func (r *RawSender) Send(packets ...[]byte) (sent int, err error) {
	b := sendBatches.get()
	defer sendBatches.put(b)
	for len(packets) > 0 {
		n := min(len(packets), batchSize)
		for i, p := range packets[:n] {
			r.address(b, i, p)
		}
		done, refused := r.socket.send(b, n)
		sent += done
		if refused != nil && err == nil {
			err = fmt.Errorf("send raw: %w", refused)
		}
		packets = packets[n:]
	}
	return sent, err
}

// address makes datagram i of the batch the packet.
func (r *RawSender) address(b *batch, i int, packet []byte) {
	protocol := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		protocol = unix.ETH_P_IPV6
	}
	b.point(i, packet)
	b.addressLink(i, protocol, r.link, r.to)
	b.headers[i].hdr.SetControllen(0)
}

// Close closes the sender.
func (r *RawSender) Close() error { return r.socket.close() }
