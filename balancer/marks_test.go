package balancer

import (
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// A bit that is used for two things sends packets astray; one outside ours
// breaks somebody else's rules.
func TestMarksDoNotOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(4, 16).Draw(t, "width")
		shift := rapid.IntRange(0, 32-HelperBits-width).Draw(t, "shift")
		m := Marks{Mask: (1<<width - 1) << shift}
		helpers := []uint32{m.Miss(), m.Fresh(), m.Long(), m.Hold()}
		all := m.Mask
		for _, h := range helpers {
			if bits.OnesCount32(h) != 1 || all&h != 0 {
				t.Fatalf("helper bit %#x overlaps %#x", h, all)
			}
			all |= h
		}
		if all != m.All() || bits.OnesCount32(all) != width+HelperBits {
			t.Fatalf("all bits are %#x, want %#x", m.All(), all)
		}
		if m.CTAll() != m.Ours()|m.Masquerade() || m.CTAll()&^m.All() != 0 || m.Ours() == m.Masquerade() {
			t.Fatalf("ct mark bits %#x, %#x", m.Ours(), m.Masquerade())
		}
		zoneBase := uint16(rapid.IntRange(0, 60000).Draw(t, "zone base"))
		limit := m.MaxID(zoneBase)
		if int(limit)+int(zoneBase) > 0xffff || uint32(limit) > 1<<width-1 {
			t.Fatalf("largest id %d does not fit", limit)
		}
		id := uint16(rapid.IntRange(1, int(limit)).Draw(t, "id"))
		if got := m.WithID(id); got&^m.Mask != 0 || got>>shift != uint32(id) {
			t.Fatalf("id %d in the mark is %#x", id, got)
		}
	})
}
