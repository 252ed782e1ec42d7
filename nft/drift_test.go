package nft

import (
	"bytes"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
)

// nft runs the real one on a script, in the balancer's namespace.
func (b *bed) nft(t *testing.T, script string) {
	t.Helper()
	tool, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs nft: install nftables")
	}
	var complaints bytes.Buffer
	cmd := exec.Command(tool, "-f", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(script), &complaints
	if err := b.LB.Run(cmd); err != nil {
		t.Fatalf("nft: %v\n%s%s", err, script, complaints.String())
	}
}

// drifts are what others do to the table with nft, and the lines of the diff
// that say it.
var drifts = []struct {
	name, script string
	lines        []string
}{
	{
		"a rule added", "insert rule inet roamlb prerouting-steer ip saddr 192.0.2.7 drop",
		[]string{" chain prerouting-steer {", "-\tip saddr 192.0.2.7 drop"},
	},
	{
		"a chain emptied", "flush chain inet roamlb bound",
		[]string{" chain bound {", `+	meta mark set meta mark & 0xffff0000 comment "the id has done its work"`},
	},
	{
		"a chain deleted", "flush chain inet roamlb prerouting-steer\nflush chain inet roamlb output-steer\n" +
			"delete element inet roamlb steer4 { 192.0.2.10 . 1194 }\nflush chain inet roamlb steer4-vpn\ndelete chain inet roamlb steer4-vpn",
		[]string{" chain steer4-vpn {", " map steer4 {", "+\t192.0.2.10 . 1194 : goto steer4-vpn"},
	},
	{
		"a chain added", "add chain inet roamlb theirs { type filter hook forward priority 0; policy drop; }",
		[]string{" chain theirs {", "-\ttype filter hook forward priority filter; policy drop;"},
	},
	{
		"a chain's policy", "add chain inet roamlb prerouting-steer { type filter hook prerouting priority raw; policy drop; }",
		[]string{"-\ttype filter hook prerouting priority raw; policy drop;", "+\ttype filter hook prerouting priority raw; policy accept;"},
	},
	{
		"an element changed", "delete element inet roamlb zones { 0x1 }\nadd element inet roamlb zones { 0x1 : 2 }",
		[]string{" map zones {", "-\t0x00000001 : 2", "+\t0x00000001 : 1"},
	},
	{
		"a map emptied", "flush map inet roamlb targets6",
		[]string{" map targets6 {", "+\t1 counter : 2001:db8:b::1 . 1194"},
	},
	{
		"an interval added", "add element inet roamlb deny4-vpn { 198.18.7.0/24 }",
		[]string{" map deny4-vpn {", "-\t198.18.7.0/24", "+\t198.18.9.0/24"},
	},
	{
		"a map added", "add set inet roamlb theirs { type ipv4_addr; flags timeout; }",
		[]string{" map theirs {", "-\ttype ipv4_addr"},
	},
	{
		"a map of another make", "flush chain inet roamlb postrouting\nflush chain inet roamlb input\ndelete map inet roamlb answers4\n" +
			"add map inet roamlb answers4 { type mark : mark; }",
		[]string{" map answers4 {", "-\ttype mark : mark", "+\ttype ipv4_addr . inet_service : ipv4_addr . inet_service", " chain postrouting {"},
	},
	{
		"a timeout changed", "flush chain inet roamlb translate4-vpn\ndelete ct timeout inet roamlb timeouts4-vpn-7-70\n" +
			"add ct timeout inet roamlb timeouts4-vpn-7-70 { protocol udp; l3proto ip; policy = { unreplied : 1, replied : 2 }; }",
		[]string{" ct timeout timeouts4-vpn-7-70 {", "-\tpolicy = { unreplied : 1, replied : 2 }", "+\tpolicy = { unreplied : 7, replied : 70 }"},
	},
	{
		"a counter added", "add counter inet roamlb theirs",
		[]string{" object theirs {"},
	},
	{
		"the table put to sleep", "add table inet roamlb { flags dormant; }",
		[]string{" table inet roamlb {", "-\tflags dormant"},
	},
	{"the table deleted", "delete table inet roamlb", []string{" table inet roamlb {"}},
}

// Who finds an alert about his firewall in the log must be able to see in it
// what was there, what should have been, and nothing that is a secret; and
// whatever it was, it must be right again.
func TestDriftIsShownAndRepaired(t *testing.T) {
	b := newBed(t)
	svc := b.service(func(s *balancer.Service) {
		s.Deny = []netip.Prefix{netip.MustParsePrefix("198.18.9.0/24")}
		s.Timeouts = balancer.Timeouts{Unreplied: 7 * time.Second, Replied: 70 * time.Second}
	})
	b.apply(t, svc)
	o := TextOptions{Slots: true, Stateless: true}
	want := textOf(t, b.rules, o)
	sorted := func(text string) string { // what is made anew stands elsewhere
		lines := strings.Split(text, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	for _, c := range drifts {
		t.Run(c.name, func(t *testing.T) {
			b.nft(t, c.script)
			found, err := b.rules.Verify()
			if err != nil {
				t.Fatal(err)
			}
			got := Diff(found, 1000)
			for _, line := range c.lines {
				if !slices.Contains(strings.Split(got, "\n"), line) {
					t.Errorf("the diff lacks %q:\n%s", line, got)
				}
			}
			if strings.Contains(got, "seed 0x") {
				t.Errorf("the diff tells a seed:\n%s", got)
			}
			if err := b.rules.Repair(); err != nil {
				t.Fatal(err)
			}
			if found, err := b.rules.Verify(); err != nil || len(found) > 0 {
				t.Errorf("after the repair: %v\n%s", err, Diff(found, 1000))
			}
			sameText(t, "the table after the repair is another", sorted(want), sorted(textOf(t, b.rules, o)))
		})
	}
}

// A diff must not fill the log.
func TestDiffIsCut(t *testing.T) {
	d := []Difference{{Object: "chain c", What: "has other rules", Have: []string{"a", "b"}, Want: []string{"c"}}}
	const want = " chain c {\n-\ta\n# and 3 lines more"
	if got := Diff(d, 2); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
