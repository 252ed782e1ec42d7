package nfq

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// The ports of the test's services.
const (
	sessionPort = 1194 // pinned to sessions: the key is the first 4 bytes
	flowPort    = 1195 // pinned to flows
	dropPort    = 1196 // pinned to flows, drops packets without a key
	emptyPort   = 1197 // pinned to sessions, no backend
	freePort    = 1198 // nobody's
)

const keyLen = 4

// marks is the default layout: the id in the lower half.
var marks = balancer.Marks{Mask: 0xffff}

// foreign is a bit of somebody else's, above all of ours.
const foreign = 1 << 30

// fakeBindings binds each key to the candidate.
type fakeBindings struct {
	delay     time.Duration
	hold      chan struct{} // if any: Bind waits until it is closed
	confirmed bool
	young     bool
	calls     atomic.Int64
}

func (f *fakeBindings) Bind(_ int64, key []byte, _ *balancer.View, _ bool, candidate uint16) balancer.Binding {
	f.calls.Add(1)
	if f.delay > 0 {
		time.Sleep(f.delay)
	}
	if f.hold != nil {
		<-f.hold
	}
	if candidate == 0 {
		return balancer.Binding{}
	}
	ref := balancer.SessionRef{Index: binary.BigEndian.Uint32(key), Gen: 1}
	return balancer.Binding{Session: ref, Backend: candidate, Confirmed: f.confirmed, Created: !f.confirmed, Young: f.young}
}

func (f *fakeBindings) Told(now int64, key []byte, v *balancer.View, v6 bool, backend uint16) balancer.Binding {
	return f.Bind(now, key, v, v6, backend)
}

func (f *fakeBindings) Find([]byte, *balancer.View, bool) (balancer.Binding, bool) {
	return balancer.Binding{}, false
}

// testSnapshot has a service at each of the ports, of both families.
func testSnapshot(b balancer.Bindings) *balancer.Snapshot {
	caps := balancer.Capabilities{PayloadOffset: 255, KeyBytes: 60}
	var views []*balancer.View
	for _, s := range []struct {
		name     string
		port     uint16
		pinning  balancer.Pinning
		fallback balancer.Fallback
		backends int
	}{
		{"a-session", sessionPort, balancer.PinSession, balancer.FallbackSource, 3},
		{"b-flow", flowPort, balancer.PinFlow, balancer.FallbackSource, 3},
		{"c-drop", dropPort, balancer.PinFlow, balancer.FallbackDrop, 3},
		{"d-empty", emptyPort, balancer.PinSession, balancer.FallbackSource, 0},
	} {
		service := &balancer.Service{
			Name:    s.name,
			Listen:  []netip.AddrPort{listener4(s.port), listener6(s.port)},
			Pinning: s.pinning,
			Slots:   251,
			Seed:    1,
			Key: balancer.Key{
				Variants: []balancer.Variant{{Fields: []balancer.Field{{Offset: 0, Length: keyLen}}}},
				Fallback: s.fallback,
			},
		}
		for i := range s.backends {
			n := i + 1
			service.Backends = append(service.Backends, balancer.Backend{
				ID: uint16(n), Name: string(rune('a' + i)), Port: sessionPort, Weight: 1,
				Addresses: []netip.Addr{lab.BackendIPv4(n), lab.BackendIPv6(n)},
			})
		}
		views = append(views, balancer.NewView(service, caps, nil, b))
	}
	return balancer.NewSnapshot(marks, 0, views)
}

func listener4(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.ListenerIPv4(0), port) }
func listener6(port uint16) netip.AddrPort { return netip.AddrPortFrom(lab.ListenerIPv6(0), port) }

// keyOf is the payload of a session: its number, and zeros up to 12 bytes.
func keyOf(i int) []byte {
	b := make([]byte, 12)
	binary.BigEndian.PutUint32(b, uint32(i))
	return b
}
