package suite

import (
	"net/netip"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// A service that is for some networks only must answer nobody else, whether or
// not the daemon runs, and show its operator that others try.
func TestAllowAndDeny(t *testing.T) {
	atLeisure(t)
	clients := map[string][2]netip.Addr{
		"allowed":             {netip.MustParseAddr("198.18.3.3"), netip.MustParseAddr("2001:db8:f::3")},
		"allowed, but denied": {netip.MustParseAddr("198.18.9.3"), netip.MustParseAddr("2001:db8:f:9::3")},
		"not allowed":         {netip.MustParseAddr("198.19.3.3"), netip.MustParseAddr("2001:db8:f:8000::3")},
	}
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{clients: lab.ClientOptions{ICMPErrors: true}})
			b.serve(b.service("pinning: "+pinning,
				`allow: [198.18.0.0/16, "2001:db8:f::/49"]`, `deny: [198.18.9.0/24, "2001:db8:f:9::/64"]`))
			r := b.ruleset()
			tried, session := uint64(0), 0
			try := func(when string) {
				t.Helper()
				var served, refused []lab.Datagram
				for who, at := range clients {
					for _, addr := range at {
						session++
						d := datagram(netip.AddrPortFrom(addr, 20000), session, 0)
						if who == "allowed" {
							served = append(served, d)
						} else {
							refused = append(refused, d)
						}
					}
				}
				if _, err := b.clients.SendAll(refused); err != nil {
					t.Fatal(err)
				}
				tried += uint64(len(refused))
				waitFor(t, 5*time.Second, when+": they are refused, and counted", func() bool {
					counts := uint64(0)
					for _, chain := range []string{"steer4-vpn", "steer6-vpn"} {
						for _, rule := range r.rules(chain) {
							counts += counted(rule)
						}
					}
					return counts == tried
				})
				b.exchange(0, served...)
				for _, d := range refused {
					if len(b.entriesOf(d.Src)) > 0 {
						t.Errorf("%s: %v is refused and has an entry", when, d.Src)
					}
				}
			}
			try("with the daemon")
			b.daemon.kill()
			try("without the daemon")
			if got := b.clients.Errors(); len(got) > 0 {
				t.Errorf("who is refused hears nothing, but: %+v", got[0])
			}
			arrived := 0
			for _, e := range b.echoes {
				arrived += int(e.Total())
			}
			if arrived != 4 {
				t.Errorf("%d datagrams arrived, want the 4 of those who may", arrived)
			}
		})
	}
}
