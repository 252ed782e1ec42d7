package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The examples are what people begin with: they must work.
func TestExamples(t *testing.T) {
	w := newWorld(t, services)
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "ROAMLB_SOCKET="+w.socket)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	if _, err := exec.LookPath("curl"); err == nil {
		if out := run("../examples/add-backend.sh", "vpn", "c", "198.51.100.3", "1194"); !strings.Contains(out, "was added") {
			t.Errorf("add-backend.sh: %s", out)
		}
		if out := run("../examples/add-backend.sh", "vpn", "c", "198.51.100.3", "1194"); !strings.Contains(out, "there already") {
			t.Errorf("add-backend.sh again: %s", out)
		}
	} else if os.Getenv("CI") != "" {
		t.Error("needs curl: apt-get install curl")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs go: there is none where this test runs")
	}
	drain := filepath.Join(t.TempDir(), "drain")
	run("go", "build", "-o", drain, "../examples/go")
	if out := run(drain, "vpn", "b"); !strings.Contains(out, "0 sessions on backend b") {
		t.Errorf("drain: %s", out)
	}
	w.do("GET", "/v1/services/vpn/backends/b", nil).want(t, 200, `"admin":"drain"`)
}
