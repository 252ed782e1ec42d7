package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// Whatever is asked for wrongly is answered with a problem document that says
// so.
func TestProblems(t *testing.T) {
	w := newWorld(t, services)
	for _, tt := range []struct {
		name, method, path string
		body               any
		header             []string
		status             int
		part               string
	}{
		{"no such path", "GET", "/v1/nothing", nil, nil, 404, "no such path"},
		{"no such page", "GET", "/nothing", nil, nil, 404, "no such path"},
		{"no such method", "DELETE", "/v1/services", nil, nil, 405, "GET, HEAD, POST"},
		{"an odd method", "FROB", "/v1/services", nil, nil, 405, "GET, HEAD, POST"},
		{"not to be had", "GET", "/v1/services", nil, []string{"Accept", "text/html"}, 406, "application/json"},
		{"not to be had at all", "GET", "/v1/services", nil, []string{"Accept", "application/json;q=0"}, 406, "application/json"},
		{"another type", "POST", "/v1/services", "name=x", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"another charset", "POST", "/v1/services", "{}", []string{"Content-Type", "application/json; charset=latin1"}, 415, "Content-Type"},
		{"no JSON", "POST", "/v1/services", "{", nil, 400, "ends too early"},
		{"no JSON to explain", "POST", "/v1/explain", "{", nil, 400, "is not JSON"},
		{"no body", "POST", "/v1/services", "", []string{"Content-Type", "application/json"}, 400, "too early"},
		{"too large", "POST", "/v1/services", `{"name": "` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "1048576"},
		{"wrong members", "POST", "/v1/services", `{"name": 5, "listen": {}, "key": [], "slots": "x", "what": 1}`, nil, 422, `"pointer":"/what"`},
		{"members of the wrong type in a token", "POST", "/v1/tokens", `{"name": 5, "scop": "read"}`, nil, 422, `"pointer":"/name"`},
		{"a name that is none", "GET", "/v1/services/NO", nil, nil, 422, `"parameter":"service"`},
		{"a name that is encoded twice", "GET", "/v1/services/%2561", nil, nil, 422, `"parameter":"service"`},
		{"a path that goes up", "GET", "/v1/services/..%2fvpn", nil, nil, 422, `"parameter":"service"`},
		{"a key that is none", "GET", "/v1/services/vpn/sessions/xyz", nil, nil, 422, `"parameter":"key"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.do(tt.method, tt.path, tt.body, tt.header...).want(t, tt.status, tt.part)
			if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("the answer is %s", got)
			}
			if a.member(t, "status") != float64(tt.status) || !strings.HasPrefix(a.member(t, "type").(string), "urn:roamlb:problem:") || a.member(t, "instance") == nil {
				t.Errorf("problem %s", a.text)
			}
		})
	}
	if a := w.do("DELETE", "/v1/services", nil); a.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow is %q", a.Header.Get("Allow"))
	}
	w.do("GET", "/v1/services/%76pn", nil).want(t, 200)
	if a := w.do("HEAD", "/v1/services/vpn", nil).want(t, 200); a.Header.Get("ETag") == "" || len(a.text) != 0 {
		t.Errorf("HEAD: %v, %d bytes", a.Header, len(a.text))
	}
}

// Over TCP nobody gets in without a token, and nobody does more than his may.
func TestAccess(t *testing.T) {
	w := newWorld(t, services)
	for _, path := range []string{"/v1/services", "/v1/events", "/v1/nothing", "/metrics"} {
		w.doWith("", "GET", path, nil).want(t, 401)
	}
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/docs"} {
		w.doWith("", "GET", path, nil).want(t, 200)
	}
	w.doWith("rlb_"+strings.Repeat("A", 43), "GET", "/v1/services", nil).want(t, 401)
	w.doWith(w.token+"x", "GET", "/v1/services", nil).want(t, 401)
	reader := w.readToken()
	if a := w.doWith(reader, "GET", "/v1/services/vpn", nil).want(t, 200); strings.Contains(string(a.text), "seed") {
		t.Error("the seed is shown to who may only read")
	}
	w.doWith(reader, "PATCH", "/v1/services/vpn", `{}`, "If-Match", "*").want(t, 403)
	w.doWith(reader, "DELETE", "/v1/services/vpn", nil, "If-Match", "*").want(t, 403)
	w.doWith(reader, "GET", "/v1/tokens", nil).want(t, 403)
	w.doWith(reader, "POST", "/v1/tokens", `{"name": "mine", "scope": "write"}`).want(t, 403)
	w.doWith(reader, "GET", "/v1/services/vpn/sessions?key_prefix=00", nil).want(t, 403)
	w.doWith(reader, "POST", "/v1/explain", `{"packet": "00", "client": "198.18.0.1:1", "listener": "192.0.2.10:1194"}`).want(t, 200)
	w.do("GET", "/v1/tokens", nil).want(t, 200, `"name":"admin"`, `"name":"reader"`)
	w.do("DELETE", "/v1/tokens/reader", nil).want(t, 204)
	w.doWith(reader, "GET", "/v1/services", nil).want(t, 401)
	w.do("DELETE", "/v1/tokens/reader", nil).want(t, 404)
}

// The dashboard's cookie stands for its token, from its own pages only.
func TestSignIn(t *testing.T) {
	w := newWorld(t, services)
	w.doWith("", "POST", "/v1/login", `{"token": "rlb_wrong"}`).want(t, 401)
	in := w.doWith("", "POST", "/v1/login", map[string]string{"token": w.token}).want(t, 200, `"name":"admin"`)
	cookie := in.Header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %s lacks %s", cookie, part)
		}
	}
	if strings.Contains(cookie, w.token) {
		t.Error("the cookie holds the token")
	}
	value, _, _ := strings.Cut(cookie, ";")
	w.doWith("", "GET", "/v1/services", nil, "Cookie", value).want(t, 200)
	w.doWith("", "GET", "/v1/services", nil, "Cookie", value+"x").want(t, 401)
	w.doWith("", "GET", "/v1/login", nil, "Cookie", value).want(t, 200, `"name":"admin"`, `"scope":"write"`)
	w.doWith("", "GET", "/v1/login", nil).want(t, 401)
	w.doWith("", "PATCH", "/v1/services/vpn", `{}`, "If-Match", "*", "Cookie", value, "Origin", "http://evil.example").want(t, 403)
	w.doWith("", "PATCH", "/v1/services/vpn", `{}`, "If-Match", "*", "Cookie", value, "Origin", w.url).want(t, 200)
	w.doWith("", "GET", "/v1/services", nil, "Cookie", value, "Host", "evil.example").want(t, 421)
	if out := w.doWith("", "DELETE", "/v1/login", nil, "Cookie", value).want(t, 204); !strings.Contains(out.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out sets %q", out.Header.Get("Set-Cookie"))
	}
	w.do("DELETE", "/v1/tokens/admin", nil).want(t, 204)
	w.doWith("", "GET", "/v1/services", nil, "Cookie", value).want(t, 401)
}

// Guessing tokens is slowed down, and nobody else with it who has a good one.
func TestWrongTokensAreSlowed(t *testing.T) {
	w := newWorld(t, services)
	slowed := false
	for range 60 {
		if a := w.doWith("rlb_"+strings.Repeat("A", 43), "GET", "/v1/services", nil); a.StatusCode == 429 {
			slowed = a.Header.Get("Retry-After") != ""
			break
		}
	}
	if !slowed {
		t.Error("sixty wrong tokens in a row, and no 429 with Retry-After")
	}
}

// The socket needs no token, and is its owner's and its group's alone.
func TestSocket(t *testing.T) {
	w := newWorld(t, services)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	r, err := client.Get("http://localhost/v1/tokens")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != 200 {
		t.Errorf("status %d", r.StatusCode)
	}
	if mode := modeOf(t, w.socket); mode != 0o660 {
		t.Errorf("the socket's mode is %o", mode)
	}
}

// What follows misses nothing.
func TestEventStream(t *testing.T) {
	w := newWorld(t, services)
	follow := func(last string) (*bufio.Scanner, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", w.url+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+w.token)
		r.Header.Set("Accept", "text/event-stream")
		if last != "" {
			r.Header.Set("Last-Event-ID", last)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("status %d, %v", response.StatusCode, response.Header)
		}
		return bufio.NewScanner(response.Body), func() { cancel(); response.Body.Close() }
	}
	next := func(s *bufio.Scanner, prefix string) string {
		t.Helper()
		for s.Scan() {
			if rest, ok := strings.CutPrefix(s.Text(), prefix); ok {
				return rest
			}
		}
		t.Fatalf("the stream ended: %v", s.Err())
		return ""
	}
	s, stop := follow("")
	next(s, ": roamlb events")
	w.do("PATCH", "/v1/services/vpn", `{"stale": "never"}`, "If-Match", "*").want(t, 200)
	id := next(s, "id: ")
	if kind := next(s, "event: "); kind != "audit" {
		t.Errorf("the first event is %s", kind)
	}
	if data := next(s, "data: "); !strings.Contains(data, `"actor":"admin"`) || !strings.Contains(data, "stale differs") {
		t.Errorf("the audit event is %s", data)
	}
	stop()
	w.do("PATCH", "/v1/services/vpn", `{"stale": "immediate"}`, "If-Match", "*").want(t, 200)
	s, stop = follow(id)
	if kind := next(s, "event: "); kind != "config-changed" {
		t.Errorf("behind the audit event came %s", kind)
	}
	next(s, "event: audit")
	stop()
	s, stop = follow("0123456789ab-7")
	next(s, "event: reset")
	stop()
	w.do("GET", "/v1/events?kind=audit&limit=1", nil).want(t, 200, `"kind":"audit"`, `"next"`)
	w.do("GET", "/v1/events?cursor=x", nil).want(t, 422)
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// The table is shown as the kernel has it, and its secrets to those who may
// write.
func TestRuleset(t *testing.T) {
	w := newWorld(t, services)
	w.do("GET", "/v1/ruleset", nil).want(t, 200, "table inet roamlb {", "chain prerouting-steer {", "map slots4-vpn-", "comment \"vpn: a known session\"", "198.51.100.1 . 1194")
	seed := fmt.Sprintf("seed %#x", w.daemon.State().Services[0].Seed)
	w.do("GET", "/v1/ruleset", nil, "Accept", "application/json").want(t, 200, `{"text":"table inet roamlb {`, seed)
	w.do("GET", "/v1/ruleset?form=print", nil).want(t, 200, "flush chain inet roamlb prerouting-steer", "seed 0x")
	w.do("GET", "/v1/ruleset?form=other", nil).want(t, 422, "form")
	reader := w.readToken()
	w.doWith(reader, "GET", "/v1/ruleset?form=print", nil).want(t, 403, "may only read")
	if a := w.doWith(reader, "GET", "/v1/ruleset", nil).want(t, 200, "chain prerouting-steer {"); strings.Contains(string(a.text), seed) {
		t.Error("the seed is shown to who may only read")
	}
}
