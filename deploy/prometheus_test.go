//go:build packages

package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An alert that does not fire when it should, or does when it should not, is
// worse than none.
func TestAlerts(t *testing.T) {
	t.Log(run(t, "promtool", "check", "rules", "prometheus/roamlb.rules.yml"))
	t.Log(run(t, "promtool", "test", "rules", "prometheus/roamlb.test.yml"))
	rules, tests := alerts(t, "alert", "roamlb.rules.yml"), alerts(t, "alertname", "roamlb.test.yml")
	if len(rules) < 15 || !slices.Equal(rules, tests) {
		t.Errorf("alerts are %v, tested %v", rules, tests)
	}
}

// alerts are the names that a member has in a file, sorted, each once.
func alerts(t *testing.T, member, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("prometheus", name))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:- )?`+member+`: (\w+)$`).FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A panel whose query does not parse shows nothing when it is needed.
func TestDashboardQueries(t *testing.T) {
	text, err := os.ReadFile("grafana/roamlb.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	queries := 0
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$service", ".*").Replace(target.Expr)
			fmt.Fprintf(&rules, "  - record: query:%d\n    expr: %q\n", queries, expr)
			queries++
		}
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "promtool", "check", "rules", path)
	if queries < 30 {
		t.Errorf("only %d queries", queries)
	}
}
