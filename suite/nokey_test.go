package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/internal/lab"
)

// variants is a key in two variants, as protocols have it whose data and
// control packets differ.
func variants(fallback string) string {
	return `key:
  variants:
    - {name: data, match: [{offset: 0, value: "48"}], fields: [{offset: 1, length: 8}]}
    - {name: control, match: [{offset: 0, mask: "f8", value: "38"}], fields: [{offset: 3, length: 8}]}
  fallback: ` + fallback
}

// keyless are payloads in which these variants find no key, each marked by a
// number where there is room.
func keyless(i int) []byte {
	p := []byte{0x90, byte(i >> 8), byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	switch i % 6 {
	case 0: // nothing at all
		return nil
	case 1: // the first variant, its first byte alone
		return []byte{0x48}
	case 2: // the first variant, a byte too short
		p[0] = 0x48
		return p[:8]
	case 3: // the second variant, a byte too short
		p[0] = 0x3a
		return p[:10]
	case 4: // neither, and short
		return p[:3]
	default: // neither
		return p
	}
}

// view is a service of the file as a decision without any history sees it.
// The file must name the seed.
func (b *bed) view(name string) *balancer.View {
	b.t.Helper()
	path := filepath.Join(b.dir, "roamlb.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := config.Parse(path, text)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range f.Services {
		s := &f.Services[i]
		if s.Name != name {
			continue
		}
		if s.Seed == 0 {
			b.t.Fatalf("service %s needs a seed here", name)
		}
		for j := range s.Backends { // the numbers by which their echoes answer
			if _, err := fmt.Sscanf(s.Backends[j].Name, "b%d", &s.Backends[j].ID); err != nil {
				b.t.Fatal(err)
			}
		}
		return balancer.NewView(s, balancer.Capabilities{}, nil, nil)
	}
	b.t.Fatalf("no service %s", name)
	return nil
}

// Packets without a key, a handshake's first ones for instance, must not be
// lost or strewn about: all of a source go to one backend, and to the same one
// when the daemon is gone.
func TestPacketsWithoutKeyGoBySource(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		for _, fallback := range []string{"source", "source-port"} {
			t.Run(pinning+" "+fallback, func(t *testing.T) {
				b := newBed(t, bedOptions{})
				b.serve(b.service("pinning: "+pinning, "seed: 4711", variants(fallback)))
				v := b.view("vpn")
				check := func(when string, from uint16) {
					t.Helper()
					var list []lab.Datagram
					for i := range 120 { // twice as many as there are addresses
						at := client(i%4 > 1, i%60, from+uint16(i/60))
						list = append(list, lab.Datagram{Src: at, Dst: listener(i%4 > 1), Payload: keyless(i)})
					}
					seen := make(map[int]bool)
					for i, r := range b.exchange(5000, list...) {
						at := list[i].Src
						if want := int(v.Ring(at.Addr().Is6()).At(v.SourceHash(at))); r.Number() != want {
							t.Fatalf("%s: %x of %v is at backend %d, want %d", when, list[i].Payload, at, r.Number(), want)
						}
						seen[r.Number()] = true
					}
					if len(seen) != len(b.Backends) {
						t.Errorf("%s: 60 sources reached %d backends, want %d", when, len(seen), len(b.Backends))
					}
				}
				check("with the daemon", 20000)
				if got := b.daemon.events("roam"); len(got) > 0 {
					t.Errorf("packets without a key made a session: %s", got[0].text)
				}
				b.daemon.kill()
				check("without the daemon", 20100)
			})
		}
	}
}

// A flow that is pinned by its first packet's key keeps its backend for the
// packets without one, which are most in such protocols.
func TestKeylessPacketsStayInTheirFlow(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service("pinning: flow", variants("source")))
	elsewhere := 0
	for i := range 40 {
		at := client(i%2 == 1, i, 20000)
		home := b.exchange(0, datagram(at, i, 0))[0]
		for seq := range 6 {
			r := b.exchange(0, lab.Datagram{Src: at, Dst: listener(at.Addr().Is6()), Payload: keyless(seq)})[0]
			if r.Number() != home.Number() {
				t.Fatalf("session %d: a packet without a key went to backend %d, the flow is at %d", i, r.Number(), home.Number())
			}
		}
		alone := client(i%2 == 1, i, 20001)
		if b.exchange(0, lab.Datagram{Src: alone, Dst: listener(at.Addr().Is6()), Payload: keyless(5)})[0].Number() != home.Number() {
			elsewhere++
		}
	}
	if elsewhere < 10 {
		t.Errorf("for only %d of 40 the source alone leads elsewhere: the test shows nothing", elsewhere)
	}
}

// An operator who drops packets without a key, against scanners, must see none
// of them at a backend, and all of the others.
func TestPacketsWithoutKeyDropped(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: "+pinning, variants("drop")))
			const n = 60
			keyed := 0
			round := func(seq int) {
				t.Helper()
				var bad, good []lab.Datagram
				for i := range n {
					at := client(i%2 == 1, i, 20000)
					bad = append(bad, lab.Datagram{Src: at, Dst: listener(i%2 == 1), Payload: keyless(i)})
					good = append(good, datagram(at, i, seq))
				}
				if _, err := b.clients.SendAll(bad); err != nil {
					t.Fatal(err)
				}
				if seq == 0 { // nor do they make an entry that would catch what follows
					b.exchange(5000, good...)
					keyed += n
				}
			}
			round(0)
			if pinning == "session" {
				r := b.ruleset()
				for _, chain := range []string{"fallback4-vpn", "fallback6-vpn"} {
					waitFor(t, 5*time.Second, chain+" has dropped its half", func() bool { return counted(r.rules(chain)[0]) == n/2 })
				}
				b.daemon.kill() // the kernel alone drops them too
				round(1)
			} else {
				b.daemon.stop() // and so every packet has its verdict
			}
			b.exchange(0, datagram(client(false, 1, 20000), 1, 9))
			keyed++
			if total := b.received(); total != keyed {
				t.Errorf("%d datagrams arrived, want the %d with a key", total, keyed)
			}
		})
	}
}
