package health

import (
	"context"
	"net"
	"net/netip"

	"github.com/roamlb/roamlb/balancer"
)

// tcpProbe opens a connection and closes it by a reset: it says nothing, and
// leaves nothing behind.
type tcpProbe struct{ spec *balancer.Health }

func (p *tcpProbe) Probe(ctx context.Context, to netip.AddrPort) error {
	conn, err := dialTCP(ctx, p.spec, to)
	if err != nil {
		return judged(ctx, err)
	}
	conn.Close()
	return nil
}

// dialTCP opens a connection on the calling thread.
func dialTCP(ctx context.Context, h *balancer.Health, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if from := h.Source(to.Addr().Is6()); from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*net.TCPConn); ok {
		// Else each probe would hold a port for a minute (TIME_WAIT).
		_ = c.SetLinger(0)
	}
	return conn, nil
}
