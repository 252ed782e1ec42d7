//go:build packages

package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
)

// The life of an installed roamlb, on a machine of its own with systemd:
// ROAMLB_LIFE says that this is one. It begins with the older package, whose
// path is in ROAMLB_OLD_DEB; ROAMLB_DEB is the newer one's.

const service = "roamlb.service"

const configuration = `
api: {listen: ""}
services:
  - name: vpn
    listen: [{address: 192.0.2.10, port: 1194}]
    key: {offset: 1, length: 8}
    backends:
      - {name: a, address: 198.51.100.1, port: 1194}
      - {name: b, address: 198.51.100.2, port: 1194}
      - {name: c, address: 198.51.100.3, port: 1194}
`

// run runs a command and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if took := time.Since(begin); took > 3*time.Second {
		t.Logf("%s %s: %v", name, strings.Join(args, " "), took.Round(time.Millisecond))
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// property is one of the service's, as systemd has it.
func property(t *testing.T, name string) string {
	t.Helper()
	return run(t, "systemctl", "show", "--value", "--property="+name, service)
}

// mainPID waits until the service is active, and returns its process.
func mainPID(t *testing.T) int {
	t.Helper()
	awaitState(t, "active")
	pid, err := strconv.Atoi(property(t, "MainPID"))
	if err != nil || pid == 0 {
		t.Fatalf("the service has no process: %v", err)
	}
	return pid
}

func awaitState(t *testing.T, want string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for property(t, "ActiveState") != want {
		if time.Now().After(deadline) {
			t.Fatalf("the service is %s, want %s:\n%s", property(t, "ActiveState"), want, journal(t))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// journal is the end of what the daemon, and systemd about it, have logged.
func journal(t *testing.T) string {
	t.Helper()
	return run(t, "journalctl", "--no-pager", "--lines=60", "--unit="+service)
}

// tables are the names of the kernel's nftables tables.
func tables(t *testing.T) string {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range list {
		names = append(names, table.Name)
	}
	return strings.Join(names, " ")
}

// What an operator does with the package, in order, each step on what the one
// before has left: nothing on the way may cost a packet or a session's place.
func TestPackageLife(t *testing.T) {
	if os.Getenv("ROAMLB_LIFE") == "" {
		t.Skip("needs a machine of its own: \"make test-package\" has one")
	}
	forget(t)
	run(t, "ip", "link", "set", "lo", "up")
	for _, a := range []string{"192.0.2.10", "198.51.100.1", "198.51.100.2", "198.51.100.3"} {
		run(t, "ip", "address", "add", a+"/32", "dev", "lo")
	}
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"install", install},
		{"configure", configure},
		{"upgrade", upgrade(os.Getenv("ROAMLB_DEB"), "v0.0.2")},
		{"crash", crash},
		{"hang", hang},
		{"downgrade", upgrade(os.Getenv("ROAMLB_OLD_DEB"), "v0.0.1")},
		{"stop and start", stopAndStart},
		{"remove", remove},
		{"purge", purge},
	} {
		begin := time.Now()
		if !t.Run(step.name, step.do) {
			t.Logf("the daemon's log:\n%s", journal(t))
			break
		}
		t.Logf("%s: %v", step.name, time.Since(begin).Round(time.Millisecond))
	}
}

// forget makes dpkg know of no package but the one that ours depends on: it reads
// the lists of all at every start, which takes minutes where the disk is the
// host's.
func forget(t *testing.T) {
	t.Helper()
	const db = "/var/lib/dpkg"
	needed := run(t, "dpkg-query", "--status", "init-system-helpers")
	run(t, "mount", "-t", "tmpfs", "dpkg", db)
	for _, dir := range []string{"info", "updates", "triggers", "alternatives", "parts"} {
		if err := os.Mkdir(filepath.Join(db, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(db, "status"), []byte(needed+"\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(db, "info", "init-system-helpers.list"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func install(t *testing.T) {
	// Triggers are other packages' work: that of man-db alone takes minutes here.
	run(t, "dpkg", "--no-triggers", "--install", os.Getenv("ROAMLB_OLD_DEB"))
	pid := mainPID(t)
	if state := property(t, "UnitFileState"); state != "enabled" {
		t.Errorf("the unit is %s", state)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	user := run(t, "id", "-u", "roamlb")
	for _, want := range []string{
		"Uid:\t" + user + "\t", "CapPrm:\t0000000000001000", "CapEff:\t0000000000001000", "CapBnd:\t0000000000001000", "NoNewPrivs:\t1", "Seccomp:\t2",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the daemon's status lacks %q:\n%s", want, status)
		}
	}
	said := journal(t)
	if !strings.Contains(said, "msg=confined") || strings.Contains(said, "landlock=0") {
		t.Errorf("the daemon does not say that it is confined:\n%s", said)
	}
	if strings.Contains(said, "rlb_") {
		t.Error("a token's secret is in the journal")
	}
	if got := property(t, "StatusText"); got != "0 services, 0 sessions" {
		t.Errorf("the status is %q", got)
	}
	if got := run(t, "roamlb", "version", "--daemon"); !strings.Contains(got, "daemon v0.0.1") {
		t.Errorf("version: %s", got)
	}
	if got := tables(t); got != "roamlb" {
		t.Errorf("tables %q", got)
	}
	for _, file := range []string{"/var/lib/roamlb/state.json", "/run/roamlb/roamlb.sock"} {
		if got := run(t, "stat", "-c", "%U:%G", file); got != "roamlb:roamlb" {
			t.Errorf("%s belongs to %s", file, got)
		}
	}
}

func configure(t *testing.T) {
	if err := os.WriteFile("/etc/roamlb/roamlb.yaml", []byte(configuration), 0o644); err != nil {
		t.Fatal(err)
	}
	// The listeners of the API are taken at a start only.
	run(t, "systemctl", "restart", service)
	run(t, "systemctl", "reload", service)
	mainPID(t)
	deadline := time.Now().Add(time.Minute)
	for property(t, "StatusText") != "1 services, 0 sessions" {
		if time.Now().After(deadline) {
			t.Fatalf("the status is %q after a reload\n%s", property(t, "StatusText"), journal(t))
		}
		time.Sleep(100 * time.Millisecond)
	}
	l := begin(t)
	time.Sleep(2 * time.Second)
	l.finish(t, "at rest")
}

// upgrade installs another version under traffic.
func upgrade(deb, version string) func(*testing.T) {
	return func(t *testing.T) {
		before := mainPID(t)
		l := begin(t)
		time.Sleep(time.Second)
		run(t, "dpkg", "--no-triggers", "--install", deb)
		after := mainPID(t)
		time.Sleep(time.Second)
		l.finish(t, "upgrade to "+version)
		if after == before {
			t.Error("the old daemon still runs")
		}
		if got := run(t, "roamlb", "version", "--daemon"); !strings.Contains(got, "daemon "+version) {
			t.Errorf("version: %s", got)
		}
		text, err := os.ReadFile("/etc/roamlb/roamlb.yaml")
		if err != nil || string(text) != configuration {
			t.Errorf("the configuration was changed: %v", err)
		}
	}
}

// crash kills the daemon: its keeper has to live on and answer, systemd has to
// start another.
func crash(t *testing.T) {
	before := mainPID(t)
	l := begin(t)
	time.Sleep(time.Second)
	run(t, "kill", "-KILL", strconv.Itoa(before))
	awaitAnother(t, before)
	time.Sleep(time.Second)
	l.finish(t, "crash")
}

// hang stops the daemon: the keeper answers for it, and the watchdog has it
// killed and started anew.
func hang(t *testing.T) {
	before := mainPID(t)
	l := begin(t)
	time.Sleep(time.Second)
	run(t, "kill", "-STOP", strconv.Itoa(before))
	awaitAnother(t, before)
	time.Sleep(time.Second)
	l.finish(t, "hang")
	// The watchdog's signal has the daemon say where each goroutine was.
	if said := run(t, "journalctl", "--no-pager", "--unit="+service); !strings.Contains(said, "SIGABRT: abort") {
		t.Errorf("it was not the watchdog:\n%s", journal(t))
	}
}

// awaitAnother waits until the service has another process and is active.
func awaitAnother(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for property(t, "MainPID") == strconv.Itoa(before) || property(t, "ActiveState") != "active" {
		if time.Now().After(deadline) {
			t.Fatalf("no other daemon:\n%s", journal(t))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// stopAndStart leaves the kernel to balance alone for a while.
func stopAndStart(t *testing.T) {
	l := begin(t)
	time.Sleep(time.Second)
	run(t, "systemctl", "stop", service)
	if got := tables(t); got != "roamlb" {
		t.Errorf("without the daemon there are tables %q", got)
	}
	time.Sleep(time.Second)
	run(t, "systemctl", "start", service)
	time.Sleep(time.Second)
	l.finish(t, "stop and start")
}

func remove(t *testing.T) {
	run(t, "dpkg", "--remove", "roamlb")
	if got := tables(t); got != "" {
		t.Errorf("there are tables %q", got)
	}
	if out, err := exec.Command("pgrep", "roamlb").Output(); err == nil {
		t.Errorf("processes %s", out)
	}
	for path, stays := range map[string]bool{
		"/usr/bin/roamlb": false, "/usr/lib/systemd/system/roamlb.service": false, "/usr/share/doc/roamlb": false,
		"/run/roamlb": false, "/etc/roamlb/roamlb.yaml": true, "/var/lib/roamlb/state.json": true,
	} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("after a removal, %s: %v", path, err)
		}
	}
}

func purge(t *testing.T) {
	run(t, "dpkg", "--purge", "roamlb")
	// All of /usr would take minutes: there, what the package has brought.
	for line := range strings.Lines(run(t, "dpkg-deb", "--contents", os.Getenv("ROAMLB_OLD_DEB"))) {
		path := strings.TrimPrefix(line[strings.LastIndexByte(line, ' ')+1:], ".")
		if path = strings.TrimSpace(path); !strings.Contains(path, "roamlb") {
			continue // a directory of others' too
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("left behind: %s", path)
		}
	}
	left, err := exec.Command("find", "/etc", "/run", "/var/lib/roamlb", "/var/lib/systemd", "-name", "*roamlb*").Output()
	if len(left) > 0 {
		t.Errorf("left behind: %s (%v)", left, err)
	}
	if out, err := exec.Command("getent", "passwd", "roamlb").Output(); err == nil {
		t.Errorf("the user is still there: %s", out)
	}
}
