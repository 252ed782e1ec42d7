package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/roamlb/roamlb/config"
)

// The wrong configurations stand in testdata/wrong, in files of cases:
//
//	=== KIND: title
//	member: value # want POINTER: fragment of the message
//
// A comment names a problem that is expected in its line; "-" is the pointer of
// the whole text, and want@N stands for line N of the case. No others may be
// found. The kind says what the lines are: a whole file, members of a service
// or members of its backend, which get the other members they need.
type wrongCase struct {
	title string
	text  string
	want  []expectation
}

type expectation struct {
	pointer  string
	line     int
	fragment string
}

var wantPattern = regexp.MustCompile(`^(?:@(\d+))? (\S+): (.*)$`)

func TestWrongConfigurationsAreRefused(t *testing.T) {
	cases := readWrongCases(t)
	if len(cases) < 200 {
		t.Fatalf("%d cases; 200 at least are meant to be here", len(cases))
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			checkProblems(t, c)
		})
	}
}

// checkProblems fails where an operator would be told the wrong thing, or the
// wrong place, or not all there is.
func checkProblems(t *testing.T, c wrongCase) {
	t.Helper()
	f, err := config.Parse("test.yaml", []byte(c.text))
	if err == nil {
		t.Fatalf("accepted as %+v\n%s", f, c.text)
	}
	if f != nil {
		t.Errorf("a file was returned beside the error")
	}
	var all *config.Error
	if !errors.As(err, &all) {
		t.Fatalf("error is a %T", err)
	}
	left := slices.Clone(c.want)
	for _, p := range all.Problems {
		i := slices.IndexFunc(left, func(w expectation) bool {
			return w.pointer == p.Pointer && w.line == p.Line && strings.Contains(p.Message, w.fragment)
		})
		if i < 0 {
			t.Errorf("unexpected: %s at line %d: %s", p.Pointer, p.Line, p.Message)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, w := range left {
		t.Errorf("missing: %s at line %d: %s", w.pointer, w.line, w.fragment)
	}
	if t.Failed() {
		t.Logf("\n%s\n%v", c.text, err)
	}
}

func readWrongCases(t testing.TB) []wrongCase {
	t.Helper()
	files, err := filepath.Glob("testdata/wrong/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var cases []wrongCase
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		topic := strings.TrimSuffix(filepath.Base(file), ".txt")
		for _, part := range strings.Split(string(data), "\n=== ")[1:] {
			head, body, _ := strings.Cut(part, "\n")
			kind, title, _ := strings.Cut(head, ": ")
			text := complete(t, kind, strings.Split(strings.TrimRight(body, "\n"), "\n"))
			cases = append(cases, wrongCase{title: topic + "/" + title, text: text, want: expectations(t, text)})
		}
	}
	return cases
}

// complete adds to the lines of a case what a configuration needs besides.
func complete(t testing.TB, kind string, lines []string) string {
	t.Helper()
	switch kind {
	case "file":
		return strings.Join(lines, "\n") + "\n"
	case "service":
		lines = withDefaults(lines,
			"name: svc", "listen: [{address: 192.0.2.1, port: 1194}]", "key: {offset: 1, length: 8}")
		return "services:\n  -\n" + indented(lines, 4)
	case "backend":
		lines = withDefaults(lines, "name: srv", "port: 1194")
		if !hasMember(lines, "address") && !hasMember(lines, "addresses") {
			lines = append(lines, "address: 198.51.100.1")
		}
		return "services:\n" +
			"  - name: svc\n" +
			"    listen: [{address: 192.0.2.1, port: 1194}]\n" +
			"    key: {offset: 1, length: 8}\n" +
			"    backends:\n      -\n" + indented(lines, 8)
	}
	t.Fatalf("unknown kind of case %q", kind)
	return ""
}

func withDefaults(lines []string, members ...string) []string {
	for _, m := range members {
		name, _, _ := strings.Cut(m, ":")
		if !hasMember(lines, name) {
			lines = append(lines, m)
		}
	}
	return lines
}

func hasMember(lines []string, name string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") })
}

func indented(lines []string, by int) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%*s%s\n", by, "", l)
	}
	return b.String()
}

// expectations reads the comments of a complete text.
func expectations(t testing.TB, text string) []expectation {
	t.Helper()
	var all []expectation
	for i, l := range strings.Split(text, "\n") {
		for _, comment := range strings.Split(l, "# want")[1:] {
			m := wantPattern.FindStringSubmatch(strings.TrimRight(comment, " "))
			if m == nil {
				t.Fatalf("comment %q has another form", comment)
			}
			w := expectation{pointer: m[2], line: i + 1, fragment: m[3]}
			if m[1] != "" {
				w.line, _ = strconv.Atoi(m[1])
			}
			if w.pointer == "-" {
				w.pointer = ""
			}
			all = append(all, w)
		}
	}
	return all
}
