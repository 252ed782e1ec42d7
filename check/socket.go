package check

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// udpSockets are the local addresses of the namespace's UDP sockets.
type udpSockets map[netip.AddrPort]bool

func readUDPSockets() (udpSockets, error) {
	all := make(udpSockets)
	for _, file := range []string{"udp", "udp6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list UDP sockets: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			if local, ok := parseSocketLine(line); ok {
				all[local] = true
			}
		}
	}
	return all, nil
}

// parseSocketLine reads the local address from a line of /proc/net/udp or
// udp6, its second column; false for the heading.
//
//	112: 0100007F:0035 00000000:0000 07 ...
func parseSocketLine(line string) (netip.AddrPort, bool) {
	columns := strings.Fields(line)
	if len(columns) < 2 {
		return netip.AddrPort{}, false
	}
	host, service, found := strings.Cut(columns[1], ":")
	if !found {
		return netip.AddrPort{}, false
	}
	raw, err := hex.DecodeString(host)
	port, portErr := strconv.ParseUint(service, 16, 16)
	if err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	// Each word of four bytes is printed as a number of the host's byte order.
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(port)), true
}

// bound reports whether a socket has this very address.
func (s udpSockets) bound(at netip.AddrPort) bool {
	mapped := netip.AddrPortFrom(netip.AddrFrom16(at.Addr().As16()), at.Port())
	return s[at] || s[mapped]
}

// wildcard reports whether a socket is bound to every address and receives
// what is sent to this one. An IPv6 socket receives IPv4 too, unless it
// declines, which cannot be seen from here.
func (s udpSockets) wildcard(at netip.AddrPort) bool {
	v6 := s[netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())]
	return v6 || at.Addr().Is4() && s[netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())]
}
