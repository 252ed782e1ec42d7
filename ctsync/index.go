package ctsync

import "math/bits"

// index finds records by a hash of their keys: open addressing with linear
// probing. Several records may have one hash; who looks compares the keys. Not
// safe for concurrent use.
//
//	for p, ok := x.first(hash); ok; p, ok = x.next(p) {
//		if ref := x.ref(p, hash); ref != 0 && same(ref) { ... }
//	}
type index struct {
	slots []slot // a power of two, never full; ref 0 is free
	used  int
}

type slot struct{ hash, ref uint32 }

const firstSlots = 8

func (x *index) home(hash uint32) uint32 {
	// Multiplied, since the hash's bits may serve the caller elsewhere.
	return hash * 0x9e3779b1 >> (33 - bits.Len32(uint32(len(x.slots))))
}

// first is the place where records with a hash may begin; not ok where there
// is none.
func (x *index) first(hash uint32) (uint32, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	p := x.home(hash)
	return p, x.slots[p].ref != 0
}

// next is the place behind p; not ok at the end of the run.
func (x *index) next(p uint32) (uint32, bool) {
	p = (p + 1) & uint32(len(x.slots)-1)
	return p, x.slots[p].ref != 0
}

// ref is the record at a place, 0 where its hash is another.
func (x *index) ref(p, hash uint32) uint32 {
	if s := x.slots[p]; s.hash == hash {
		return s.ref
	}
	return 0
}

// insert adds a record that is not there yet.
func (x *index) insert(hash, ref uint32) {
	if x.used >= len(x.slots)/8*7 {
		x.grow()
	}
	x.put(slot{hash, ref})
	x.used++
}

func (x *index) put(s slot) {
	p := x.home(s.hash)
	for x.slots[p].ref != 0 {
		p = (p + 1) & uint32(len(x.slots)-1)
	}
	x.slots[p] = s
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]slot, max(firstSlots, 2*len(old)))
	for _, s := range old {
		if s.ref != 0 {
			x.put(s)
		}
	}
}

// remove takes a record out and closes the gap: what stands behind it in the
// run moves up unless its home lies behind the gap.
func (x *index) remove(hash, ref uint32) {
	p, ok := x.first(hash)
	for ok && x.slots[p].ref != ref {
		p, ok = x.next(p)
	}
	if !ok {
		return
	}
	x.used--
	mask := uint32(len(x.slots) - 1)
	gap := p
	for q := (p + 1) & mask; x.slots[q].ref != 0; q = (q + 1) & mask {
		if home := x.home(x.slots[q].hash); (q-home)&mask >= (q-gap)&mask {
			x.slots[gap] = x.slots[q]
			gap = q
		}
	}
	x.slots[gap] = slot{}
}
