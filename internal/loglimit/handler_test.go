package loglimit

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of one message must not fill the disk, nor push out of the journal
// what else there is to know.
func TestFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(New(slog.NewTextHandler(&out, nil)))
		for i := range 50_000 {
			log.Info("event", "kind", "roam", "number", i)
			if i%1000 == 0 {
				log.With("queue", 1).Info("event", "kind", "drift", "number", i)
				log.Warn("another thing", "number", i)
				time.Sleep(100 * time.Millisecond)
			}
		}
		lines := func(part string) int { return strings.Count(out.String(), part) }
		// 5 seconds: the burst, and then as many as come in that time.
		if n := lines("msg=event kind=roam"); n < burst || n > burst+5*perSecond+1 {
			t.Errorf("%d lines of the flood", n)
		}
		for _, other := range []string{"kind=drift", `msg="another thing"`} {
			if n := lines(other); n != 50 {
				t.Errorf("%d lines %s, want 50", n, other)
			}
		}
		if n := lines("lines left out"); n != 1 {
			t.Errorf("told %d times of lines left out, want once in this time", n)
		}

		// Every line is there or is counted as one that is not.
		time.Sleep(20 * time.Second)
		log.Info("event", "kind", "roam", "number", -1)
		told := 0
		for line := range strings.Lines(out.String()) {
			var n int
			if _, rest, ok := strings.Cut(line, `message="event roam" count=`); ok {
				if _, err := fmt.Sscan(rest, &n); err != nil {
					t.Fatal(err)
				}
				told += n
			}
		}
		if got := told + lines("msg=event kind=roam"); got != 50_001 {
			t.Errorf("%d lines or counted, want 50001", got)
		}
	})
}

// Whoever looks for a defect wants to see all.
func TestDebugShowsAll(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for range 3 * burst {
		log.Info("event", "kind", "roam")
	}
	if n := strings.Count(out.String(), "\n"); n != 3*burst {
		t.Errorf("%d lines, want %d", n, 3*burst)
	}
}

// Messages that are not constant after all must not fill the memory.
func TestMessagesAreBounded(t *testing.T) {
	h := New(slog.DiscardHandler)
	for i := range 3 * messagesMost {
		h.limits.take(fmt.Sprint("message ", i))
	}
	if n := len(h.limits.messages); n > messagesMost+1 {
		t.Errorf("%d messages are remembered", n)
	}
}
