package config

import (
	"fmt"
	"slices"

	"github.com/roamlb/roamlb/balancer"
)

func (c *checker) key(at string, k *balancer.Key) {
	oneOf(c, at+"/fallback", k.Fallback, balancer.FallbackSource, balancer.FallbackSourcePort, balancer.FallbackDrop)
	at += "/variants"
	switch {
	case len(k.Variants) == 0:
		c.add(at, "must have at least one variant")
	case len(k.Variants) > maxVariants:
		c.add(at, "has %d variants; at most %d are possible", len(k.Variants), maxVariants)
	}
	names := make(map[string]int)
	matches := make(map[string]int)
	for i := range k.Variants {
		v, at := &k.Variants[i], index(at, i)
		if v.Name != "" || len(k.Variants) > 1 {
			c.variantName(at+"/name", v.Name, i, names)
		}
		if len(v.Match) == 0 && i < len(k.Variants)-1 {
			c.add(at, "has no match, so that the variants behind it can never be reached: put it last")
		}
		c.matches(at+"/match", v.Match)
		if first, again := matches[conditions(v.Match)]; again && len(v.Match) > 0 {
			c.add(at+"/match", "is that of variant %d, so that this one can never be reached", first)
		} else {
			matches[conditions(v.Match)] = i
		}
		c.fields(at+"/fields", v.Fields)
	}
}

func (c *checker) variantName(at, s string, i int, names map[string]int) {
	if s == "" {
		c.add(at, "is missing: of several variants each has a name")
		return
	}
	if !c.name(at, s) {
		return
	}
	if first, again := names[s]; again {
		c.add(at, "is %s, as that of variant %d", show(s), first)
		return
	}
	names[s] = i
}

// condition is what a variant asks of one payload byte.
type condition struct{ mask, value byte }

// conditions returns what matches ask for, in a form that can be compared.
func conditions(all []balancer.Match) string {
	parts := make([]string, 0, len(all))
	for _, m := range all {
		for i, value := range m.Value {
			mask := byte(0xff)
			if i < len(m.Mask) {
				mask = m.Mask[i]
			}
			if mask != 0 {
				parts = append(parts, fmt.Sprintf("%d&%02x=%02x", m.Offset+i, mask, value))
			}
		}
	}
	slices.Sort(parts)
	return fmt.Sprint(slices.Compact(parts))
}

func (c *checker) matches(at string, all []balancer.Match) {
	if len(all) > maxMatches {
		c.add(at, "has %d entries; at most %d are possible", len(all), maxMatches)
	}
	asked := make(map[int]condition)
	for i := range all {
		m, at := &all[i], index(at, i)
		if n := len(m.Value); n == 0 || n > maxMatchSize {
			c.add(at+"/value", "must be 1 to %d bytes, not %d", maxMatchSize, n)
			continue
		}
		c.extent(at, m.Offset, len(m.Value))
		if m.Mask != nil && !c.matchMask(at, m) {
			continue
		}
		for j, value := range m.Value {
			want := condition{0xff, value}
			if m.Mask != nil {
				want.mask = m.Mask[j]
			}
			before := asked[m.Offset+j]
			if both := before.mask & want.mask; before.value&both != want.value&both {
				c.add(at+"/value", "wants byte %d of the payload to be what an entry before excludes", m.Offset+j)
				break
			}
			asked[m.Offset+j] = condition{before.mask | want.mask, before.value | want.value}
		}
	}
}

// matchMask checks a match's mask against its value.
func (c *checker) matchMask(at string, m *balancer.Match) bool {
	if len(m.Mask) != len(m.Value) {
		c.add(at+"/mask", "has %s, and the value has %d", count(len(m.Mask), "byte"), len(m.Value))
		return false
	}
	if isZero(m.Mask) {
		c.add(at+"/mask", "has no bit set, so that everything matches: leave the entry out")
		return false
	}
	for i, value := range m.Value {
		if value&^m.Mask[i] != 0 {
			c.add(at+"/value", "has bits outside its mask (byte %d: value %02x, mask %02x), so that nothing matches",
				i, value, m.Mask[i])
			return false
		}
	}
	return true
}

func (c *checker) fields(at string, all []balancer.Field) {
	switch {
	case len(all) == 0:
		c.add(at, "must have at least one field")
	case len(all) > maxFields:
		c.add(at, "has %d fields; at most %d are possible", len(all), maxFields)
	}
	fine := true
	for i := range all {
		f, at := &all[i], index(at, i)
		if !c.number(at+"/length", int64(f.Length), lengthSpan) {
			fine = false
			continue
		}
		c.extent(at, f.Offset, f.Length)
		switch {
		case f.Mask == nil:
		case len(f.Mask) != f.Length:
			c.add(at+"/mask", "has %s, and the field has %d", count(len(f.Mask), "byte"), f.Length)
		case isZero(f.Mask):
			c.add(at+"/mask", "has no bit set, so that the field says nothing: leave it out")
		}
	}
	if size := keySize(all); fine && size > maxKeySize {
		c.add(at, "make a key of %d bytes, each field padded to a multiple of four; at most %d are possible",
			size, maxKeySize)
	}
}

// extent checks where bytes of the payload begin and end.
func (c *checker) extent(at string, offset, length int) {
	if !c.number(at+"/offset", int64(offset), offsetSpan) {
		return
	}
	if end := offset + length; end > maxPayloadEnd {
		c.add(at+"/offset", "leaves no room for %s: a key ends %d bytes into the payload at the latest",
			count(length, "byte"), maxPayloadEnd)
	}
}

// keySize returns the length of the key that fields make: one as it is, several
// padded to multiples of four.
func keySize(fields []balancer.Field) int {
	if len(fields) == 1 {
		return fields[0].Length
	}
	size := 0
	for _, f := range fields {
		size += (f.Length + 3) / 4 * 4
	}
	return size
}

func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
