package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		count(0):                       "0",
		count(999):                     "999",
		count(1000):                    "1,000",
		count(1234567):                 "1,234,567",
		span(42 * time.Microsecond):    "0.04 ms",
		span(9996 * time.Microsecond):  "10.0 ms",
		span(123456 * time.Nanosecond): "0.12 ms",
		span(999 * time.Millisecond):   "999 ms",
		span(1234 * time.Millisecond):  "1.23 s",
		span(2 * time.Minute):          "120 s",
		serverName(2):                  "c",
	} {
		if got = strings.ReplaceAll(got, noBreak, " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("the old entry → gone, 0123456789abcdef too", 14)
	want := []string{"the old entry", "→ gone,", "0123456789abcdef", "too"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A bar that is longer than its figure says, or none for something, deceives.
func TestBar(t *testing.T) {
	s := newScreen(nil, Look{})
	for _, c := range []struct {
		part, most float64
		want       string
	}{
		{0, 10, ""}, {10, 10, "████"}, {5, 10, "██"}, {12, 10, "████"}, {0.001, 10, "▏"}, {6, 10, "██▍"}, {1, 0, ""},
	} {
		if got := s.bar(c.part, c.most, 4); got != c.want {
			t.Errorf("%v of %v: %q, want %q", c.part, c.most, got, c.want)
		}
	}
	ascii := newScreen(nil, Look{ASCII: true})
	if got, want := ascii.bar(6, 10, 10), strings.Repeat("#", 6); got != want {
		t.Errorf("in ASCII %q, want %q", got, want)
	}
}
