package api_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What the documentation shows is typed in: every command of the tour must do
// what it says.
func TestTourOfTheDocumentation(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs curl: apt-get install curl")
		}
		t.Skip("needs curl: install curl")
	}
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tour, _ := strings.Cut(string(text), "## A tour in ten minutes")
	tour, _, _ = strings.Cut(tour, "\n## ")
	script := "set -eu\n"
	blocks := strings.Split(tour, "```sh\n")[1:]
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		script += code + "echo\n"
	}
	if len(blocks) < 12 {
		t.Fatalf("the tour has %d blocks", len(blocks))
	}
	w := newWorld(t, services)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Env = append(os.Environ(), "SOCKET="+w.socket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, part := range []string{`"status":"ok"`, `"name":"game"`, `"family":"ipv4"`, `"weight":1`, `"moved":`, `"verdict":"balanced"`, `"old_flow":"none"`, `"key":"8c31f2d0a4b7e915"`, `"state":"drain"`, `"kind":"audit"`, `"secret":"rlb_`, "roamlb_sessions{"} {
		if !strings.Contains(string(out), part) {
			t.Errorf("the tour's output has no %s:\n%s", part, out)
		}
	}
	w.do("GET", "/v1/services/game", nil).want(t, 404)
}
