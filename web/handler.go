package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// Policy is the Content-Security-Policy of the dashboard: all that it loads
// comes from the daemon, neither script nor style stands in a page, and no
// script can make elements out of text.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'; " + noOthers

// DocsPolicy is that of the API's documentation: its viewer brings styles along,
// and makes elements out of text.
const DocsPolicy = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	noOthers

const noOthers = "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const assets = "assets/"

// Handler serves the pages, the dashboard at / and the API's documentation at
// /docs, and what they load from /assets/.
// What there is not goes to notFound.
func Handler(notFound http.Handler) http.Handler {
	files := FS()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := fileOf(r.URL.Path)
		data, err := fs.ReadFile(files, name)
		if err != nil {
			notFound.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", mediaType(name))
		h.Set("X-Content-Type-Options", "nosniff")
		if strings.HasPrefix(name, assets) {
			h.Set("Cache-Control", "public, max-age=31536000, immutable") // a hash is in its name
		} else {
			h.Set("Content-Security-Policy", policyOf(name))
			h.Set("Cache-Control", "no-cache") // but ask whether it is still so
			h.Set("ETag", tag(data))
		}
		http.ServeContent(w, plain(r), name, time.Time{}, bytes.NewReader(data))
	})
}

func policyOf(name string) string {
	if strings.HasPrefix(name, "docs/") {
		return DocsPolicy
	}
	return Policy
}

// plain is a request without what only makes sense for what can be changed.
func plain(r *http.Request) *http.Request {
	p := r.Clone(r.Context())
	for _, name := range []string{"If-Match", "If-Unmodified-Since", "Range", "If-Range"} {
		p.Header.Del(name)
	}
	return p
}

// fileOf is the file that a path means: /docs and /docs/ are a page.
func fileOf(urlPath string) string {
	name := strings.TrimPrefix(urlPath, "/")
	if strings.HasPrefix(name, assets) {
		return name
	}
	if name = strings.TrimSuffix(name, "/"); name == "" {
		return "index.html"
	}
	return name + "/index.html" // and fs refuses what is not clean
}

// mediaType does not depend on what the host's own tables say.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".md", ".txt":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func tag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
