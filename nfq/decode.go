package nfq

import "net/netip"

// DecodeUDP is the UDP datagram in an IPv4 or IPv6 packet, as the queues see
// it; false for what is none, or is not whole. The payload is the packet's own
// memory.
func DecodeUDP(packet []byte) (client, listener netip.AddrPort, payload []byte, ok bool) {
	p, ok := decodePacket(packet, false)
	if !ok || p.cut {
		return client, listener, nil, false
	}
	d, ok := p.datagram()
	if !ok || d.cut {
		return client, listener, nil, false
	}
	return d.source, d.destination, d.payload, true
}
