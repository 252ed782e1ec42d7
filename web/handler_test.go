package web_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/roamlb/roamlb/web"
)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	web.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whoever opens the dashboard or the documentation sees it, or reads how to get it.
func TestPages(t *testing.T) {
	for path, policy := range map[string]string{"/": web.Policy, "/docs": web.DocsPolicy, "/docs/": web.DocsPolicy} {
		r := get(t, path)
		text := body(t, r)
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %d, policy %q", path, r.StatusCode, r.Header.Get("Content-Security-Policy"))
		}
		if want := map[bool]string{true: "/assets/", false: "install Node"}[web.Built()]; !strings.Contains(text, want) {
			t.Errorf("%s has no %q:\n%s", path, want, text)
		}
		if r = get(t, path, "If-None-Match", r.Header.Get("ETag")); r.StatusCode != http.StatusNotModified {
			t.Errorf("%s, that I have: %d", path, r.StatusCode)
		}
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, path := range []string{"/index.html", "/docs/x", "/assets/", "/assets/x.js", "/.gitkeep", "/assets/../docs/index.html", "/docs//", "/%2e%2e/web.go"} {
		if r := get(t, path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
}

// What a session's key or a service's name says is never a script, a style or an
// element, whatever a page does with it.
func TestDashboardMakesNoElementsOfText(t *testing.T) {
	for _, must := range []string{"script-src 'self';", "style-src 'self';", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
		if !strings.Contains(web.Policy, must) {
			t.Errorf("the policy lacks %s", must)
		}
	}
	if strings.Contains(web.Policy, "unsafe") || strings.Contains(web.Policy, "data:") {
		t.Errorf("the policy allows too much: %s", web.Policy)
	}
}

var (
	loads  = regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)
	inline = regexp.MustCompile(`<script(?:[^>]*)>[^<]|\son[a-z]+=|javascript:|<style|\sstyle=`)
)

// A browser gets all that a page names, from the daemon alone, and nothing that
// the policy would stop.
func TestPagesLoadOnlyWhatIsHere(t *testing.T) {
	pages := 0
	err := fs.WalkDir(web.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "index.html") {
			return err
		}
		pages++
		page, err := fs.ReadFile(web.FS(), path)
		if err != nil {
			return err
		}
		if found := inline.Find(page); found != nil {
			t.Errorf("%s has a script or a style in it: %s", path, found)
		}
		for _, m := range loads.FindAllSubmatch(page, -1) {
			if r := get(t, string(m[1])); r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") == "application/octet-stream" {
				t.Errorf("%s loads %s: %d %s", path, m[1], r.StatusCode, r.Header.Get("Content-Type"))
			}
		}
		if strings.Contains(string(page), "//") && regexp.MustCompile(`(?:src|href)="(?:https?:)?//`).Match(page) {
			t.Errorf("%s loads something from elsewhere", path)
		}
		return nil
	})
	if err != nil || pages == 0 {
		t.Errorf("%d pages, %v", pages, err)
	}
}
