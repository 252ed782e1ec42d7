package config_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

var compareAddresses = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

// A configuration that is exported and imported again must not change, whatever
// it has in it: not a name, not a seed.
func TestMarshalledConfigurationsComeBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genFile(t)
		text, err := config.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := config.Parse("marshalled", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, text)
		}
	})
}

// The text is for people: it has the short forms and the layout of the
// documentation, and quotes what another YAML reader would take for a number.
func TestMarshalWritesReadableText(t *testing.T) {
	f := config.Default()
	s := config.DefaultService()
	s.Name = "vpn"
	s.Listen = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.10:1194")}
	s.Seed = 7
	s.SessionTTL = 90 * time.Minute
	s.Key.Variants = []balancer.Variant{
		{
			Name: "data", Match: []balancer.Match{{Mask: []byte{0xf8}, Value: []byte{0x48}}},
			Fields: []balancer.Field{{Offset: 1, Length: 8}, {Offset: 12, Length: 2, Mask: []byte{0x0f, 0xff}}},
		},
	}
	s.Timeouts = balancer.Timeouts{Unreplied: 30 * time.Second, Replied: 2 * time.Minute}
	s.Deny = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	b := config.DefaultBackend()
	b.ID, b.Name, b.Port = 9, "a", 1194
	b.Addresses = []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:b::1")}
	s.Backends = []balancer.Backend{b}
	f.Services = []balancer.Service{s}
	f.NetNS = "no"

	const want = `api:
  listen: "127.0.0.1:7070"
  socket: /run/roamlb/roamlb.sock
  socket_group: ""
  tls: {cert: "", key: "", client_ca: ""}
  auth: token
  insecure: false
state: /var/lib/roamlb/state.json
netns: "no"
nft: managed
queues: {first: 0, count: 0, length: 1024}
mark_mask: 0x0000ffff
zone_base: 0
log: {level: info, format: text, keys: hash}
services:
  - name: vpn
    protocol: udp
    listen:
      - {address: 192.0.2.10, port: 1194}
    key:
      variants:
        - name: data
          match:
            - {offset: 0, mask: f8, value: "48"}
          fields:
            - {offset: 1, length: 8}
            - {offset: 12, length: 2, mask: "0fff"}
      fallback: source
    pinning: auto
    datapath: queue
    slots: 4093
    seed: 7
    session_ttl: 90m
    max_sessions: 1000000
    stale: on-reply
    confirm_timeout: 10s
    snat: none
    no_backend: reject
    all_down: ""
    drain_timeout: 10m
    deny: ["2001:db8::/32"]
    health: none
    timeouts: {unreplied: 30s, replied: 2m}
    backends:
      - {name: a, addresses: [198.51.100.1, "2001:db8:b::1"], port: 1194, weight: 1, admin: up}
`
	got, err := config.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What Parse would refuse must not be written: nobody could start from it.
func TestMarshalRefusesWhatParseWould(t *testing.T) {
	f := config.Default()
	f.State = "relative"
	_, err := config.Marshal(f)
	var all *config.Error
	if !errors.As(err, &all) || all.Problems[0].Pointer != "/state" {
		t.Errorf("error is %v", err)
	}
}
