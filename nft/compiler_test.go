package nft

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/balancer"
)

// walk is a configuration that changes at random, a few services at a time.
type walk struct {
	*rand.Rand
	bed   *bed
	views map[string]*balancer.View
	ports map[string]uint16 // of the services' listeners
}

var walkers = []string{"a", "b", "c", "d", "e"}

// step changes one service or two, and returns the snapshot, in which the
// others have the views that they had.
func (w *walk) step() *balancer.Snapshot {
	names := []string{walkers[w.IntN(len(walkers))], walkers[w.IntN(len(walkers))]}
	switch w.IntN(6) {
	case 0:
		delete(w.views, names[0])
	case 1: // each takes the other's listeners
		w.ports[names[0]], w.ports[names[1]] = w.ports[names[1]], w.ports[names[0]]
		for _, name := range names {
			if w.views[name] != nil {
				w.views[name] = w.view(name)
			}
		}
	default:
		w.views[names[0]] = w.view(names[0])
	}
	var views []*balancer.View
	for _, v := range w.views {
		views = append(views, v)
	}
	slices.SortFunc(views, func(x, y *balancer.View) int { return strings.Compare(x.Service.Name, y.Service.Name) })
	return balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 100, views)
}

// view is a new shape of a service.
func (w *walk) view(name string) *balancer.View {
	s := w.bed.small(name, w.ports[name], nil)
	if w.IntN(4) == 0 {
		i := w.IntN(2)
		s.Listen = s.Listen[i : i+1]
	}
	if w.IntN(4) == 0 {
		s.Pinning = balancer.PinFlow
	}
	if w.IntN(4) == 0 {
		s.Timeouts = balancer.Timeouts{Unreplied: 7 * time.Second, Replied: time.Duration(70+w.IntN(2)) * time.Second}
	}
	if w.IntN(4) == 0 {
		s.Deny = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(w.IntN(4)), 0}), 24)}
	}
	if w.IntN(4) == 0 {
		s.Key.Variants[0].Fields[0].Length = 4 + 4*w.IntN(3)
	}
	if w.IntN(2) == 0 {
		s.Health = &balancer.Health{}
	}
	if w.IntN(4) == 0 {
		s.SNAT = balancer.SNATMasquerade
	}
	s.Seed, s.Slots = uint32(1+w.IntN(2)), []uint32{7, 11}[w.IntN(2)]
	states := make(map[uint16]balancer.State)
	first := 10 * uint16(1+slices.Index(walkers, name))
	var backends []balancer.Backend
	for i, be := range s.Backends {
		if w.IntN(4) == 0 {
			continue
		}
		be.ID = first + uint16(i)
		be.Port = uint16(port + w.IntN(3)) // where those of others may be, too
		be.Addresses = be.Addresses[w.IntN(2):]
		be.Weight = w.IntN(3)
		if w.IntN(4) == 0 {
			states[be.ID] = []balancer.State{balancer.Down, balancer.Draining}[w.IntN(2)]
		}
		backends = append(backends, be)
	}
	if len(backends) > 0 && w.IntN(4) == 0 { // one that has left, where another has arrived
		left := backends[0]
		left.ID, left.Name = first+9, "left"
		backends, states[left.ID] = append(backends, left), balancer.Down
	}
	s.Backends = backends
	return balancer.NewView(s, w.bed.rules.Features().Capabilities, states, unbound{})
}

// plain is a table that knows nothing of how it was made.
func plain(t *Table) *Table {
	out := &Table{Name: t.Name, Chains: t.Chains, Timeouts: t.Timeouts}
	for _, m := range t.Maps {
		whole := *m
		whole.Elements, whole.gather = m.all(), nil
		out.Maps = append(out.Maps, &whole)
	}
	return out
}

// inWords is what a plan does, but for the numbers that name new maps within a
// transaction.
func inWords(p *plan) []string {
	var out []string
	for _, r := range append(slices.Concat(p.fill...), p.change...) {
		line := fmt.Sprintf("%d %s", r.typ, r.what)
		if r.typ != msgNewSet {
			line += fmt.Sprintf(" %x", r.body)
		}
		out = append(out, line)
	}
	return append(out, fmt.Sprint("drops ", p.drops))
}

// However one configuration became another, the kernel must have that one, and
// no more of it may be touched than what differs: what is made anew has
// forgotten its sessions and counters.
func TestChangesLeadToTheSameTable(t *testing.T) {
	b := newBed(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &walk{Rand: rand.New(rand.NewPCG(seed, 0)), bed: b, views: make(map[string]*balancer.View), ports: make(map[string]uint16)}
	for i, name := range walkers {
		w.ports[name] = uint16(port + 100 + i)
	}
	queues, features := balancer.Queues{Count: 2}, b.rules.Features()
	compiler := NewCompiler(queues, features)
	before := compiler.Compile(balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 100, nil))
	if err := b.rules.Apply(before); err != nil {
		t.Fatal(err)
	}
	for step := range 150 {
		snap := w.step()
		next := compiler.Compile(snap)
		compiler.Applied(next)
		anew := NewCompiler(queues, features)
		anew.steered = compiler.steered // base chains stay
		fresh := anew.Compile(snap)
		if d := differences(plain(next), plain(fresh), nil); len(d) > 0 {
			t.Fatalf("step %d: a table that was made of parts is another: %v", step, d)
		}
		if d := gocmp.Diff(inWords(diff(plain(before), plain(next))), inWords(diff(before, next))); d != "" {
			t.Fatalf("step %d: the short way to the table is not the way (-whole +short):\n%s", step, d)
		}
		if err := b.rules.Apply(next); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		have, err := read(b.rules.conn, TableName, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := differences(have, fresh, nil); len(d) > 0 {
			t.Fatalf("step %d: the kernel has another table: %v", step, d)
		}
		if p := diff(have, plain(fresh)); len(p.fill)+len(p.change) > 0 {
			t.Fatalf("step %d: the kernel's table needs more: %v", step, inWords(p))
		}
		before = next
	}
}
