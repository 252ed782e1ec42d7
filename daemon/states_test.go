package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/health"
)

// What an operator and the probes say together must neither send sessions to
// the dead nor take them from the living. A backend is a letter a, d or n for
// its admin member (up, drain, down), 0 behind it for no weight, ! for a drain
// that is over, and after a slash what its probes say: u, d, w, a share in
// percent, or nothing; a + says that it takes new sessions.
func TestLook(t *testing.T) {
	for _, c := range []struct {
		name, backends string
		probes, keep   bool
		want           string // states and shares of those that differ, by place
	}{
		{"no probes", "a d n", false, false, ""},
		{"no probes, old findings", "a/d a/w", false, false, ""},
		{"a drain that is over", "a d!", false, false, "2:down"},
		{"drained again, or up", "a! n!", false, false, ""},
		{"up and down", "a/u a/d", true, false, "2:down"},
		{"waiting takes no new sessions", "a/w a/u", true, false, "1:draining"},
		{"not probed yet", "a a+", true, false, "1:draining"},
		{"draining and dead", "d/d a/u", true, false, "1:down"},
		{"draining and well", "d/u a/u", true, false, ""},
		{"down by hand, whatever probes say", "n/u a/u", true, false, ""},
		{"slow start", "a/10 a/u d/10", true, false, "1:10%"},
		{"all down", "a/d a/w", true, false, "1:down 2:draining"},
		{"all down, kept", "a/d a/w", true, true, "kept"},
		{"all down, kept, but not drained ones", "a/d d! n d/d", true, true, "2:down kept"},
		{"one is up", "a/d a/u", true, true, "1:down"},
		{"one that gets nothing is up", "a/d a0/u d/u", true, true, "kept"},
		{"nobody could have sessions", "n d/d a0/d", true, true, "2:down 3:down"},
		{"kept at a start", "a a", true, true, "kept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc := balancer.Service{Name: "vpn"}
			if c.probes {
				svc.Health = &balancer.Health{}
			}
			if c.keep {
				svc.AllDown = balancer.AllDownKeep
			}
			drained, serving := make(map[uint16]bool), make(map[uint16]bool)
			standings := make(map[uint16]health.Standing)
			for i, text := range strings.Fields(c.backends) {
				id := uint16(i + 1)
				head, probe, probed := strings.Cut(text, "/")
				admin := map[byte]balancer.Admin{'a': balancer.AdminUp, 'd': balancer.AdminDrain, 'n': balancer.AdminDown}[head[0]]
				b := balancer.Backend{ID: id, Admin: admin, Weight: 1}
				if strings.Contains(head, "0") {
					b.Weight = 0
				}
				drained[id], serving[id] = strings.Contains(head, "!"), strings.Contains(head, "+")
				svc.Backends = append(svc.Backends, b)
				if probed {
					standings[id] = standing(t, probe)
				}
			}
			o := look([]balancer.Service{svc}, drained, standings, func(_ *balancer.Service, id uint16) bool { return serving[id] })
			if got := o.text(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func standing(t *testing.T, probe string) health.Standing {
	t.Helper()
	s := health.Standing{State: health.Up, Share: 100}
	switch probe {
	case "u":
	case "d":
		s.State = health.Down
	case "w":
		s.State = health.Waiting
	default:
		if _, err := fmt.Sscan(probe, &s.Share); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (o outlook) text() string {
	var out []string
	for id, st := range o.states {
		out = append(out, fmt.Sprintf("%d:%s", id, map[balancer.State]string{balancer.Down: "down", balancer.Draining: "draining", balancer.Up: "up"}[st]))
	}
	for id, share := range o.shares {
		out = append(out, fmt.Sprintf("%d:%d%%", id, share))
	}
	slices.Sort(out)
	if o.kept["vpn"] {
		out = append(out, "kept")
	}
	return strings.Join(out, " ")
}
