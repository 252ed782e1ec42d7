package hashing

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A ring is what balancers agree on without talking, and across versions: if
// this fails, a balancer that was upgraded sends sessions elsewhere than its
// neighbours. The tables are those of a second implementation in Python.
func TestMaglevVectors(t *testing.T) {
	even := []Member{{1, "alpha", 1}, {2, "beta", 1}, {3, "gamma", 1}}
	weighted := []Member{{1, "alpha", 1}, {2, "beta", 2}, {3, "gamma", 5}}
	evenTable := []uint16{2, 3, 2, 3, 2, 2, 3, 1, 1, 3, 1, 2, 1, 2, 1, 2, 1, 2, 1, 3, 3, 3, 1}
	for _, tt := range []struct {
		name    string
		members []Member
		slots   uint32
		want    []uint16
	}{
		{"no members", nil, 5, []uint16{0, 0, 0, 0, 0}},
		{"no weights", []Member{{1, "alpha", 0}, {2, "beta", -3}}, 5, []uint16{0, 0, 0, 0, 0}},
		{"one member", []Member{{7, "alpha", 9}}, 5, []uint16{7, 7, 7, 7, 7}},
		{"no slots", even, 0, []uint16{}},
		{"fewer slots than members", even, 2, []uint16{2, 1}},
		{"even", even, 23, evenTable},
		{"one without weight", append(slices.Clone(even), Member{4, "delta", 0}), 23, evenTable},
		{"weighted", weighted, 23, []uint16{2, 3, 2, 3, 3, 2, 3, 1, 3, 3, 3, 2, 3, 2, 3, 3, 1, 2, 1, 3, 3, 3, 3}},
	} {
		if diff := cmp.Diff(tt.want, Maglev(tt.members, tt.slots)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// An operator who weights backends 1:2:5 gets that load on them, to within 1 %.
func TestMaglevShares(t *testing.T) {
	const slots = 4093
	for _, weights := range [][]int{{1, 2, 5}, {1, 1, 1}, {5, 2, 1}, {100, 200, 500}, {3, 7}, {1, 2, 5, 1, 2, 5}} {
		members := weigh(weights)
		counts, total := count(Maglev(members, slots)), 0
		for _, w := range weights {
			total += w
		}
		for _, m := range members {
			want := slots * float64(m.Weight) / float64(total)
			if got := float64(counts[m.ID]); math.Abs(got-want) > want/100 {
				t.Errorf("weights %v: weight %d has %v slots, want %.1f", weights, m.Weight, got, want)
			}
		}
	}
}

// However weights are chosen, every slot has an owner, and no backend is off
// its share by more than rounding.
func TestMaglevBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(1, 40, math.MaxUint16).Draw(t, "members")
		slots := rapid.SampledFrom([]uint32{2, 61, 251, 1021, 4093}).Draw(t, "slots")
		total := 0
		for _, m := range members {
			total += m.Weight
		}
		counts := count(Maglev(members, slots))
		if counts[0] != 0 {
			t.Errorf("%d slots have no owner", counts[0])
		}
		for _, m := range members {
			share := float64(m.Weight) / float64(total)
			// What Sainte-Laguë's method can be off by.
			limit := 0.5 + share*float64(len(members))/2 + 1e-6
			if off := float64(counts[m.ID]) - share*float64(slots); math.Abs(off) > limit {
				t.Errorf("weight %d of %d is off its share by %.2f slots, more than %.2f", m.Weight, total, off, limit)
			}
		}
	})
}

// Two balancers whose files list the same backends in another order, or whose
// stores number them differently, send a session to the same backend. Names may
// even repeat.
func TestMaglevDependsOnNamesAndWeightsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Member {
			return Member{
				ID:       rapid.Uint16Range(1, 5).Draw(t, "id"),
				Identity: rapid.StringMatching(`[abc]{0,2}`).Draw(t, "identity"),
				Weight:   rapid.IntRange(-1, 4).Draw(t, "weight"),
			}
		}), 0, 8).Draw(t, "members")
		want := Maglev(members, 251)
		shuffled := rapid.Permutation(members).Draw(t, "shuffled")
		if n := Diff(want, Maglev(shuffled, 251)); n != 0 {
			t.Errorf("%d slots differ in another order", n)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(1, 20, 100).Draw(t, "members")
		renumbered := slices.Clone(members)
		for i := range renumbered {
			renumbered[i].ID = math.MaxUint16 - members[i].ID
		}
		want, got := Maglev(members, 251), Maglev(renumbered, 251)
		for slot := range want {
			if got[slot] != math.MaxUint16-want[slot] {
				t.Fatalf("slot %d has another owner under other numbers", slot)
			}
		}
	})
}

// A backend that comes, goes or changes its weight must not move sessions
// between the others: beyond the slots that have to move, at most 3 % do in the
// default ring of a service with up to ten backends.
func TestMaglevMovesLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const slots = 4093
		members := genMembers(2, 10, 10).Draw(t, "members")
		i := rapid.IntRange(0, len(members)-1).Draw(t, "changed")
		before := Maglev(members, slots)

		less := Maglev(slices.Delete(slices.Clone(members), i, i+1), slots)
		checkMoves(t, "without one", before, less)
		checkMoves(t, "with one more", less, before)

		reweighted := slices.Clone(members)
		reweighted[i].Weight = rapid.IntRange(1, 20).Draw(t, "new weight")
		checkMoves(t, "with another weight", before, Maglev(reweighted, slots))
	})
}

// checkMoves fails where more slots move than the owners' shares require and
// 3 % of all.
func checkMoves(t *rapid.T, what string, before, after []uint16) {
	t.Helper()
	var need int
	had := count(before)
	for id, n := range count(after) {
		need += max(0, n-had[id])
	}
	if extra := Diff(before, after) - need; extra > len(before)*3/100 {
		t.Errorf("%s: %d slots have to move, %d more do", what, need, extra)
	}
}

// No weight makes a write to the API hang or starves the rest of the ring.
func TestMaglevExtremeWeights(t *testing.T) {
	const slots = 65537
	for _, weights := range [][]int{{1, 65535}, {65535, 1, 1, 1}, {math.MaxInt, math.MaxInt}, {1, math.MaxInt}} {
		counts := count(Maglev(weigh(weights), slots))
		for i, w := range weights {
			heavy := w == slices.Max(weights)
			if n := counts[uint16(i+1)]; heavy && n < slots/2 || !heavy && n > 2 {
				t.Errorf("weights %v: weight %d has %d slots", weights, w, n)
			}
		}
	}
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct {
		prev, next []uint16
		want       int
	}{
		{nil, nil, 0},
		{[]uint16{1, 2, 3}, []uint16{1, 2, 3}, 0},
		{[]uint16{1, 2, 3}, []uint16{1, 0, 4}, 2},
		{nil, []uint16{0, 0}, 2},
		{[]uint16{1, 2, 3}, []uint16{2}, 3},
	} {
		if got := Diff(tt.prev, tt.next); got != tt.want {
			t.Errorf("Diff(%v, %v) = %d, want %d", tt.prev, tt.next, got, tt.want)
		}
	}
}

// genMembers makes members with numbers from 1, names of their own and weights
// from 1 to maxWeight.
func genMembers(least, most, maxWeight int) *rapid.Generator[[]Member] {
	return rapid.Custom(func(t *rapid.T) []Member {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{1,6}`), least, most, rapid.ID[string]).Draw(t, "names")
		members := make([]Member, len(names))
		for i, name := range names {
			members[i] = Member{uint16(i + 1), name, rapid.IntRange(1, maxWeight).Draw(t, "weight")}
		}
		return members
	})
}

// weigh makes a member of each weight, with numbers from 1.
func weigh(weights []int) []Member {
	members := make([]Member, len(weights))
	for i, w := range weights {
		members[i] = Member{uint16(i + 1), "backend-" + strconv.Itoa(i+1), w}
	}
	return members
}

// count returns how many slots each owner has.
func count(table []uint16) map[uint16]int {
	counts := make(map[uint16]int)
	for _, id := range table {
		counts[id]++
	}
	return counts
}

func BenchmarkMaglev(b *testing.B) {
	for _, bm := range []struct {
		members int
		slots   uint32
	}{{10, 251}, {10, 4093}, {100, 16381}, {100, 65537}} {
		b.Run(fmt.Sprintf("%d members, %d slots", bm.members, bm.slots), func(b *testing.B) {
			weights := make([]int, bm.members)
			for i := range weights {
				weights[i] = 1 + i%5
			}
			members := weigh(weights)
			for b.Loop() {
				Maglev(members, bm.slots)
			}
		})
	}
	b.Run("2 members at 65535 to 1, 65537 slots", func(b *testing.B) {
		members := weigh([]int{1, 65535})
		for b.Loop() {
			Maglev(members, 65537)
		}
	})
}
