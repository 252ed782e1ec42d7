package hashing

import (
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// layouts are keys of protocols that roam, and one for each rule of Extract.
var layouts = map[string][]Variant{
	// OpenVPN: control packets carry the session id, data packets a peer id.
	"openvpn": {
		{Match: []Match{{Mask: []byte{0xf8}, Value: []byte{0x48}}}, Fields: []Field{{Offset: 1, Length: 3}}},
		{Fields: []Field{{Offset: 1, Length: 8}}},
	},
	// WireGuard: type 4, then the receiver's index.
	"wireguard": {{Match: []Match{{Value: []byte{4, 0, 0, 0}}}, Fields: []Field{{Offset: 4, Length: 4}}}},
	// QUIC: a long header tells its id's length, a short one has 8 bytes.
	"quic": {
		{Match: []Match{{Mask: []byte{0x80}, Value: []byte{0x80}}, {Offset: 5, Value: []byte{8}}}, Fields: []Field{{Offset: 6, Length: 8}}},
		{Match: []Match{{Mask: []byte{0x80}, Value: []byte{0}}}, Fields: []Field{{Offset: 1, Length: 8}}},
	},
	"masked field": {{Fields: []Field{{Offset: 1, Length: 3, Mask: []byte{0x0f, 0xff, 0xf0}}}}},
	"two fields":   {{Fields: []Field{{Offset: 4, Length: 5}, {Offset: 0, Length: 2, Mask: []byte{0x0f, 0xff}}}}},
	"whole words":  {{Fields: []Field{{Offset: 0, Length: 4}, {Offset: 2, Length: 4}}}},
	"no variants":  {},
}

// A wrong key splits one session over backends, or sends several to one.
func TestExtract(t *testing.T) {
	for _, tt := range []struct {
		name, layout, payload string
		want                  string // the key in hex
		variant               int
		ok                    bool
	}{
		{"openvpn data", "openvpn", "48a1b2c3ffff", "a1b2c3", 0, true},
		{"openvpn data, other bits of the byte", "openvpn", "4fa1b2c3ffff", "a1b2c3", 0, true},
		{"openvpn control", "openvpn", "380102030405060708ffff", "0102030405060708", 1, true},
		{"a variant that is too short ends the search", "openvpn", "48a1b2", "", 0, false},
		{"the last variant is too short", "openvpn", "3801020304050607", "", 1, false},
		{"an empty payload matches what asks for nothing", "openvpn", "", "", 1, false},
		{"wireguard data", "wireguard", "04000000deadbeef00", "deadbeef", 0, true},
		{"wireguard handshake", "wireguard", "01000000deadbeef00", "", -1, false},
		{"a match beyond the payload's end does not hold", "wireguard", "040000", "", -1, false},
		{"a match at the payload's end holds", "wireguard", "04000000", "", 0, false},
		{"an empty payload", "wireguard", "", "", -1, false},
		{"quic long header", "quic", "c000000001081122334455667788", "1122334455667788", 0, true},
		{"quic long header with another length", "quic", "c000000001041122334455667788", "", -1, false},
		{"quic short header", "quic", "401122334455667788ff", "1122334455667788", 1, true},
		{"a single field is masked, not padded", "masked field", "ffabcdef", "0bcde0", 0, true},
		{"exactly long enough", "masked field", "ffffffff", "0ffff0", 0, true},
		{"several fields are padded, the last too", "two fields", "ffeeddccbbaa998877", "bbaa998877000000" + "0fee0000", 0, true},
		{"the farthest field counts, not the last", "two fields", "ffeeddccbbaa9988", "", 0, false},
		{"whole words need no padding and may overlap", "whole words", "010203040506", "0102030403040506", 0, true},
		{"no variants", "no variants", "00", "", -1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload, err := hex.DecodeString(tt.payload)
			if err != nil {
				t.Fatal(err)
			}
			key, variant, ok := NewLayout(layouts[tt.layout]).Extract([]byte("stale"), payload)
			if got := hex.EncodeToString(key); got != tt.want || variant != tt.variant || ok != tt.ok {
				t.Errorf("got key %q, variant %d, %t; want %q, %d, %t", got, variant, ok, tt.want, tt.variant, tt.ok)
			}
		})
	}
}

// What nft declares its maps with, and how much of a packet is copied to the
// daemon: too little, and keys are cut off.
func TestLayoutSizes(t *testing.T) {
	for _, tt := range []struct {
		layout      string
		keys        []int
		maxLen, end int
	}{
		{"openvpn", []int{3, 8}, 8, 9},
		{"wireguard", []int{4}, 4, 8},
		{"quic", []int{8, 8}, 8, 14},
		{"masked field", []int{3}, 3, 4},
		{"two fields", []int{12}, 12, 9},
		{"whole words", []int{8}, 8, 6},
		{"no variants", nil, 0, 0},
	} {
		l := NewLayout(layouts[tt.layout])
		if l.MaxLen() != tt.maxLen || l.End() != tt.end {
			t.Errorf("%s: longest key %d, end %d; want %d, %d", tt.layout, l.MaxLen(), l.End(), tt.maxLen, tt.end)
		}
		for variant, want := range tt.keys {
			if got := l.KeyLen(variant); got != want {
				t.Errorf("%s: variant %d has keys of %d bytes, want %d", tt.layout, variant, got, want)
			}
		}
	}
	match := Match{Offset: 40, Value: []byte{1, 2}}
	if got := NewLayout([]Variant{{Match: []Match{match}, Fields: []Field{{Length: 1}}}}).End(); got != 42 {
		t.Errorf("end is %d, want 42: a match may reach beyond the fields", got)
	}
}

// A configuration that nobody validated must not become a key that is the same
// for all sessions, or a crash on the first packet.
func TestNewLayoutPanics(t *testing.T) {
	field := []Field{{Length: 1}}
	for name, v := range map[string]Variant{
		"no fields":               {},
		"field without bytes":     {Fields: []Field{{Offset: 1}}},
		"field before the start":  {Fields: []Field{{Offset: -1, Length: 2}}},
		"field beyond all bounds": {Fields: []Field{{Offset: math.MaxInt, Length: 1}}},
		"field with a short mask": {Fields: []Field{{Length: 2, Mask: []byte{1}}}},
		"match without bytes":     {Match: []Match{{}}, Fields: field},
		"match before the start":  {Match: []Match{{Offset: -1, Value: []byte{1}}}, Fields: field},
		"match with a long mask":  {Match: []Match{{Mask: []byte{1, 2}, Value: []byte{1}}}, Fields: field},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("was taken")
				}
			}()
			NewLayout([]Variant{v})
		})
	}
}

// A layout that is in use must not change under the packets when its
// configuration's slices are edited.
func TestNewLayoutCopies(t *testing.T) {
	mask, value, fieldMask := []byte{0xff}, []byte{1}, []byte{0xff}
	variants := []Variant{{
		Match:  []Match{{Mask: mask, Value: value}},
		Fields: []Field{{Offset: 1, Length: 1, Mask: fieldMask}},
	}}
	l := NewLayout(variants)
	mask[0], value[0], fieldMask[0] = 0, 9, 0
	variants[0].Fields[0].Offset = 7
	if key, _, ok := l.Extract(nil, []byte{1, 2}); !ok || key[0] != 2 {
		t.Errorf("got key %x, %t after the configuration was edited; want 02", key, ok)
	}
}

// Whatever a key looks like and whatever arrives, Extract agrees with its
// description and survives.
func TestExtractAgreesWithReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		variants := rapid.SliceOfN(genVariant(), 0, 4).Draw(t, "variants")
		payload := rapid.SliceOfN(genByte(), 0, 40).Draw(t, "payload")
		checkExtract(t, variants, payload)
	})
}

// checkExtract fails where a Layout of variants and the reference disagree about
// payload.
func checkExtract(t rapid.TB, variants []Variant, payload []byte) {
	t.Helper()
	l := NewLayout(variants)
	original := slices.Clone(payload)
	buf := make([]byte, l.MaxLen())
	key, variant, ok := l.Extract(buf, payload)
	wantKey, wantVariant, wantOK := reference(variants, payload)
	if !slices.Equal(key, wantKey) || variant != wantVariant || ok != wantOK {
		t.Fatalf("got key %x, variant %d, %t; want %x, %d, %t", key, variant, ok, wantKey, wantVariant, wantOK)
	}
	if ok && (len(key) != l.KeyLen(variant) || len(key) > l.MaxLen()) {
		t.Errorf("key has %d bytes, KeyLen says %d, MaxLen %d", len(key), l.KeyLen(variant), l.MaxLen())
	}
	if ok && &key[0] != &buf[0] {
		t.Error("the key is not in the buffer that had room for it")
	}
	if !slices.Equal(payload, original) {
		t.Error("the payload was changed")
	}
	cut := payload[:min(len(payload), l.End())]
	if got, v, again := l.Extract(nil, cut); !slices.Equal(got, key) || v != variant || again != ok {
		t.Errorf("without the bytes beyond End: key %x, variant %d, %t; with them %x, %d, %t", got, v, again, key, variant, ok)
	}
}

// reference is Extract as its comment says it, byte by byte.
func reference(variants []Variant, payload []byte) (key []byte, variant int, ok bool) {
	at := func(offset int) (byte, bool) {
		if offset >= len(payload) {
			return 0, false
		}
		return payload[offset], true
	}
	masked := func(b byte, mask []byte, i int) byte {
		if len(mask) == 0 {
			return b
		}
		return b & mask[i]
	}
next:
	for number, v := range variants {
		for _, m := range v.Match {
			for i, want := range m.Value {
				if b, there := at(m.Offset + i); !there || masked(b, m.Mask, i) != want {
					continue next
				}
			}
		}
		key = []byte{}
		for _, f := range v.Fields {
			for i := range f.Length {
				b, there := at(f.Offset + i)
				if !there {
					return []byte{}, number, false
				}
				key = append(key, masked(b, f.Mask, i))
			}
			for len(v.Fields) > 1 && len(key)%4 != 0 {
				key = append(key, 0)
			}
		}
		return key, number, true
	}
	return []byte{}, -1, false
}

// genByte prefers few values, so that matches hold now and then.
func genByte() *rapid.Generator[byte] {
	return rapid.OneOf(rapid.ByteRange(0, 2), rapid.Just(byte(0xff)), rapid.Byte())
}

func genMask(length int) *rapid.Generator[[]byte] {
	return rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(genByte(), length, length))
}

func genVariant() *rapid.Generator[Variant] {
	match := rapid.Custom(func(t *rapid.T) Match {
		value := rapid.SliceOfN(genByte(), 1, 2).Draw(t, "value")
		return Match{
			Offset: rapid.IntRange(0, 20).Draw(t, "offset"),
			Mask:   genMask(len(value)).Draw(t, "mask"),
			Value:  value,
		}
	})
	field := rapid.Custom(func(t *rapid.T) Field {
		length := rapid.IntRange(1, 20).Draw(t, "length")
		return Field{
			Offset: rapid.IntRange(0, 20).Draw(t, "offset"),
			Length: length,
			Mask:   genMask(length).Draw(t, "mask"),
		}
	})
	return rapid.Custom(func(t *rapid.T) Variant {
		return Variant{
			Match:  rapid.SliceOfN(match, 0, 2).Draw(t, "match"),
			Fields: rapid.SliceOfN(field, 1, 3).Draw(t, "fields"),
		}
	})
}

func TestExtractDoesNotAllocate(t *testing.T) {
	payload := slices.Repeat([]byte{0x48}, 64)
	for name, variants := range layouts {
		l := NewLayout(variants)
		buf := make([]byte, 0, l.MaxLen())
		if n := testing.AllocsPerRun(100, func() { buf, _, _ = l.Extract(buf, payload) }); n != 0 {
			t.Errorf("%s: %v allocations a packet, want none", name, n)
		}
	}
}

func BenchmarkExtract(b *testing.B) {
	for _, bm := range []struct {
		name, layout string
		first        byte
	}{
		{"first variant", "openvpn", 0x48},
		{"last variant", "openvpn", 0x38},
		{"two fields", "two fields", 0},
		{"no variant", "wireguard", 1},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			l := NewLayout(layouts[bm.layout])
			payload := make([]byte, 1200)
			payload[0] = bm.first
			buf := make([]byte, 0, l.MaxLen())
			for b.Loop() {
				buf, _, _ = l.Extract(buf, payload)
			}
		})
	}
}
