package balancer

import (
	"cmp"
	"slices"
)

// Move is slots or sessions that leave one backend for another. A backend is
// named; the empty name is nobody.
type Move struct {
	From, To string
	Count    int
}

// RingChange is what a change of a service does to its ring of one family.
type RingChange struct {
	V6    bool
	Slots int    // of the new ring
	Moved int    // slots of the new ring that have another backend than now
	Moves []Move // the largest first
}

// CompareRings says what becomes of the slots of a family when next takes the
// place of have (nil: there is no such service yet). Where the number of slots
// or the seed changes, keys fall to other slots: then it is the share of keys
// that counts, and each new slot is compared with those old ones that its keys
// come from, as far as that can be said: with another seed every slot's keys
// come from anywhere, in proportion to the old ring's shares.
func CompareRings(have, next *View, v6 bool) RingChange {
	ring := next.Ring(v6)
	change := RingChange{V6: v6, Slots: len(ring)}
	counts := make(map[[2]string]float64)
	var old Ring
	if have != nil {
		old = have.Ring(v6)
	}
	switch {
	case len(old) == len(ring) && have.Service.Seed == next.Service.Seed:
		for i, id := range ring {
			counts[[2]string{have.nameOf(old[i]), next.nameOf(id)}]++
		}
	case len(old) > 0 && have.Service.Seed == next.Service.Seed:
		compareSpans(counts, have, next, v6)
	case len(old) > 0:
		compareShares(counts, have, next, v6)
	default:
		for _, id := range ring {
			counts[[2]string{"", next.nameOf(id)}]++
		}
	}
	for names, n := range counts {
		if names[0] == names[1] || n < 0.5 {
			continue
		}
		change.Moves = append(change.Moves, Move{From: names[0], To: names[1], Count: int(n + 0.5)})
		change.Moved += int(n + 0.5)
	}
	sortMoves(change.Moves)
	return change
}

// compareSpans lays two rings of different sizes over each other: a slot holds
// a run of hashes, and runs overlap.
func compareSpans(counts map[[2]string]float64, have, next *View, v6 bool) {
	old, ring := have.Ring(v6), next.Ring(v6)
	for i, j, at := 0, 0, 0.0; i < len(ring) && j < len(old); {
		endNew, endOld := float64(i+1)/float64(len(ring)), float64(j+1)/float64(len(old))
		end := min(endNew, endOld)
		counts[[2]string{have.nameOf(old[j]), next.nameOf(ring[i])}] += (end - at) * float64(len(ring))
		at = end
		if endNew <= end {
			i++
		}
		if endOld <= end {
			j++
		}
	}
}

// compareShares is for rings whose keys have nothing to do with each other.
func compareShares(counts map[[2]string]float64, have, next *View, v6 bool) {
	old, ring := have.Ring(v6), next.Ring(v6)
	from := make(map[string]float64)
	for _, id := range old {
		from[have.nameOf(id)] += 1 / float64(len(old))
	}
	for _, id := range ring {
		for name, share := range from {
			counts[[2]string{name, next.nameOf(id)}] += share
		}
	}
}

// Moves is where a session that is bound to a backend in a family goes when
// next takes the place of have, named as in [Move]; the same twice where it
// stays. A session lives on only where the key's layout stays.
func Moves(have, next *View, key []byte, backend uint16, v6 bool) (from, to string) {
	from = have.nameOf(backend)
	if id := next.idOf(from); id != 0 && next.Serves(id, v6) {
		return from, from
	}
	return from, next.nameOf(next.Ring(v6).At(next.Hash(key)))
}

// Summed turns counts by from and to into moves, the largest first.
func Summed(counts map[[2]string]int) []Move {
	out := make([]Move, 0, len(counts))
	for names, n := range counts {
		out = append(out, Move{From: names[0], To: names[1], Count: n})
	}
	sortMoves(out)
	return out
}

func sortMoves(moves []Move) {
	slices.SortFunc(moves, func(a, b Move) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}

// nameOf is the name of a backend; empty for nobody.
func (v *View) nameOf(id uint16) string {
	if b := v.Backend(id); b != nil {
		return b.Name
	}
	return ""
}

// idOf is the id of the backend of a name, 0 for none.
func (v *View) idOf(name string) uint16 {
	for i := range v.Service.Backends {
		if b := &v.Service.Backends[i]; b.Name == name && name != "" {
			return b.ID
		}
	}
	return 0
}
