package suite

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// A server gets another address: that is no other server, and its sessions stay
// with it, whatever is on its way meanwhile.
func TestBackendChangesItsAddress(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			moved := []netip.Addr{netip.MustParseAddr("198.51.100.211"), netip.MustParseAddr("2001:db8:b::211")}
			var at []netip.AddrPort
			for _, a := range moved {
				if err := b.AddBackendAddress(b.Backend(1), a); err != nil {
					t.Fatal(err)
				}
				at = append(at, netip.AddrPortFrom(a, port))
			}
			e, err := lab.NewEcho(b.Backend(1).Namespace, lab.EchoOptions{
				Number: 1, OnArrival: func(a lab.Arrival) { b.arrived.add(1, a) },
			}, at...)
			if err != nil {
				t.Fatal(err)
			}
			b.echoes = append(b.echoes, e)

			b.queues = patientQueues
			b.serve(b.service("pinning: " + pinning))
			live := numbers(0, scaled(300, 100))
			home := b.settle(live)
			l := b.startLoad(1_000_000, paced(4000))
			time.Sleep(100 * time.Millisecond)
			backends := strings.Replace(b.backends(nil), fmt.Sprintf("[%s, %q]", b.Backend(1).IPv4, b.Backend(1).IPv6), fmt.Sprintf("[%s, %q]", moved[0], moved[1]), 1)
			if refusal := b.reload(b.service("pinning: "+pinning, backends)); refusal != "" {
				t.Fatal(refusal)
			}
			time.Sleep(slow(100 * time.Millisecond)) // what is on its way arrives
			before := b.echoes[0].Total()
			time.Sleep(100 * time.Millisecond)
			l.stop()
			b.stay("from where they were", home, from(20000, live, 10))
			b.stay("from elsewhere", home, from(20001, live, 11))
			if n := b.echoes[0].Total() - before; n > 0 {
				t.Errorf("%d datagrams came to the old address after the change", n)
			}
			if e.Total() == 0 {
				t.Error("nothing has come to the new address: the test shows nothing")
			}
		})
	}
}

// Servers that have only one family serve the clients of that one. A session
// that roams to the other family and back finds its server again.
func TestBackendsOfOneFamily(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: "+pinning, fmt.Sprintf(`backends:
  - {name: both, addresses: [%s, %q], port: %d}
  - {name: four, address: %s, port: %d}
  - {name: six, address: %q, port: %d}`,
				b.Backend(1).IPv4, b.Backend(1).IPv6, port, b.Backend(2).IPv4, port, b.Backend(3).IPv6, port)))
			const sessions = 60
			ask := func(v6 bool, at uint16, seq int) []int {
				t.Helper()
				var list []lab.Datagram
				for i := range sessions {
					list = append(list, datagram(client(v6, 1+i, at), i, seq))
				}
				var out []int
				for _, r := range b.exchange(2000, list...) {
					out = append(out, r.Number())
				}
				return out
			}
			six := ask(true, 20000, 0)
			b.kernelIsTold()
			four := ask(false, 20000, 1)
			b.kernelIsTold()
			again6, again4 := ask(true, 20001, 2), ask(false, 20001, 3)
			for i := range sessions {
				if six[i] == 2 || four[i] == 3 {
					t.Fatalf("session %d is at backends %d and %d, which have no such address", i, six[i], four[i])
				}
				if six[i] == 1 && four[i] != 1 {
					t.Errorf("session %d left backend 1, which has both families, for %d", i, four[i])
				}
				if again6[i] != six[i] || again4[i] != four[i] {
					t.Errorf("session %d: backends %d, %d, then %d, %d", i, six[i], four[i], again6[i], again4[i])
				}
			}
			if n := shares(six); len(n) != 2 {
				t.Errorf("over IPv6 the sessions are at backends %v, want two", n)
			}
			if n := shares(four); len(n) != 2 {
				t.Errorf("over IPv4 the sessions are at backends %v, want two", n)
			}
		})
	}
}

// Where others need the bits and zones that are ours by default, other ones
// must do as well.
func TestOtherMarksAndZones(t *testing.T) {
	atLeisure(t)
	const mask, zoneBase = 0x00ff0000, 30_000
	b := newBed(t, bedOptions{})
	text, err := os.ReadFile(b.configure(b.service()))
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "services:", fmt.Sprintf("mark_mask: %#08x\nzone_base: %d\nservices:", mask, zoneBase), 1))
	if err := os.WriteFile(filepath.Join(b.dir, "roamlb.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	live := numbers(0, 60)
	home := b.place(live, 0)
	b.stay("after a roam", home, from(20001, live, 1))
	b.onlyAt(20001, live)
	b.daemon.kill()
	b.stay("without the daemon", home, from(20002, live, 2))
	b.start()
	b.stay("after the restart", home, from(20003, live, 3))
	for _, e := range b.entries() {
		if e.zone < zoneBase+1 || e.zone > zoneBase+3 || e.mark&0x0000ffff != 0 {
			t.Fatalf("want a zone from %d on and a ct mark above %#x: %+v", zoneBase+1, mask, e)
		}
	}
}
