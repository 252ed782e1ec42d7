package health

import (
	"testing"

	"github.com/roamlb/roamlb/balancer"
)

// Whatever a host on the way sends must neither stop the daemon nor bring a
// backend up.
func FuzzAnswer(f *testing.F) {
	request, err := newEcho(false)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, false, false)
	f.Add([]byte{0x4f}, false, true)
	f.Add(append([]byte{echoReply4}, request[1:]...), false, false)
	prober, err := NewProber(&balancer.Health{Kind: balancer.ProbeUDP, Expect: balancer.Expect{Prefix: request, Match: "(a|b)*c"}})
	if err != nil {
		f.Fatal(err)
	}
	udp := prober.(*udpProbe)
	f.Fuzz(func(t *testing.T, answer []byte, v6, raw bool) {
		other, err := newEcho(v6)
		if err != nil {
			t.Fatal(err)
		}
		if isReply(answer, other, v6, raw) {
			t.Error("a reply to a request that nobody has seen")
		}
		if udp.check(answer) == nil {
			t.Error("an answer without the random prefix")
		}
	})
}
