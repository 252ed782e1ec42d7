package config_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
)

const vpn = `{"name": "vpn", "listen": [{"address": "192.0.2.10", "port": 1194}], "key": {"offset": 1, "length": 8},
	"backends": [{"name": "a", "address": "198.51.100.1", "port": 1194}, {"name": "b", "addresses": ["198.51.100.2"], "port": 1194, "weight": 2}]}`

func parseVPN(t *testing.T) balancer.Service {
	t.Helper()
	s, err := config.ParseService([]byte(vpn))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A service that is read and sent back must not change.
func TestServicesComeBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, want := range genFile(t).Services {
			text := config.MarshalService(&want)
			if !json.Valid(text) {
				t.Fatalf("no JSON: %s", text)
			}
			got, err := config.ParseService(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
				t.Fatalf("(-want +got):\n%s\n%s", diff, text)
			}
			same, err := config.PatchService(&want, []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, same, compareAddresses); diff != "" {
				t.Fatalf("an empty patch changes it (-want +got):\n%s", diff)
			}
		}
	})
}

// What is wrong is told at its member, all of it at once.
func TestWrongDocuments(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // pointers, each with a space and part of the message
	}{
		{"nothing", ``, []string{" ends too early"}},
		{"no JSON", `{"name": vpn}`, []string{" is not JSON"}},
		{"two documents", vpn + vpn, []string{" something follows"}},
		{"no UTF-8", "{\"name\": \"\xff\"}", []string{" is not UTF-8"}},
		{"too deep", strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), []string{" deep"}},
		{"no object", `[]`, []string{" must be an object"}},
		{"a null", `null`, []string{" has no value"}},
		{"all at once", `{"name": "VPN", "listen": [{"address": "x", "port": 0}], "key": {"offset": 1, "length": 300}, "wieght": 1, "slots": 4}`, []string{
			"/wieght is not a known member", "/listen/0/address must be an IP address", "/listen/0/port must be 1 to 65535", "/key/length must be 1 to 256",
			"/name must be 1 to 63", "/slots must be a prime",
		}},
		{"twice", `{"name": "a", "name": "b", "listen": [{"address": "192.0.2.10", "port": 1}], "key": {"offset": 1, "length": 8}}`, []string{"/name is given twice"}},
		{"numbers as text", `{"name": "a", "listen": [{"address": "192.0.2.10", "port": "1"}], "key": {"offset": 1.5, "length": 1e1}}`, []string{
			"/listen/0/port must be a number", "/key/offset must be a decimal number", "/key/length must be a decimal number",
		}},
		{"text as numbers", `{"name": 1, "listen": [{"address": "192.0.2.10", "port": 1}], "key": {"offset": 1, "length": 1, "mask": 48}}`, []string{"/name must be text", "/key/mask must be text"}},
		{"a huge number", `{"name": "a", "listen": [{"address": "192.0.2.10", "port": 1}], "key": {"offset": 99999999999999999999, "length": 1}}`, []string{"/key/offset must be 0 to 65400"}},
		{"a backend twice", strings.Replace(vpn, `"b"`, `"a"`, 1), []string{"/backends/1/name is \"a\""}},
		{"missing", `{}`, []string{"/name is missing", "/listen is missing", "/key is missing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.ParseService([]byte(tt.text))
			wantProblems(t, err, tt.want)
		})
	}
}

func wantProblems(t *testing.T, err error, want []string) {
	t.Helper()
	var all *config.Error
	if !errors.As(err, &all) {
		t.Fatalf("error %v, want problems", err)
	}
	for _, w := range want {
		pointer, message, _ := strings.Cut(w, " ")
		found := false
		for _, p := range all.Problems {
			found = found || p.Pointer == pointer && strings.Contains(p.Message, message)
		}
		if !found {
			t.Errorf("no problem at %q that says %q in:\n%v", pointer, message, err)
		}
	}
	if len(all.Problems) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(all.Problems), len(want), err)
	}
}

// A client sends back what it was given; what it cannot set is no mistake.
func TestReadOnlyMembersAreIgnored(t *testing.T) {
	text := strings.Replace(vpn, `"name": "a",`, `"name": "a", "id": 99, "state": "down",`, 1)
	text = text[:len(text)-1] + `, "effective": {"pinning": "flow"}}`
	got, err := config.ParseService([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parseVPN(t), got, compareAddresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// In the file they are.
	yaml := "services:\n- " + strings.ReplaceAll(text, "\n", " ")
	if _, err := config.Parse("", []byte(yaml)); err == nil {
		t.Error("the file may have read-only members")
	}
}

func TestPatch(t *testing.T) {
	base := parseVPN(t)
	for _, tt := range []struct {
		name, patch string
		want        func(*balancer.Service)
	}{
		{"one member", `{"stale": "never"}`, func(s *balancer.Service) { s.Stale = balancer.StaleNever }},
		{"back to the default", `{"slots": null}`, func(s *balancer.Service) { s.Slots = 4093 }},
		{"part of the key", `{"key": {"offset": 3}}`, func(s *balancer.Service) { s.Key.Variants[0].Fields[0].Offset = 3 }},
		{"another form of the key", `{"key": {"variants": [{"fields": [{"offset": 0, "length": 4}]}]}}`, func(s *balancer.Service) {
			s.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{{Offset: 0, Length: 4}}}}
		}},
		{"the backends as a whole", `{"backends": [{"name": "c", "address": "198.51.100.3", "port": 9}]}`, func(s *balancer.Service) {
			s.Backends = []balancer.Backend{config.DefaultBackend()}
			s.Backends[0].Name, s.Backends[0].Port = "c", 9
			s.Backends[0].Addresses = append(s.Backends[0].Addresses, base.Backends[0].Addresses[0].Next().Next())
		}},
		{"no backends", `{"backends": []}`, func(s *balancer.Service) { s.Backends = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := parseVPN(t)
			tt.want(&want)
			got, err := config.PatchService(&base, []byte(tt.patch))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for patch, want := range map[string]string{
		`{"stale": "soon"}`:                "/stale must be",
		`{"stale": 1, "stale": "never"}`:   "/stale is given twice",
		`{"name": null}`:                   "/name is missing",
		`{"key": {"length": null}}`:        "/key/length is missing",
		`"x"`:                              " must be an object",
		`{"backends": [{"name": "a"}]}`:    "/backends/0/port is missing",
		`{"listen": []}`:                   "/listen must have",
		`{"key": {"variants": "x"}}`:       "/key/variants must be a list",
		`{"backends": {"a": {"port": 1}}}`: "/backends must be a list",
	} {
		_, err := config.PatchService(&base, []byte(patch))
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(want[strings.Index(want, " "):], " ")) {
			t.Errorf("%s: %v, want %s", patch, err, want)
		}
	}
}

func TestBackendDocuments(t *testing.T) {
	s := parseVPN(t)
	b, err := config.PatchBackend(&s.Backends[0], []byte(`{"addresses": ["198.51.100.7"], "weight": 3}`), &s)
	if err != nil || b.Weight != 3 || b.Addresses[0].String() != "198.51.100.7" || b.Name != "a" {
		t.Errorf("%+v, %v", b, err)
	}
	_, err = config.ParseBackend([]byte(`{"name": "c", "address": "198.51.100.2", "port": 1194, "weight": 70000}`), &s)
	wantProblems(t, err, []string{"/weight must be 0 to 65535", "/address with port 1194"})
	_, err = config.ParseBackend([]byte(`{"name": "c", "address": "198.51.100.2", "port": 1194}`), &s)
	wantProblems(t, err, []string{"/address with port 1194 is also that of backend \"b\""})
	_, err = config.ParseBackend([]byte(`{"name": "c", "address": "2001:db8::1", "port": 1194, "admin": "off"}`), &s)
	wantProblems(t, err, []string{"/admin must be", "/address has no IPv4 address"})
}

func TestConfigurationDocument(t *testing.T) {
	have := config.Default()
	have.Services = []balancer.Service{parseVPN(t)}
	text := string(config.MarshalSettings(have))
	got, err := config.ParseDocument([]byte(text[:len(text)-1]+`, "services": [`+vpn+`]}`), have)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(have, got, compareAddresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = config.ParseDocument([]byte(`{"services": [], "state": "/other", "queues": {"first": 7}, "netns": ""}`), have)
	wantProblems(t, err, []string{"/state is \"/var/lib/roamlb/state.json\", and read-only", "/queues/first is 0, and read-only"})
	_, err = config.ParseDocument([]byte(`{}`), have)
	wantProblems(t, err, []string{"/services is missing"})
	_, err = config.ParseDocument([]byte(`{"services": [`+vpn+`, `+strings.Replace(vpn, "vpn", "game", 1)+`]}`), have)
	wantProblems(t, err, []string{"/services/1/listen/0 is 192.0.2.10:1194, as listener 0 of service"})
}

// Whatever somebody sends, it is read or refused with reasons, and what is read
// can be sent again.
func FuzzParseService(f *testing.F) {
	f.Add([]byte(vpn))
	f.Add([]byte(`{"a":{"a":[null,1e5,true,"` + strings.Repeat("x", 100) + `"]}}`))
	f.Add([]byte(`{"name":"a","listen":[{"address":"::1","port":1}],"key":{"variants":[{"match":[{"offset":0,"value":"00"}],"fields":[{"offset":1,"length":2}]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := config.ParseService(text)
		if err != nil {
			var all *config.Error
			if !errors.As(err, &all) || len(all.Problems) == 0 || all.Error() == "" {
				t.Fatalf("error is %#v", err)
			}
			return
		}
		again, err := config.ParseService(config.MarshalService(&s))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again, compareAddresses); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if _, err := config.PatchService(&s, text); err != nil {
			t.Errorf("patched with itself: %v", err)
		}
	})
}
