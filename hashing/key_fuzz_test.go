package hashing

import (
	"slices"
	"testing"
)

// FuzzExtract reads a key's description from spec and compares Extract with the
// reference on payload: an attacker chooses payloads, and must not be able to
// crash the daemon.
func FuzzExtract(f *testing.F) {
	f.Fuzz(func(t *testing.T, spec, payload []byte) {
		checkExtract(t, decodeVariants(spec), payload)
	})
}

// FuzzExtractProtocols lets payloads loose on the layouts of known protocols.
func FuzzExtractProtocols(f *testing.F) {
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, variants := range layouts {
			checkExtract(t, variants, payload)
		}
	})
}

// decodeVariants makes a description of any bytes. A byte each tells
//
//	a variant:  matches (2 bits), fields less one (2 bits)
//	a match:    offset, masked (1 bit) and length less one (7 bits), value, mask
//	a field:    offset, masked (1 bit) and length less one (7 bits), mask
//
// and bytes that are missing are zero.
func decodeVariants(spec []byte) []Variant {
	take := func(n int) []byte {
		taken := make([]byte, n)
		spec = spec[copy(taken, spec):]
		return taken
	}
	run := func() (offset, length int, masked bool) {
		b := take(2)
		return int(b[0]), int(b[1]&0x7f) + 1, b[1]&0x80 != 0
	}
	var variants []Variant
	for len(spec) > 0 {
		var v Variant
		shape := int(take(1)[0])
		for range shape & 3 {
			offset, length, masked := run()
			m := Match{Offset: offset, Value: take(length)}
			if masked {
				m.Mask = take(length)
			}
			v.Match = append(v.Match, m)
		}
		for range shape>>2&3 + 1 {
			offset, length, masked := run()
			field := Field{Offset: offset, Length: length}
			if masked {
				field.Mask = take(length)
			}
			v.Fields = append(v.Fields, field)
		}
		variants = append(variants, v)
	}
	return variants
}

// If the committed seeds meant something else than their names say, fuzzing
// would begin far from the layouts that people use.
func TestDecodeVariants(t *testing.T) {
	// OpenVPN's layout, as in testdata/fuzz/FuzzExtract/openvpn-data.
	spec := []byte{0x01, 0, 0x80, 0x48, 0xf8, 1, 2, 0x00, 1, 7}
	got := NewLayout(decodeVariants(spec))
	want := NewLayout(layouts["openvpn"])
	for _, first := range []byte{0x48, 0x38} {
		payload := []byte{first, 1, 2, 3, 4, 5, 6, 7, 8}
		gotKey, gotVariant, _ := got.Extract(nil, payload)
		wantKey, wantVariant, _ := want.Extract(nil, payload)
		if !slices.Equal(gotKey, wantKey) || gotVariant != wantVariant {
			t.Errorf("first byte %#x: got %x, variant %d; want %x, %d", first, gotKey, gotVariant, wantKey, wantVariant)
		}
	}
}
