package config

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/roamlb/roamlb/balancer"
)

const exampleFile = "../roamlb.example.yaml"

var compareAddresses = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

func readExample(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// An operator who copies the reference file must get what its comments say: the
// defaults, wherever it shows them.
func TestReferenceFileShowsTheDefaults(t *testing.T) {
	got, err := Parse(exampleFile, readExample(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Services) != 3 {
		t.Fatalf("%d services", len(got.Services))
	}
	settings, want := *got, *Default()
	settings.Services = nil
	if diff := cmp.Diff(want, settings, compareAddresses); diff != "" {
		t.Errorf("settings (-default +file):\n%s", diff)
	}

	service := DefaultService()
	service.Name = "vpn"
	service.Listen = []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.10:1194"), netip.MustParseAddrPort("[2001:db8::10]:1194"),
	}
	service.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{{Offset: 1, Length: 8}}}}
	a, b := DefaultBackend(), DefaultBackend()
	a.Name, a.Port = "a", 1194
	a.Addresses = []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:b::1")}
	b.Name, b.Port = "b", 1194
	b.Addresses = []netip.Addr{netip.MustParseAddr("198.51.100.2")}
	service.Backends = []balancer.Backend{a, b}
	if diff := cmp.Diff(service, got.Services[0], compareAddresses); diff != "" {
		t.Errorf("first service (-default +file):\n%s", diff)
	}
}

// An operator looks a member up in the reference file, or in the documentation:
// none may be missing there.
func TestReferencesNameEveryMember(t *testing.T) {
	root, problem := readYAML(readExample(t))
	if problem != nil {
		t.Fatal(problem)
	}
	docs, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string][]string)
	collectMembers(root, "", shown)
	for at, names := range knownMembers() {
		for _, name := range names {
			if !slices.Contains(shown[at], name) {
				t.Errorf("%s: the reference file lacks %s", at, name)
			}
			if !regexp.MustCompile("`([a-z_.]+\\.)?" + name + "[.`]").Match(docs) {
				t.Errorf("%s: docs/configuration.md lacks `%s`", at, name)
			}
		}
		delete(shown, at)
	}
	for at := range shown {
		t.Errorf("%s: the reference file has an object that no table describes", at)
	}
}

// What the documentation shows is copied. It has to be right.
func TestDocumentedExamplesAreAccepted(t *testing.T) {
	docs, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(docs, -1)
	if len(blocks) < 5 {
		t.Fatalf("%d examples found", len(blocks))
	}
	for _, b := range blocks {
		text := string(b[1])
		if strings.HasPrefix(text, "key:") {
			text = "services:\n- name: a\n  listen: [{address: 192.0.2.1, port: 1}]\n  " +
				strings.ReplaceAll(text, "\n", "\n  ")
		}
		if _, err := Parse("example", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// knownMembers returns the members that are read, by the place of their object:
// a JSON pointer with * for every index.
func knownMembers() map[string][]string {
	return map[string][]string{
		"":                                    memberNames(fileMembers),
		"/api":                                memberNames(apiMembers),
		"/api/tls":                            memberNames(tlsMembers),
		"/queues":                             memberNames(queueMembers),
		"/log":                                memberNames(logMembers),
		"/services/*":                         memberNames(serviceMembers),
		"/services/*/listen/*":                memberNames(listenerMembers),
		"/services/*/key":                     slices.Concat(memberNames(shortKeyMembers[:2]), memberNames(longKeyMembers[:2])),
		"/services/*/health":                  memberNames(healthMembers),
		"/services/*/health/expect":           memberNames(expectMembers),
		"/services/*/health/tls":              memberNames(healthTLSMembers),
		"/services/*/timeouts":                memberNames(timeoutMembers),
		"/services/*/backends/*":              memberNames(backendMembers),
		"/services/*/key/variants/*":          memberNames(variantMembers),
		"/services/*/key/variants/*/match/*":  memberNames(matchMembers),
		"/services/*/key/variants/*/fields/*": memberNames(fieldMembers),
	}
}

func memberNames[T any](table []member[T]) []string {
	names := make([]string, 0, len(table))
	for _, m := range table {
		if !m.readOnly { // those are the API's
			names = append(names, m.name)
		}
	}
	return names
}

func collectMembers(n *node, at string, into map[string][]string) {
	for _, m := range n.members {
		into[at] = append(into[at], m.name)
		collectMembers(m.value, at+"/"+m.name, into)
	}
	for _, item := range n.items {
		collectMembers(item, at+"/*", into)
	}
}
