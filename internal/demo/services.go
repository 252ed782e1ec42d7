package demo

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/roamlb/roamlb/internal/lab"
)

// The ports of the services that are there while the network stays up.
const (
	gamePort   = 27015
	tunnelPort = 51820
)

// The first byte of a tunnel's datagram.
const (
	tunnelHandshake = 0x01
	tunnelData      = 0x04
	tunnelKeepalive = 0x05 // has no key
)

// gamePayload is four bytes that count, the session, and text:
//
//	0  number  4  session  12  "move ..."
func gamePayload(of session, number uint64) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(number))
	return fmt.Appendf(append(p, of[:]...), "move %d", number%1000)
}

// tunnelPayload is a handshake now and then, and else data. They have the
// session in different places, and data has it in two halves:
//
//	0  0x01  4  number  8  session
//	0  0x04  4  half    8  number  12  half
func tunnelPayload(of session, number uint64) []byte {
	if number%16 == 0 {
		p := binary.BigEndian.AppendUint32([]byte{tunnelHandshake, 0, 0, 0}, uint32(number))
		return append(p, of[:]...)
	}
	p := append([]byte{tunnelData, 0, 0, 0}, of[:keyLength/2]...)
	p = binary.BigEndian.AppendUint32(p, uint32(number))
	return append(p, of[keyLength/2:]...)
}

// walkingText is the configuration of these services, and where the API answers
// browsers. Their sessions are soon forgotten: there are always new ones.
func walkingText() string {
	backends := func(port uint16, weights ...int) string {
		var b strings.Builder
		for i, weight := range weights {
			fmt.Fprintf(&b, "\n      - {name: %s, addresses: [%s, %q], port: %d, weight: %d}",
				serverName(i), lab.BackendIPv4(i+1), lab.BackendIPv6(i+1), port, weight)
		}
		return b.String()
	}
	listen := func(port uint16) string {
		return flowMapping(listener(port, false)) + ", " + flowMapping(listener(port, true))
	}
	return fmt.Sprintf(`
  - name: game
    listen: [%s]
    key: {offset: 4, length: 8}
    session_ttl: 5m
    health: {kind: udp, interval: 2s, timeout: 500ms, rise: 2, fall: 2, send: "0000000070726f6265"}
    backends:%s
  - name: tunnel
    listen: [%s]
    key:
      variants:
        - name: handshake
          match: [{offset: 0, value: "%02x"}]
          fields: [{offset: 8, length: 8}]
        - name: data
          match: [{offset: 0, value: "%02x"}]
          fields: [{offset: 4, length: 4}, {offset: 12, length: 4}]
      fallback: source
    session_ttl: 5m
    backends:%s
`, listen(gamePort), backends(gamePort, 2, 1, 1), listen(tunnelPort), tunnelHandshake, tunnelData, backends(tunnelPort, 1, 1))
}
