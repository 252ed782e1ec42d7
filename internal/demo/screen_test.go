package demo

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/internal/lab"
)

var update = flag.Bool("update", false, "write the golden files anew")

// looks are the ways to write a show, by the name of their golden files.
var looks = map[string]Look{
	"plain":  {},
	"ascii":  {ASCII: true},
	"colour": {Colour: true, Live: true},
}

// A show that is not what it was must be looked at by somebody.
func TestScreenGolden(t *testing.T) {
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			got := rendered(look)
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[mK]|\r")

// Longer lines would be broken by a terminal of the usual size.
func TestScreenWidth(t *testing.T) {
	for name, look := range looks {
		for line := range strings.Lines(string(rendered(look))) {
			line = strings.TrimSuffix(escapes.ReplaceAllString(line, ""), "\n")
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("%s: %d characters: %s", name, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: blanks at the end of %q", name, line)
			}
		}
	}
}

// Who writes the show to a file wants to read that file.
func TestScreenPlain(t *testing.T) {
	for name, look := range looks {
		text := rendered(look)
		if look.Colour != bytes.Contains(text, []byte("\x1b[")) {
			t.Errorf("%s: escape sequences: %v, want %v", name, !look.Colour, look.Colour)
		}
		if look.ASCII && bytes.ContainsFunc(text, func(r rune) bool { return r > 127 }) {
			t.Errorf("%s: characters beyond ASCII", name)
		}
		if !look.Live && bytes.Contains(text, []byte("\r")) {
			t.Errorf("%s: a line is overwritten", name)
		}
	}
}

func TestLook(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		locale string
		want   Look
	}{
		{"", Look{}}, {"C.UTF-8", Look{}}, {"de_DE.utf8", Look{}}, {"C", Look{ASCII: true}}, {"de_DE@euro", Look{ASCII: true}},
	} {
		env := func(name string) string { return map[string]string{"LANG": c.locale, "TERM": "xterm"}[name] }
		if got := LookOf(file, env); got != c.want {
			t.Errorf("locale %q, a file: %+v, want %+v", c.locale, got, c.want)
		}
	}
}

// rendered is a show of invented results, good and bad ones.
func rendered(look Look) []byte {
	var out bytes.Buffer
	s := newScreen(&out, look)
	(&show{screen: s}).sketch()
	s.heading(1, "Spread")
	s.showSpreading(&spreading{sent: 2000, by: []int{251, 502, 1247}, took: 412 * time.Millisecond})
	s.showSpreading(&spreading{sent: 2000, foreign: 2, by: []int{0, 1, 1998}, took: 12 * time.Second})
	s.heading(2, "Roam")
	s.head(roamTable)
	client := netip.MustParseAddrPort("198.18.0.2:20000")
	client6 := netip.MustParseAddrPort("[2001:db8:f::ff]:60000")
	s.showMove("", netip.AddrPort{}, client, answerOfBackend(0), 310*time.Microsecond)
	s.showMove("to IPv6", client, client6, answerOfBackend(1), 1310*time.Millisecond)
	s.showMove("to IPv4", client6, client, lab.Reply{}, 0)
	s.heading(3, "Stale")
	entries := []entry{
		{client: client, listener: listener(vpnPort, false), backend: netip.MustParseAddrPort("198.51.100.2:4500"), zone: 65535, answered: true},
		{client: netip.MustParseAddrPort("198.18.0.200:60000"), listener: listener(vpnPort, false), backend: netip.MustParseAddrPort("198.51.100.2:4500"), zone: 2},
	}
	now := time.Now()
	s.progress("waiting")
	s.showEnd(lab.Reply{Time: now}, now.Add(1234*time.Microsecond), entries[1:], client)
	s.showEnd(lab.Reply{Time: now}, time.Time{}, entries, client)
	s.showEnd(lab.Reply{}, time.Time{}, nil, client)
	s.showDelays([]time.Duration{4e6, 5e5, 1e6, 1e8}, 5)
	s.showDelays(nil, 5)
	s.heading(4, "Takeover")
	t := &takeover{}
	for i := range t.packets {
		t.packets[i] = packet{from: client, home: i / 2, by: [2]int{i / 2, i/2 - i/3}}
	}
	s.showTakeover(t)
	s.showTakeovers([]*takeover{t}, [2]int{1, 1})
	t.packets[3].by = [2]int{-1, 1}
	s.showTakeovers([]*takeover{t}, [2]int{})
	s.heading(5, "Socket")
	s.showTalks([]*talk{{home: 0, by: [2][]int{{20, 0, 0}, {18, 0, 0}}}, {home: 2, by: [2][]int{{0, 0, 20}, {20, 0, 0}}}}, 20)
	s.heading(6, "Kill")
	renderKill(s, now)
	s.summary(34 * time.Second)
	return out.Bytes()
}

func renderKill(s *screen, now time.Time) {
	f := &fate{
		begun: now, killed: now.Add(2500 * time.Millisecond), serves: now.Add(4620 * time.Millisecond),
		notes: []note{{2500e6, "SIGKILL to process 4194304"}, {4500e6, "start"}, {4620e6, "serves again"}},
	}
	s.head(killTable)
	var sum tally
	for i := 1; i <= 5; i++ {
		one := tally{sent: 4000, answered: 4000 - i/5, misplaced: i / 4}
		for k := range kinds {
			one.answers = append(one.answers, arrival{now.Add(time.Duration(i) * time.Second), k})
		}
		s.showTally(count(i), one, f.in(i))
		sum.add(one)
	}
	s.showTally("all", sum, "")
	s.showKill(&sum, f)
}

// answerOfBackend is an answer of backend i, counted from 0.
func answerOfBackend(i int) lab.Reply {
	return lab.Reply{Payload: []byte(serverName(i)), Time: time.Now()}
}
