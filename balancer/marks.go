package balancer

import "math/bits"

// Marks lays out our bits of the packet mark and of the ct mark: a contiguous
// mask that holds a backend's id, and four helper bits just above it. All
// other bits belong to others and are never changed.
//
// In the packet mark the bits live only between two of our chains; in the ct
// mark they stay as long as the entry.
type Marks struct {
	Mask uint32
}

// HelperBits is how many bits above the mask are ours.
const HelperBits = 4

func (m Marks) helper(n int) uint32 {
	return 1 << (bits.Len32(m.Mask) + n)
}

// Miss marks a packet to a listener whose session the kernel does not know:
// steer sets it, track clears it.
func (m Marks) Miss() uint32 { return m.helper(0) }

// Fresh marks a packet that Go has just decided; the id beside it is the
// backend's, 0 for nobody.
func (m Marks) Fresh() uint32 { return m.helper(1) }

// Long asks track to record the session for the long time: its backend has
// answered.
func (m Marks) Long() uint32 { return m.helper(2) }

// Hold asks track not to record the session yet: its first packets may still
// be on their way through the queue, and must not be overtaken.
func (m Marks) Hold() uint32 { return m.helper(3) }

// All is every bit of ours.
func (m Marks) All() uint32 { return m.Mask | m.Miss() | m.Fresh() | m.Long() | m.Hold() }

// Ours marks a conntrack entry (ct mark) that this table translated.
func (m Marks) Ours() uint32 { return m.helper(0) }

// Masquerade marks a conntrack entry (ct mark) whose packets are to be
// masqueraded.
func (m Marks) Masquerade() uint32 { return m.helper(1) }

// CTAll is every bit of ours in the ct mark.
func (m Marks) CTAll() uint32 { return m.Ours() | m.Masquerade() }

// WithID places a backend's id into the mask's bits.
func (m Marks) WithID(id uint16) uint32 {
	return uint32(id) << bits.TrailingZeros32(m.Mask) & m.Mask
}

// ID is the backend's id in a packet mark.
func (m Marks) ID(mark uint32) uint16 {
	return uint16(mark & m.Mask >> bits.TrailingZeros32(m.Mask))
}

// MaxID is the largest id that the mask, and a conntrack zone above zoneBase, can hold.
func (m Marks) MaxID(zoneBase uint16) uint16 {
	byMask := m.Mask >> bits.TrailingZeros32(m.Mask)
	return uint16(min(byMask, uint32(0xffff-zoneBase)))
}
