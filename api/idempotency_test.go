package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/store"
)

// A client that did not get the answer asks again: it must be done once.
func TestIdempotency(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	done, status := 0, http.StatusCreated
	h := buffered(idempotent(newReplays(func() time.Time { return now }), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		done++
		w.Header().Set("Location", fmt.Sprintf("/%d", done))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "made")
	})))
	post := func(actor, path, key, body string) *http.Response {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, Principal{event.Actor{Name: actor}, store.ScopeWrite})))
		return w.Result()
	}
	want := func(what string, r *http.Response, wantStatus, wantDone int, replayed string) {
		t.Helper()
		if r.StatusCode != wantStatus || done != wantDone || r.Header.Get("Idempotency-Replayed") != replayed {
			t.Errorf("%s: status %d, done %d times, replayed %q; want %d, %d, %q", what, r.StatusCode, done, r.Header.Get("Idempotency-Replayed"), wantStatus, wantDone, replayed)
		}
	}
	want("first", post("ops", "/a", "k", "1"), 201, 1, "")
	again := post("ops", "/a", "k", "1")
	want("again", again, 201, 1, "true")
	if body, _ := io.ReadAll(again.Body); string(body) != "made" || again.Header.Get("Location") != "/1" {
		t.Errorf("answered again with %q and %v", body, again.Header)
	}
	want("another body", post("ops", "/a", "k", "2"), 422, 1, "")
	want("another path", post("ops", "/b", "k", "1"), 422, 1, "")
	want("another's key", post("dev", "/a", "k", "1"), 201, 2, "")
	now = now.Add(24 * time.Hour)
	want("a day later", post("ops", "/a", "k", "1"), 201, 3, "")
	status = http.StatusServiceUnavailable
	want("not done", post("ops", "/a", "l", "1"), 503, 4, "")
	status = http.StatusCreated
	want("tried again", post("ops", "/a", "l", "1"), 201, 5, "")
}

// Answers are kept in memory, which somebody could try to fill.
func TestReplaysAreBounded(t *testing.T) {
	s := newReplays(time.Now)
	for i := range 3 * replayMost {
		id := replayKey{"ops", fmt.Sprint(i)}
		if a, p := s.begin(id, [32]byte{}); a != nil || p != nil {
			t.Fatal("a new key is known")
		}
		s.finish(id, 201, nil, make([]byte, 1024))
	}
	if len(s.byKey) > replayMost+1 || len(s.order) > replayMost+1 {
		t.Errorf("%d answers are kept, %d in order", len(s.byKey), len(s.order))
	}
	for i := range 100 {
		id := replayKey{"ops", fmt.Sprint("large", i)}
		_, _ = s.begin(id, [32]byte{})
		s.finish(id, 201, nil, make([]byte, replayMostBytes))
	}
	if s.bytes > replayBytes+replayMostBytes {
		t.Errorf("%d bytes are kept", s.bytes)
	}
}
