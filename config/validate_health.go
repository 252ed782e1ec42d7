package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/roamlb/roamlb/balancer"
)

// health checks how a service's backends are probed; nil is none.
func (c *checker) health(at string, h *balancer.Health) {
	if h == nil {
		return
	}
	kinds := []balancer.ProbeKind{balancer.ProbeUDP, balancer.ProbeICMP, balancer.ProbeTCP, balancer.ProbeHTTP, balancer.ProbeHTTPS}
	oneOf(c, at+"/kind", h.Kind, kinds...)
	if c.duration(at+"/interval", h.Interval, probeIntervalSpan) && c.duration(at+"/timeout", h.Timeout, probeTimeoutSpan) &&
		h.Timeout > h.Interval {
		c.add(at+"/timeout", "is %s, longer than the interval of %s", formatDuration(h.Timeout), formatDuration(h.Interval))
	}
	c.number(at+"/rise", int64(h.Rise), thresholdSpan)
	c.number(at+"/fall", int64(h.Fall), thresholdSpan)
	c.number(at+"/jitter", int64(h.Jitter), jitterSpan)
	c.duration(at+"/slow_start", h.SlowStart, slowStartSpan)
	c.sources(at+"/sources", h)
	if slices.Contains(kinds, h.Kind) { // else nothing can be said of what goes with it
		c.probe(at, h)
	}
}

// probe checks what depends on the kind of probe.
func (c *checker) probe(at string, h *balancer.Health) {
	http := h.Kind == balancer.ProbeHTTP || h.Kind == balancer.ProbeHTTPS
	c.only(at+"/port", h.Port != 0, h.Kind != balancer.ProbeICMP, "has no meaning for icmp")
	c.send(at+"/send", h)
	c.expect(at+"/expect", h, http)
	c.only(at+"/path", h.Path != "", http, "is for http and https")
	c.only(at+"/host", h.Host != "", http, "is for http and https")
	if http {
		c.request(at, h)
	}
	c.only(at+"/tls", h.TLS != (balancer.HealthTLS{}), h.Kind == balancer.ProbeHTTPS, "is for https")
	if h.TLS.CA != "" {
		c.path(at+"/tls/ca", h.TLS.CA)
	}
}

// only reports a member that is set and has no business there.
func (c *checker) only(at string, set, allowed bool, why string) {
	if set && !allowed {
		c.add(at, "%s", why)
	}
}

func (c *checker) sources(at string, h *balancer.Health) {
	families := [2]string{"IPv4", "IPv6"}
	var has [2]bool
	for i, a := range h.Sources {
		if !c.unicast(index(at, i), a) {
			continue
		}
		if f := familyOf(a); has[f] {
			c.add(index(at, i), "is a second %s address; probes have at most one source of each family", families[f])
		}
		has[familyOf(a)] = true
	}
}

func (c *checker) send(at string, h *balancer.Health) {
	switch {
	case h.Kind != balancer.ProbeUDP:
		c.only(at, len(h.Send) > 0, false, "is for udp")
	case len(h.Send) == 0:
		c.add(at, "is missing: the payload of a udp probe, in hex")
	case len(h.Send) > maxSend:
		c.add(at, "has %d bytes; at most %d are possible", len(h.Send), maxSend)
	}
}

func (c *checker) expect(at string, h *balancer.Health, http bool) {
	e, udp := &h.Expect, h.Kind == balancer.ProbeUDP
	for _, m := range []struct {
		name  string
		value []byte
	}{{"bytes", e.Bytes}, {"prefix", e.Prefix}} {
		c.only(join(at, m.name), len(m.value) > 0, udp, "is for udp")
		if len(m.value) > maxExpected {
			c.add(join(at, m.name), "has %d bytes; of an answer %d count", len(m.value), maxExpected)
		}
	}
	c.only(at+"/match", e.Match != "", udp || http, "is for udp, http and https")
	if e.Match != "" {
		if _, err := regexp.Compile(e.Match); err != nil {
			c.add(at+"/match", "must be a regular expression of RE2: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	}
	c.only(at+"/status", e.Status != (balancer.Status{}), http, "is for http and https")
	if http && (e.Status.From < 100 || e.Status.To > 599 || e.Status.From > e.Status.To) {
		c.add(at+"/status", "must be a range within 100-599, not %d-%d", e.Status.From, e.Status.To)
	}
}

// request checks what stands in an HTTP request as it is.
func (c *checker) request(at string, h *balancer.Health) {
	if u, err := url.ParseRequestURI(h.Path); err != nil || u.Host != "" || !strings.HasPrefix(h.Path, "/") || !isWord(h.Path) {
		c.add(at+"/path", "must be a path, with a query or without, such as /health, not %s", show(h.Path))
	}
	if h.Host == "" {
		return
	}
	if u, err := url.Parse("http://" + h.Host); err != nil || u.Host != h.Host || !isWord(h.Host) {
		c.add(at+"/host", "must be a name or an address, with a port or without, not %s", show(h.Host))
	}
}
