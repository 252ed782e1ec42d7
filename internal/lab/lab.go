// Package lab makes network namespaces with real traffic in them, for the
// demo, the tests and the benchmarks: a load balancer between many clients
// and a few backends, all on one machine.
//
// It works as root and, where the kernel permits user namespaces, as an
// ordinary user, and needs no programs. A test binary starts with
//
//	func TestMain(m *testing.M) { lab.Main(m) }
//
// and from there on runs in namespaces of its own: nothing it does to links,
// routes, nftables or conntrack is seen outside, and all of it is gone when
// the process ends. Then
//
//	network, err := lab.NewNetwork(lab.NetworkOptions{})
//
// lays out this topology:
//
//	clients                    lb                          backend-1..n
//	198.18.0.0/15              192.0.2.10, .11, ...        198.51.100.1..n
//	2001:db8:f::/48            2001:db8::10, ::11, ...     2001:db8:b::1..n
//	203.0.113.2      <------>  203.0.113.1
//	2001:db8:c::2              2001:db8:c::1
//	                           198.51.100.254    <------>  one link a backend
//	                           2001:db8:b::fe
//
// The clients namespace owns every address of its two large prefixes, so any
// of them is a client without being configured. Neighbours are permanent and
// addresses skip duplicate detection: the first packet arrives.
//
// [Echo] is a backend that remembers what reached it, [Clients] sends from
// any client address and matches the answers, [RawSender] sends packets that
// sockets would not: fragments, extension headers, ICMP errors, floods.
package lab
