package balancer

import (
	"strings"
	"testing"
)

func TestEffectivePinning(t *testing.T) {
	caps := Capabilities{PayloadOffset: 255, KeyBytes: 60}
	field := func(f ...Field) Key { return Key{Variants: []Variant{{Fields: f}}} }
	for _, tt := range []struct {
		name    string
		key     Key
		wish    Pinning
		want    Pinning
		because string
	}{
		{"short", field(Field{Offset: 1, Length: 8}), PinAuto, PinSession, "nft can load"},
		{"as asked for", field(Field{Offset: 1, Length: 8}), PinFlow, PinFlow, "as configured"},
		{"longest", field(Field{Offset: 1, Length: 60}), PinAuto, PinSession, ""},
		{"too long", field(Field{Offset: 1, Length: 61}), PinAuto, PinFlow, "61 bytes"},
		{"too long and asked for", field(Field{Offset: 1, Length: 61}), PinSession, PinFlow, "61 bytes"},
		{"padded too long", field(Field{Length: 29}, Field{Offset: 30, Length: 29}), PinAuto, PinFlow, "64 bytes"},
		{"deepest", field(Field{Offset: 255, Length: 8}), PinAuto, PinSession, ""},
		{"too deep", field(Field{Offset: 256, Length: 8}), PinAuto, PinFlow, "offset 256"},
		{"deep in pieces", field(Field{Offset: 250, Length: 32, Mask: make([]byte, 32)}), PinAuto, PinFlow, "offset 266"},
		{"deep match", Key{Variants: []Variant{{Match: []Match{{Offset: 300, Value: []byte{1}}}, Fields: []Field{{Length: 4}}}}}, PinAuto, PinFlow, "match is at payload offset 300"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, why := effectivePinning(tt.wish, tt.key.beyond(caps))
			if got != tt.want || !strings.Contains(why, tt.because) {
				t.Errorf("%s because %q, want %s because of %q", got, why, tt.want, tt.because)
			}
		})
	}
}
