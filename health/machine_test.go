package health

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func rules() thresholds {
	return thresholds{rise: 2, fall: 3, interval: 5 * time.Second, jitter: 10, slowStart: 100 * time.Second}
}

// A backend that is taken down too soon loses its sessions for a lost probe,
// one that is too late keeps them where nobody answers. A script is a line of
// results, + and -, ! for a refused packet, ? for a probe that could not be
// made; behind each the wanted state.
func TestStates(t *testing.T) {
	for _, c := range []struct {
		name   string
		begin  State
		script string
	}{
		{"the first answer is enough for a new one", Waiting, "+u -u -u -d"},
		{"a new one that does not answer", Waiting, "-w -w -d"},
		{"a new one that answers late", Waiting, "-w -w +u -u -u +u"},
		{"single failures do no harm", Up, "-u -u +u -u -u +u"},
		{"failures in a row do", Up, "+u -u -u -d -d"},
		{"single answers do not bring it back", Down, "+d -d +d -d +d +u"},
		{"back, and down again", Down, "+d +u -u -u -d +d +u"},
		{"a refused packet alone takes nobody down", Up, "!S !S +u"},
		{"a refused packet, and failures", Up, "!S -S -S -d"},
		{"a refused packet after a failure", Up, "-u !S -S -d"},
		{"suspicion ends with an answer", Up, "!S -S +u -u -u -d"},
		{"a backend that is down is not suspect", Down, "!d"},
		{"nor one that waits", Waiting, "!w -w"},
		{"what cannot be probed is taken for up", Waiting, "?u"},
		{"and stays what it was", Down, "?d +d ?d +u"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := machine{thresholds: rules(), state: c.begin}
			for i, step := range strings.Fields(c.script) {
				before := m.state
				changed := false
				switch step[0] {
				case '+', '-':
					changed = m.result(noon, step[0] == '+')
				case '!':
					m.doubt()
				case '?':
					changed = m.assume()
				}
				got := map[State]string{Waiting: "w", Down: "d", Up: "u"}[m.state]
				if m.suspect {
					got = "S"
				}
				if got != step[1:] {
					t.Fatalf("step %d, %s: the state is %s", i+1, step, got)
				}
				if changed != (m.state != before) {
					t.Fatalf("step %d, %s: a change is told wrongly", i+1, step)
				}
			}
		})
	}
}

// Pauses bound how long a dead backend gets packets.
func TestPauses(t *testing.T) {
	for _, c := range []struct {
		name    string
		state   State
		suspect bool
		random  float64
		want    time.Duration
	}{
		{"up", Up, false, 0, 5 * time.Second},
		{"up, jitter", Up, false, 0.5, 4750 * time.Millisecond},
		{"down", Down, false, 0, 5 * time.Second},
		{"waiting", Waiting, false, 0, time.Second},
		{"suspect", Up, true, 0, time.Second},
		{"suspect, jitter", Up, true, 0.5, 950 * time.Millisecond},
	} {
		m := machine{thresholds: rules(), state: c.state, suspect: c.suspect}
		if got := m.pause(c.random); got != c.want {
			t.Errorf("%s: the pause is %v, want %v", c.name, got, c.want)
		}
	}
}

// A cold backend gets its sessions little by little, in few steps: each makes a
// ring.
func TestSlowStart(t *testing.T) {
	m := machine{thresholds: rules(), state: Down, streak: 1}
	if p, _ := m.share(noon); p != 100 {
		t.Errorf("a backend that is down has %d %%", p)
	}
	m.result(noon, true)
	var got []int
	at := noon
	for len(got) < 20 {
		p, until := m.share(at)
		got = append(got, p)
		if until.IsZero() {
			break
		}
		if before, _ := m.share(until.Add(-time.Millisecond)); before != p {
			t.Errorf("before %v the share is %d, want still %d", until.Sub(noon), before, p)
		}
		at = until
	}
	if want := []int{10, 28, 46, 64, 82, 100}; len(got) != len(want) || got[1] != want[1] || got[4] != want[4] || got[5] != want[5] {
		t.Errorf("shares %v, want %v", got, want)
	}
	if at.Sub(noon) != 100*time.Second {
		t.Errorf("it has all of its weight after %v", at.Sub(noon))
	}
	if p, until := (&machine{thresholds: rules(), state: Up}).share(noon); p != 100 || !until.IsZero() {
		t.Error("a backend that never was down starts slowly")
	}
	if p, _ := m.share(noon.Add(-time.Hour)); p != 10 {
		t.Errorf("with a clock that was set back the share is %d", p)
	}
}
