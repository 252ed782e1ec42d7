package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

const (
	maxBody       = 1 << 20 // of a request
	maxConfigBody = 8 << 20 // of one that carries the whole configuration
)

// recovered answers a request whose handler panics, and logs why.
func recovered(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(v)
			}
			log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			internal.because("the log has the details").write(w, r)
		}()
		next.ServeHTTP(w, r)
	})
}

// secured sets the headers that keep browsers from doing more with an answer
// than show it.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// limited bounds the rate of a client over TCP.
func limited(l *limiter, now func() time.Time, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait, ok := l.take(clientAddress(r), now()); !ok {
			tooMany.because("slow down").later(wait).write(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin checks where a request means to go, and whose it is.
func sameOrigin(own names, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := checkHost(own, r); p != nil {
			p.write(w, r)
			return
		}
		_, err := r.Cookie(cookieName)
		if p := checkOrigin(r, err == nil); p != nil {
			p.write(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// identified tells the handlers who asks.
func identified(a *authenticator, viaSocket bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, problem := a.identify(r, viaSocket)
		if problem != nil {
			problem.write(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
	})
}

type bodyKey struct{}

// bodyOf is the body of the request that a context belongs to, as it came.
func bodyOf(ctx context.Context) []byte {
	b, _ := ctx.Value(bodyKey{}).([]byte)
	return b
}

// buffered reads the body before anything is done, within bounds, so that a
// slow client holds nothing, and keeps it for the precise messages of package
// config.
func buffered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		limit := int64(maxBody)
		if r.URL.Path == "/v1/config" {
			limit = maxConfigBody
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			tooLarge.because("at most %d bytes are read", limit).write(w, r)
			return
		case err != nil:
			malformed.because("the body ended early").write(w, r)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), bodyKey{}, body)))
	})
}

// typed refuses bodies that are not JSON, and answers that nobody would take.
func typed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(bodyOf(r.Context())) > 0 || r.ContentLength > 0 {
			want := []string{"application/json"}
			if r.Method == http.MethodPatch {
				want = append(want, "application/merge-patch+json")
			}
			got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
			charset := strings.ToLower(params["charset"])
			if err != nil || !slices.Contains(want, got) || charset != "" && charset != "utf-8" {
				p := wrongMedia.because("send %s", strings.Join(want, " or "))
				p.header("Content-Type", "is %q", r.Header.Get("Content-Type")).write(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// idempotent does a POST with an Idempotency-Key once, and answers again what
// was answered then.
func idempotent(s *replays, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		if len(key) > 255 {
			invalid.because("the key is too long").header("Idempotency-Key", "has %d characters, at most 255 are allowed", len(key)).write(w, r)
			return
		}
		h := sha256.New()
		_, _ = h.Write([]byte(r.URL.RequestURI() + "\x00")) // never fails
		_, _ = h.Write(bodyOf(r.Context()))
		id := replayKey{principalOf(r.Context()).Name, key}
		answer, problem := s.begin(id, [sha256.Size]byte(h.Sum(nil)))
		switch {
		case problem != nil:
			problem.write(w, r)
			return
		case answer != nil:
			answer.write(w)
			return
		}
		rec := &recorder{ResponseWriter: w}
		kept := false
		defer func() { // also when the handler panics
			if !kept {
				s.forget(id)
			}
		}()
		next.ServeHTTP(rec, r)
		// What went wrong on our side, or was refused for now, may be tried again.
		if kept = rec.status < 500 && rec.status != http.StatusTooManyRequests && rec.status != http.StatusUnauthorized; kept {
			s.finish(id, rec.status, w.Header(), rec.body.Bytes())
		}
	})
}
