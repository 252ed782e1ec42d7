package nft

import (
	"bytes"
	"fmt"
	"slices"
)

// eachInterval puts intervals together from where they begin and where the next
// value is not theirs any more, and calls fn with each one's last value.
func (s *shownSet) eachInterval(fn func(first *shownElement, last []byte)) {
	var es []*shownElement
	for i := range s.elements {
		if e := &s.elements[i]; !e.any {
			es = append(es, e)
		}
	}
	at := func(e *shownElement) []byte { return bigEndian(e.key, s.key.host) }
	slices.SortStableFunc(es, func(a, b *shownElement) int {
		switch c := bytes.Compare(at(a), at(b)); {
		case c != 0 || a.end == b.end:
			return c
		case a.end: // one ends before the next begins
			return -1
		}
		return 1
	})
	var open *shownElement
	for _, e := range es {
		if open != nil {
			fn(open, before(at(e)))
			open = nil
		}
		if !e.end {
			open = e
		}
	}
	if open != nil {
		fn(open, bytes.Repeat([]byte{0xff}, len(open.key)))
	}
}

// before gives the value before a big endian one.
func before(b []byte) []byte {
	b = slices.Clone(b)
	for i := len(b) - 1; i >= 0; i-- {
		b[i]--
		if b[i] != 0xff {
			break
		}
	}
	return b
}

// interval writes the interval from an element to a big endian value.
func (s *shownSet) interval(first *shownElement, last []byte) string {
	return valueType{id: s.key.id}.span(bigEndian(first.key, s.key.host), last)
}

// span writes an interval of big endian values: as a prefix where it is one, of
// addresses.
func (t valueType) span(from, last []byte) string {
	if bytes.Equal(from, last) || len(from) != len(last) {
		return t.text(from)
	}
	if t.id == typeIPv4 || t.id == typeIPv6 {
		mask := make([]byte, len(from))
		aligned := true
		for i := range from {
			mask[i] = ^(from[i] ^ last[i])
			aligned = aligned && from[i]&^mask[i] == 0 && last[i]|mask[i] == 0xff
		}
		if n, ok := prefixLen(mask); ok && aligned {
			return fmt.Sprintf("%s/%d", t.text(from), n)
		}
	}
	return t.text(from) + "-" + t.text(last)
}

// prefixLen says how many leading ones a mask consists of.
func prefixLen(mask []byte) (int, bool) {
	n := 0
	for n < len(mask)*8 && mask[n/8]<<(n%8)&0x80 != 0 {
		n++
	}
	for i := n; i < len(mask)*8; i++ {
		if mask[i/8]<<(i%8)&0x80 != 0 {
			return 0, false
		}
	}
	return n, true
}
