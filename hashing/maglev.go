package hashing

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"
)

// Member is a backend as a ring sees it.
type Member struct {
	// ID is what goes into the slots; never 0, which marks a slot without an
	// owner.
	ID uint16
	// Identity decides which slots the member prefers: the backend's name.
	// Balancers whose members have the same names and weights build the same
	// ring, however each of them numbers its backends.
	Identity string
	// Weight is the member's share relative to the others'. With a weight of 0
	// or below it owns no slots.
	Weight int
}

// Maglev returns the table of a ring: at each slot's number its owner's ID, or 0
// in every slot where no member has a weight above 0. It depends on the members
// as a set, not on their order. A prime number of slots is customary; any works.
//
// This is the table of section 3.4 of Eisenbud et al., "Maglev: A Fast and
// Reliable Software Network Load Balancer" (NSDI 2016), with weights. Each
// member prefers the slots in an order of its own, and at its turn takes the
// first one that is still free. Turns are dealt as Sainte-Laguë's method deals
// seats: a member's k-th turn, from 0, comes at the time (2k+1)/weight. So a
// member has its exact share to within a slot or so (one whose share is below
// half a slot may have none), and one that comes, goes or changes its weight
// leaves the order of all others' turns as it was.
//
// Beyond the slots that must move, such a change moves others too, the fewer
// the more slots there are for each member: of 4,093 slots about 0.3 % with 3
// members, 1 % with 10 and 3 % with 100. At least 100 slots a member are
// advisable.
func Maglev(members []Member, slots uint32) []uint16 {
	table := make([]uint16, slots)
	queue := newTurns(members)
	if len(queue) == 0 {
		return table
	}
	taken := make([]bool, slots)
	for range slots {
		w := &queue[0]
		slot := w.next(slots)
		for taken[slot] {
			slot = w.next(slots)
		}
		taken[slot] = true
		table[slot] = w.id
		w.turn += 2
		queue.sink()
	}
	return table
}

// Diff returns how many slots differ between two tables of a ring. Where one is
// longer, each slot that the other lacks counts.
func Diff(prev, next []uint16) int {
	shared := min(len(prev), len(next))
	n := max(len(prev), len(next)) - shared
	for slot := range shared {
		if prev[slot] != next[slot] {
			n++
		}
	}
	return n
}

// walker is a member on its way through its preferences.
//
// They are a SplitMix64 sequence (Steele et al., "Fast Splittable Pseudorandom
// Number Generators", OOPSLA 2014), scaled to the number of slots. It names a
// slot again and again, which does no harm, and sooner or later every one.
// Maglev's paper steps through the slots by offset and skip instead; two such
// members whose skips are akin keep meeting in the same slots, and then a third
// that leaves moves up to a fifth of the ring between them.
type walker struct {
	state  uint64 // of SplitMix64
	turn   uint64 // 2k+1, where k turns have been taken; turn/weight is the time of the next
	weight uint64
	rank   int // place among the members by identity; decides between equal times
	id     uint16
}

// next returns the slot that the member prefers after all it named before.
func (w *walker) next(slots uint32) uint32 {
	w.state += 0x9e3779b97f4a7c15
	return Scale(uint32(scatter(w.state)>>32), slots)
}

// before says whether w's next turn comes before o's. The times are compared
// as products of 128 bits: exact for every weight, the same on every machine.
func (w *walker) before(o *walker) bool {
	wHi, wLo := bits.Mul64(w.turn, o.weight)
	oHi, oLo := bits.Mul64(o.turn, w.weight)
	return cmp.Or(cmp.Compare(wHi, oHi), cmp.Compare(wLo, oLo), cmp.Compare(w.rank, o.rank)) < 0
}

// turns is a binary heap: the first walker has the next turn.
type turns []walker

// newTurns makes a walker of each member that has a weight.
func newTurns(members []Member) turns {
	ranked := slices.Clone(members)
	slices.SortFunc(ranked, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Weight, b.Weight))
	})
	queue := make(turns, 0, len(ranked))
	for rank, m := range ranked {
		if m.Weight <= 0 {
			continue
		}
		queue = append(queue, walker{state: seed(m.Identity), turn: 1, weight: uint64(m.Weight), rank: rank, id: m.ID})
	}
	// A first turn comes at 1/weight: in this order every parent is before its
	// children.
	slices.SortFunc(queue, func(a, b walker) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.rank, b.rank))
	})
	return queue
}

// sink puts the first walker where it belongs after its turn.
func (q turns) sink() {
	for i := 0; ; {
		next := 2*i + 1
		if next >= len(q) {
			return
		}
		if right := next + 1; right < len(q) && q[right].before(&q[next]) {
			next = right
		}
		if !q[next].before(&q[i]) {
			return
		}
		q[i], q[next] = q[next], q[i]
		i = next
	}
}

// seed returns where an identity's preferences begin: its 64-bit FNV-1a,
// scattered because FNV leaves names that differ in their last letter close
// together. Balancers agree on a ring only as long as this stays as it is.
func seed(identity string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(identity)) // a hash.Hash never returns an error
	return scatter(h.Sum64())
}

// scatter is SplitMix64's output function: every bit of x bears on all others.
func scatter(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
