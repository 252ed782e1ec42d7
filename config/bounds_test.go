package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Each of these makes a YAML reader without bounds take time or memory that
// grows with the square of the length, or more, or overflow its stack. Reading a
// file must never stop the daemon, or keep it from its work for long.
func TestHostileTextsAreRefusedSoon(t *testing.T) {
	const size = 512 << 10
	again := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, c := range map[string]struct{ text, want string }{
		"nested lists":             {again("["), "more than 24 deep"},
		"nested objects":           {again("{a: "), "more than 24 deep"},
		"nested block lists":       {again("- "), "more than 24 deep"},
		"members of an object":     {again("k: 1\n"), "an object of more than 128 members"},
		"members in brackets":      {"[" + again("k: 1\n") + "]", "an object of more than 128 members"},
		"empty members":            {again("- a:\n"), "more than 64 members without a value"},
		"empty entries":            {again("-\n"), "more than 64 members without a value"},
		"empty members in braces":  {"[" + again("{a:},") + "]", "more than 64 members without a value"},
		"bare names in braces":     {"{" + again("a,") + "}", "more than 64 members without a value"},
		"documents":                {again("---\na\n"), "more than one YAML document"},
		"anchors":                  {again("&a "), "more than 1024 YAML anchors"},
		"complex keys":             {again("? "), "complex keys"},
		"tags":                     {again("!a "), "tags"},
		"tabs in quotes":           {`a: "` + again("\tx") + `"`, "too many tabs"},
		"blank lines after a text": {"a: |\n  x\n" + again("\n"), "too many blank lines in a row"},
		"merge signs":              {again("<"), `too many "<"`},
		"carriage returns":         {"a: |\n  " + again("\r"), "a byte 0x0d"},
		"a long name of a member":  {`"` + strings.Repeat("x", 4000) + `": {a: 1, b: 2}`, "a member's name of 4000 bytes"},
		"a long text":              {again("a "), "a text of 524287 bytes"},
		"open quotes":              {again(`"a `), "a text of 524281 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if err := problems(t, c.text); len(err.Problems) != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %.300s", err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// Ten aliases of ten aliases of ten ... stand for more than any memory holds.
func TestAliasBombsAreRefusedSoon(t *testing.T) {
	bomb := func(entry, before, after string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "a: &a %s\n", entry)
		for c := 'b'; c < 'n'; c++ {
			ten := strings.Repeat(", *"+string(c-1), 10)[2:]
			fmt.Fprintf(&b, "%c: &%c %s[%s]%s\n", c, c, before, ten, after)
		}
		return b.String()
	}
	lists := bomb("[x]", "", "")
	merges := bomb("{level: info}", "{<<: ", "}")
	for name, text := range map[string]string{
		"lists": lists + "services: *m\n", "merges": merges + "log: *m\n",
	} {
		if err := problems(t, text).Error(); !strings.Contains(err, "takes the YAML aliases beyond 100000 values") {
			t.Errorf("%s: error is %.300s", name, err)
		}
	}
}
