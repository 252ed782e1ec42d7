package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/config"
)

// Each of these makes a YAML reader without bounds take time or memory that
// grows with the square of the length, or more, or overflow its stack. Reading a
// file must never stop the daemon, or keep it from its work for long.
func TestHostileTextsAreRefusedSoon(t *testing.T) {
	const size = 512 << 10
	again := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, text := range map[string]string{
		"nested lists":             again("["),
		"nested objects":           again("{a: "),
		"nested block lists":       again("- "),
		"members of an object":     again("k: 1\n"),
		"members in brackets":      "[" + again("k: 1\n") + "]",
		"empty members":            again("- a:\n"),
		"empty entries":            again("-\n"),
		"empty members in braces":  "[" + again("{a:},") + "]",
		"bare names in braces":     "{" + again("a,") + "}",
		"documents":                again("---\na\n"),
		"anchors":                  again("&a "),
		"complex keys":             again("? "),
		"tags":                     again("!a "),
		"tabs in quotes":           `a: "` + again("\tx") + `"`,
		"blank lines after a text": "a: |\n  x\n" + again("\n"),
		"merge signs":              again("<"),
		"carriage returns":         "a: |\n  " + again("\r"),
		"long names of members":    `"` + again("x") + `": {a: 1, b: 2}`,
		"open quotes":              again(`"a `),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, err := config.Parse("", []byte(text)); err == nil {
				t.Error("accepted")
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
		text := "a: &a " + entry + "\n"
		for c := 'b'; c < 'n'; c++ {
			ten := strings.Repeat(", *"+string(c-1), 10)[2:]
			text += fmt.Sprintf("%c: &%c %s[%s]%s\n", c, c, before, ten, after)
		}
		return text
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
