package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nft"
)

// newExternalBed is newBed for a daemon whose rules are ours here, as they are an
// operator's; it waits for them when this returns.
func newExternalBed(t *testing.T, services func(*lab.Network) []balancer.Service) (b *bed, ready chan struct{}) {
	t.Helper()
	ready = make(chan struct{})
	b = newIdleBed(t, 3, services)
	b.file.NFT = config.NFTExternal
	ctx, cancel := context.WithCancel(context.Background())
	begun, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- b.LB.Do(func() (err error) {
			b.Daemon, err = New(Options{File: b.file, Ready: func() { close(ready) }, Log: slog.New(slog.DiscardHandler)})
			begun <- err
			if err != nil {
				return err
			}
			return b.Run(ctx)
		})
	}()
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	b.end = func() {
		b.end = nil
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with: %v", err)
		}
	}
	return b, ready
}

// load loads what the kernel lacks of the rules that the daemon needs.
func (b *bed) load(table *nft.Table) {
	b.t.Helper()
	var operator *nft.Ruleset
	if err := b.LB.Do(func() (err error) { operator, err = nft.Open(); return err }); err != nil {
		b.t.Fatal(err)
	}
	defer operator.Close()
	if err := operator.DeclareLacking(table); err != nil {
		b.t.Fatal(err)
	}
}

// needed is what a state needs of rules.
func (b *bed) needed(services []balancer.Service) *nft.Table {
	var views []*balancer.View
	f := b.rules.Features()
	for i := range services {
		views = append(views, balancer.NewView(&services[i], f.Capabilities, nil, nil))
	}
	slices.SortFunc(views, func(x, y *balancer.View) int { return strings.Compare(x.Service.Name, y.Service.Name) })
	return nft.NewExternalCompiler(b.queues(), f).Compile(balancer.NewSnapshot(b.marks(), 0, views))
}

// handles are those of the rules, by chain: a rule that is made anew has another.
func (b *bed) handles() map[string][]uint64 {
	b.t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(b.LB.Fd()), nftables.AsLasting())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = c.CloseLasting() }()
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		b.t.Fatal(err)
	}
	out := make(map[string][]uint64)
	for _, ch := range chains {
		rules, err := c.GetRules(ch.Table, ch)
		if err != nil {
			b.t.Fatal(err)
		}
		out[ch.Name] = []uint64{}
		for _, r := range rules {
			out[ch.Name] = append(out[ch.Name], r.Handle)
		}
	}
	return out
}

// An operator who keeps his rules must be told which, be served once they are
// there, change what needs no others at will, and be told what else a change
// needs before anything has changed. No packet may be lost by any of it.
func TestExternalRules(t *testing.T) {
	b, ready := newExternalBed(t, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2)} })
	lab.WaitFor(t, 10*time.Second, "the daemon says what lacks", func() bool {
		return slices.ContainsFunc(b.Health().Reasons, func(s string) bool { return strings.Contains(s, "table inet roamlb is missing") })
	})
	if b.Health().Ready {
		t.Error("ready without rules")
	}
	if text, err := b.Rules(); err != nil || !strings.Contains(text, "chain prerouting-steer {") || strings.Contains(text, "elements = ") {
		t.Errorf("the rules cannot be printed before they are there: %v\n%s", err, text)
	}
	b.load(b.needed(b.State().Services))
	select {
	case <-ready:
	case <-time.After(lab.Slow(10 * time.Second)):
		t.Fatal("the daemon does not serve, with its rules there")
	}
	rules := b.handles()
	home := b.place(0, 200, 0, port)
	l := b.startLoad(10_000, 0, 0)
	change := func(edit func(s *balancer.Service)) error {
		_, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) { return changed(have, "vpn", edit), nil })
		return err
	}
	three := service(b.Network, "vpn", port, 1, 2, 3).Backends
	for name, edit := range map[string]func(s *balancer.Service){
		"a backend more": func(s *balancer.Service) { s.Backends = append(s.Backends, three[2]) },
		"a weight":       func(s *balancer.Service) { s.Backends[0].Weight = 5 },
	} {
		if err := change(edit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.stay(name, home, 1)
	}
	for chain, was := range rules {
		if now := b.handles()[chain]; !slices.Equal(now, was) {
			t.Errorf("chain %s has other rules than before: the daemon has written some", chain)
		}
	}

	drop := func(s *balancer.Service) { s.NoBackend = balancer.NoBackendDrop }
	var lacks *nft.RulesError
	if err := change(drop); !errors.As(err, &lacks) {
		t.Fatalf("a change that needs rules answered %v", err)
	}
	if !strings.Contains(lacks.Rules, lacks.Lacks[0].Object) {
		t.Errorf("the rules lack %s", lacks.Lacks[0].Object)
	}
	if got := b.State().Services[0].NoBackend; got == balancer.NoBackendDrop {
		t.Error("a refused change is kept")
	}
	_, err := b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) {
		return append(have, service(b.Network, "web", 2000, 3)), nil
	})
	if !errors.As(err, &lacks) {
		t.Fatalf("a new service answered %v", err)
	}
	web := lacks.Rules
	b.stay("after refused changes", home, 2)

	// With the rules there, the same changes are made.
	next := changed(slices.Clone(b.State().Services), "vpn", drop)
	b.load(b.needed(next))
	if err := change(drop); err != nil {
		t.Fatalf("with the rules there: %v", err)
	}
	b.stay("after a change of the rules", home, 3)
	_, err = b.Change(t.Context(), operator, func(have []balancer.Service) ([]balancer.Service, error) {
		return append(have, service(b.Network, "web", 2000, 3)), nil
	})
	if errors.As(err, &lacks) && !strings.Contains(lacks.Rules, "seed") {
		t.Errorf("asked again, a new service answered %v", err)
	}
	for line := range strings.SplitSeq(web, "\n") { // the new service's alone: vpn has others by now
		if strings.Contains(line, "chain steer4-web") && !strings.Contains(lacks.Rules, line) {
			t.Errorf("asked twice, a new service needs other rules: %q is not among the second", line)
		}
	}
	l.stop("changes of an operator's rules")
}

// Where the rules for both are there a service's pinning changes by elements alone,
// and costs no packet.
func TestExternalPinningChanges(t *testing.T) {
	b, ready := newExternalBed(t, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2, 3)} })
	with := func(p balancer.Pinning) []balancer.Service {
		return changed(b.State().Services, "vpn", func(s *balancer.Service) { s.Pinning = p })
	}
	lab.WaitFor(t, 10*time.Second, "the daemon says what lacks", func() bool { return len(b.Health().Reasons) > 0 && len(b.State().Services) > 0 })
	b.load(b.needed(with(balancer.PinSession)))
	select {
	case <-ready:
	case <-time.After(lab.Slow(10 * time.Second)):
		t.Fatal("the daemon does not serve, with its rules there")
	}
	home := b.place(0, 200, 0, port)
	l := b.startLoad(10_000, 0, 0)
	for i := range 10 {
		want := with([]balancer.Pinning{balancer.PinFlow, balancer.PinSession}[i%2])
		if i == 0 {
			b.load(b.needed(want))
		}
		b.mustSet(want)
		b.stay(fmt.Sprintf("after %d changes", i+1), home, i+1)
	}
	l.stop("changes of the pinning")
}

// A firewall's reload empties the maps; the daemon fills them again within a
// second, and says which rules are not there any more.
func TestExternalRulesReloaded(t *testing.T) {
	b, ready := newExternalBed(t, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2, 3)} })
	table := func() *nft.Table { return b.needed(b.State().Services) }
	lab.WaitFor(t, 10*time.Second, "the state is there", func() bool { return len(b.State().Services) > 0 })
	b.load(table())
	<-ready
	home := b.place(0, 100, 0, port)
	c, err := nftables.New(nftables.WithNetNSFd(b.LB.Fd()), nftables.AsLasting())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseLasting() }()
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	lab.WaitFor(t, 5*time.Second, "what lacks is said", func() bool {
		return slices.ContainsFunc(b.Health().Reasons, func(s string) bool { return strings.Contains(s, "table inet roamlb is missing") })
	})
	if got := len(b.events(event.Drift)); got != 1 {
		t.Errorf("%d events of drift while the rules are away, want 1", got)
	}
	b.load(table())
	begin := time.Now()
	lab.WaitFor(t, 5*time.Second, "the maps are filled again", func() bool { return len(b.events(event.Repaired)) > 0 })
	if took := time.Since(begin); took > lab.Slow(time.Second) {
		t.Errorf("the maps were filled after %v, want a second", took)
	}
	b.stay("after a reload", home, 1)
	if h := b.Health(); h.Degraded {
		t.Errorf("with all in its place the health is %+v", h)
	}
}
