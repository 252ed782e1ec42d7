package event

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// numbered adds events n, n+1, ... to the log, each with its number as Count.
func numbered(l *Log, from, n int) {
	for i := range n {
		l.Add(Event{Kind: Roam, Count: from + i})
	}
}

// A client that comes back gets what is still kept, in order and once, and is
// told how much it has missed.
func TestSince(t *testing.T) {
	for _, tc := range []struct {
		name             string
		added            int
		seq              uint64
		most             int
		first, n, missed int
	}{
		{name: "nothing yet"},
		{name: "all", added: 3, first: 1, n: 3},
		{name: "some", added: 3, seq: 1, first: 2, n: 2},
		{name: "none is new", added: 3, seq: 3},
		{name: "a number still to come", added: 3, seq: 9},
		{name: "a page", added: 4, seq: 1, most: 2, first: 2, n: 2},
		{name: "exactly full", added: 4, first: 1, n: 4},
		{name: "from the start, after two were given up", added: 6, first: 3, n: 4, missed: 2},
		{name: "behind by one", added: 10, seq: 5, first: 7, n: 4, missed: 1},
		{name: "just not behind", added: 10, seq: 6, first: 7, n: 4},
		{name: "a page of what is left", added: 10, seq: 2, most: 3, first: 7, n: 3, missed: 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewLog(4)
			numbered(l, 1, tc.added)
			entries, missed := l.Since(tc.seq, tc.most)
			if int(missed) != tc.missed {
				t.Errorf("missed %d, want %d", missed, tc.missed)
			}
			var want []Entry
			for i := range tc.n {
				want = append(want, Entry{Seq: uint64(tc.first + i), Event: Event{Kind: Roam, Count: tc.first + i}})
			}
			if diff := cmp.Diff(want, entries, cmp.Comparer(func(a, b Event) bool { return a.Count == b.Count && a.Kind == b.Kind })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := l.Last(); got != uint64(tc.added) {
				t.Errorf("last is %d, want %d", got, tc.added)
			}
		})
	}
}

// A stream that waits is woken by the next event, and by its own end.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLog(0)
		numbered(l, 1, 2)
		if err := l.Wait(t.Context(), 1); err != nil {
			t.Errorf("what is there already: %v", err)
		}
		woken := make(chan error, 2)
		for range 2 {
			go func() { woken <- l.Wait(t.Context(), 2) }()
		}
		synctest.Wait()
		select {
		case err := <-woken:
			t.Fatalf("woken by nothing: %v", err)
		default:
		}
		numbered(l, 3, 1)
		for range 2 {
			if err := <-woken; err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Wait(ctx, 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the stream's end: %v", err)
		}
	})
}

// Two runs must not be taken for one: their numbers mean different events.
func TestBoot(t *testing.T) {
	a, b := NewLog(0), NewLog(0)
	if a.Boot() == b.Boot() || len(a.Boot()) != bootLen {
		t.Errorf("boots %q and %q", a.Boot(), b.Boot())
	}
}

// Whatever the readers' pace, nobody holds Add up, and each reader sees every
// event once or is told that it missed it.
func TestManyReaders(t *testing.T) {
	const events, writers = 20_000, 4
	l := NewLog(64)
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			seq, total := uint64(0), uint64(0)
			for seq < events {
				if err := l.Wait(t.Context(), seq); err != nil {
					t.Error(err)
					return
				}
				entries, missed := l.Since(seq, 1+r*16)
				total += missed
				seq += missed
				for _, e := range entries {
					seq++
					total++
					if e.Seq != seq || e.Service != strconv.Itoa(e.Count) {
						t.Errorf("entry %d of %q, want %d", e.Seq, e.Service, seq)
						return
					}
				}
			}
			if total != events {
				t.Errorf("reader %d: %d events seen or missed, want %d", r, total, events)
			}
		})
	}
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for i := range events / writers {
				l.Add(Event{Service: strconv.Itoa(i), Count: i})
			}
		})
	}
	writing.Wait()
	readers.Wait()
}

// An event costs no garbage while nobody waits: the data plane adds them.
func TestAddAllocatesNothing(t *testing.T) {
	l := NewLog(16)
	numbered(l, 1, 16)
	if n := testing.AllocsPerRun(100, func() { l.Add(Event{Kind: Roam}) }); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}
