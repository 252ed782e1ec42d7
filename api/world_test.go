package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/api"
	"github.com/roamlb/roamlb/check"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/daemon"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

func TestMain(m *testing.M) {
	nfq.KeeperMain() // the daemon starts its keeper from this program
	lab.Main(m)
}

// services is the configuration that most tests begin with.
const services = `services:
  - name: vpn
    listen: [{address: 192.0.2.10, port: 1194}, {address: "2001:db8::10", port: 1194}]
    key: {offset: 1, length: 8}
    backends:
      - {name: a, addresses: [198.51.100.1, "2001:db8:b::1"], port: 1194}
      - {name: b, addresses: [198.51.100.2, "2001:db8:b::2"], port: 1194, weight: 3}
`

// world is a real daemon with its API, in this process and mostly its namespace.
type world struct {
	t      testing.TB
	within func(func() error) error // runs the daemon in its namespace; its API is in this one
	dir    string
	daemon *daemon.Daemon
	url    string // of the API over TCP
	token  string // that may write
	socket string
	stop   func()
}

// newWorld starts a daemon with a configuration file's text.
func newWorld(t testing.TB, text string) *world {
	t.Helper()
	w := &world{t: t, within: func(f func() error) error { return f() }, dir: t.TempDir()}
	w.start(text)
	t.Cleanup(func() {
		w.stop()
		if r, err := nft.Open(); err == nil {
			_ = r.Flush()
			_ = r.Close()
		}
	})
	return w
}

func (w *world) start(text string) {
	w.t.Helper()
	w.socket = filepath.Join(w.dir, "s")
	head := "state: " + filepath.Join(w.dir, "state.json") + "\napi: {listen: \"127.0.0.1:0\", socket: " + w.socket + "}\nqueues: {count: 1}\n"
	if strings.Contains(text, "api:") {
		head = strings.Replace(head, "api: {listen: \"127.0.0.1:0\", socket: "+w.socket+"}\n", "", 1)
	}
	file, err := config.Parse("roamlb.yaml", []byte(strings.Replace(head, "127.0.0.1:0", freePort(w.t), 1)+text))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	options := daemon.Options{
		File: file, Log: log, Ready: func() { close(ready) },
		Reload:     func() (*config.File, error) { return file, nil },
		FirstToken: func(secret string) { w.token = secret },
		Checks: func(context.Context, *config.File) []check.Result {
			return []check.Result{{Name: "x", Status: check.OK, Found: "y"}}
		},
		API: func(ctx context.Context, d *daemon.Daemon, listening func()) error {
			s, err := api.Listen(ctx, api.Options{File: d.File(), Daemon: d, Version: "test", Log: log})
			if err != nil {
				return err
			}
			listening()
			return s.Run(ctx)
		},
	}
	err = w.within(func() (err error) { w.daemon, err = daemon.New(options); return err })
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	w.url = "http://" + file.API.Listen.String()
	plain := file.API.TLS.Cert == ""
	go func() { done <- w.within(func() error { return w.daemon.Run(ctx) }) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		w.stop = func() {}
	}
	select {
	case <-ready:
	case err := <-done:
		w.t.Fatal(err)
	case <-time.After(20 * time.Second):
		w.t.Fatal("the daemon is not ready")
	}
	lab.WaitFor(w.t, 5*time.Second, "the API answers", func() bool {
		return greet(file.API.Listen.String(), plain) == nil
	})
}

// greet fails unless somebody listens at an address, and, without TLS, answers.
func greet(addr string, plain bool) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if !plain {
		return nil
	}
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answer is what came back.
type answer struct {
	*http.Response
	text []byte
}

// do sends a request; header are names and values by turns. A body that is a
// string is sent as it is, another one as JSON.
func (w *world) do(method, path string, body any, header ...string) answer {
	w.t.Helper()
	return w.doWith(w.token, method, path, body, header...)
}

func (w *world) doWith(token, method, path string, body any, header ...string) answer {
	w.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			w.t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, bytes.NewReader(text))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if len(text) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{response, all}
}

// want demands a status, and parts of the text.
func (a answer) want(t testing.TB, status int, parts ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.text)
	}
	for _, p := range parts {
		if !strings.Contains(string(a.text), p) {
			t.Errorf("%s %s: %q is not in %s", a.Request.Method, a.Request.URL.Path, p, a.text)
		}
	}
	return a
}

// member is a member of the answer, by a path such as items.0.name.
func (a answer) member(t testing.TB, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(a.text, &v); err != nil {
		t.Fatalf("%v: %s", err, a.text)
	}
	for part := range strings.SplitSeq(path, ".") {
		switch c := v.(type) {
		case map[string]any:
			v = c[part]
		case []any:
			i := int(part[0] - '0')
			if i >= len(c) {
				t.Fatalf("no %s in %s", path, a.text)
			}
			v = c[i]
		default:
			t.Fatalf("no %s in %s", path, a.text)
		}
	}
	return v
}

// stateFile is the state's bytes on the disk.
func (w *world) stateFile() string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "state.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// readToken makes a token that may read.
func (w *world) readToken() string {
	w.t.Helper()
	a := w.do("POST", "/v1/tokens", map[string]string{"name": "reader"}).want(w.t, 201)
	if scope := a.member(w.t, "scope"); scope != string(store.ScopeRead) {
		w.t.Fatalf("a token without a scope may %v", scope)
	}
	return a.member(w.t, "secret").(string)
}
