package suite

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// theirPort is where the others' own translated traffic arrives at a backend.
const theirPort = 9001

// others are rulesets of programs that share hosts with roamlb, in their shape,
// and where their own service listens.
var others = []struct {
	name string
	at   netip.AddrPort
}{
	{"firewalld", netip.AddrPortFrom(lab.ListenerIPv4(0), 8053)},
	{"ufw", netip.AddrPortFrom(lab.ListenerIPv4(0), 8053)},
	{"docker", netip.AddrPortFrom(lab.ListenerIPv4(0), 8053)},
	{"kube-proxy", netip.MustParseAddrPort("192.0.2.53:8053")},
}

// neighbourly is where roamlb keeps its ids: as by default, and moved so that an
// id's bits are one that kube-proxy means something by.
var neighbourly = []struct {
	name, members string
	marks         balancer.Marks
	zoneBase      uint16
}{
	{"default-marks", "", ourMarks, 0},
	{"moved-marks", "mark_mask: 0x00fff000\nzone_base: 1000\n", balancer.Marks{Mask: 0x00fff000}, 1000},
}

// roamlb runs where others do. With what docs/integration.md says to add, and
// nothing else, both work, whoever came first: no packet of either is lost, and
// none of ours is taken for theirs.
func TestBesideOthers(t *testing.T) {
	atLeisure(t)
	for _, o := range others {
		for i, how := range neighbourly {
			t.Run(o.name+"-"+how.name, func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join("testdata", o.name+".nft"))
				if err != nil {
					t.Fatal(err)
				}
				// what the operator lets through by our bit of the ct mark moves with it
				script := strings.ReplaceAll(string(text), "0x10000", fmt.Sprintf("%#x", how.marks.Ours()))
				b := newBed(t, bedOptions{backends: 4})
				b.queues, b.more = patientQueues, how.members
				if i == 0 {
					b.nft(script)
				}
				b.serve(b.service())
				if i != 0 {
					b.nft(script)
				}
				b.beside(o.at, how.marks, how.zoneBase)
			})
		}
	}
}

// beside tries both: sessions of ours that come, roam and see a change, and the
// others' service.
func (b *bed) beside(theirs netip.AddrPort, marks balancer.Marks, zoneBase uint16) {
	b.t.Helper()
	b.theirEchoes()
	live := numbers(0, 80)
	home := b.settle(live)
	l := b.startLoad(1_000_000, paced(1000))
	b.theirFlows(theirs)
	b.stay("after a roam", home, from(21500, live, 2))
	if refusal := b.reload(b.service(b.backends(map[int]string{1: "weight: 3"}))); refusal != "" {
		b.t.Fatal(refusal)
	}
	b.stay("after a change", home, from(21501, live, 3))
	b.theirFlows(theirs)
	time.Sleep(100 * time.Millisecond)
	l.stop()
	used := make(map[uint16]bool)
	for _, e := range b.entries() {
		if e.listener != listener(e.listener.Addr().Is6()) {
			continue
		}
		if e.mark&marks.CTAll() != marks.Ours() || e.zone <= zoneBase || e.zone > zoneBase+4 {
			b.t.Fatalf("an entry has mark %#x and zone %d, want %#x and %d to %d", e.mark, e.zone, marks.Ours(), zoneBase+1, zoneBase+4)
		}
		used[e.zone-zoneBase] = true
	}
	if len(used) != 4 {
		b.t.Errorf("sessions are on backends %v, want all four: the test shows less than it should", used)
	}
	for _, s := range live {
		if a := b.arrived.of(s); a.from != client(s%2 == 1, 1+s, 21501) {
			b.t.Fatalf("the packets of session %d come from %v: others have translated what is ours", s, a.from)
		}
	}
	for _, e := range b.daemon.events("drift") {
		b.t.Errorf("others' rules are taken for ours: %s", e.text)
	}
}

func (b *bed) theirEchoes() {
	b.t.Helper()
	for _, be := range b.Backends {
		e, err := be.Echo(theirPort, lab.EchoOptions{Number: byte(be.Number)})
		if err != nil {
			b.t.Fatal(err)
		}
		b.echoes = append(b.echoes, e)
	}
}

// theirFlows begins flows to the others' service and demands answers.
func (b *bed) theirFlows(at netip.AddrPort) {
	b.t.Helper()
	var list []lab.Datagram
	for i := range 50 {
		list = append(list, lab.Datagram{Src: client(false, 5000+i, 30000), Dst: at, Payload: fmt.Appendf(nil, "%d of theirs", i)})
	}
	b.exchange(2000, list...)
}
