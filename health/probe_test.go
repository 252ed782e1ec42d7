package health

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// place is a network whose balancer probes its first backend.
type place struct {
	*lab.Network
	t *testing.T
}

func newPlace(t *testing.T) *place {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	n, err := lab.NewNetwork(lab.NetworkOptions{Backends: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return &place{Network: n, t: t}
}

// to are the backend's addresses of both families.
func (p *place) to(port uint16) map[string]netip.AddrPort {
	b := p.Backend(1)
	return map[string]netip.AddrPort{"IPv4": netip.AddrPortFrom(b.IPv4, port), "IPv6": netip.AddrPortFrom(b.IPv6, port)}
}

// probe makes a probe from the balancer.
func (p *place) probe(h *balancer.Health, to netip.AddrPort) error {
	p.t.Helper()
	if h.Timeout == 0 {
		h.Timeout = lab.Slow(2 * time.Second)
	}
	prober, err := NewProber(h)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.LB.Do(func() error { return probeOne(p.t.Context(), to, h.Timeout, prober) })
}

// want demands that a probe ends as expected in both families: "" is an
// answer, else the error has this text.
func (p *place) want(name string, h balancer.Health, port uint16, fragment string) {
	p.t.Helper()
	for family, to := range p.to(port) {
		err := p.probe(&h, to)
		switch {
		case fragment == "" && err != nil:
			p.t.Errorf("%s, %s: %v", name, family, err)
		case fragment != "" && (err == nil || !strings.Contains(err.Error(), fragment)):
			p.t.Errorf("%s, %s: error is %v, want one with %q", name, family, err, fragment)
		case errors.Is(err, ErrInconclusive):
			p.t.Errorf("%s, %s: inconclusive: %v", name, family, err)
		}
	}
}

func TestUDP(t *testing.T) {
	p := newPlace(t)
	echo, err := p.Backend(1).Echo(1194, lab.EchoOptions{Number: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	udp := func(e balancer.Expect) balancer.Health {
		return balancer.Health{Kind: balancer.ProbeUDP, Send: []byte("ping"), Expect: e}
	}
	p.want("any answer", udp(balancer.Expect{}), 1194, "")
	p.want("bytes", udp(balancer.Expect{Bytes: []byte("ping\x07")}), 1194, "")
	p.want("other bytes", udp(balancer.Expect{Bytes: []byte("ping")}), 1194, "the answer is 70696e6707, not the expected bytes")
	p.want("prefix", udp(balancer.Expect{Prefix: []byte("pi")}), 1194, "")
	p.want("other prefix", udp(balancer.Expect{Prefix: []byte("po")}), 1194, "without the expected prefix")
	p.want("expression", udp(balancer.Expect{Match: `^p.*\x07$`}), 1194, "")
	p.want("other expression", udp(balancer.Expect{Match: `^\d`}), 1194, "does not match")
	begin := time.Now()
	p.want("nobody there", udp(balancer.Expect{}), 1195, "refused: nothing listens there")
	if took := time.Since(begin); took > lab.Slow(time.Second) {
		t.Errorf("a refusal was known after %v, not at once", took)
	}
	echo.SetSilent(true)
	silent := udp(balancer.Expect{})
	silent.Timeout = 100 * time.Millisecond
	p.want("silence", silent, 1194, "no answer in time")
}

// A probe must come from the address that a backend's firewall lets in.
func TestSource(t *testing.T) {
	p := newPlace(t)
	from := make(chan netip.Addr, 1)
	echo, err := p.Backend(1).Echo(1194, lab.EchoOptions{OnArrival: func(a lab.Arrival) { from <- a.From.Addr() }})
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	h := balancer.Health{
		Kind: balancer.ProbeUDP, Send: []byte("ping"),
		Sources: []netip.Addr{lab.ListenerIPv4(0), lab.ListenerIPv6(0)},
	}
	for family, to := range p.to(1194) {
		if err := p.probe(&h, to); err != nil {
			t.Fatalf("%s: %v", family, err)
		}
		if got := <-from; got != h.Source(to.Addr().Is6()) {
			t.Errorf("%s: the probe came from %v", family, got)
		}
	}
	h.Sources = []netip.Addr{netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("2001:db8:77::1")}
	for _, kind := range []balancer.ProbeKind{balancer.ProbeUDP, balancer.ProbeTCP, balancer.ProbeICMP} {
		h.Kind = kind
		for family, to := range p.to(1194) {
			if err := p.probe(&h, to); !errors.Is(err, ErrInconclusive) {
				t.Errorf("%s, %s: with a source that this host lacks the error is %v, want an inconclusive one", kind, family, err)
			}
		}
	}
}

// Both kinds of socket must do: which there is depends on the host.
func TestICMP(t *testing.T) {
	p := newPlace(t)
	h := balancer.Health{Kind: balancer.ProbeICMP}
	p.want("raw socket", h, 0, "")
	if err := p.LB.SetSysctl("net.ipv4.ping_group_range", "0 0"); err != nil {
		t.Fatal(err)
	}
	p.want("ping socket", h, 0, "")
	err := p.LB.Do(func() error {
		conn, raw, err := openEcho(netip.Addr{}, p.Backend(1).IPv4)
		if err != nil {
			return err
		}
		if raw {
			t.Error("a raw socket was taken, and a ping socket is permitted")
		}
		return conn.Close()
	})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"net.ipv4.icmp_echo_ignore_all", "net.ipv6.icmp.echo_ignore_all"} {
		if err := p.Backend(1).SetSysctl(name, "1"); err != nil {
			t.Fatal(err)
		}
	}
	h.Timeout = 100 * time.Millisecond
	p.want("silence", h, 0, "no answer in time")
}

// Somebody else's reply must not bring a backend up.
func TestEchoReplies(t *testing.T) {
	request, err := newEcho(false)
	if err != nil {
		t.Fatal(err)
	}
	reply := append([]byte{echoReply4}, request[1:]...)
	other := slices.Clone(reply)
	other[len(other)-1] ^= 1
	header := append([]byte{0x46}, make([]byte, 23)...) // with four bytes of options
	for _, c := range []struct {
		name string
		b    []byte
		raw  bool
		want bool
	}{
		{"the reply", reply, false, true},
		{"behind a header", append(header, reply...), true, true},
		{"our own request", request, false, false},
		{"a reply to another", other, false, false},
		{"cut off", reply[:len(reply)-1], false, false},
		{"nothing", nil, true, false},
		{"a header alone", header[:20], true, false},
	} {
		if got := isReply(c.b, request, false, c.raw); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if sum := checksum(request); sum != 0 {
		t.Errorf("the checksum of a request with its checksum is %#x, want 0", sum)
	}
}

// serve runs an HTTP server at both addresses of the backend.
func (p *place) serve(port uint16, secure bool, handler http.HandlerFunc) *httptest.Server {
	p.t.Helper()
	var first *httptest.Server
	for _, at := range p.to(port) {
		s := httptest.NewUnstartedServer(handler)
		s.Listener.Close()
		err := p.Backend(1).Do(func() (err error) {
			s.Listener, err = net.Listen("tcp", at.String())
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
		s.Config.ErrorLog = nil
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		p.t.Cleanup(s.Close)
		first = s
	}
	return first
}

func TestTCP(t *testing.T) {
	p := newPlace(t)
	p.serve(80, false, func(http.ResponseWriter, *http.Request) {})
	h := balancer.Health{Kind: balancer.ProbeTCP}
	p.want("accepted", h, 80, "")
	p.want("nobody there", h, 81, "refused: nothing listens there")
}

func TestHTTP(t *testing.T) {
	p := newPlace(t)
	p.serve(80, false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(lab.Slow(10 * time.Second)):
			}
		case "/long":
			for range 1 << 10 {
				fmt.Fprintf(w, "%01000d", 0)
			}
			fmt.Fprint(w, "end")
		default:
			fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.URL.RequestURI())
		}
	})
	get := func(path string, change func(*balancer.Health)) balancer.Health {
		h := balancer.Health{Kind: balancer.ProbeHTTP, Path: path, Expect: balancer.Expect{Status: balancer.Status{From: 200, To: 299}}}
		if change != nil {
			change(&h)
		}
		return h
	}
	p.want("status", get("/", nil), 80, "")
	p.want("request", get("/health?full=1", func(h *balancer.Health) {
		h.Host = "app.example"
		h.Expect.Match = `^GET app\.example /health\?full=1$`
	}), 80, "")
	p.want("redirect", get("/redirect", nil), 80, "the status is 302, not within 200-299")
	p.want("allowed redirect", get("/redirect", func(h *balancer.Health) { h.Expect.Status.To = 399 }), 80, "")
	p.want("body", get("/", func(h *balancer.Health) { h.Expect.Match = "ready" }), 80, "does not match")
	p.want("what is beyond the first bytes does not count", get("/long", func(h *balancer.Health) { h.Expect.Match = "end" }), 80, "does not match")
	p.want("slow", get("/slow", func(h *balancer.Health) { h.Timeout = 100 * time.Millisecond }), 80, "no answer in time")
	p.want("nobody there", get("/", nil), 81, "refused")
}

func TestHTTPS(t *testing.T) {
	p := newPlace(t)
	s := p.serve(443, true, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.ServerName) })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	h := balancer.Health{Kind: balancer.ProbeHTTPS, Path: "/", Expect: balancer.Expect{Status: balancer.Status{From: 200, To: 299}}}
	p.want("an authority that nobody knows", h, 443, "certificate")
	h.TLS.SkipVerify = true
	p.want("not verified", h, 443, "")
	h.TLS = balancer.HealthTLS{CA: ca}
	p.want("another name", h, 443, "certificate")
	h.Host, h.Expect.Match = "example.com", "^example.com$" // the certificate's
	p.want("verified", h, 443, "")
	h.TLS.CA = filepath.Join(t.TempDir(), "none.pem")
	if _, err := NewProber(&h); err == nil {
		t.Error("a file of authorities that is not there is no error")
	}
}

// Ending the daemon must not wait for backends.
func TestProbeEndsWithItsContext(t *testing.T) {
	p := newPlace(t)
	echo, err := p.Backend(1).Echo(1194, lab.EchoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	echo.SetSilent(true)
	for _, h := range []*balancer.Health{{Kind: balancer.ProbeUDP, Send: []byte("ping")}} {
		prober, err := NewProber(h)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		begin := time.Now()
		err = p.LB.Do(func() error { return probeOne(ctx, p.to(1194)["IPv4"], time.Minute, prober) })
		if !errors.Is(err, ErrInconclusive) || time.Since(begin) > lab.Slow(10*time.Second) {
			t.Errorf("%s: ended after %v with %v, want soon and inconclusive", h.Kind, time.Since(begin), err)
		}
	}
}
