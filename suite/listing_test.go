package suite

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// everyForm are services that together use every kind of rule and map.
func (b *bed) everyForm() []string {
	return []string{
		b.serviceNamed("short", 1194, probes(""), "allow: [198.18.0.0/15, 2001:db8:f::/48]", "deny: [198.18.9.0/24, \"2001:db8:f:9::/64\"]"),
		b.serviceNamed("variants", 1195, variants("source-port"), "snat: masquerade"),
		b.serviceNamed("fields", 1196, `key:
  variants:
    - fields: [{offset: 1, length: 18, mask: "fffffffffffffffffffffffffffffffffff0"}, {offset: 30, length: 2, mask: "0fff"}, {offset: 40, length: 5}]
  fallback: drop`, "no_backend: drop", "timeouts: {unreplied: 7s, replied: 70s}"),
		b.serviceNamed("flow", 1197, "pinning: flow", "allow: [198.18.0.0/15, 2001:db8:f::/48]", "timeouts: {unreplied: 8s, replied: 80s}"),
		b.serviceNamed("flow-port", 1198, "pinning: flow", `key: {offset: 1, length: 8, fallback: source-port}`, "snat: masquerade"),
		b.serviceNamed("nobody", 1199, b.backends(map[int]string{1: "admin: down", 2: "admin: down", 3: "admin: down"})),
		b.serviceNamed("odd", 1200, "key: {offset: 3, length: 7, mask: \"00ffffffffff80\"}", "slots: 251"),
		b.serviceNamed("long", 1201, "key: {offset: 1, length: 18, mask: \"ffffffffffffffffffffffffffffffffff0f\"}"),
	}
}

// excused says whether a line that nft writes to its errors is about the xt
// target, by which kernels queue that have no expression for it.
func excused(line string) bool {
	for _, about := range []string{"XT target NFQUEUE not found", "libxtables: unhandled NFPROTO", "managed by iptables-nft"} {
		if strings.Contains(line, about) {
			return true
		}
	}
	return line == ""
}

// Operators look at their ruleset with nft: it must list with ours in it,
// without a complaint, and say what our rules are for.
func TestNFTListsTheTable(t *testing.T) {
	atLeisure(t)
	tool, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs nft: install nftables")
	}
	b := newBed(t, bedOptions{})
	b.serve(b.everyForm()...)
	// learned elements are listed too
	b.exchange(0, datagram(client(false, 1, 20000), 1, 0), datagram(client(true, 1, 20000), 2, 0))
	var out, complaints bytes.Buffer
	cmd := exec.Command(tool, "list", "ruleset")
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := b.LB.Run(cmd); err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, complaints.String())
	}
	for line := range strings.Lines(complaints.String()) {
		if !excused(strings.TrimSpace(line)) {
			t.Errorf("nft complains: %s", line)
		}
	}
	text := out.String()
	if !strings.Contains(text, "table inet roamlb {") {
		t.Error("our table is not listed")
	}
	r := b.ruleset()
	rules := 0
	for _, c := range r.chains() {
		for _, rule := range r.rules(c.Name) {
			s := comment(rule)
			rules++
			if s == "" {
				t.Errorf("rule %d of chain %s has no comment", rule.Handle, c.Name)
			} else if !strings.Contains(text, `comment "`+s+`"`) {
				t.Errorf("the comment %q of chain %s is not listed", s, c.Name)
			}
		}
	}
	if got := strings.Count(text, ` comment "`); rules == 0 || got != rules {
		t.Errorf("%d comments are listed, want %d", got, rules)
	}
}
