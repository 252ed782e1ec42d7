package suite

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// nft runs the real one on a script in the balancer's namespace.
func (b *bed) nft(script string) {
	b.t.Helper()
	tool(b.t, b.LB, b.dir, script, "nftables", "nft", "-f", "-")
}

// meddling is what others do with nft to the table of a service under traffic,
// and a line of the diff that the daemon must show of it.
var meddling = []struct {
	name, script, line string
	harmless           bool // to packets
}{
	{"a rule added", "insert rule inet roamlb prerouting-steer udp dport 1194 drop", "-\tudp dport 1194 drop", false},
	{"a rule added that counts", "insert rule inet roamlb prerouting-steer counter", "-\tcounter", true},
	{"a chain's policy", "add chain inet roamlb prerouting-track { type filter hook prerouting priority mangle; policy drop; }", "-\ttype filter hook prerouting priority mangle; policy drop;", false},
	{"a chain emptied", "flush chain inet roamlb bind6-vpn", " chain bind6-vpn {", false},
	{"a chain added", "add chain inet roamlb theirs { type filter hook forward priority 0; }", " chain theirs {", true},
	{"an element deleted", "delete element inet roamlb steer4 { 192.0.2.10 . 1194 }", "+\t192.0.2.10 . 1194 : goto steer4-vpn", false},
	{"a map emptied", "flush map inet roamlb targets6", " map targets6 {", false},
	{"a map added", "add map inet roamlb theirs { type ipv4_addr : mark; }", "-\ttype ipv4_addr : mark", true},
	{
		"a map of another make", "flush chain inet roamlb postrouting\nflush chain inet roamlb input\ndelete map inet roamlb answers4\nadd map inet roamlb answers4 { type mark : mark; }",
		"-\ttype mark : mark", true,
	},
	{"the table put to sleep", "add table inet roamlb { flags dormant; }", "-\tflags dormant", false},
	{"the table deleted", "delete table inet roamlb", " table inet roamlb {", false},
}

// Whatever others do to the table, it is found, shown and put right within a
// second, and meanwhile nobody gets to another's backend; what does not bear on
// packets costs none.
func TestDriftUnderTraffic(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.queues = patientQueues
	b.serve(b.service())
	live := numbers(0, 60)
	home := b.settle(live)
	for _, harmless := range []bool{true, false} {
		l := b.startLoad(1_000_000+len(b.daemon.events("drift"))*100_000, paced(2000))
		for i, m := range meddling {
			if m.harmless != harmless {
				continue
			}
			time.Sleep(50 * time.Millisecond)
			before := len(b.daemon.events("drift"))
			b.repaired(m.name, func() { b.nft(m.script) })
			if diff := b.daemon.events("drift")[before].str("diff"); !slices.Contains(strings.Split(diff, "\n"), m.line) {
				t.Errorf("%s: the diff lacks %q:\n%s", m.name, m.line, diff)
			}
			b.stay(m.name, home, from(uint16(20001+i), live, 1+i))
		}
		sent, lost, misplaced := l.end()
		if misplaced > 0 {
			t.Errorf("%d of %d sessions were misplaced", misplaced, len(l.sent))
		}
		if harmless && lost > 0 {
			t.Errorf("%d of %d datagrams were lost for changes that do not bear on them", lost, sent)
		}
		t.Logf("harmless: %v; %d datagrams sent, %d lost, %d of %d sessions misplaced", harmless, sent, lost, misplaced, len(l.sent))
	}
}
