package balancer

import "fmt"

// Capabilities are the limits of the kernel's nft that decide which keys it
// can load. They are found by trying, see package nft.
type Capabilities struct {
	PayloadOffset int  // the largest offset into a UDP payload that a rule can load from
	KeyBytes      int  // the longest key, as laid in registers, that a map can hold beside its data
	Copies        bool // rules can send copies of packets to an NFLOG group
}

// effectivePinning says how a service's packets are bound to their backend,
// and why where that is not as asked for or a choice was made. beyond is why
// nft cannot load its key.
func effectivePinning(wish Pinning, beyond string) (Pinning, string) {
	switch {
	case wish == PinFlow:
		return PinFlow, "as configured"
	case beyond != "":
		return PinFlow, beyond
	case wish == PinSession:
		return PinSession, "as configured"
	default:
		return PinSession, "nft can load the key"
	}
}

// effectiveDatapath says who decides a session's first packet, and why where
// that is not as asked for. Where the kernel cannot load the key, or a flow is
// to be decided once, only Go can.
func effectiveDatapath(s *Service, p Pinning, c Capabilities) (Datapath, string) {
	switch {
	case s.Datapath != DatapathKernel:
		return DatapathQueue, "as configured"
	case p != PinSession:
		return DatapathQueue, "the daemon pins flows"
	case !c.Copies:
		return DatapathQueue, "nft of this kernel cannot send copies (CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG)"
	default:
		return DatapathKernel, "as configured"
	}
}

// beyond says why nft cannot load a key; "" where it can.
func (k *Key) beyond(c Capabilities) string {
	for i := range k.Variants {
		v := &k.Variants[i]
		for _, m := range v.Match {
			if m.Offset > c.PayloadOffset {
				return fmt.Sprintf("a match is at payload offset %d, nft of this kernel loads from up to %d", m.Offset, c.PayloadOffset)
			}
		}
		for _, f := range v.Fields {
			if off := f.lastLoad(); off > c.PayloadOffset {
				return fmt.Sprintf("the key is at payload offset %d, nft of this kernel loads from up to %d", off, c.PayloadOffset)
			}
		}
		if n := v.KeyLen(); n > c.KeyBytes {
			return fmt.Sprintf("the key takes %d bytes of nft's registers, a map of this kernel holds up to %d", n, c.KeyBytes)
		}
	}
	return ""
}

// lastLoad is the offset of the last load that nft needs for the field: one
// with a mask is loaded in pieces of sixteen bytes.
func (f *Field) lastLoad() int {
	if f.Mask == nil {
		return f.Offset
	}
	return f.Offset + (f.Length-1)/16*16
}

// KeyLen is the length in bytes of the variant's key as nft lays it in its
// registers: one field as it is, several each padded to a multiple of four.
func (v *Variant) KeyLen() int {
	if len(v.Fields) == 1 {
		return v.Fields[0].Length
	}
	n := 0
	for _, f := range v.Fields {
		n += (f.Length + 3) / 4 * 4
	}
	return n
}
