package api_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// raw are requests as they come over the wire.
var raw = []string{
	"GET /v1/services HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"GET /v1/services/vpn/sessions?limit=1&cursor=AA&client=198.18.0.1 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json;q=0.5\r\n\r\n",
	"PATCH /v1/services/vpn HTTP/1.1\r\nHost: localhost\r\nIf-Match: *\r\nContent-Type: application/merge-patch+json\r\nContent-Length: 18\r\n\r\n{\"max_sessions\":9}",
	"POST /v1/services/vpn/backends HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"2d\r\n{\"name\":\"c\",\"address\":\"198.51.100.3\",\"port\":9}\r\n0\r\n\r\n",
	"POST /v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n{\"packet\":\"4500001c00\"}",
	"PUT /v1/services/vpn/sessions/8c31f2d0a4b7e915 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"backend\":\"a\"}",
	"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: x-1\r\n\r\n",
	"DELETE /v1/services/%76pn HTTP/1.1\r\nHost: localhost\r\nIf-Match: \"x\", W/\"y\"\r\n\r\n",
	"GET /v1/services HTTP/1.1\r\nHost: evil.example\r\nCookie: roamlb=a.b\r\nOrigin: http://evil.example\r\n\r\n",
}

// Whatever bytes come over a connection, they are answered without an error of
// the server's, and change nothing unless the answer says so.
func FuzzHTTP(f *testing.F) {
	for _, r := range raw {
		f.Add([]byte(r))
	}
	place, err := lab.NewNamespace("api")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { place.Close() })
	w := &world{t: f, within: place.Do, dir: f.TempDir()}
	w.start(services)
	f.Cleanup(func() { w.stop() })
	f.Fuzz(func(t *testing.T, sent []byte) {
		before := w.daemon.State().Revision
		c, err := net.Dial("unix", w.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(lab.Slow(20 * time.Second))); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(sent) // it may hang up on what it does not like
		_ = c.(*net.UnixConn).CloseWrite()
		changed := false
		for in := bufio.NewReader(c); ; {
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Fatalf("no answer, and no end: %v", err)
				}
				break
			}
			text, _ := io.ReadAll(response.Body) // of HEAD there is none
			response.Body.Close()
			if response.StatusCode >= 500 && response.StatusCode != http.StatusNotImplemented && response.StatusCode != http.StatusHTTPVersionNotSupported {
				t.Fatalf("%s: %.300s", response.Status, text)
			}
			changed = changed || response.StatusCode < 300
		}
		if w.daemon.State().Revision != before && !changed {
			t.Error("nothing was answered, and something has changed")
		}
	})
}
