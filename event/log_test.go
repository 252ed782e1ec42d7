package event

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A reader that comes back misses nothing that is still held, and is told of
// the rest.
func TestLog(t *testing.T) {
	l := NewLog(10)
	if es, missed := l.Since(0, 5); len(es) != 0 || missed != 0 || l.Last() != 0 {
		t.Errorf("an empty log has %d events, missed %d", len(es), missed)
	}
	for i := range 25 {
		l.Add(Event{Count: i + 1})
	}
	for _, tt := range []struct {
		since  uint64
		most   int
		first  uint64
		n      int
		missed uint64
	}{
		{0, 100, 16, 10, 15}, {15, 100, 16, 10, 0}, {14, 3, 16, 3, 1}, {20, 2, 21, 2, 0}, {24, 9, 25, 1, 0}, {25, 9, 0, 0, 0}, {99, 9, 0, 0, 0},
	} {
		es, missed := l.Since(tt.since, tt.most)
		if len(es) != tt.n || missed != tt.missed {
			t.Errorf("since %d: %d events, missed %d; want %d, %d", tt.since, len(es), missed, tt.n, tt.missed)
			continue
		}
		for i, e := range es {
			if e.Seq != tt.first+uint64(i) || e.Count != int(e.Seq) || e.Time.IsZero() {
				t.Errorf("since %d: entry %d is %+v", tt.since, i, e)
			}
		}
	}
	if one, other := NewLog(1), NewLog(1); one.Boot() == other.Boot() {
		t.Error("two logs have one name")
	}
}

func TestLogWakesReaders(t *testing.T) {
	l := NewLog(4)
	const events, readers = 1000, 8
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			seen := uint64(0)
			for seen < events {
				if err := l.Wait(t.Context(), seen); err != nil {
					t.Error(err)
					return
				}
				es, missed := l.Since(seen, 2)
				if len(es) == 0 {
					t.Error("woken for nothing")
					return
				}
				if es[0].Seq != seen+missed+1 {
					t.Errorf("at %d: %d missed, then %d", seen, missed, es[0].Seq)
				}
				seen = es[len(es)-1].Seq
			}
		})
	}
	for range events {
		l.Add(Event{})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Wait(ctx, events); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for what does not come: %v", err)
	}
}

// What is counted outlives what is kept: an alert that looks once a minute must
// not miss what came and went in between.
func TestLogCounts(t *testing.T) {
	l := NewLog(2)
	for _, k := range []Kind{Roam, Drift, Roam, Roam} {
		l.Add(Event{Kind: k})
	}
	if got := l.Counts(); got[Roam] != 3 || got[Drift] != 1 || len(got) != 2 {
		t.Errorf("counts %v", got)
	}
}

// Who goes through all kinds must not miss one that is new.
func TestKindsAreAll(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []Kind
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := v.Type.(*ast.Ident); ok && name.Name == "Kind" {
			declared = append(declared, Kind(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)))
		}
		return true
	})
	if len(declared) == 0 || !slices.Equal(declared, Kinds) {
		t.Errorf("declared are %v, in Kinds %v", declared, Kinds)
	}
}
