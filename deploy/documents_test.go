// Package deploy has the tests of what roamlb is installed and watched with.
// Those that need packages, or programs beside Go, have the tag "packages":
// "make test-package" runs them.
package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/store"
)

// operations is a part of docs/operations.md: from its heading to the next.
func operations(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/operations.md has no part %q", heading)
	}
	part, _, _ := strings.Cut(rest, "\n## ")
	return part
}

// rows are the names that a part's table explains, sorted.
func rows(part string) []string {
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(part, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return names
}

// Whoever is told of something at night must find what it means and what to do,
// and nothing that there is not.
func TestOperationsExplainEveryEvent(t *testing.T) {
	var kinds []string
	for _, k := range event.Kinds {
		kinds = append(kinds, string(k))
	}
	slices.Sort(kinds)
	if got := rows(operations(t, "Events")); !slices.Equal(got, kinds) {
		t.Errorf("explained are %v, events are %v", got, kinds)
	}
}

func TestOperationsExplainEveryAlert(t *testing.T) {
	text, err := os.ReadFile("prometheus/roamlb.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var alerts []string
	for _, m := range regexp.MustCompile(`(?m)^      - alert: (\w+)$`).FindAllSubmatch(text, -1) {
		alerts = append(alerts, string(m[1]))
	}
	slices.Sort(alerts)
	if got := rows(operations(t, "Alerts")); len(alerts) == 0 || !slices.Equal(got, alerts) {
		t.Errorf("explained are %v, alerts are %v", got, alerts)
	}
}

// The reasons of deletions and of states that the code tells are constants named
// so; each must be explained.
func TestOperationsExplainEveryReason(t *testing.T) {
	part := operations(t, "Events")
	found := 0
	for _, pattern := range []string{"../ctsync/*.go", "../daemon/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^\treason[A-Z]\w+ += "([a-z-]+)"`).FindAllSubmatch(text, -1) {
				found++
				if !strings.Contains(part, "`"+string(m[1])+"`") {
					t.Errorf("docs/operations.md does not explain the reason %s", m[1])
				}
			}
		}
	}
	if found < 9 {
		t.Errorf("only %d reasons in the code", found)
	}
}

// The message about a state that is too new is what an operator searches for.
func TestOperationsQuoteTheRefusal(t *testing.T) {
	refusal := (&store.NewerError{Path: "/var/lib/roamlb/state.json", Version: store.Version + 1}).Error()
	quoted := fmt.Sprintf("state file /var/lib/roamlb/state.json has format version %d, this roamlb reads up to %d; it is left untouched", store.Version+1, store.Version)
	if !strings.Contains(refusal, quoted) || !strings.Contains(operations(t, "Upgrade and downgrade"), quoted) {
		t.Errorf("the message is %q", refusal)
	}
}

// What is installed must be taken by the program as it is, and say what the
// program's defaults are.
func TestInstalledConfiguration(t *testing.T) {
	text, err := os.ReadFile("roamlb.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Parse("roamlb.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	if got.API != want.API || got.State != want.State || len(got.Services) != 0 {
		t.Errorf("the file says %+v, state %s, %d services; the defaults are %+v, %s", got.API, got.State, len(got.Services), want.API, want.State)
	}
	// The example in it must be one.
	example := strings.ReplaceAll(strings.Replace(string(text), "services: []", "services:", 1), "\n#  ", "\n  ")
	got, err = config.Parse("roamlb.yaml", []byte(example))
	if err != nil || len(got.Services) != 1 {
		t.Errorf("with the example there are %d services: %v", len(got.Services), err)
	}
}
