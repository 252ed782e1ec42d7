package check

import (
	"context"
	"testing"
)

// What cannot be set is said, and the operator is left with the command.
func TestFixThatFails(t *testing.T) {
	n := newNetwork(t)
	bad := Result{Name: "a", Status: Fail, Fixable: true, Fix: "sysctl -w x=1", set: []setting{{"net/ipv4/no_such_thing", 1}}}
	good := Result{Name: "b", Status: Fail, Fixable: true, set: []setting{{"net/ipv4/ip_forward", 0}}}
	done := fix(t, n, []Result{bad, {Name: "c", Status: Fail, set: []setting{{"net/ipv4/ip_forward", 1}}}, good})
	if len(done) != 2 {
		t.Fatalf("%+v, want one for each that is fixable", done)
	}
	expect(t, done, "a", Fail, "no such file", "sysctl -w x=1")
	expect(t, done, "b", OK, "set net.ipv4.ip_forward=0 was 1", "/etc/sysctl.d")
	if got, err := n.LB.Sysctl("net.ipv4.ip_forward"); got != "0" || err != nil {
		t.Errorf("ip_forward is %s, %v", got, err)
	}
}

func TestFixStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done := Fix(ctx, []Result{{Fixable: true, set: []setting{{"net/ipv4/no_such_thing", 1}}}}); done != nil {
		t.Errorf("%+v", done)
	}
}

// An interface's name can hold dots, which separate the parts of a sysctl's.
func TestSettingArgument(t *testing.T) {
	for name, want := range map[string]string{
		"net/ipv4/ip_forward":              "net.ipv4.ip_forward=1",
		"net/ipv4/conf/eth0.100/rp_filter": "net/ipv4/conf/eth0.100/rp_filter=1",
		"net/ipv4/conf/a b/rp_filter":      "'net.ipv4.conf.a b.rp_filter=1'",
	} {
		if got := (setting{name, 1}).argument(); got != want {
			t.Errorf("%s becomes %s, want %s", name, got, want)
		}
	}
}
