package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

var symbols = map[Status]string{OK: "✓", Warn: "!", Fail: "✗", Skip: "-"}

// SGR parameters (ECMA-48): green, yellow, red, faint.
var colours = map[Status]string{OK: "32", Warn: "33", Fail: "31", Skip: "2"}

// Print writes results for people: a line each, and below those that are not
// well what is wanted and what to do, then a count. The error is w's.
func Print(w io.Writer, results []Result, colour bool) error {
	out := bufio.NewWriter(w)
	width := 0
	for _, r := range results {
		width = max(width, utf8.RuneCountInString(r.Name))
	}
	indent := strings.Repeat(" ", width+4)
	count := make(map[Status]int)
	for _, r := range results {
		count[r.Status]++
		symbol := symbols[r.Status]
		if colour {
			symbol = "\x1b[" + colours[r.Status] + "m" + symbol + "\x1b[0m"
		}
		fmt.Fprintf(out, "%s %-*s  %s\n", symbol, width, r.Name, printable(r.Found))
		if r.Want != "" {
			fmt.Fprintf(out, "%swant: %s\n", indent, printable(r.Want))
		}
		if r.Fix != "" {
			fmt.Fprintf(out, "%sfix:  %s\n", indent, printable(r.Fix))
		}
	}
	fmt.Fprintf(out, "\n%d ok, %d to look at, %d to fix, %d skipped\n", count[OK], count[Warn], count[Fail], count[Skip])
	if n := fixable(results); n > 0 {
		fmt.Fprintf(out, "roamlb check --fix does %d of them\n", n)
	}
	return out.Flush()
}

func fixable(results []Result) int {
	n := 0
	for _, r := range results {
		if r.Fixable {
			n++
		}
	}
	return n
}

// printable keeps a name that somebody gave a chain from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// JSON writes results as an array for programs, [] where there are none. The
// error is w's.
func JSON(w io.Writer, results []Result) error {
	if results == nil {
		results = []Result{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(results)
}
