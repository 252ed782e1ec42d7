package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/roamlb/roamlb/openapi"
)

// hostile makes requests that are right, nearly right, and meant to hurt.
type hostile struct {
	*rand.Rand
	operations []described
}

// described is an operation with its method and path.
type described struct {
	method, path string
	op           *openapi3.Operation
	item         *openapi3.PathItem
}

func newHostile(t *testing.T, doc *openapi3.T, seed uint64) *hostile {
	t.Helper()
	h := &hostile{Rand: rand.New(rand.NewPCG(seed, 1))}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			h.operations = append(h.operations, described{method, path, op, item})
		}
	}
	slices.SortFunc(h.operations, func(a, b described) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return h
}

// of picks one.
func (h *hostile) of(texts ...string) string { return texts[h.IntN(len(texts))] }

// nasty is text of all kinds.
func (h *hostile) nasty() string {
	return h.of("", " ", "vpn", "a", "VPN", "..", "../../etc/passwd", "%2e%2e%2f", "%00", "%", "%zz", "%2561", "a%2Fb", "*", "'", "\"", "<script>", "\\u0000",
		"\xff\xfe", "ä", "日本", strings.Repeat("x", 300), strings.Repeat("../", 50), "0", "-1", "1e309", "18446744073709551616", "NaN", "true", "null", "[]", "{}",
		"8c31f2d0a4b7e915", "h:0123456789abcdef", "h:zz", "2147483648", "9223372036854775808", "${jndi:ldap://x}", "\r\nX-A: b", "a;b=c", "a b", "+", "?", "#")
}

// value is any JSON value.
func (h *hostile) value(depth int) any {
	switch n := h.IntN(12); {
	case n == 0:
		return nil
	case n == 1:
		return h.IntN(2) == 0
	case n == 2:
		return h.Int64() - h.Int64()
	case n == 3:
		return h.NormFloat64() * 1e300
	case n == 4 && depth > 0:
		list := make([]any, h.IntN(4))
		for i := range list {
			list[i] = h.value(depth - 1)
		}
		return list
	case n == 5 && depth > 0:
		object := make(map[string]any)
		for range h.IntN(4) {
			object[h.of("name", "listen", "key", "backends", "offset", "length", "address", "port", "weight", "admin", "x", h.nasty())] = h.value(depth - 1)
		}
		return object
	default:
		return h.nasty()
	}
}

var soundBodies = []string{
	`{"name": "vpn", "listen": [{"address": "192.0.2.10", "port": 1194}], "key": {"offset": 1, "length": 8}, "backends": [{"name": "a", "address": "198.51.100.1", "port": 1194}]}`,
	`{"name": "s1", "listen": [{"address": "192.0.2.12", "port": 1}], "key": {"variants": [{"name": "x", "match": [{"offset": 0, "value": "48"}], "fields": [{"offset": 1, "length": 4}, {"offset": 9, "length": 2, "mask": "0fff"}]}, {"name": "y", "fields": [{"offset": 0, "length": 2}]}]}, "slots": 7}`,
	`{"name": "c", "address": "198.51.100.3", "port": 1194, "weight": 2}`,
	`{"weight": 3}`, `{"admin": "drain"}`, `{"stale": "never", "key": {"offset": 2}}`, `{"backends": null}`, `{"backend": "a"}`,
	`{"packet": "488c31f2d0a4b7e91500000001", "client": "198.18.0.7:40000", "listener": "192.0.2.10:1194"}`,
	`{"packet": "4500001c000000004011000 0c6120007c000020a9c4004aa00080000", "form": "ip"}`,
	`{"name": "tok", "scope": "read"}`, `{"token": "rlb_x"}`, `{"services": []}`,
}

// body is a request's body: sound, spoilt, or nothing like one.
func (h *hostile) body() []byte {
	sound := []byte(soundBodies[h.IntN(len(soundBodies))])
	switch h.IntN(8) {
	case 0, 1, 2:
		return sound
	case 3: // a member is something else
		var v map[string]any
		if json.Unmarshal(sound, &v) != nil {
			return sound
		}
		for name := range v {
			if h.IntN(2) == 0 {
				v[name] = h.value(3)
			}
		}
		text, err := json.Marshal(v)
		if err != nil {
			return sound
		}
		return text
	case 4: // some bytes are others
		for range 1 + h.IntN(4) {
			sound[h.IntN(len(sound))] = byte(h.Uint32())
		}
		return sound
	case 5:
		return sound[:h.IntN(len(sound))]
	case 6:
		deep := 1 + h.IntN(2000)
		return []byte(strings.Repeat(h.of("[", `{"a":`), deep) + "1")
	default:
		text, err := json.Marshal(h.value(4))
		if err != nil {
			return nil
		}
		return text
	}
}

// request is any request for an operation.
func (h *hostile) request(ctx context.Context, base string) (*http.Request, described) {
	o := h.operations[h.IntN(len(h.operations))]
	path := o.path
	for _, param := range [][2]string{{"{service}", "vpn"}, {"{backend}", "a"}, {"{key}", "8c31f2d0a4b7e915"}, {"{name}", "tok"}} {
		value := param[1]
		if h.IntN(4) == 0 {
			value = url.PathEscape(h.nasty())
		}
		path = strings.ReplaceAll(path, param[0], value)
	}
	query := url.Values{}
	for range h.IntN(3) {
		query.Add(h.of("limit", "cursor", "client", "backend", "key_prefix", "key_hash", "kind", "service", "slots", "x"), h.of("1", "1000", "198.18.0.1", "a", "vpn", "00", "true", h.nasty()))
	}
	method := o.method
	if h.IntN(20) == 0 {
		method = h.of("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FROB")
	}
	var body io.Reader
	if h.IntN(6) > 0 && method != http.MethodGet {
		body = bytes.NewReader(h.body())
	}
	r, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return nil, o
	}
	r.URL.RawQuery = query.Encode()
	if h.IntN(10) > 0 {
		r.Header.Set("Content-Type", h.of("application/json", "application/json", "application/json", "application/merge-patch+json", "text/plain", ";;"))
	}
	for range h.IntN(3) {
		r.Header.Set(h.of("If-Match", "If-None-Match", "Idempotency-Key", "Accept", "Last-Event-ID"), h.of("*", `"x"`, "W/\"x\"", "application/json", "text/html", "*/*", "k"+strconv.Itoa(h.IntN(100)), "ä", strings.Repeat("y", 2000)))
	}
	return r, o
}

// Whatever comes, the API answers as it is described, changes nothing that it
// does not say it has changed, and never falls over.
func TestHostileRequests(t *testing.T) {
	requests := 1200
	if os.Getenv("ROAMLB_LONG") != "" {
		requests = 100_000
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %d requests", seed, requests)
	w := newWorld(t, services)
	doc, err := openapi.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	h := newHostile(t, doc, seed)
	statuses := make(map[int]int)
	for i := range requests {
		r, o := h.request(t.Context(), "http://localhost")
		if r == nil || strings.Contains(r.Header.Get("Accept"), "event-stream") {
			continue
		}
		before := w.daemon.State().Revision
		response, err := client.Do(r)
		if err != nil {
			if strings.Contains(err.Error(), "invalid header field") {
				continue // net/http does not send it
			}
			t.Fatalf("request %d, %s %s: %v", i, r.Method, r.URL, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		statuses[response.StatusCode]++
		what := fmt.Sprintf("request %d, %s %s: %s: %.300s", i, r.Method, r.URL, response.Status, body)
		if response.StatusCode >= 500 {
			t.Errorf("%s", what)
		}
		if response.StatusCode >= 300 && w.daemon.State().Revision != before {
			t.Errorf("%s: refused, and something has changed", what)
		}
		if response.StatusCode >= 400 && response.Header.Get("Content-Type") != "application/problem+json" && r.Method != http.MethodHead {
			t.Errorf("%s: no problem document, but %s", what, response.Header.Get("Content-Type"))
		}
		if err := asDescribed(doc, router, r, o, response, body); err != nil {
			t.Errorf("%s\nis not as described: %v", what, err)
		}
		if t.Failed() {
			t.FailNow()
		}
		if w.daemon.State().Revision%50 == 0 { // back to what most requests are about
			w.do("PUT", "/v1/services/vpn", soundBodies[0], "If-Match", "*")
		}
	}
	t.Log(statuses)
	for _, status := range []int{200, 201, 204, 304, 400, 404, 405, 406, 409, 412, 415, 422, 428} {
		if statuses[status] == 0 && requests > 50_000 {
			t.Errorf("no request was answered with %d: the test reaches too little", status)
		}
	}
}

// asDescribed checks an answer against the description.
func asDescribed(doc *openapi3.T, router routers.Router, r *http.Request, o described, response *http.Response, body []byte) error {
	if r.Method != o.method || response.StatusCode == http.StatusMisdirectedRequest {
		return nil
	}
	clean := r.Clone(r.Context())
	clean.URL.RawPath = ""
	_, _, err := router.FindRoute(clean)
	if err != nil && response.StatusCode >= 400 {
		return nil // the path led elsewhere
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Route: &routers.Route{Spec: doc, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.op},
		},
		Status: response.StatusCode, Header: response.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/") {
		input.Options.ExcludeResponseBody = true
	}
	input.SetBodyBytes(body)
	return openapi3filter.ValidateResponse(r.Context(), input)
}
