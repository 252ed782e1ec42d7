package config_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

// genHealth draws valid probes, or none.
func genHealth(t *rapid.T) *balancer.Health {
	kind := rapid.SampledFrom([]balancer.ProbeKind{"", "udp", "icmp", "tcp", "http", "https"}).Draw(t, "kind of probe")
	if kind == "" {
		return nil
	}
	h := config.DefaultHealth()
	h.Kind = kind
	h.Interval = genDuration(t, 2*time.Second, time.Hour)
	h.Timeout = genDuration(t, 10*time.Millisecond, 2*time.Second)
	h.Rise, h.Fall = rapid.IntRange(1, 100).Draw(t, "rise"), rapid.IntRange(1, 100).Draw(t, "fall")
	h.Jitter = rapid.IntRange(0, 50).Draw(t, "jitter")
	if rapid.Bool().Draw(t, "slow start") {
		h.SlowStart = genDuration(t, time.Second, time.Hour)
	}
	for _, v6 := range []bool{false, true} {
		if rapid.Bool().Draw(t, "source") {
			h.Sources = append(h.Sources, genAddress(v6, 200, 0))
		}
	}
	if kind != "icmp" {
		h.Port = rapid.Uint16().Draw(t, "port of probes")
	}
	genExchange(t, &h)
	return &h
}

// genExchange draws what is sent and expected.
func genExchange(t *rapid.T, h *balancer.Health) {
	some := func(label string) []byte {
		if rapid.Bool().Draw(t, label) {
			return rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, label)
		}
		return nil
	}
	match := rapid.SampledFrom([]string{"", "ok", `^\d+ "x": \x00$`, "null", "ü|ö"})
	switch h.Kind {
	case balancer.ProbeUDP:
		h.Send = rapid.SliceOfN(rapid.Byte(), 1, 1400).Draw(t, "send")
		h.Expect = balancer.Expect{Bytes: some("bytes"), Prefix: some("prefix"), Match: match.Draw(t, "match")}
	case balancer.ProbeHTTP, balancer.ProbeHTTPS:
		h.Path = rapid.SampledFrom([]string{"/", "/health?full=1", "/a%20b"}).Draw(t, "path")
		h.Host = rapid.SampledFrom([]string{"", "app.example", "app.example:8080", "[2001:db8::1]:80"}).Draw(t, "host")
		h.Expect.Match = match.Draw(t, "match")
		h.Expect.Status.From = rapid.IntRange(100, 599).Draw(t, "status")
		h.Expect.Status.To = rapid.IntRange(h.Expect.Status.From, 599).Draw(t, "last status")
	}
	if h.Kind == balancer.ProbeHTTPS && rapid.Bool().Draw(t, "tls") {
		h.TLS = balancer.HealthTLS{SkipVerify: rapid.Bool().Draw(t, "skip"), CA: genPath(t, "ca of probes", 300)}
	}
}
