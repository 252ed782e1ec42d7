package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// excuse is how the reason of a skip begins that is no failure under -strict.
const excuse = "kernel lacks:"

// event is one line of "go test -json"; see "go doc test2json".
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output only, which has no Package
	Test        string
	Output      string
	Elapsed     float64 // seconds
	FailedBuild string  // import path whose build output says why
}

// report counts tests and subtests as their events arrive and prints what a
// reader needs. A test that only groups subtests is not counted beside them.
type report struct {
	w       io.Writer
	strict  bool
	pkgs    map[string]*pkg
	builds  map[string][]string // build output by import path
	skips   []string            // "package Test: reason" in order of arrival
	passed  int
	failed  int
	skipped int // those that do not count as failed
}

// pkg is what is known of a package whose tests have not all ended.
type pkg struct {
	output  map[string][]string // by test; "" is the package's own
	parents map[string]bool     // tests that have subtests
	broken  map[string]bool     // tests with a subtest that failed

	passed, failed, skipped int
}

func newReport(w io.Writer, strict bool) *report {
	return &report{w: w, strict: strict, pkgs: map[string]*pkg{}, builds: map[string][]string{}}
}

// read takes events until the stream ends. A line that is no event, such as a
// message of the go command, is printed as it is.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		var ev event
		if json.Unmarshal(line, &ev) == nil {
			r.add(ev)
		} else if len(line) > 0 {
			fmt.Fprintf(r.w, "%s", line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (r *report) add(ev event) {
	if ev.Action == "build-output" {
		r.builds[ev.ImportPath] = append(r.builds[ev.ImportPath], ev.Output)
		return
	}
	p := r.pkgs[ev.Package]
	if p == nil {
		p = &pkg{output: map[string][]string{}, parents: map[string]bool{}, broken: map[string]bool{}}
		r.pkgs[ev.Package] = p
	}

	switch ev.Action {
	case "run":
		for parent := parentOf(ev.Test); parent != ""; parent = parentOf(parent) {
			p.parents[parent] = true
		}
	case "output":
		p.output[ev.Test] = append(p.output[ev.Test], ev.Output)
	case "pass", "fail", "skip":
		if ev.Test == "" {
			r.endPackage(p, ev)
		} else {
			r.endTest(p, ev)
		}
	}
}

func (r *report) endTest(p *pkg, ev event) {
	output := p.output[ev.Test]
	delete(p.output, ev.Test)

	action := ev.Action
	if action == "skip" {
		reason := skipReason(output)
		mark := ""
		if r.strict && !strings.HasPrefix(reason, excuse) {
			action, mark = "fail", " (counts as failed)"
		}
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s%s", ev.Package, ev.Test, reason, mark))
	}
	switch {
	case action == "fail":
		if parent := parentOf(ev.Test); parent != "" {
			p.broken[parent] = true
		}
		if !p.broken[ev.Test] {
			p.failed++
		}
		r.print(output)
	case p.parents[ev.Test]:
	case action == "skip":
		p.skipped++
	default:
		p.passed++
	}
}

// endPackage prints the package's line, below whatever is left of its output
// when it failed. A package can fail without a test that does: it did not build,
// or it panicked or ran out of time and left tests without an end.
func (r *report) endPackage(p *pkg, ev event) {
	delete(r.pkgs, ev.Package)
	if ev.Action == "skip" || p.passed+p.failed+p.skipped == 0 && ev.Action == "pass" {
		return // no tests
	}
	if ev.Action == "fail" {
		r.print(r.builds[ev.FailedBuild])
		for _, test := range slices.Sorted(maps.Keys(p.output)) {
			r.print(p.output[test])
		}
		delete(p.output, "")
		if p.failed == 0 || len(p.output) > 0 {
			p.failed++
		}
	}
	word := "ok  "
	if p.failed > 0 {
		word = "FAIL"
	}
	fmt.Fprintf(r.w, "%s  %-48s %6.1fs  %s\n", word, ev.Package, ev.Elapsed, counts(p.passed, p.failed, p.skipped))
	r.passed += p.passed
	r.failed += p.failed
	r.skipped += p.skipped
}

// finish prints the list of skips and the sum, and tells whether all is well. A
// command that failed (ok is false) without a test that did counts as one.
func (r *report) finish(ok bool) bool {
	if !ok && r.failed == 0 {
		r.failed++
	}
	if len(r.skips) > 0 {
		fmt.Fprintln(r.w, "\nskipped:")
		for _, skip := range r.skips {
			fmt.Fprintf(r.w, "  %s\n", skip)
		}
	}
	fmt.Fprintf(r.w, "\n%s\n", counts(r.passed, r.failed, 0))
	return r.failed == 0 && r.passed > 0
}

func (r *report) print(output []string) {
	for _, text := range output {
		if !strings.HasPrefix(text, "=== ") { // RUN, PAUSE, CONT, NAME
			fmt.Fprint(r.w, text)
		}
	}
}

func counts(passed, failed, skipped int) string {
	s := fmt.Sprintf("%d passed, %d failed", passed, failed)
	if skipped > 0 {
		s += fmt.Sprintf(", %d skipped", skipped)
	}
	return s
}

// parentOf gives the test that ran a subtest, or "".
func parentOf(test string) string {
	if i := strings.LastIndexByte(test, '/'); i >= 0 {
		return test[:i]
	}
	return ""
}

var logLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)

// skipReason is the last message that a skipped test logged.
func skipReason(output []string) string {
	for _, text := range slices.Backward(output) {
		if m := logLine.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return "no reason given"
}
