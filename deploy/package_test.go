//go:build packages

package deploy

// The packages are those in ROAMLB_DEB and ROAMLB_RPM. These tests need dpkg,
// rpm, systemd-analyze and promtool, but no running systemd.

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A hole in the daemon must not be one in the host.
func TestUnitIsHardened(t *testing.T) {
	out := run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "roamlb.service")
	m := regexp.MustCompile(`Overall exposure level for roamlb.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no result:\n%s", out)
	}
	level, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exposure level %.1f", level)
	if level > 2.0 {
		t.Errorf("exposure level %.1f, want 2.0 or better:\n%s", level, out)
	}
	unit, err := os.ReadFile("roamlb.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Type=notify", "User=roamlb", "AmbientCapabilities=CAP_NET_ADMIN", "CapabilityBoundingSet=CAP_NET_ADMIN", "KillMode=control-group", "WatchdogSec=30",
	} {
		if !slices.Contains(strings.Split(string(unit), "\n"), line) {
			t.Errorf("the unit has no %s", line)
		}
	}
}

// file is one of a package's.
type file struct{ Mode, Owner string }

// files are those that both packages must have, beside man pages and
// documents.
var files = map[string]file{
	"/usr/bin/roamlb":                                   {"-rwxr-xr-x", "root/root"},
	"/etc/roamlb/roamlb.yaml":                           {"-rw-r--r--", "root/root"},
	"/usr/lib/systemd/system/roamlb.service":            {"-rw-r--r--", "root/root"},
	"/usr/lib/sysusers.d/roamlb.conf":                   {"-rw-r--r--", "root/root"},
	"/usr/share/bash-completion/completions/roamlb":     {"-rw-r--r--", "root/root"},
	"/usr/share/fish/vendor_completions.d/roamlb.fish":  {"-rw-r--r--", "root/root"},
	"/usr/share/man/man1/roamlb.1.gz":                   {"-rw-r--r--", "root/root"},
	"/usr/share/man/man1/roamlb-serve.1.gz":             {"-rw-r--r--", "root/root"},
	"/usr/share/doc/roamlb/roamlb.example.yaml":         {"-rw-r--r--", "root/root"},
	"/usr/share/doc/roamlb/docs/operations.md":          {"-rw-r--r--", "root/root"},
	"/usr/share/doc/roamlb/grafana/roamlb.json":         {"-rw-r--r--", "root/root"},
	"/usr/share/doc/roamlb/prometheus/roamlb.rules.yml": {"-rw-r--r--", "root/root"},
}

// list reads a listing: mode, owner and path stand where pattern's groups are.
func list(t *testing.T, text, pattern string) map[string]file {
	t.Helper()
	got := make(map[string]file)
	re := regexp.MustCompile(pattern)
	for line := range strings.Lines(text) {
		m := re.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Fatalf("what is this? %s", line)
		}
		owner := strings.Join(strings.Fields(m[2]), "/")
		got[strings.TrimSuffix(m[3], "/")] = file{m[1], owner}
	}
	return got
}

// check compares what a package has with what it must have, and with where
// roamlb's files may be.
func check(t *testing.T, got map[string]file, own map[string]file) {
	t.Helper()
	for _, want := range []map[string]file{files, own} {
		for path, f := range want {
			if diff := cmp.Diff(f, got[path]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
	}
	for path, f := range got {
		if f.Owner != "root/root" || strings.ContainsAny(f.Mode[1:], "sStT") || f.Mode[8] == 'w' {
			t.Errorf("%s is %s of %s", path, f.Mode, f.Owner)
		}
		if strings.HasPrefix(path, "/var") || strings.HasPrefix(path, "/run") || strings.HasPrefix(path, "/usr/local") {
			t.Errorf("%s is not a package's to bring", path)
		}
	}
}

func TestDebContents(t *testing.T) {
	deb := os.Getenv("ROAMLB_DEB")
	got := list(t, run(t, "dpkg-deb", "--contents", deb), `^(\S+) (\S+) +\d+ \S+ \S+ \.(/.*)$`)
	check(t, got, map[string]file{
		"/usr/share/zsh/vendor-completions/_roamlb": {"-rw-r--r--", "root/root"},
		"/usr/share/doc/roamlb/copyright":           {"-rw-r--r--", "root/root"},
	})
	dir := t.TempDir()
	run(t, "dpkg-deb", "--control", deb, dir)
	conffiles, err := os.ReadFile(filepath.Join(dir, "conffiles"))
	if err != nil || strings.TrimSpace(string(conffiles)) != "/etc/roamlb/roamlb.yaml" {
		t.Errorf("files that an upgrade leaves alone: %q, %v", conffiles, err)
	}
	for field, want := range map[string]string{"Package": "roamlb", "Version": "0.0.2", "Depends": "init-system-helpers"} {
		if got := run(t, "dpkg-deb", "--field", deb, field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

func TestRPMContents(t *testing.T) {
	rpm := os.Getenv("ROAMLB_RPM")
	got := list(t, run(t, "rpm", "--query", "--package", "--list", "--verbose", rpm), `^(\S+) +\d+ (\S+ +\S+) +\d+ .* (/\S+)$`)
	check(t, got, map[string]file{
		"/usr/share/zsh/site-functions/_roamlb": {"-rw-r--r--", "root/root"},
		"/usr/share/licenses/roamlb/LICENSE":    {"-rw-r--r--", "root/root"},
	})
	query := func(format string) string { return run(t, "rpm", "--query", "--package", "--queryformat", format, rpm) }
	if got := query("%{NAME} %{VERSION} %{RELEASE} %{LICENSE}"); got != "roamlb 0.0.2 1 Apache-2.0" {
		t.Errorf("the package is %s", got)
	}
	if got := run(t, "rpm", "--query", "--package", "--configfiles", rpm); got != "/etc/roamlb/roamlb.yaml" {
		t.Errorf("files that an upgrade leaves alone: %s", got)
	}
	// What is listed must come out of it.
	dir := t.TempDir()
	run(t, "sh", "-c", `rpm2cpio "$1" | (cd "$2" && cpio --quiet --no-absolute-filenames -id)`, "sh", rpm, dir)
	for path := range files {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Error(err)
		}
	}
	if got := run(t, filepath.Join(dir, "usr/bin/roamlb"), "version"); got != "roamlb v0.0.2" {
		t.Errorf("version: %s", got)
	}
}

// What a package manager runs decides whether an upgrade costs packets, and
// whether a removal leaves a table behind. The calls are written down by
// stand-ins for the programs.
func TestScriptletsOfRPM(t *testing.T) {
	rpm := os.Getenv("ROAMLB_RPM")
	for _, tt := range []struct {
		name, script string
		left         int // of the package's versions, when the script is done
		want         []string
	}{
		{"install", "POSTIN", 1, []string{"systemd-sysusers roamlb.conf", "systemctl daemon-reload", "systemctl preset roamlb.service"}},
		{"upgrade, the new one", "POSTIN", 2, []string{"systemd-sysusers roamlb.conf", "systemctl daemon-reload"}},
		{"upgrade, the old one goes", "PREUN", 1, nil},
		{"upgrade, the old one is gone", "POSTUN", 1, []string{"systemctl daemon-reload", "systemctl try-restart roamlb.service"}},
		{"remove", "PREUN", 0, []string{"systemctl disable --now roamlb.service", "roamlb flush"}},
		{"removed", "POSTUN", 0, []string{"systemctl daemon-reload"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := run(t, "rpm", "--query", "--package", "--queryformat", "%{"+tt.script+"}", rpm)
			if got := calls(t, text, strconv.Itoa(tt.left)); !slices.Equal(got, tt.want) {
				t.Errorf("calls %q, want %q", got, tt.want)
			}
		})
	}
}

func TestScriptletsOfDeb(t *testing.T) {
	dir := t.TempDir()
	run(t, "dpkg-deb", "--control", os.Getenv("ROAMLB_DEB"), dir)
	for _, tt := range []struct {
		name, script string
		args, want   []string
	}{
		{"install", "postinst", []string{"configure", ""}, []string{
			"systemd-sysusers roamlb.conf", "deb-systemd-helper unmask roamlb.service", "deb-systemd-helper --quiet was-enabled roamlb.service",
			"deb-systemd-helper enable roamlb.service",
		}},
		{"an upgrade does not stop the daemon", "prerm", []string{"upgrade", "0.0.3"}, nil},
		{"remove", "prerm", []string{"remove"}, []string{"roamlb flush"}},
		{"nothing goes with an upgrade", "postrm", []string{"upgrade", "0.0.3"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, tt.script))
			if err != nil {
				t.Fatal(err)
			}
			if got := calls(t, string(text), tt.args...); !slices.Equal(withoutSystemd(got), tt.want) {
				t.Errorf("calls %q, want %q", got, tt.want)
			}
		})
	}
}

// withoutSystemd leaves out what is called only where systemd runs.
func withoutSystemd(calls []string) (out []string) {
	for _, c := range calls {
		if !strings.HasPrefix(c, "systemctl ") && !strings.HasPrefix(c, "deb-systemd-invoke ") {
			out = append(out, c)
		}
	}
	return out
}

// calls runs a script with stand-ins for the programs that change the host, and
// returns what it called them with.
func calls(t *testing.T, script string, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"systemctl", "systemd-sysusers", "roamlb", "deb-systemd-helper", "deb-systemd-invoke", "userdel", "useradd"} {
		text := "#!/bin/sh\necho " + name + ` "$@" >>'` + dir + "/calls'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", append([]string{"-ec", script, "script"}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")[:strings.Count(string(text), "\n")]
}
