package config_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

func parse(t *testing.T, text string) *config.File {
	t.Helper()
	f, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

// problems returns what Parse says about a text that it must refuse.
func problems(t *testing.T, text string) *config.Error {
	t.Helper()
	_, err := config.Parse("test.yaml", []byte(text))
	var all *config.Error
	if !errors.As(err, &all) {
		t.Fatalf("error is %v\n%s", err, text)
	}
	return all
}

// minimal is what a service needs, around one key.
func minimal(key string) string {
	return "services: [{name: a, listen: [{address: 192.0.2.1, port: 1}], key: " + key + "}]"
}

// The defaults are a promise: a file that leaves a member out means this for
// ever.
func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	want := &config.File{
		API: config.API{
			Listen: netip.MustParseAddrPort("127.0.0.1:7070"), Socket: "/run/roamlb/roamlb.sock", Auth: "token",
		},
		State:    "/var/lib/roamlb/state.json",
		NFT:      "managed",
		Queues:   balancer.Queues{Length: 1024},
		MarkMask: 0xffff,
		Log:      config.Log{Level: "info", Format: "text", Keys: "hash"},
	}
	for _, text := range []string{"", "\n", "# only a comment\n", "---\n", "--- # x\n...\n", "{}", "services: []\n", "\ufeff"} {
		if diff := cmp.Diff(want, parse(t, text), compareAddresses); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	want.Services = []balancer.Service{{
		Name:   "a",
		Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")},
		Key: balancer.Key{
			Variants: []balancer.Variant{{Fields: []balancer.Field{{Offset: 1, Length: 8}}}}, Fallback: "source",
		},
		Pinning: "auto", Datapath: "queue", Slots: 4093, SessionTTL: 2 * time.Hour, MaxSessions: 1000000,
		Stale: "on-reply", ConfirmTimeout: 10 * time.Second, SNAT: "none", NoBackend: "reject",
		DrainTimeout: 10 * time.Minute,
		Backends: []balancer.Backend{{
			Name: "b", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}, Port: 2, Weight: 1, Admin: "up",
		}},
	}}
	got := parse(t, `
services:
  - name: a
    listen: [{address: 192.0.2.1, port: 1}]
    key: {offset: 1, length: 8}
    backends: [{name: b, address: 198.51.100.1, port: 2}]
`)
	if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every member must reach the place it is meant for.
func TestEveryMemberIsRead(t *testing.T) {
	got := parse(t, `
api:
  listen: "192.0.2.9:443"
  socket: /run/x.sock
  socket_group: adm
  tls: {cert: /c.pem, key: /k.pem, client_ca: /ca.pem}
  auth: token
  insecure: true
state: /s.json
netns: lab
nft: managed
queues: {first: 100, count: 8, length: 200}
mark_mask: 0x00ff0000
zone_base: 1000
log: {level: warn, format: json, keys: full}
services:
  - name: a
    protocol: udp
    listen: [{address: 192.0.2.1, port: 1}, {address: 2001:db8::1, port: 2}]
    key:
      variants:
        - {name: x, match: [{offset: 3, mask: F8, value: 48}], fields: [{offset: 1, length: 8}, {offset: 12, length: 2, mask: 0fff}]}
        - {name: y, fields: [{offset: 5, length: 4}]}
      fallback: drop
    pinning: flow
    datapath: queue
    slots: 251
    seed: 4294967295
    session_ttl: 1h30m
    max_sessions: 5
    stale: never
    confirm_timeout: 1.5s
    snat: masquerade
    no_backend: drop
    all_down: keep
    drain_timeout: 1s
    allow: [192.0.2.0/24, 2001:db8::/32]
    deny: [192.0.2.7]
    health: {kind: udp, interval: 1s, timeout: 500ms, rise: 1, fall: 9, jitter: 0%, slow_start: 1m, source: 192.0.2.1, port: 7, send: 00ff, expect: {bytes: "01", prefix: 01, match: x}}
    timeouts: {unreplied: 5s, replied: 60s}
    backends:
      - {name: b, addresses: [198.51.100.1, "2001:db8::b"], port: 9, weight: 0, admin: drain}
`)
	want := &config.File{
		API: config.API{
			Listen: netip.MustParseAddrPort("192.0.2.9:443"), Socket: "/run/x.sock", SocketGroup: "adm",
			TLS: config.TLS{Cert: "/c.pem", Key: "/k.pem", ClientCA: "/ca.pem"}, Auth: "token", Insecure: true,
		},
		State: "/s.json", NetNS: "lab", NFT: "managed",
		Queues:   balancer.Queues{First: 100, Count: 8, Length: 200},
		MarkMask: 0xff0000, ZoneBase: 1000,
		Log: config.Log{Level: "warn", Format: "json", Keys: "full"},
		Services: []balancer.Service{{
			Name:   "a",
			Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::1]:2")},
			Key: balancer.Key{
				Variants: []balancer.Variant{
					{
						Name:   "x",
						Match:  []balancer.Match{{Offset: 3, Mask: []byte{0xf8}, Value: []byte{0x48}}},
						Fields: []balancer.Field{{Offset: 1, Length: 8}, {Offset: 12, Length: 2, Mask: []byte{0x0f, 0xff}}},
					},
					{Name: "y", Fields: []balancer.Field{{Offset: 5, Length: 4}}},
				},
				Fallback: "drop",
			},
			Pinning: "flow", Datapath: "queue", Slots: 251, Seed: 4294967295, SessionTTL: 90 * time.Minute,
			MaxSessions: 5, Stale: "never", ConfirmTimeout: 1500 * time.Millisecond, SNAT: "masquerade",
			NoBackend: "drop", AllDown: "keep", DrainTimeout: time.Second,
			Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
			Deny:  []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")},
			Health: &balancer.Health{
				Kind: "udp", Interval: time.Second, Timeout: 500 * time.Millisecond, Rise: 1, Fall: 9, SlowStart: time.Minute,
				Sources: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 7, Send: []byte{0, 0xff},
				Expect: balancer.Expect{Bytes: []byte{1}, Prefix: []byte{1}, Match: "x"},
			},
			Timeouts: balancer.Timeouts{Unreplied: 5 * time.Second, Replied: time.Minute},
			Backends: []balancer.Backend{{
				Name:      "b",
				Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::b")},
				Port:      9, Admin: "drain",
			}},
		}},
	}
	if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Bytes in hex must not be what YAML makes of numbers: a wrong mask sends
// sessions to wrong backends without anybody noticing.
func TestHexIsTakenLiterally(t *testing.T) {
	for text, want := range map[string][]byte{
		"48": {0x48}, "0f": {0x0f}, "00ff": {0x00, 0xff}, "0100": {0x01, 0x00}, "1e10": {0x1e, 0x10}, "FE": {0xfe},
		"aBcD": {0xab, 0xcd}, `"48"`: {0x48}, "'0f'": {0x0f}, "0b11": {0x0b, 0x11}, "12345678901234567890": {
			0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90,
		},
	} {
		key := strings.ReplaceAll("{variants: [{match: [{offset: 0, value: V}], fields: [{offset: 0, length: 1}]}]}", "V", text)
		got := parse(t, minimal(key)).Services[0].Key.Variants[0].Match[0].Value
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// The edges of what is allowed must be allowed: operators do use them.
func TestEdgesAreAccepted(t *testing.T) {
	for _, text := range []string{
		"mark_mask: 15", "mark_mask: 0xf", "mark_mask: 0x0fffffff", "mark_mask: 0x0f000000", "zone_base: 65534",
		"queues: {first: 65535, count: 1}", "queues: {first: 65280, count: 256, length: 65535}", "queues: {first: 65535}",
		`api: {listen: "", auth: none}`, `api: {listen: "[::1]:7070", auth: none}`, `api: {listen: "127.5.6.7:0"}`,
		`api: {listen: "0.0.0.0:80", insecure: true}`, `api: {socket: ""}`, "netns: /run/netns/x", "netns: 7",
		minimal("{offset: 65400, length: 83}"), minimal("{offset: 0, length: 256, mask: " + strings.Repeat("f0", 256) + "}"),
		minimal("{offset: 0, length: 1}") + "\n...\n# end\n", minimal("{\"offset\": 0, 'length': 1}"),
		minimal("{variants: [{match: [], fields: [{offset: 0, length: 1}]}]}"),
		minimal("{variants: [{match: [{offset: 0, mask: 0f, value: 08}, {offset: 0, mask: f0, value: 40}], fields: [{offset: 0, length: 1}]}]}"),
		strings.Replace(minimal("{offset: 0, length: 1}"), "name: a", "name: 1, slots: 2, seed: 1, session_ttl: 720h, confirm_timeout: 100ms", 1),
		strings.Replace(minimal("{offset: 0, length: 1}"), "name: a", "name: "+strings.Repeat("x", 63)+", allow: [0.0.0.0/0, \"::/0\"], slots: 131071", 1),
		"services: &s []\nqueues: {}\n", "api: {}\nlog: {}",
		strings.ReplaceAll("log:\n  level: info\nservices: []\n", "\n", "\r\n"),
	} {
		parse(t, text)
	}
}

// JSON is YAML, and some write their files with programs.
func TestJSONIsRead(t *testing.T) {
	f := parse(t, `{
	"zone_base": 5, "api": {"listen": "", "insecure": true},
	"services": [{"name": "a", "listen": [{"address": "2001:db8::1", "port": 1}], "key": {"offset": 1, "length": 8}}]
}`)
	if f.ZoneBase != 5 || !f.API.Insecure || f.Services[0].Listen[0].String() != "[2001:db8::1]:1" {
		t.Errorf("read as %+v", f)
	}
}

// Services that share what they have are written once. Their own members win.
func TestAliasesAndMerges(t *testing.T) {
	f := parse(t, `
services:
  - &base
    name: a
    listen: [{address: 192.0.2.1, port: 1}]
    key: {offset: 1, length: 8}
    slots: 251
    backends: &backends
      - &b {name: b, address: 198.51.100.1, port: 1}
  - <<: *base
    name: c
    listen: [{address: 192.0.2.2, port: 1}]
    backends:
      - *b
      - {<<: [{weight: 5, port: 9}, *b], name: d, weight: 7}
  - name: e
    listen: [{address: 192.0.2.3, port: 1}]
    key: {offset: 1, length: 8}
    backends: *backends
`)
	c := f.Services[1]
	if c.Name != "c" || c.Slots != 251 || c.Key.Variants[0].Fields[0].Length != 8 {
		t.Errorf("merged service is %+v", c)
	}
	if d := c.Backends[1]; d.Name != "d" || d.Weight != 7 || d.Port != 9 || d.Addresses[0].String() != "198.51.100.1" {
		t.Errorf("merged backend is %+v", d)
	}
	if diff := cmp.Diff(f.Services[0].Backends, f.Services[2].Backends, compareAddresses); diff != "" {
		t.Errorf("aliased backends (-first +other):\n%s", diff)
	}
}

// An operator finds the place with this line, and editors jump to it.
func TestErrorsNameFileLineColumnAndMember(t *testing.T) {
	err := problems(t, `state: /s.json
services:
  - name: vpn
    listen: [{address: 192.0.2.1, port: 0}]
    key:
      variants:
        - fields:
            - offset: 1
              length: 300
    "a b/c": 1
  - key: 5
`)
	const want = `test.yaml:4:41: services[0].listen[0].port: must be 1 to 65535, not 0
test.yaml:9:23: services[0].key.variants[0].fields[0].length: must be 1 to 256, not 300
test.yaml:10:5: services[0]."a b/c": is not a known member
test.yaml:11:5: services[1].name: is missing
test.yaml:11:5: services[1].listen: is missing
test.yaml:11:10: services[1].key: must be an object, not text`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p := err.Problems[2].Pointer; p != "/services/0/a b~1c" {
		t.Errorf("pointer is %s", p)
	}
	_, unnamed := config.Parse("", []byte("state: x"))
	if got := unnamed.Error(); !strings.HasPrefix(got, "1:8: state: ") {
		t.Errorf("without a name: %s", got)
	}
}

// Editors of other systems end lines otherwise, and some leave blanks behind.
func TestPlacesDoNotDependOnLineEnds(t *testing.T) {
	text := "# first\nstate: x\n\n# comment\nlog: {level: a}\nservices:\n  - name: A B\n    key: c\n    listen: 5\n"
	want := problems(t, text)
	if want.Problems[0].Column != 8 {
		t.Errorf("first problem is %+v", want.Problems[0])
	}
	for _, end := range []string{"\r\n", "  \n", "\t \r\n", " # c\r\n"} {
		got := problems(t, strings.ReplaceAll(text, "\n", end))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", end, diff)
		}
	}
}

// A file that is wrong everywhere must not flood the terminal, nor seem better
// than it is.
func TestManyProblemsAreCounted(t *testing.T) {
	err := problems(t, "services:\n"+strings.Repeat("  - 5\n", 150))
	if len(err.Problems) != 100 || err.More != 50 {
		t.Errorf("%d problems and %d more", len(err.Problems), err.More)
	}
	if !strings.HasSuffix(err.Error(), "\nand 50 more") {
		t.Errorf("ends as %q", err.Error()[len(err.Error())-40:])
	}
}

func TestTextsThatAreNoneAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"state: /\x00":                            "1:9: has a byte 0x00",
		"\n\nstate: \x1b":                         "3:8: has a byte 0x1b",
		"state: /\xff\xfe":                        "1:9: has a byte 0xff",
		"a: 1\rb: 2":                              "1:5: has a byte 0x0d",
		"netns: " + strings.Repeat("x", 4097):     "1:8: has a text of 4097 bytes; at most 4096 are read",
		strings.Repeat("#", 8<<20+1):              "is 8388609 bytes long; at most 8388608 are read",
		"log: {" + strings.Repeat("a,", 66) + "}": "has more than 64 members without a value",
	} {
		if got := problems(t, text).Error(); !strings.Contains(got, want) {
			t.Errorf("%.30q: %s", text, got)
		}
	}
}

// The file that documents the format has to follow it.
func TestReferenceFileIsMarshalledAndReadBack(t *testing.T) {
	data, err := os.ReadFile("../roamlb.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, string(data))
	text, err := config.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, parse(t, string(text)), compareAddresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Who leaves the path and the status out must get probes that can succeed.
func TestProbesOfHTTPHaveDefaults(t *testing.T) {
	f, err := config.Parse("", []byte(
		"services: [{name: a, listen: [{address: 192.0.2.1, port: 1}], key: {offset: 0, length: 4}, health: {kind: http, expect: {match: ok}}}]"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.DefaultHealth()
	want.Kind, want.Path = balancer.ProbeHTTP, "/"
	want.Expect = balancer.Expect{Status: balancer.Status{From: 200, To: 299}, Match: "ok"}
	if diff := cmp.Diff(&want, f.Services[0].Health); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
