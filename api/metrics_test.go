package api_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/roamlb/roamlb/event"
)

// metricNames are those of ours in a page of metrics, without the suffixes of
// histograms, sorted.
func metricNames(page []byte) []string {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (roamlb_\w+) `).FindAllSubmatch(page, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	return names
}

// Whoever has dashboards and alerts for other programs must find ours named and
// counted alike.
func TestMetricsKeepToTheConventions(t *testing.T) {
	w := newWorld(t, services)
	page := w.do("GET", "/metrics", nil).want(t, 200).text
	problems, err := promlint.New(strings.NewReader(string(page))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if names := metricNames(page); len(names) < 30 {
		t.Errorf("only %d metrics: %v", len(names), names)
	}
	for _, k := range event.Kinds {
		if line := `roamlb_events_total{kind="` + string(k) + `"} `; !strings.Contains(string(page), line) {
			t.Errorf("no %s: an alert on its first one would not fire", line)
		}
	}
}

// What clients send must not make time series, or anybody could fill
// Prometheus's disk.
func TestMetricsAreBounded(t *testing.T) {
	w := newWorld(t, services)
	series := func() (n int) {
		s := bufio.NewScanner(strings.NewReader(string(w.do("GET", "/metrics", nil).want(t, 200).text)))
		for s.Scan() {
			if strings.HasPrefix(s.Text(), "roamlb_") {
				n++
			}
		}
		return n
	}
	hammer := func() {
		for _, path := range []string{"/v1/services/vpn", "/v1/services/none", "/v1/nothing", "/nothing"} {
			for _, suffix := range []string{"", "1", "2", "x/y"} {
				w.do("GET", path+suffix, nil)
			}
		}
		w.doWith("", "GET", "/v1/services", nil).want(t, 401)
	}
	series() // counts itself
	hammer()
	before := series()
	for range 20 {
		hammer()
	}
	if after := series(); after != before {
		t.Errorf("%d series, %d after more of the same kind of request", before, after)
	}
	page := string(w.do("GET", "/metrics", nil).want(t, 200).text)
	for _, want := range []string{
		`roamlb_api_requests_total{code="200",operation="getService"} 21`, `roamlb_api_requests_total{code="401",operation="listServices"} 21`,
		"roamlb_api_request_duration_seconds_count ", `roamlb_sessions{service="vpn"} 0`, `roamlb_conntrack_entries_max `,
		`roamlb_backend_state{backend="a",service="vpn",state="up"} 1`, `roamlb_backend_state{backend="a",service="vpn",state="down"} 0`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, grep(page, want[:strings.IndexAny(want, "{ ")]))
		}
	}
}

// grep are the lines of a text with a part in them.
func grep(text, part string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// A failed reload is seen by nobody who does not read the log, but by this.
func TestReloadsAreCounted(t *testing.T) {
	w := newWorld(t, services)
	if err := w.daemon.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.do("GET", "/metrics", nil).want(t, 200, `roamlb_reloads_total{result="ok"} 1`, `roamlb_reloads_total{result="failed"} 0`)
}

// Profiles tell what is in memory, and taking one costs time: they are for whoever
// is on the host and may use the socket.
func TestProfilesAreForTheSocketAlone(t *testing.T) {
	w := newWorld(t, services)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
		if a := w.do("GET", path, nil); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s over TCP: status %d", path, a.StatusCode)
		}
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	defer client.CloseIdleConnections()
	for path, kind := range map[string]string{
		"/debug/pprof/": "text/html", "/debug/pprof/heap": "application/octet-stream", "/debug/pprof/goroutine?debug=1": "text/plain",
	} {
		r, err := client.Get("http://roamlb" + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), kind) {
			t.Errorf("%s over the socket: status %d, %s", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
}

// documents are where metrics are named that the daemon must have.
var documents = []string{"docs/operations.md", "deploy/prometheus/roamlb.rules.yml", "deploy/prometheus/roamlb.test.yml", "deploy/grafana/roamlb.json"}

// An alert on a metric that there is not never fires, and one that nobody
// explains helps nobody.
func TestMetricsAreThoseOfTheDocuments(t *testing.T) {
	// Some metrics are those of services that have something.
	w := newWorld(t, strings.Replace(services, "    backends:", "    deny: [203.0.113.0/24]\n    backends:", 1))
	w.do("GET", "/v1/services", nil).want(t, 200)
	names := metricNames(w.do("GET", "/metrics", nil).want(t, 200).text)
	all := make(map[string]bool, len(names))
	for _, n := range names {
		all[n] = true
	}
	explained := make(map[string]bool)
	for _, path := range documents {
		text, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range regexp.MustCompile(`roamlb_[a-z0-9_]+[a-z0-9]`).FindAllString(string(text), -1) {
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(n, "")
			switch {
			case all[n], all[base]:
			default:
				t.Errorf("%s names %s, which the daemon has not", path, n)
			}
			if path == documents[0] {
				explained[n] = true
			}
		}
	}
	for _, n := range names {
		if !explained[n] {
			t.Errorf("%s does not explain %s", documents[0], n)
		}
	}
}
