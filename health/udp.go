package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"

	"github.com/roamlb/roamlb/balancer"
)

// udpProbe sends a datagram and waits for one. The socket is connected, so that
// an ICMP port unreachable is an error at once, and of its own for each probe,
// so that an answer that comes too late is nobody's.
type udpProbe struct {
	spec  *balancer.Health
	match *regexp.Regexp
}

// maxAnswer is how many bytes of an answer count.
const maxAnswer = 4096

func (p *udpProbe) Probe(ctx context.Context, to netip.AddrPort) error {
	conn, err := net.DialUDP("udp", sourceUDP(p.spec, to), net.UDPAddrFromAddrPort(to))
	if err != nil {
		return judged(ctx, err)
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	if _, err := conn.Write(p.spec.Send); err != nil {
		return judged(ctx, err)
	}
	answer := make([]byte, maxAnswer)
	n, err := conn.Read(answer)
	if err != nil {
		return judged(ctx, err)
	}
	return p.check(answer[:n])
}

// check judges an answer's payload.
func (p *udpProbe) check(answer []byte) error {
	e := &p.spec.Expect
	switch {
	case e.Bytes != nil && !bytes.Equal(answer, e.Bytes):
		return fmt.Errorf("the answer is %s, not the expected bytes", show(answer))
	case e.Prefix != nil && !bytes.HasPrefix(answer, e.Prefix):
		return fmt.Errorf("the answer is %s, without the expected prefix", show(answer))
	case p.match != nil && !p.match.Match(answer):
		return errors.New("the answer does not match the expected expression: " + show(answer))
	}
	return nil
}

// sourceUDP is the address to probe from; nil leaves it to the kernel.
func sourceUDP(h *balancer.Health, to netip.AddrPort) *net.UDPAddr {
	if from := h.Source(to.Addr().Is6()); from.IsValid() {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return nil
}
