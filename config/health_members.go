package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// healthMembers is a service's health where it is not none.
var healthMembers = []member[balancer.Health]{
	must(text("kind", func(h *balancer.Health) *balancer.ProbeKind { return &h.Kind })),
	duration("interval", func(h *balancer.Health) *time.Duration { return &h.Interval }),
	duration("timeout", func(h *balancer.Health) *time.Duration { return &h.Timeout }),
	number("rise", thresholdSpan, func(h *balancer.Health) *int { return &h.Rise }),
	number("fall", thresholdSpan, func(h *balancer.Health) *int { return &h.Fall }),
	percent("jitter", jitterSpan, func(h *balancer.Health) *int { return &h.Jitter }),
	duration("slow_start", func(h *balancer.Health) *time.Duration { return &h.SlowStart }),
	source,
	sources,
	healthPort,
	hexBytes("send", func(h *balancer.Health) *[]byte { return &h.Send }),
	partly("expect", expectMembers, func(h *balancer.Health) *balancer.Expect { return &h.Expect }),
	optionalText("path", func(h *balancer.Health) *string { return &h.Path }),
	optionalText("host", func(h *balancer.Health) *string { return &h.Host }),
	partly("tls", healthTLSMembers, func(h *balancer.Health) *balancer.HealthTLS { return &h.TLS }),
}

var expectMembers = []member[balancer.Expect]{
	hexBytes("bytes", func(e *balancer.Expect) *[]byte { return &e.Bytes }),
	hexBytes("prefix", func(e *balancer.Expect) *[]byte { return &e.Prefix }),
	optionalText("match", func(e *balancer.Expect) *string { return &e.Match }),
	{name: "status", read: readStatus, write: writeStatus},
}

var healthTLSMembers = []member[balancer.HealthTLS]{
	{
		name: "verify",
		read: func(d *decoder, at string, n *node, to *balancer.HealthTLS) {
			if v, ok := d.boolean(at, n); ok {
				to.SkipVerify = !v
			}
		},
		write: func(from *balancer.HealthTLS) *node { return boolNode(!from.SkipVerify) },
	},
	optionalText("ca", func(t *balancer.HealthTLS) *string { return &t.CA }),
}

// none is how a service without probes says so.
const none = "none"

func readHealth(d *decoder, at string, n *node, to *balancer.Service) {
	if n.kind == scalar {
		if n.text != none {
			d.spoil(at, "must be none, or an object such as {kind: icmp}, not %s", show(n.text))
		}
		return
	}
	h := DefaultHealth()
	readObject(d, at, n, healthMembers, &h)
	if n.kind != object {
		return
	}
	if n.has("source") && n.has("sources") {
		d.spoil(join(at, "sources"), "stands beside source, which is short for it: give one of them")
	}
	if h.Kind == balancer.ProbeHTTP || h.Kind == balancer.ProbeHTTPS {
		if h.Path == "" {
			h.Path = "/"
		}
		if h.Expect.Status == (balancer.Status{}) {
			h.Expect.Status = balancer.Status{From: 200, To: 299}
		}
	}
	to.Health = &h
}

func writeHealth(from *balancer.Service) *node {
	if from.Health == nil {
		return textNode(none)
	}
	return writeObject(healthMembers, from.Health)
}

// partly is a member that is an object and is left out where nothing of it is
// set.
func partly[T, P any](name string, table []member[P], field func(*T) *P) member[T] {
	m := part(name, table, field)
	m.write = func(from *T) *node {
		var unset P
		if n := writeObject(table, field(from)); flow(n) != flow(writeObject(table, &unset)) {
			return n
		}
		return nil
	}
	return m
}

// percent is a member that is a number with a percent sign.
func percent[T any](name string, in span, field func(*T) *int) member[T] {
	return member[T]{
		name: name,
		read: func(d *decoder, at string, n *node, to *T) {
			s, ok := d.text(at, n)
			if !ok {
				return
			}
			digits, signed := strings.CutSuffix(s, "%")
			if !signed || !isDecimal(digits) {
				d.spoil(at, "must be a number with a percent sign, such as 10%%, not %s", show(s))
				return
			}
			if v, ok := d.number(at, &node{kind: scalar, text: digits}, in); ok {
				*field(to) = int(v)
			}
		},
		write: func(from *T) *node { return textNode(fmt.Sprintf("%d%%", *field(from))) },
	}
}

// source is short for one of sources.
var source = member[balancer.Health]{
	name: "source",
	read: func(d *decoder, at string, n *node, to *balancer.Health) {
		if a, ok := d.address(at, n); ok {
			to.Sources = []netip.Addr{a}
		}
	},
	write: func(from *balancer.Health) *node {
		if len(from.Sources) != 1 {
			return nil
		}
		return textNode(from.Sources[0].String())
	},
}

var sources = func() member[balancer.Health] {
	read := func(d *decoder, at string, n *node) netip.Addr {
		a, _ := d.address(at, n)
		return a
	}
	write := func(from *netip.Addr) *node { return textNode(from.String()) }
	m := entries("sources", read, write, func(h *balancer.Health) *[]netip.Addr { return &h.Sources })
	all := m.write
	m.write = func(from *balancer.Health) *node {
		if len(from.Sources) == 1 {
			return nil
		}
		return all(from)
	}
	return m
}()

// healthPort is left out where it is the backend's.
var healthPort = func() member[balancer.Health] {
	m := number("port", portSpan, func(h *balancer.Health) *uint16 { return &h.Port })
	write := m.write
	m.write = func(from *balancer.Health) *node {
		if from.Port == 0 {
			return nil
		}
		return write(from)
	}
	return m
}()

// readStatus reads one status code, or a range of them: 200-299.
func readStatus(d *decoder, at string, n *node, to *balancer.Expect) {
	s, ok := d.text(at, n)
	if !ok {
		return
	}
	from, until, ranged := strings.Cut(s, "-")
	if !ranged {
		until = from
	}
	var codes [2]int
	for i, digits := range []string{from, until} {
		if !isDecimal(digits) || len(digits) != 3 {
			d.spoil(at, "must be a status such as 200, or a range such as 200-299, not %s", show(s))
			return
		}
		for _, c := range []byte(digits) {
			codes[i] = codes[i]*10 + int(c-'0')
		}
	}
	to.Status = balancer.Status{From: codes[0], To: codes[1]}
}

func writeStatus(from *balancer.Expect) *node {
	switch s := from.Status; {
	case s == (balancer.Status{}):
		return nil
	case s.From == s.To:
		return textNode(strconv.Itoa(s.From))
	default:
		return textNode(fmt.Sprintf("%d-%d", s.From, s.To))
	}
}
