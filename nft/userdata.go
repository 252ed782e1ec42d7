package nft

import "encoding/binary"

// udata finds a member of user data: type, length, value, a byte each for the
// first two.
func udata(b []byte, typ byte) []byte {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == typ {
			return b[2 : 2+int(b[1])]
		}
		b = b[2+int(b[1]):]
	}
	return nil
}

func udataText(b []byte, typ byte) string { return cString(udata(b, typ)) }

func udataNumber(b []byte, typ byte) uint32 {
	d := udata(b, typ)
	if len(d) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(d)
}

// udataHost says whether a key or its data is in the host's byte order, see
// mapUserdata.
func udataHost(b []byte, typ byte) bool { return udataNumber(b, typ) == 1 }
