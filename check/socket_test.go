package check

import (
	"net/netip"
	"testing"
)

func TestParseSocketLine(t *testing.T) {
	for line, want := range map[string]string{
		"  sl  local_address rem_address   st tx_queue rx_queue":                                "",
		"  112: 0A0200C0:04AA 00000000:0000 07 00000000:00000000 00:00000000":                   "192.0.2.10:1194",
		"  112: 00000000:0035 00000000:0000 07":                                                 "0.0.0.0:53",
		"    7: B80D0120000000000000000010000000:04AA 00000000000000000000000000000000:0000 07": "[2001:db8::10]:1194",
		"    7: 00000000000000000000000000000000:0001 x":                                        "[::]:1",
		"    7: 0000000000000000FFFF00000A0200C0:04AA x":                                        "[::ffff:192.0.2.10]:1194",
		"":                           "",
		"1: 0A0200C0":                "",
		"1: 0A0200C0:10000":          "",
		"1: 0A0200:0001":             "",
		"1: 0A0200ZZ:0001":           "",
		"1: 0A0200C00A0200C0:0001 x": "",
	} {
		got, ok := parseSocketLine(line)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v %v, want %q", line, got, ok, want)
		}
	}
}

func TestSocketsOnAnyAddress(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.10:1"), netip.MustParseAddrPort("[2001:db8::10]:1")
	for _, tt := range []struct {
		socket                               string
		bound4, wildcard4, bound6, wildcard6 bool
	}{
		{"192.0.2.10:1", true, false, false, false},
		{"[::ffff:192.0.2.10]:1", true, false, false, false},
		{"0.0.0.0:1", false, true, false, false},
		{"[::]:1", false, true, false, true},
		{"[2001:db8::10]:1", false, false, true, false},
		{"0.0.0.0:2", false, false, false, false},
	} {
		s := udpSockets{netip.MustParseAddrPort(tt.socket): true}
		got := [4]bool{s.bound(v4), s.wildcard(v4), s.bound(v6), s.wildcard(v6)}
		if want := [4]bool{tt.bound4, tt.wildcard4, tt.bound6, tt.wildcard6}; got != want {
			t.Errorf("%s: %v, want %v", tt.socket, got, want)
		}
	}
}

func FuzzParseSocketLine(f *testing.F) {
	f.Add("  112: 0A0200C0:04AA 00000000:0000 07")
	f.Add("    7: B80D0120000000000000000010000000:04AA x")
	f.Add("x:y z:")
	f.Fuzz(func(t *testing.T, line string) {
		if got, ok := parseSocketLine(line); ok && !got.IsValid() {
			t.Errorf("%q is %v", line, got)
		}
	})
}
