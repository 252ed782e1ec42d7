package hashing

import (
	"fmt"
	"math"
	"slices"
)

// Extractor finds the key of a payload. Layout is the one that reads bytes
// where they stand; a decoder of keys that have to be computed is another. An
// Extractor is immutable: any number of goroutines may use it at once.
type Extractor interface {
	// Extract appends the payload's key to dst[:0] and returns it, the variant
	// that decided, and whether there is a key; the key is empty where there is
	// none. It keeps neither slice, and allocates nothing when cap(dst) is at
	// least MaxLen. dst and payload must not overlap. The variant is -1 where
	// none applies to the payload.
	Extract(dst, payload []byte) (key []byte, variant int, ok bool)
	// MaxLen is the length in bytes of the longest key.
	MaxLen() int
	// End is one past the last payload byte that Extract may read: how much of
	// a packet must be at hand.
	End() int
}

// Field is a run of payload bytes that belongs to the key.
type Field struct {
	Offset int    // of the first byte in the payload
	Length int    // in bytes, at least 1
	Mask   []byte // ANDed to the bytes; Length long, or empty for all ones
}

// Match is a condition on payload bytes: payload[Offset+i] & Mask[i] == Value[i]
// for every i. It does not hold for a payload that ends before the last of them.
type Match struct {
	Offset int
	Mask   []byte // as long as Value, or empty for all ones
	Value  []byte // at least one byte
}

// Variant is one way a payload can carry the key: where every match holds, the
// key is in the fields.
type Variant struct {
	Match  []Match
	Fields []Field // at least one
}

// Layout is the Extractor of keys that stand in the payload as they are.
//
// The key is the bytes as nft lays them in its registers, so that the kernel
// hashes and looks up the same ones: a single field as it is, of several each
// one filled up with zero bytes to a multiple of four, the last too. The mask is
// applied before.
type Layout struct {
	variants []plan
	maxLen   int
	end      int
}

var _ Extractor = (*Layout)(nil)

// plan is a variant with what follows from it.
type plan struct {
	Variant
	need int // one past the last byte that a field reads
	len  int // of the key
}

// registerSize is the size in bytes of an nft register, NFT_REG32_SIZE of
// linux/netfilter/nf_tables.h.
const registerSize = 4

// NewLayout returns the Layout of variants, the first of which that matches
// counts. It copies them. It panics where they are no key at all (a variant
// without fields, a field or match without bytes, a negative offset, a mask of
// another length than what it masks): a configuration is validated before.
func NewLayout(variants []Variant) *Layout {
	l := &Layout{variants: make([]plan, len(variants))}
	for i, v := range variants {
		if len(v.Fields) == 0 {
			panic(fmt.Sprintf("hashing: variant %d has no fields", i))
		}
		p := &l.variants[i]
		for _, m := range v.Match {
			l.end = max(l.end, endOf(m.Offset, len(m.Value), m.Mask))
			p.Match = append(p.Match, Match{Offset: m.Offset, Mask: slices.Clone(m.Mask), Value: slices.Clone(m.Value)})
		}
		for _, f := range v.Fields {
			p.need = max(p.need, endOf(f.Offset, f.Length, f.Mask))
			p.len += f.Length
			if len(v.Fields) > 1 {
				p.len += padding(f.Length)
			}
			p.Fields = append(p.Fields, Field{Offset: f.Offset, Length: f.Length, Mask: slices.Clone(f.Mask)})
		}
		l.end = max(l.end, p.need)
		l.maxLen = max(l.maxLen, p.len)
	}
	return l
}

// endOf returns one past the last byte of a run of payload bytes.
func endOf(offset, length int, mask []byte) int {
	if offset < 0 || length < 1 || offset > math.MaxInt-length || len(mask) != 0 && len(mask) != length {
		panic(fmt.Sprintf("hashing: %d bytes at offset %d with a mask of %d", length, offset, len(mask)))
	}
	return offset + length
}

// padding returns how many bytes fill up a field to whole registers.
func padding(length int) int {
	return -length & (registerSize - 1)
}

// Extract implements Extractor. The first variant whose every match holds
// decides: where the payload is too short for one of its fields there is no key,
// and no later variant is tried.
func (l *Layout) Extract(dst, payload []byte) (key []byte, variant int, ok bool) {
	key = dst[:0]
	for i := range l.variants {
		p := &l.variants[i]
		if !p.matches(payload) {
			continue
		}
		if len(payload) < p.need {
			return key, i, false
		}
		return p.appendKey(key, payload), i, true
	}
	return key, -1, false
}

// MaxLen implements Extractor.
func (l *Layout) MaxLen() int { return l.maxLen }

// End implements Extractor.
func (l *Layout) End() int { return l.end }

// KeyLen returns the length in bytes of the keys of a variant, counted from 0.
func (l *Layout) KeyLen(variant int) int { return l.variants[variant].len }

// matches says whether all the variant's conditions hold.
func (p *plan) matches(payload []byte) bool {
	for i := range p.Match {
		if !p.Match[i].holds(payload) {
			return false
		}
	}
	return true
}

func (m *Match) holds(payload []byte) bool {
	if len(payload)-m.Offset < len(m.Value) {
		return false
	}
	run := payload[m.Offset:][:len(m.Value)]
	if len(m.Mask) == 0 {
		return string(run) == string(m.Value)
	}
	for i, b := range run {
		if b&m.Mask[i] != m.Value[i] {
			return false
		}
	}
	return true
}

// appendKey appends the variant's key; payload is long enough.
func (p *plan) appendKey(key, payload []byte) []byte {
	key = slices.Grow(key, p.len)
	for i := range p.Fields {
		f := &p.Fields[i]
		start := len(key)
		key = append(key, payload[f.Offset:f.Offset+f.Length]...)
		for j, mask := range f.Mask {
			key[start+j] &= mask
		}
		if len(p.Fields) > 1 {
			for range padding(f.Length) {
				key = append(key, 0)
			}
		}
	}
	return key
}
