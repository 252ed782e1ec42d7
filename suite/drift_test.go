package suite

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/roamlb/roamlb/internal/lab"
)

// reloadFirewall does what `nft -f /etc/nftables.conf` does on most hosts:
// everything goes, and a firewall comes that tracks connections.
func (r *ruleset) reloadFirewall() {
	r.t.Helper()
	r.FlushRuleset()
	table := r.AddTable(&nftables.Table{Name: "firewall", Family: nftables.TableFamilyINet})
	input := r.AddChain(&nftables.Chain{
		Name: "input", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	r.AddRule(&nftables.Rule{Table: table, Chain: input, Exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(expr.CtStateBitESTABLISHED), Xor: native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native32(0)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	r.commit()
}

// repaired does something to the table and waits until the daemon has put it
// right; it returns what the daemon found.
func (b *bed) repaired(what string, harm func()) (found string) {
	b.t.Helper()
	drifts, repairs := len(b.daemon.events("drift")), len(b.daemon.events("repaired"))
	watch := b.stopwatch()
	harm()
	waitFor(b.t, 10*time.Second, what+": repaired", func() bool { return len(b.daemon.events("repaired")) > repairs })
	if took := watch.took(); took > slow(time.Second) {
		b.t.Errorf("%s: the table was right again after %v, want a second", what, took)
	}
	all := b.daemon.events("drift")
	if len(all) == drifts {
		b.t.Fatalf("%s: repaired without a word of what was wrong", what)
	}
	return all[drifts].str("detail")
}

// foreign are the entries to our listeners that are not ours: what they catch
// goes to no backend.
func (b *bed) foreign() []entry {
	b.t.Helper()
	return slices.DeleteFunc(b.entries(), func(e entry) bool {
		return e.mark&ourMarks.Ours() != 0 || e.listener != listener(e.listener.Addr().Is6())
	})
}

// from is a datagram of each session, from the same addresses but another
// port: all of them roam.
func from(sourcePort uint16, sessions []int, seq int) []lab.Datagram {
	list := make([]lab.Datagram, len(sessions))
	for i, s := range sessions {
		list[i] = datagram(client(s%2 == 1, 1+s, sourcePort), s, seq)
	}
	return list
}

// stay demands that the sessions are where they were.
func (b *bed) stay(when string, home []int, list []lab.Datagram) {
	b.t.Helper()
	for i, r := range b.exchange(5000, list...) {
		if r.Number() != home[i] {
			b.t.Fatalf("%s: session %d moved from backend %d to %d", when, i, home[i], r.Number())
		}
	}
}

// A reload of the host's firewall takes roamlb's table away. Clients must not
// notice more than a moment, and nobody must lose the backend that he has,
// least of all those whom the ring would send elsewhere by now.
func TestFlushRuleset(t *testing.T) {
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: " + pinning))
			live := numbers(0, 90)
			home := b.place(live, 0)
			if refusal := b.reload(b.service("pinning: "+pinning, b.backends(map[int]string{1: "weight: 0"}))); refusal != "" {
				t.Fatal(refusal)
			}
			r := b.ruleset()
			l := b.startLoad(1_000_000, 500)
			for round := 1; round <= 3; round++ {
				if found := b.repaired("flush ruleset", r.reloadFirewall); !strings.Contains(found, "gone") {
					t.Errorf("the daemon found %q, want that the table is gone", found)
				}
				b.stay("after a flush", home, from(20000, live, round))
				b.stay("after a flush, and a roam", home, from(uint16(20000+round), live, round))
			}
			l.cancel()
			<-l.stopped
			for i := range l.sent {
				if a := b.arrived.of(l.base + i); len(a.count) > 1 {
					t.Errorf("session %d came to backends %v", l.base+i, a.count)
				}
			}
			// The kernel alone knows again who is not where the ring says.
			b.repaired("flush ruleset", r.reloadFirewall)
			b.daemon.kill()
			b.stay("without the daemon", home, from(20003, live, 9))
		})
	}
}

// What comes in while the table is away makes entries that translate nothing.
// They would catch their clients' packets for as long as these keep trying.
func TestFlowsThatBeganWithoutTheTable(t *testing.T) {
	atLeisure(t)
	for _, pinning := range []string{"session", "flow"} {
		t.Run(pinning, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service("pinning: " + pinning))
			live := numbers(0, 30)
			home := b.place(live, 0)
			strangers := from(20001, numbers(1000, 30), 0)
			roamed := from(20002, live, 1)
			b.repaired("flush ruleset", func() {
				b.daemon.signal(syscall.SIGSTOP) // or it is faster than we are
				defer b.daemon.signal(syscall.SIGCONT)
				b.ruleset().reloadFirewall()
				if _, err := b.clients.SendAll(slices.Concat(strangers, roamed)); err != nil {
					t.Fatal(err)
				}
				waitFor(t, time.Second, "they have entries that translate nothing", func() bool { return len(b.foreign()) == len(strangers)+len(roamed) })
			})
			b.exchange(1000, strangers...)
			b.stay("from where they tried in vain", home, roamed)
			if left := b.foreign(); len(left) > 0 {
				t.Errorf("%d entries to a listener are not ours, the first %+v", len(left), left[0])
			}
		})
	}
}

// vandal does something to roamlb's table; the daemon must find it at object.
type vandal struct {
	name, object string
	harm         func(r *ruleset)
}

func vandals() []vandal {
	zone := func(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
	change := func(name string, key, val, instead []byte) func(*ruleset) {
		return func(r *ruleset) {
			m := &nftables.Set{Name: name, Table: r.table, IsMap: true}
			fail := func(err error) {
				if err != nil {
					r.t.Fatal(err)
				}
			}
			fail(r.SetDeleteElements(m, []nftables.SetElement{{Key: key, Val: val}}))
			if instead != nil {
				fail(r.SetAddElements(m, []nftables.SetElement{{Key: key, Val: instead}}))
			}
		}
	}
	at := listener(false)
	key := binary.BigEndian.AppendUint16(at.Addr().AsSlice(), at.Port())
	return []vandal{
		{"a rule deleted", "translate6-vpn", func(r *ruleset) {
			rules := r.rules("translate6-vpn")
			i := slices.IndexFunc(rules, func(rule *nftables.Rule) bool { return strings.HasSuffix(comment(rule), "to the zone's backend") })
			if err := r.DelRule(rules[i]); err != nil {
				r.t.Fatal(err)
			}
		}},
		{"a rule added", "prerouting-steer", func(r *ruleset) {
			r.InsertRule(&nftables.Rule{
				Table: r.table, Chain: &nftables.Chain{Name: "prerouting-steer", Table: r.table},
				Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}},
			})
		}},
		{"a chain emptied", "bind4-vpn", func(r *ruleset) { r.FlushChain(&nftables.Chain{Name: "bind4-vpn", Table: r.table}) }},
		{"an element changed", "zones", change("zones", native32(1), zone(1), zone(2))},
		{"an element deleted", "steer4", change("steer4", append(key, 0, 0), nil, nil)},
		{"a map emptied", "targets6", func(r *ruleset) { r.FlushSet(&nftables.Set{Name: "targets6", Table: r.table, IsMap: true}) }},
		{"the table deleted", "gone", func(r *ruleset) { r.DelTable(r.table) }},
	}
}

// Smaller harm is no smaller trouble: one rule or element that is not right
// and some clients reach nobody, or a stranger's backend.
func TestVandalism(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	r := b.ruleset()
	live := numbers(0, 30)
	home := b.place(live, 0)
	want := r.content()
	for i, v := range vandals() {
		found := b.repaired(v.name, func() { v.harm(r); r.commit() })
		if !strings.Contains(found, v.object) {
			t.Errorf("%s: the daemon found %q, want something about %s", v.name, found, v.object)
		}
		if diff := cmp.Diff(want, r.content()); diff != "" {
			t.Errorf("%s: after the repair (-want +got):\n%s", v.name, diff)
		}
		b.stay(v.name, home, from(uint16(20001+i), live, 1+i))
		b.exchange(1000, from(20000, numbers(1000*(i+1), 30), 0)...)
	}
	// What the kernel has learned is no part of what must be; Go knows it too.
	for _, m := range r.learned() {
		r.FlushSet(&nftables.Set{Name: m, Table: r.table, IsMap: true})
	}
	r.commit()
	b.stay("the learned sessions deleted", home, from(20100, live, 99))
}

// content is the table's rules, by what they say of themselves, and the
// elements of its maps, but for what the kernel learns by itself.
func (r *ruleset) content() map[string][]string {
	r.t.Helper()
	out := make(map[string][]string)
	for _, c := range r.chains() {
		out["chain "+c.Name] = []string{}
		for _, rule := range r.rules(c.Name) {
			out["chain "+c.Name] = append(out["chain "+c.Name], fmt.Sprintf("%x", rule.UserData))
		}
	}
	learned := r.learned()
	for _, name := range r.maps() {
		if slices.Contains(learned, name) {
			continue
		}
		list := []string{}
		for _, e := range r.elements(name) {
			s := fmt.Sprintf("%x: %x", e.Key, e.Val)
			if e.VerdictData != nil {
				s += " goto " + e.VerdictData.Chain
			}
			list = append(list, s)
		}
		slices.Sort(list)
		out["map "+name] = list
	}
	return out
}
