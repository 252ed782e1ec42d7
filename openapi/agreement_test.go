package openapi_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/roamlb/roamlb/config"
)

// whole is a service with most members, to be changed.
const whole = `{
	"name": "vpn", "protocol": "udp",
	"listen": [{"address": "192.0.2.10", "port": 1194}, {"address": "2001:db8::10", "port": 1194}],
	"key": {"variants": [
		{"name": "data", "match": [{"offset": 0, "mask": "f8", "value": "48"}], "fields": [{"offset": 1, "length": 8, "mask": "ffffffffffffff00"}]},
		{"name": "other", "fields": [{"offset": 1, "length": 8}]}], "fallback": "drop"},
	"pinning": "session", "datapath": "queue", "slots": 251, "seed": 7, "session_ttl": "1h30m", "max_sessions": 10,
	"stale": "never", "confirm_timeout": "1.5s", "snat": "masquerade", "no_backend": "drop", "all_down": "keep",
	"drain_timeout": "10m", "allow": ["192.0.2.0/24", "2001:db8::/32"], "deny": ["192.0.2.66"], "health": "none",
	"timeouts": {"unreplied": "30s", "replied": "3m"},
	"backends": [
		{"name": "a", "addresses": ["198.51.100.1", "2001:db8:b::1"], "port": 1194, "weight": 3, "admin": "drain", "id": 1, "state": "drain"},
		{"name": "b", "address": "198.51.100.2", "port": 1194}],
	"effective": {"pinning": "session", "reason": "as configured"}
}`

// A client that checks a service by the description before it sends it must not
// be stopped by what the daemon would take, nor sent on by what it would refuse.
// Only what depends on other members is left to the daemon.
func TestSchemaAgreesWithTheDaemon(t *testing.T) {
	judge := judgeOf(t, "ServiceInput")
	agree(t, judge, "", ``)
	name, hex := []string{`""`, `"a"`, `"a-b"`, `"-a"`, `"a-"`, `"A"`, `"a.b"`, `"` + strings.Repeat("a", 63) + `"`, `"` + strings.Repeat("a", 64) + `"`, `1`, `null`},
		[]string{`""`, `"0"`, `"0x00"`, `"g0"`, `0`}
	duration := []string{`"0"`, `"5"`, `"5d"`, `"-5s"`, `5`, `"5s"`, `"1m30s"`, `"1500ms"`, `"2.5s"`, `""`, `"5 s"`}
	port := []string{`0`, `1`, `65535`, `65536`, `-1`, `1.5`, `"1"`, `true`}
	offset := []string{`-1`, `0`, `65400`, `65401`, `"0"`}
	address := []string{`"198.51.100.77"`, `"2001:db8::77"`, `"198.51.100"`, `"localhost"`, `"fe80::1%eth0"`, `""`, `1`, `[]`}
	for at, values := range map[string][]string{
		"name":                            name,
		"key/variants/0/name":             name,
		"backends/0/name":                 name,
		"protocol":                        {`"udp"`, `"tcp"`},
		"listen":                          {`[]`, `{}`, `[{}]`, `[{"address": "192.0.2.1"}]`, `[{"port": 1}]`, `[{"address": "192.0.2.1", "port": 1, "x": 1}]`},
		"listen/1/address":                {`"192.0.2.9"`, `"2001:db8::9"`, `"192.0.2.9/24"`, `"example.net"`, `null`},
		"listen/0/port":                   port,
		"key":                             {`{"offset": 1}`, `{"length": 1}`, `{"offset": 0, "length": 256}`, `{"offset": 0, "length": 257}`, `{"offset": 0, "length": 0}`, `{"offset": 1, "length": 2, "bits": 1}`, `[]`},
		"key/fallback":                    {`"source"`, `"source-port"`, `"drop"`, `"none"`, `""`},
		"key/variants":                    {`[]`, `[{}]`, `[{"fields": []}]`, `[{"fields": [{"offset": 1, "length": 2}]}]`},
		"key/variants/0/match/0/offset":   offset,
		"key/variants/0/match/0/value":    append([]string{`"40"`, `"` + strings.Repeat("00", 17) + `"`}, hex...),
		"key/variants/0/match/0/mask":     hex,
		"key/variants/0/fields/0/offset":  offset,
		"key/variants/0/fields/0/length":  {`0`, `8`, `257`, `"8"`},
		"key/variants/0/fields/0/mask":    append([]string{`"00ff00ff00ff00ff"`, `"00FF00ff00ff00ff"`}, hex...),
		"pinning":                         {`"auto"`, `"session"`, `"flow"`, `""`, `"Auto"`},
		"slots":                           {`1`, `2`, `131071`, `131072`, `"251"`},
		"seed":                            {`0`, `1`, `4294967295`, `4294967296`},
		"session_ttl":                     duration,
		"max_sessions":                    {`0`, `1`, `16000000`, `16000001`},
		"stale":                           {`"on-reply"`, `"immediate"`, `"never"`, `"always"`},
		"confirm_timeout":                 duration,
		"snat":                            {`"none"`, `"masquerade"`, `"full"`},
		"no_backend":                      {`"reject"`, `"drop"`, `""`},
		"all_down":                        {`""`, `"keep"`, `"drop"`},
		"drain_timeout":                   duration,
		"allow":                           {`[]`, `["198.18.0.0/15"]`, `["198.18.0.1"]`, `["2001:db8::/32"]`, `["any"]`, `[1]`, `""`},
		"health":                          {`"none"`, `"icmp"`, `[]`},
		"timeouts":                        {`{}`, `{"unreplied": "1s"}`, `{"unreplied": "1s", "replied": "2s", "x": 1}`, `{"unreplied": "1s", "replied": 2}`},
		"backends":                        {`[]`, `{}`, `[{"name": "a"}]`, `[{"port": 1, "address": "198.51.100.1"}]`},
		"backends/0/addresses":            {`["198.51.100.1"]`, `["198.51.100.1", "2001:db8::1", "198.51.100.3"]`, `"198.51.100.1"`},
		"backends/1/address":              address,
		"backends/0/port":                 port,
		"backends/0/weight":               {`-1`, `0`, `65535`, `65536`, `1.5`},
		"backends/0/admin":                {`"up"`, `"drain"`, `"down"`, `"off"`},
		"wieght":                          {`1`},
		"backends/0/wieght":               {`1`},
		"key/variants/0/fields/0/offsett": {`1`},
	} {
		for _, value := range values {
			agree(t, judge, at, value)
		}
	}
}

// judgeOf is a schema of the description.
func judgeOf(t *testing.T, name string) func(any) error {
	t.Helper()
	text, err := json.Marshal(description(t))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("openapi.json#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate
}

// agree fails where the schema and the daemon judge a changed service
// differently.
func agree(t *testing.T, judge func(any) error, at, value string) {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(whole), &doc); err != nil {
		t.Fatal(err)
	}
	if at != "" {
		set(t, doc, strings.Split(at, "/"), value)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	bySchema := judge(doc)
	_, byDaemon := config.ParseService(text)
	switch {
	case bySchema != nil && byDaemon == nil:
		t.Errorf("%s = %s: the daemon takes it, the schema does not: %v", at, value, bySchema)
	case bySchema == nil && byDaemon != nil:
		t.Errorf("%s = %s: the schema takes it, the daemon does not: %v", at, value, byDaemon)
	}
}

// set puts a value into a document.
func set(t *testing.T, doc any, path []string, value string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(value), &v); err != nil {
		t.Fatal(err)
	}
	for i, name := range path {
		last := i == len(path)-1
		switch d := doc.(type) {
		case map[string]any:
			if last {
				d[name] = v
			}
			doc = d[name]
		case []any:
			doc = d[name[0]-'0'] // no list here has ten
		default:
			t.Fatalf("nothing at %v", path[:i])
		}
	}
}

// What the daemon embeds is what was written: "make generate" was run.
func TestEmbeddedIsTheWritten(t *testing.T) {
	data, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	written, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(description(t))
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(t, want, got) {
		t.Error("they differ: run make generate")
	}
}
