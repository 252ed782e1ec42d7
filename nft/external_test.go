package nft

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// planned gives the table that services need of an operator's rules.
func (b *bed) planned(c *Compiler, services ...*balancer.Service) *Table {
	var views []*balancer.View
	for _, s := range services {
		views = append(views, balancer.NewView(s, b.rules.Features().Capabilities, nil, unbound{}))
	}
	return c.Compile(balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, views))
}

// external is a bed whose rules are the operator's.
func external(t *testing.T) (*bed, *Compiler) {
	b := newBed(t)
	b.rules.SetExternal()
	return b, NewExternalCompiler(balancer.Queues{Count: 2}, b.rules.Features())
}

// load does what an operator does with what is printed of a table; where nft
// cannot make the target that queues, the kernel is sent what nft would send.
func (b *bed) load(t *testing.T, table *Table, edit func(text string) string) {
	t.Helper()
	if b.rules.Features().NativeQueue {
		var text strings.Builder
		if err := table.Print(&text); err != nil {
			t.Fatal(err)
		}
		b.nft(t, edit(text.String()))
		return
	}
	var operator *Ruleset
	if err := b.LB.Do(func() (err error) { operator, err = Open(); return err }); err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	if err := operator.Declare(table); err != nil {
		t.Fatal(err)
	}
}

func asIs(text string) string { return text }

// needs demands that a table cannot be had without other rules, and returns what
// lacks.
func needs(t *testing.T, err error) *RulesError {
	t.Helper()
	var lacks *RulesError
	if !errors.As(err, &lacks) {
		t.Fatalf("got %v, want that rules lack", err)
	}
	return lacks
}

// static is all of the kernel's table that is the operator's.
func (b *bed) static(t *testing.T) string {
	text := textOf(t, b.rules, TextOptions{Stateless: true})
	return regexp.MustCompile(`(?s)\t\telements = \{.*?\}\n|\t\t# [^\n]* listed\n`).ReplaceAllString(text, "")
}

// Whose rules are his own finds them as he wrote them: roamlb fills the maps, and
// that is all it takes to balance.
func TestExternalWritesElementsOnly(t *testing.T) {
	b, c := external(t)
	table := b.planned(c, b.service(nil))
	if lacks := needs(t, b.rules.Apply(table)); len(lacks.Lacks) != 1 || lacks.Lacks[0].String() != "table inet roamlb is missing" {
		t.Errorf("without a table there lacks %v", lacks.Lacks)
	}
	b.load(t, table, asIs)
	want := b.static(t)
	if err := b.rules.Apply(table); err != nil {
		t.Fatal(err)
	}
	b.exchange(t, append(firstPackets(false), firstPackets(true)...))
	if diff := gocmp.Diff(want, b.static(t)); diff != "" {
		t.Errorf("the operator's rules have changed (-before +after):\n%s", diff)
	}

	// Loaded again, the rules keep what the maps hold.
	b.load(t, table, asIs)
	if d, err := b.rules.Verify(); err != nil || len(d) > 0 {
		t.Errorf("after loading the rules again: %v %v", d, err)
	}
	// All of it loaded anew, the maps are filled again.
	if err := b.rules.lister.commit([]request{delTable(TableName)}); err != nil {
		t.Fatal(err)
	}
	_ = needs(t, b.rules.Repair())
	b.load(t, table, asIs)
	if d, err := b.rules.Verify(); err != nil || len(d) == 0 {
		t.Errorf("empty maps are not seen: %v", err)
	}
	if err := b.rules.Repair(); err != nil {
		t.Fatal(err)
	}
	b.exchange(t, append(firstPackets(false), firstPackets(true)...))

	if err := b.rules.Flush(); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, b.static(t)); diff != "" {
		t.Errorf("roamlb flush has changed the operator's rules (-before +after):\n%s", diff)
	}
	if text := textOf(t, b.rules, TextOptions{Slots: true, Sessions: true}); strings.Contains(text, "\n\t\telements = ") {
		t.Errorf("roamlb flush has left elements:\n%s", text)
	}
}

// What every service needs does not change with its backends and listeners; what
// does change is told before anything has.
func TestExternalChanges(t *testing.T) {
	b, c := external(t)
	first := b.planned(c, b.service(nil))
	b.load(t, first, asIs)
	if err := b.rules.Apply(first); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		name string
		edit func(*balancer.Service)
	}{
		{"a backend less", func(s *balancer.Service) { s.Backends = s.Backends[1:] }},
		{"another listener", func(s *balancer.Service) {
			s.Listen = append(s.Listen, netip.AddrPortFrom(lab.ListenerIPv4(1), port))
		}},
		{"weights", func(s *balancer.Service) { s.Backends[0].Weight = 7 }},
		{"a drain", func(s *balancer.Service) { s.Backends[0].Admin = balancer.AdminDrain }},
	} {
		if err := b.rules.Apply(b.planned(c, b.service(change.edit))); err != nil {
			t.Errorf("%s: %v", change.name, err)
		}
	}
	if err := b.rules.Apply(b.planned(c)); err != nil {
		t.Errorf("no service: %v", err)
	}
	if err := b.rules.Apply(first); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		name string
		edit func(*balancer.Service)
	}{
		{"another key", func(s *balancer.Service) { s.Key.Variants[0].Fields[0].Length = 7 }},
		{"another seed", func(s *balancer.Service) { s.Seed++ }},
		{"another answer to nobody", func(s *balancer.Service) { s.NoBackend = balancer.NoBackendDrop }},
		{"sources refused", func(s *balancer.Service) { s.Deny = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} }},
		{"masquerading", func(s *balancer.Service) { s.SNAT = balancer.SNATMasquerade }},
		{"another pinning", func(s *balancer.Service) { s.Pinning = balancer.PinFlow }},
	} {
		next := b.planned(c, b.service(change.edit))
		lacks := needs(t, b.rules.Require(next))
		for _, d := range lacks.Lacks {
			if !strings.HasSuffix(d.What, "is missing") {
				t.Errorf("%s: %v, want only what is missing: what there is must go on", change.name, d)
			}
		}
		for _, chain := range next.Chains {
			there := slices.ContainsFunc(first.Chains, func(c *Chain) bool { return c.Name == chain.Name })
			if strings.Contains(lacks.Rules, "flush chain inet roamlb "+chain.Name+"\n") == there {
				t.Errorf("%s: chain %s is there: %v, the rules to load are otherwise:\n%s", change.name, chain.Name, there, lacks.Rules)
			}
		}
		if d, err := b.rules.Verify(); err != nil || len(d) > 0 {
			t.Errorf("%s: a change that was refused has changed %v %v", change.name, d, err)
		}
		b.load(t, next, asIs)
		if d, err := b.rules.Verify(); err != nil || len(d) > 0 {
			t.Errorf("%s: the new rules alone are taken for a change: %v %v", change.name, d, err)
		}
		if err := b.rules.Apply(next); err != nil {
			t.Errorf("%s: with the rules: %v", change.name, err)
		}
		b.exchange(t, firstPackets(false))
		if err := b.rules.Apply(first); err != nil { // its rules are there still
			t.Errorf("%s: back: %v", change.name, err)
		}
	}
}

// Who takes rules out of his own file must be told which; and where he may put
// them, he may.
func TestExternalSaysWhatLacks(t *testing.T) {
	b, c := external(t)
	svc := b.service(func(s *balancer.Service) { s.Deny = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} })
	table := b.planned(c, svc)
	named := func(name string) *Chain {
		i := slices.IndexFunc(table.Chains, func(c *Chain) bool { return strings.HasPrefix(c.Name, name) })
		return table.Chains[i]
	}
	steer, deny := named("steer4-vpn"), table.Maps[slices.IndexFunc(table.Maps, func(m *Map) bool { return strings.HasPrefix(m.Name, "deny4-vpn") })]
	moved := func(name string, hook Hook, of string) []request {
		ch := &Chain{Name: name, Hook: &hook}
		reqs := []request{addChain(TableName, ch), addRule(TableName, name, &Rule{Exprs: counter()})}
		for i := range named(of).Rules {
			reqs = append(reqs, addRule(TableName, name, &Rule{Exprs: named(of).Rules[i].Exprs}), addRule(TableName, name, &Rule{Exprs: counter()}))
		}
		return reqs
	}
	gone := func(name string) []request { return []request{flushChain(TableName, name), delChain(TableName, name)} }
	for _, c := range []struct {
		name string
		reqs []request
		want string // "": it will do
	}{
		{"as printed", nil, ""},
		{"a rule less", []request{flushChain(TableName, "bound")}, "chain bound lacks rules: meta mark set meta mark & 0xffff0000"},
		{"a rule more", []request{addRule(TableName, steer.Name, &Rule{Exprs: counter()})}, ""},
		{
			"a map less",
			[]request{flushChain(TableName, steer.Name), delMap(TableName, deny.Name)},
			"map " + deny.Name + " is missing: type ipv4_addr",
		},
		{"a map of another make", []request{
			flushChain(TableName, steer.Name), delMap(TableName, deny.Name), addMap(TableName, &Map{Name: deny.Name, Key: typeAddr6, Intervals: true}, 1),
		}, "map " + deny.Name + " is of another make: type ipv4_addr"},
		{
			"rules in a chain of one's own", slices.Concat(gone("prerouting-steer"), moved("mine", Hook{"filter", hookPrerouting, -310}, "prerouting-steer")), "",
		},
		{
			"rules behind conntrack", slices.Concat(gone("prerouting-steer"), moved("mine", Hook{"filter", hookPrerouting, -190}, "prerouting-steer")),
			"chain prerouting-steer is missing: type filter hook prerouting priority raw; policy accept;",
		},
		{
			"steer behind bind", slices.Concat(gone("prerouting-steer"), moved("mine", Hook{"filter", hookPrerouting, -298}, "prerouting-steer")),
			"chain prerouting-bind is missing: type filter hook prerouting priority raw + 1; policy accept;",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := b.rules.lister.commit([]request{delTable(TableName)}); err != nil && c.reqs != nil {
				t.Fatal(err)
			}
			b.load(t, table, asIs)
			if err := b.rules.lister.commit(c.reqs); err != nil {
				t.Fatal(err)
			}
			b.rules.found, b.rules.wanted = nil, table
			err := b.rules.Require(table)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if lacks := needs(t, err); !strings.Contains(lacks.Exactly(), c.want) || shapes.MatchString(lacks.Error()) {
				t.Errorf("told was %v, want %q", lacks, c.want)
			}
			found, err := b.rules.Verify()
			if err != nil || len(found) == 0 {
				t.Fatalf("not seen as drift: %v", err)
			}
			if text := Diff(found, 1000); strings.Contains(text, "seed 0x") || shapes.MatchString(text) {
				t.Errorf("the diff tells a seed:\n%s", text)
			}
		})
	}
}

// What is printed must be what nft reads, and twice as well as once: nft itself
// is asked, without a change.
func TestPrintIsReadByNFT(t *testing.T) {
	tool, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs nft: install nftables")
	}
	for _, gc := range goldenCases {
		if gc.name == "variants" {
			continue // nft 1.0.6 crashes when it reads `update` with keys of several fields longer than 16 bytes
		}
		t.Run(gc.name, func(t *testing.T) {
			b, c := external(t)
			table := b.planned(c, gc.services(b)...)
			reads := func(only map[string]bool, args ...string) {
				t.Helper()
				var text strings.Builder
				if err := table.print(&text, only); err != nil {
					t.Fatal(err)
				}
				script := text.String()
				if !b.rules.Features().NativeQueue {
					script = regexp.MustCompile(`queue flags bypass to [0-9-]+`).ReplaceAllString(script, "accept")
				}
				var complaints bytes.Buffer
				cmd := exec.Command(tool, args...)
				cmd.Stdin, cmd.Stderr = strings.NewReader(script), &complaints
				if err := b.LB.Run(cmd); err != nil || complaints.Len() > 0 {
					t.Fatalf("nft %v: %v\n%s\n%s", args, err, complaints.String(), script)
				}
			}
			for range 2 {
				reads(nil, "-c", "-f", "-")
				reads(nil, "-f", "-")
			}
			reads(map[string]bool{"bound": true, "prerouting-bind": true}, "-f", "-") // what a 409 carries
			if !b.rules.Features().NativeQueue {
				return
			}
			if err := b.rules.Apply(table); err != nil {
				t.Errorf("what nft has read is not what was printed: %v", err)
			}
		})
	}
}

// Whoever may only read must not find seeds by the names of chains.
func TestRedactedTextHidesShapes(t *testing.T) {
	b, c := paperBed(), NewExternalCompiler(balancer.Queues{Count: 2}, Features{Capabilities: balancer.Capabilities{KeyBytes: keyBytes, PayloadOffset: longOffset}, NativeQueue: true, TransportOffset: longOffset})
	s := b.small("vpn", port, nil)
	table := c.Compile(balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, []*balancer.View{balancer.NewView(s, c.features.Capabilities, nil, unbound{})}))
	if text := textOf(t, table, TextOptions{Slots: true}); !shapes.MatchString(text) {
		t.Fatalf("no name tells its shape:\n%s", text)
	}
	if text := textOf(t, table, TextOptions{Slots: true, Redact: true}); shapes.MatchString(text) {
		t.Errorf("the redacted text says %q", shapes.FindString(text))
	}
}
