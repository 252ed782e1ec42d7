package config_test

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

// genFile draws any valid configuration.
func genFile(t *rapid.T) *config.File {
	f := &config.File{
		API:      genAPI(t),
		State:    genPath(t, "state", 300),
		NFT:      config.NFTManaged,
		Queues:   genQueues(t),
		MarkMask: 0xfff0 << rapid.IntRange(0, 12).Draw(t, "mask shift"),
		ZoneBase: uint16(rapid.IntRange(0, 60000).Draw(t, "zone base")),
		Log: config.Log{
			Level:  rapid.SampledFrom([]config.LogLevel{"debug", "info", "warn", "error"}).Draw(t, "level"),
			Format: rapid.SampledFrom([]config.LogFormat{"text", "json"}).Draw(t, "format"),
			Keys:   rapid.SampledFrom([]config.LogKeys{"hash", "full"}).Draw(t, "keys"),
		},
	}
	switch rapid.IntRange(0, 2).Draw(t, "netns") {
	case 1:
		f.NetNS = genName(t, "netns")
	case 2:
		f.NetNS = genPath(t, "netns", 300)
	}
	names := rapid.SliceOfNDistinct(rapid.StringMatching(namePattern), 0, 4, rapid.ID[string]).Draw(t, "services")
	for i, name := range names {
		f.Services = append(f.Services, genService(t, name, i))
	}
	return f
}

const namePattern = `[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`

func genName(t *rapid.T, label string) string {
	return rapid.StringMatching(namePattern).Draw(t, label)
}

// genPath draws an absolute path with all kinds of characters.
func genPath(t *rapid.T, label string, maxBytes int) string {
	printable := rapid.RuneFrom(nil, unicode.L, unicode.N, unicode.P, unicode.S, unicode.Zs)
	s := rapid.StringOfN(printable, 1, 40, maxBytes-2).Draw(t, label)
	return "/" + strings.TrimRight(s, "/") + "x"
}

func genAPI(t *rapid.T) config.API {
	a := config.API{
		Auth:        config.AuthToken,
		Insecure:    rapid.Bool().Draw(t, "insecure"),
		SocketGroup: rapid.SampledFrom([]string{"", "adm", "100", "null", "01", "grüppe"}).Draw(t, "group"),
	}
	if rapid.Bool().Draw(t, "has socket") {
		a.Socket = genPath(t, "socket", 107)
	}
	if rapid.Bool().Draw(t, "tls") {
		a.TLS = config.TLS{Cert: genPath(t, "cert", 300), Key: genPath(t, "key", 300)}
		if rapid.Bool().Draw(t, "client ca") {
			a.TLS.ClientCA = genPath(t, "ca", 300)
		}
	}
	switch rapid.IntRange(0, 2).Draw(t, "listen") {
	case 1:
		a.Listen = netip.MustParseAddrPort("[::1]:7070")
		a.Auth = rapid.SampledFrom([]config.Auth{"token", "none"}).Draw(t, "auth")
	case 2:
		a.Listen = netip.MustParseAddrPort("192.0.2.1:443")
		a.Insecure = a.Insecure || a.TLS.Cert == ""
	}
	return a
}

func genQueues(t *rapid.T) balancer.Queues {
	count := rapid.Uint16Range(0, 256).Draw(t, "queue count")
	return balancer.Queues{
		Count:  count,
		First:  rapid.Uint16Range(0, 65535-count).Draw(t, "first queue"),
		Length: rapid.Uint32Range(1, 65535).Draw(t, "queue length"),
	}
}

// genService draws the i-th service. Its index is in its addresses, so that no
// other service has them.
func genService(t *rapid.T, name string, i int) balancer.Service {
	s := balancer.Service{
		Name:           name,
		Key:            genKey(t),
		Pinning:        rapid.SampledFrom([]balancer.Pinning{"auto", "session", "flow"}).Draw(t, "pinning"),
		Datapath:       balancer.DatapathQueue,
		Slots:          rapid.SampledFrom([]uint32{5, 251, 4093, 131071}).Draw(t, "slots"),
		Seed:           rapid.Uint32().Draw(t, "seed"),
		SessionTTL:     genDuration(t, time.Second, 720*time.Hour),
		MaxSessions:    rapid.IntRange(1, 16_000_000).Draw(t, "max sessions"),
		Stale:          rapid.SampledFrom([]balancer.Stale{"on-reply", "immediate", "never"}).Draw(t, "stale"),
		ConfirmTimeout: genDuration(t, 100*time.Millisecond, 10*time.Minute),
		SNAT:           rapid.SampledFrom([]balancer.SNAT{"none", "masquerade"}).Draw(t, "snat"),
		NoBackend:      rapid.SampledFrom([]balancer.NoBackend{"reject", "drop"}).Draw(t, "no backend"),
		AllDown:        rapid.SampledFrom([]balancer.AllDown{"", "keep"}).Draw(t, "all down"),
		DrainTimeout:   genDuration(t, time.Second, 720*time.Hour),
		Allow:          genPrefixes(t),
		Deny:           genPrefixes(t),
		Health:         genHealth(t),
	}
	v6 := rapid.Bool().Draw(t, "IPv6")
	for j := range rapid.IntRange(1, 3).Draw(t, "listeners") {
		s.Listen = append(s.Listen, netip.AddrPortFrom(genAddress(v6, i, j), rapid.Uint16Min(1).Draw(t, "port")))
	}
	if rapid.Bool().Draw(t, "timeouts") {
		s.Timeouts.Unreplied = genDuration(t, time.Second, time.Hour).Truncate(time.Second)
		s.Timeouts.Replied = genDuration(t, time.Second, 720*time.Hour).Truncate(time.Second)
	}
	names := rapid.SliceOfNDistinct(rapid.StringMatching(namePattern), 0, 5, rapid.ID[string]).Draw(t, "backends")
	for j, name := range names {
		s.Backends = append(s.Backends, genBackend(t, name, v6, i, j))
	}
	return s
}

func genBackend(t *rapid.T, name string, v6 bool, i, j int) balancer.Backend {
	b := balancer.Backend{
		Name:      name,
		Addresses: []netip.Addr{genAddress(v6, 100+i, j)},
		Port:      rapid.Uint16Min(1).Draw(t, "port"),
		Weight:    rapid.IntRange(0, 65535).Draw(t, "weight"),
		Admin:     rapid.SampledFrom([]balancer.Admin{"up", "drain", "down"}).Draw(t, "admin"),
	}
	if rapid.Bool().Draw(t, "both families") {
		b.Addresses = append(b.Addresses, genAddress(!v6, 100+i, j))
	}
	return b
}

func genAddress(v6 bool, i, j int) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", i, j+1))
	}
	return netip.MustParseAddr(fmt.Sprintf("198.18.%d.%d", i, j+1))
}

func genDuration(t *rapid.T, lo, hi time.Duration) time.Duration {
	unit := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, "unit")
	d := time.Duration(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, "duration")).Truncate(unit)
	return max(d, lo)
}

func genPrefixes(t *rapid.T) []netip.Prefix {
	one := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := rapid.SampledFrom([]string{"192.0.2.77", "2001:db8:1:2:3:4:5:6", "255.255.255.255"}).Draw(t, "address")
		addr := netip.MustParseAddr(a)
		return netip.PrefixFrom(addr, rapid.IntRange(0, addr.BitLen()).Draw(t, "bits")).Masked()
	})
	all := rapid.SliceOfNDistinct(one, 0, 12, rapid.ID[netip.Prefix]).Draw(t, "prefixes")
	if len(all) == 0 {
		return nil
	}
	return all
}

func genKey(t *rapid.T) balancer.Key {
	k := balancer.Key{
		Fallback: rapid.SampledFrom([]balancer.Fallback{"source", "source-port", "drop"}).Draw(t, "fallback"),
	}
	n := rapid.SampledFrom([]int{1, 1, 2, 16}).Draw(t, "variants")
	for i := range n {
		v := balancer.Variant{Fields: genFields(t)}
		if n > 1 || rapid.Bool().Draw(t, "named") {
			v.Name = fmt.Sprintf("%s-%d", genName(t, "variant"), i)
		}
		if i < n-1 || rapid.Bool().Draw(t, "matches") {
			v.Match = genMatches(t, byte(i))
		}
		k.Variants = append(k.Variants, v)
	}
	return k
}

// genMatches draws what no variant with another index matches, and what can
// match.
func genMatches(t *rapid.T, variant byte) []balancer.Match {
	all := []balancer.Match{{Offset: 1000, Value: []byte{variant}}}
	for i := range rapid.IntRange(0, 5).Draw(t, "matches") {
		m := balancer.Match{
			Offset: 2000 + 100*i,
			Value:  rapid.SliceOfN(rapid.Byte(), 1, 16).Draw(t, "value"),
		}
		if rapid.Bool().Draw(t, "masked") {
			m.Mask = rapid.SliceOfN(rapid.ByteMin(1), len(m.Value), len(m.Value)).Draw(t, "mask")
			for j := range m.Value {
				m.Value[j] &= m.Mask[j]
			}
		}
		all = append(all, m)
	}
	return all
}

func genFields(t *rapid.T) []balancer.Field {
	n := rapid.SampledFrom([]int{1, 1, 2, 15}).Draw(t, "fields")
	all := make([]balancer.Field, n)
	for i := range all {
		all[i] = balancer.Field{
			Offset: rapid.IntRange(0, 65000).Draw(t, "offset"),
			Length: rapid.IntRange(1, 256/n/4*4).Draw(t, "length"),
		}
		if rapid.Bool().Draw(t, "masked") {
			all[i].Mask = rapid.SliceOfN(rapid.ByteMin(1), all[i].Length, all[i].Length).Draw(t, "mask")
		}
	}
	return all
}
