package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roamlb/roamlb/balancer"
)

// services makes them from "name:backend,backend".
func services(specs ...string) []balancer.Service {
	var out []balancer.Service
	for _, spec := range specs {
		name, backends, _ := strings.Cut(spec, ":")
		svc := balancer.Service{Name: name}
		for _, b := range strings.FieldsFunc(backends, func(r rune) bool { return r == ',' }) {
			svc.Backends = append(svc.Backends, balancer.Backend{Name: b})
		}
		out = append(out, svc)
	}
	return out
}

// ids is every backend's id by "service/backend".
func ids(s State) map[string]uint16 {
	out := make(map[string]uint16)
	for _, svc := range s.Services {
		for _, b := range svc.Backends {
			out[svc.Name+"/"+b.Name] = b.ID
		}
	}
	return out
}

func mustAssign(t *testing.T, a Assigner, prev State, specs ...string) State {
	t.Helper()
	s, err := a.Assign(services(specs...), prev)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.validate(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAssignIDs(t *testing.T) {
	a := Assigner{Max: 5, Now: time.Unix(1000, 0), Rest: time.Minute}
	s := mustAssign(t, a, State{}, "x:a,b", "y:a")
	want := map[string]uint16{"x/a": 1, "x/b": 2, "y/a": 3}
	if diff := cmp.Diff(want, ids(s)); diff != "" {
		t.Fatalf("first (-want +got):\n%s", diff)
	}
	// A new order, a new backend, one gone: who stays keeps its id, and the
	// freed one is not the next one's while others are left.
	s = mustAssign(t, a, s, "y:a", "x:c,b")
	want = map[string]uint16{"y/a": 3, "x/c": 4, "x/b": 2}
	if diff := cmp.Diff(want, ids(s)); diff != "" {
		t.Fatalf("second (-want +got):\n%s", diff)
	}
	s = mustAssign(t, a, s, "y:a", "x:c,b,d")
	if got := ids(s)["x/d"]; got != 5 {
		t.Fatalf("x/d has id %d, want 5", got)
	}

	// Only id 1 is free: it must rest, then be out of use.
	more := []string{"y:a", "x:c,b,d,e"}
	_, err := a.Assign(services(more...), s)
	var exhausted *ExhaustedError
	if !errors.As(err, &exhausted) || exhausted.Limit != 5 || exhausted.Resting != 1 || exhausted.Backend != "e" {
		t.Fatalf("resting: %v", err)
	}
	a.Now = a.Now.Add(time.Minute)
	a.InUse = func(id uint16) bool { return id == 1 }
	_, err = a.Assign(services(more...), s)
	if !errors.As(err, &exhausted) || exhausted.InUse != 1 || !strings.Contains(err.Error(), "leave 5 ids") {
		t.Fatalf("in use: %v", err)
	}
	a.InUse = func(id uint16) bool { return id > 1 } // its own backends' ids are not asked about
	s = mustAssign(t, a, s, more...)
	if got := ids(s)["x/e"]; got != 1 {
		t.Fatalf("x/e has id %d, want 1", got)
	}
}

// Two backends change places in one write: the kernel still carries the old
// one's sessions when the new one appears.
func TestAssignNeverReusesWithinAChange(t *testing.T) {
	a := Assigner{Max: 2}
	s := mustAssign(t, a, State{}, "x:a,b")
	if _, err := a.Assign(services("x:a,c"), s); err == nil {
		t.Error("c got the id that b gives up")
	}
}

// The state file is lost, the kernel's table is not: its ids are not given out.
func TestAssignAvoidsIDsThatOnlyTheKernelKnows(t *testing.T) {
	a := Assigner{Max: 10, Now: time.Unix(1000, 0), InUse: func(id uint16) bool { return id <= 2 }}
	s := mustAssign(t, a, State{}, "x:a")
	if got := ids(s)["x/a"]; got != 3 {
		t.Errorf("id %d, want 3", got)
	}
	if diff := cmp.Diff([]Freed{{1, 1000}, {2, 1000}}, s.Freed); diff != "" {
		t.Errorf("freed (-want +got):\n%s", diff)
	}
}

// mark_mask was narrowed: ids that do not fit any more are replaced.
func TestAssignBelowALowerLimit(t *testing.T) {
	s := mustAssign(t, Assigner{Max: 9}, State{}, "x:a,b,c")
	s = mustAssign(t, Assigner{Max: 9}, s, "x:b,c")
	s = mustAssign(t, Assigner{Max: 2}, s, "x:b,c")
	if diff := cmp.Diff(map[string]uint16{"x/b": 2, "x/c": 1}, ids(s)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A clock that was far ahead when an id was freed must not block it for ever.
func TestAssignWithAClockSetBack(t *testing.T) {
	a := Assigner{Max: 1, Rest: time.Minute, Now: time.Unix(1_000_000, 0)}
	s := mustAssign(t, a, mustAssign(t, a, State{}, "x:a"), "x:")
	a.Now = time.Unix(1000, 0)
	s = mustAssign(t, a, s, "x:")
	a.Now = a.Now.Add(time.Minute)
	mustAssign(t, a, s, "x:b")
}

// Who is told which rules a new service needs, and asks again when they are there,
// must not be told others.
func TestAssignSeedsByName(t *testing.T) {
	a := Assigner{Max: 10, SeedsByName: true}
	s := mustAssign(t, a, State{}, "x:")
	one, two := mustAssign(t, a, s, "x:", "y:"), mustAssign(t, a, s, "z:", "y:", "x:")
	seeds := func(s State) map[string]uint32 {
		out := make(map[string]uint32)
		for _, svc := range s.Services {
			out[svc.Name] = svc.Seed
		}
		return out
	}
	x, y := seeds(one), seeds(two)
	if x["x"] != y["x"] || x["y"] != y["y"] || x["x"] == x["y"] || y["z"] == 0 {
		t.Errorf("seeds %v and %v: want the same for a name, and others for others", x, y)
	}
	if other := mustAssign(t, a, State{}, "x:"); other.Services[0].Seed == x["x"] {
		t.Error("two states have one seed")
	}
}

func TestAssignSeeds(t *testing.T) {
	random := append([]byte{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, make([]byte, 32)...) // seeds, then the secret
	a := Assigner{Max: 10, Rand: bytes.NewReader(random)}
	s := mustAssign(t, a, State{}, "x:", "y:")
	if got := []uint32{s.Services[0].Seed, s.Services[1].Seed}; !slices.Equal(got, []uint32{0x01010101, 0x02020202}) {
		t.Errorf("seeds %x: 0 must be drawn again", got)
	}
	cfg := services("x:", "y:")
	cfg[1].Seed = 7
	s, err := a.Assign(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	if got := []uint32{s.Services[0].Seed, s.Services[1].Seed}; !slices.Equal(got, []uint32{0x01010101, 7}) {
		t.Errorf("seeds %x: x keeps its own, y has the file's", got)
	}
	if _, err := a.Assign(services("z:"), s); !errors.Is(err, io.EOF) {
		t.Errorf("no randomness: %v, want io.EOF", err)
	}
	a.Rand = nil
	one, two := mustAssign(t, a, State{}, "z:"), mustAssign(t, a, State{}, "z:")
	if one.Services[0].Seed == two.Services[0].Seed {
		t.Error("two random seeds are equal")
	}
}

func TestAssignRefusesNamesTwice(t *testing.T) {
	for _, cfg := range [][]balancer.Service{services("x:", "x:"), services("x:a,a")} {
		if _, err := (Assigner{Max: 10}).Assign(cfg, State{}); err == nil {
			t.Errorf("%v: no error", cfg)
		}
	}
}

// Whatever is applied in whatever order: ids are unique and within the limit,
// stay with their backend, and none goes to another while the kernel carries
// it, before it has rested, or while there are ids never used.
func TestAssignProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_000_000, 0)
		a := Assigner{Max: uint16(rapid.IntRange(1, 12).Draw(t, "max")), Rest: 10 * time.Second}
		var s State
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			used := rapid.MapOf(rapid.Uint16Range(1, 12), rapid.Just(true)).Draw(t, "in use")
			a.Now, a.InUse = now, func(id uint16) bool { return used[id] }
			cfg := drawServices(t)
			before := fmt.Sprint(cfg, s)
			next, err := a.Assign(cfg, s)
			if fmt.Sprint(cfg, s) != before {
				t.Fatalf("step %d: the arguments were changed", step)
			}
			checkAssigned(t, a, cfg, s, next, err)
			if err == nil {
				s = next
			}
		}
	})
}

func drawServices(t *rapid.T) []balancer.Service {
	var specs []string
	for _, name := range []string{"x", "y"} {
		if rapid.Bool().Draw(t, name) {
			backends := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 0, 6, rapid.ID[string]).Draw(t, name+" backends")
			specs = append(specs, name+":"+strings.Join(backends, ","))
		}
	}
	return services(specs...)
}

func checkAssigned(t *rapid.T, a Assigner, cfg []balancer.Service, prev, next State, err error) {
	free := 0
	for _, f := range prev.Freed {
		if a.Now.Sub(time.Unix(f.At, 0)) >= a.Rest && !a.InUse(f.ID) && f.ID <= a.Max {
			free++
		}
	}
	for id := prev.LastID + 1; id <= a.Max; id++ {
		if !a.InUse(id) {
			free++
		}
	}
	was := ids(prev)
	wanted := 0
	for name := range ids(State{Services: cfg}) {
		if was[name] == 0 {
			wanted++
		}
	}
	if _, ok := errors.AsType[*ExhaustedError](err); ok {
		if wanted <= free {
			t.Fatalf("%d ids are free for %d, but: %v", free, wanted, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if wanted > free {
		t.Fatalf("%d ids were free for %d", free, wanted)
	}
	if err := next.validate(); err != nil { // ids unique, none lost
		t.Fatal(err)
	}
	for name, id := range ids(next) {
		if id == 0 || id > a.Max {
			t.Fatalf("%s has id %d, the limit is %d", name, id, a.Max)
		}
		if old, ok := was[name]; ok && old != id {
			t.Fatalf("%s had id %d, now %d", name, old, id)
		} else if ok {
			continue
		}
		if a.InUse(id) {
			t.Fatalf("%s got id %d, which is in use", name, id)
		}
		if i := slices.IndexFunc(prev.Freed, func(f Freed) bool { return f.ID == id }); i >= 0 {
			if a.Now.Sub(time.Unix(prev.Freed[i].At, 0)) < a.Rest {
				t.Fatalf("%s got id %d, which has not rested", name, id)
			}
			if next.LastID < a.Max {
				t.Fatalf("%s got id %d again while %d was never used", name, id, next.LastID+1)
			}
		} else if id <= prev.LastID {
			t.Fatalf("%s got id %d of a backend", name, id)
		}
	}
}

// A restart, or a change of something else, must not give a draining backend
// its time anew; draining it again must.
func TestDrainsKeepTheirTime(t *testing.T) {
	at := func(seconds int64, prev State, admins ...balancer.Admin) State {
		t.Helper()
		cfg := services("x:a,b,c")
		for i, admin := range admins {
			cfg[0].Backends[i].Admin = admin
		}
		s, err := Assigner{Max: 9, Now: time.Unix(seconds, 0)}.Assign(cfg, prev)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.validate(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := func(s State, drains ...Drain) {
		t.Helper()
		if diff := cmp.Diff(drains, s.Draining); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	const up, drain = balancer.AdminUp, balancer.AdminDrain
	s := at(100, State{}, up, drain, up)
	want(s, Drain{2, 100})
	s = at(200, s, drain, drain, up)
	want(s, Drain{1, 200}, Drain{2, 100})
	s = at(50, s, drain, drain, up) // the clock was set back
	want(s, Drain{1, 50}, Drain{2, 50})
	s = at(300, s, up, drain, up)
	want(s, Drain{2, 50})
	s = at(400, s, drain, up, up)
	want(s, Drain{1, 400})
	if _, ok := s.DrainingSince(2); ok {
		t.Error("a backend that is up again is said to drain")
	}
	s.Draining = append(s.Draining, Drain{3, 1})
	if s.validate() == nil {
		t.Error("a drain of a backend that is up is accepted")
	}
}
