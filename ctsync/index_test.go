package ctsync

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func (x *index) refs(hash uint32) []uint32 {
	var found []uint32
	for p, ok := x.first(hash); ok; p, ok = x.next(p) {
		if ref := x.ref(p, hash); ref != 0 {
			found = append(found, ref)
		}
	}
	slices.Sort(found)
	return found
}

func TestIndexFindsWhatIsInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		model := make(map[uint32][]uint32)
		next := uint32(1)
		// Few hashes, side by side and far apart: long runs and wrap-around.
		hashes := rapid.SampledFrom([]uint32{0, 1, 2, 3, 1 << 31, 1<<32 - 1, 0x9e3779b9, 12345})
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				h := hashes.Draw(t, "hash")
				x.insert(h, next)
				model[h] = append(model[h], next)
				next++
			},
			"remove": func(t *rapid.T) {
				h := hashes.Draw(t, "hash")
				if len(model[h]) == 0 {
					x.remove(h, 1<<30) // not there
					return
				}
				i := rapid.IntRange(0, len(model[h])-1).Draw(t, "which")
				x.remove(h, model[h][i])
				model[h] = slices.Delete(model[h], i, i+1)
			},
			"": func(t *rapid.T) {
				n := 0
				for h, want := range model {
					if got := x.refs(h); !slices.Equal(got, want) {
						t.Fatalf("hash %d: found %v, want %v", h, got, want)
					}
					n += len(want)
				}
				if x.used != n {
					t.Fatalf("%d counted, %d in it", x.used, n)
				}
			},
		})
	})
}

func TestTimersRunOutInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOf(rapid.Int64Range(0, 50)).Draw(t, "times")
		var h timers
		for i, at := range times {
			h.push(timer{at: at, roam: uint32(i)})
		}
		slices.Sort(times)
		for _, want := range times {
			if _, ok := h.pop(want - 1); ok {
				t.Fatalf("one runs out before %d", want)
			}
			if got, ok := h.pop(want); !ok || got.at != want {
				t.Fatalf("got %+v, %v, want %d", got, ok, want)
			}
		}
		if _, ok := h.pop(1000); ok {
			t.Fatal("one too many")
		}
	})
}

func TestNumbersOfListenersAreUsedAgain(t *testing.T) {
	var ls listeners
	a, b := ls.hold(listener4), ls.hold(listener6)
	if a == 0 || b == 0 || a == b || ls.hold(listener4) != a {
		t.Fatalf("numbers %d and %d", a, b)
	}
	ls.release(a)
	if ls.number(listener4) != a {
		t.Error("a listener that still has a flow has lost its number")
	}
	ls.release(a)
	if ls.number(listener4) != 0 {
		t.Error("a listener without flows keeps its number")
	}
	if c := ls.hold(clientA); c != a || ls.addr(c) != clientA {
		t.Errorf("the next listener has number %d, %d is free", c, a)
	}
}
