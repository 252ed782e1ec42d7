package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Two operators who edit one service: the second must be told, not obeyed.
func TestConditions(t *testing.T) {
	const tag = `"0123"`
	for _, tt := range []struct {
		name   string
		tag    string // "": it does not exist
		header []string
		want   int // 0: it may go on
	}{
		{"creates", "", nil, 0},
		{"creates only", "", []string{"If-None-Match", "*"}, 0},
		{"creates only, and it exists", tag, []string{"If-None-Match", "*"}, 412},
		{"changes unseen", tag, nil, 428},
		{"changes unseen, with the other condition", tag, []string{"If-None-Match", `"other"`}, 428},
		{"changes what it has seen", tag, []string{"If-Match", tag}, 0},
		{"one of several", tag, []string{"If-Match", `"x", "0123"`}, 0},
		{"in two lines", tag, []string{"If-Match", `"x"`, "If-Match", tag}, 0},
		{"whatever it is", tag, []string{"If-Match", "*"}, 0},
		{"stale", tag, []string{"If-Match", `"0124"`}, 412},
		{"weak is not enough", tag, []string{"If-Match", `W/"0123"`}, 412},
		{"no tag at all", tag, []string{"If-Match", "0123"}, 412},
		{"half a tag", tag, []string{"If-Match", `"0123`}, 412},
		{"of what does not exist", "", []string{"If-Match", "*"}, 412},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPut, "/", nil)
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Add(tt.header[i], tt.header[i+1])
			}
			status := 0
			if p := conditionOf(r).allows(tt.tag); p != nil {
				status = p.Status
			}
			if status != tt.want {
				t.Errorf("status %d, want %d", status, tt.want)
			}
		})
	}
}

func TestNotModified(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("If-None-Match", `"a", W/"b"`)
	for tag, want := range map[string]bool{`"a"`: true, `"b"`: true, `"c"`: false} {
		if got := conditionOf(r).notModified(tag); got != want {
			t.Errorf("%s: %v, want %v", tag, got, want)
		}
	}
}

// The seed has 32 bits: from an unkeyed tag it could be found by trying.
func TestTagIsKeyed(t *testing.T) {
	a, b := etag([]byte("one"), []byte("text")), etag([]byte("two"), []byte("text"))
	if a == b || a != etag([]byte("one"), []byte("text")) || a == etag([]byte("one"), []byte("other")) {
		t.Errorf("tags %s and %s", a, b)
	}
	if !strings.HasPrefix(a, `"`) || len(a) != 34 {
		t.Errorf("%s is no strong tag", a)
	}
}
