package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"

	"github.com/roamlb/roamlb/balancer"
)

// httpProbe asks for a page by HTTP/1.1 over a connection of its own. No
// redirect is followed: it is the backend that is asked.
type httpProbe struct {
	spec  *balancer.Health
	match *regexp.Regexp
	tls   *tls.Config // nil: none
}

// Bounds on what a backend can make us read.
const (
	maxHead = 64 << 10
	maxBody = 64 << 10
)

func newHTTPProbe(h *balancer.Health, match *regexp.Regexp) (*httpProbe, error) {
	p := &httpProbe{spec: h, match: match}
	if h.Kind == balancer.ProbeHTTP {
		return p, nil
	}
	p.tls = &tls.Config{
		InsecureSkipVerify: h.TLS.SkipVerify, // as the operator has chosen
		NextProtos:         []string{"http/1.1"},
	}
	if h.TLS.CA != "" {
		pem, err := os.ReadFile(h.TLS.CA)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		p.tls.RootCAs = x509.NewCertPool()
		if !p.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities: no certificate in %s", h.TLS.CA)
		}
	}
	return p, nil
}

func (p *httpProbe) Probe(ctx context.Context, to netip.AddrPort) error {
	conn, err := dialTCP(ctx, p.spec, to)
	if err != nil {
		return judged(ctx, err)
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	host, name := p.host(to)
	if p.tls != nil {
		c := p.tls.Clone()
		c.ServerName = name
		conn = tls.Client(conn, c)
	}
	return judged(ctx, p.ask(conn, host))
}

// host is what stands in the request, and in the certificate.
func (p *httpProbe) host(to netip.AddrPort) (host, name string) {
	if p.spec.Host == "" {
		return to.String(), to.Addr().String()
	}
	name, _, err := net.SplitHostPort(p.spec.Host)
	if err != nil {
		name = p.spec.Host
	}
	return p.spec.Host, name
}

// ask sends the request and judges the response.
func (p *httpProbe) ask(conn net.Conn, host string) error {
	target, err := url.ParseRequestURI(p.spec.Path)
	if err != nil {
		return err
	}
	req := &http.Request{
		Method: http.MethodGet, URL: target, Host: host, Close: true,
		Header: http.Header{"User-Agent": {"roamlb"}}, ProtoMajor: 1, ProtoMinor: 1,
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	limited := &io.LimitedReader{R: conn, N: maxHead + maxBody}
	resp, err := http.ReadResponse(bufio.NewReader(limited), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if want := p.spec.Expect.Status; resp.StatusCode < want.From || resp.StatusCode > want.To {
		return fmt.Errorf("the status is %d, not within %d-%d", resp.StatusCode, want.From, want.To)
	}
	if p.match == nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return err
	}
	if !p.match.Match(body) {
		return fmt.Errorf("the body does not match the expected expression")
	}
	return nil
}
