package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/nft"
)

func TestMain(m *testing.M) {
	nfq.KeeperMain()
	lab.Main(m)
}

const file = `services:
  - name: vpn
    listen: [{address: 192.0.2.10, port: 1194}]
    key: {offset: 1, length: 8}
    backends:
      - {name: a, address: 198.51.100.1, port: 1194}
      - {name: b, address: 198.51.100.2, port: 1194, weight: 3}
`

// shell runs commands against a daemon that serves in this process.
type shell struct {
	t      *testing.T
	dir    string
	socket string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	s := &shell{t: t, dir: t.TempDir()}
	s.socket = filepath.Join(s.dir, "s")
	path := s.file("roamlb.yaml", "state: "+filepath.Join(s.dir, "state.json")+"\napi: {listen: \"\", socket: "+s.socket+"}\nqueues: {count: 1}\nlog: {level: error}\n"+file)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	conf, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- balance(ctx, path, conf, 0) }() // serve would replace this process
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if r, err := nft.Open(); err == nil {
			_ = r.Flush()
			_ = r.Close()
		}
	})
	lab.WaitFor(t, 20*time.Second, "the daemon serves", func() bool {
		_, err := s.try("get", "services")
		return err == nil
	})
	return s
}

func (s *shell) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// try runs a command and returns what it printed.
func (s *shell) try(args ...string) (string, error) {
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(""))
	cmd.SetArgs(append(args, "--socket", s.socket))
	err := cmd.ExecuteContext(s.t.Context())
	return out.String(), err
}

// run demands that a command succeeds and prints what is wanted.
func (s *shell) run(want string, args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("roamlb %s: %v", strings.Join(args, " "), err)
	}
	for part := range strings.SplitSeq(want, "|") {
		if !strings.Contains(out, part) {
			s.t.Errorf("roamlb %s prints no %q:\n%s", strings.Join(args, " "), part, out)
		}
	}
	return out
}

// fail demands that a command fails with a status and says what is wanted.
func (s *shell) fail(status exitCode, want string, args ...string) {
	s.t.Helper()
	_, err := s.try(args...)
	if err == nil || statusOf(err) != status || !strings.Contains(err.Error(), want) {
		s.t.Errorf("roamlb %s: %v (status %d), want status %d and %q", strings.Join(args, " "), err, statusOf(err), status, want)
	}
}

// An operator's day at the command line.
func TestCommands(t *testing.T) {
	s := newShell(t)
	s.run("NAME|LISTEN|vpn|192.0.2.10:1194|1+8|session|2/2", "get", "services")
	s.run(`"name": "vpn"`, "get", "services", "vpn", "-o", "json")
	s.run("stale: on-reply", "get", "service", "vpn", "-o", "yaml")
	s.run("198.51.100.2|up", "get", "backends", "vpn")
	s.run("75.|25.|IDEAL", "ring", "vpn")
	s.run("drains", "drain", "vpn", "b")
	s.run("drain", "get", "backends", "vpn", "b")
	s.run("takes new sessions", "undrain", "vpn", "b")
	s.run("SERVICE|vpn", "get", "stats")
	s.run("key|ring|verdict|sent to backend", "explain", "488c31f2d0a4b7e915", "--client", "198.18.0.7:40000", "--listener", "192.0.2.10:1194")
	s.run("session|b|none", "sessions", "place", "vpn", "8c31f2d0a4b7e915", "b")
	s.run("8c31f2d0a4b7e915|placed", "sessions", "vpn")
	s.run("8c31f2d0a4b7e915", "sessions", "vpn", "--prefix", "8c31")
	s.run("sent to backend b, by its binding", "explain", "488c31f2d0a4b7e915", "--client", "198.18.0.7:40000", "--listener", "192.0.2.10:1194")
	s.run("forgotten", "delete", "session", "vpn", "8c31f2d0a4b7e915")
	s.run("audit|backend b differs", "events")
	secret := strings.TrimSpace(s.run("rlb_", "token", "create", "prom"))
	if out := s.run("prom|read", "token", "list"); strings.Contains(out, secret) {
		t.Error("the list shows a secret")
	}
	s.run("counts no longer", "token", "delete", "prom")
	s.run("daemon", "version", "--daemon")
	s.fail(exitNotFound, "no service game", "get", "services", "game")
	s.fail(exitNotFound, "no backend z", "delete", "backend", "vpn", "z")
	s.run("rlb_", "token", "create", "x", "--scope", "write")
	s.fail(exitConflict, "already", "token", "create", "x")
}

// What is exported is taken back unchanged, and what differs is shown first.
func TestApply(t *testing.T) {
	s := newShell(t)
	exported := s.run("services:", "get", "config")
	path := s.file("exported.yaml", exported)
	s.run("nothing differs", "apply", "--prune", "-f", path)
	changed := s.file("changed.yaml", strings.Replace(file, "weight: 3", "weight: 5", 1)+`  - name: game
    listen: [{address: 192.0.2.11, port: 27015}]
    key: {offset: 0, length: 4}
`)
	s.run("weight: 3|weight: 5|+name: game|2 services would change", "apply", "--dry-run", "-f", changed)
	s.fail(exitNotFound, "game", "get", "services", "game")
	s.run("2 services changed", "apply", "-f", changed)
	s.run("game", "get", "services", "game")
	seed := func() string {
		for line := range strings.Lines(s.run("seed", "get", "service", "vpn", "-o", "yaml")) {
			if strings.HasPrefix(line, "seed") {
				return line
			}
		}
		return ""
	}
	before := seed()
	only := s.file("only.yaml", file)
	s.run("1 services changed", "apply", "-f", only)
	s.run("game", "get", "services", "game")
	s.run("-name: game", "apply", "--prune", "-f", only)
	s.fail(exitNotFound, "game", "get", "services", "game")
	if after := seed(); after != before {
		t.Errorf("applying a file without a seed has changed it: %s, was %s", after, before)
	}
	wrong := s.file("wrong.yaml", strings.Replace(file, "length: 8", "length: 800", 1))
	s.fail(0, "wrong.yaml:4", "apply", "-f", wrong)
	s.fail(0, "no such file", "apply", "-f", filepath.Join(s.dir, "none"))
}

func TestImportIPVS(t *testing.T) {
	s := newShell(t)
	dump := s.file("ipvs", `-A -t 192.0.2.20:80 -s rr
-a -t 192.0.2.20:80 -r 198.51.100.5:80 -m -w 1
-A -u 192.0.2.20:5000 -s mh -b flag-1
-a -u 192.0.2.20:5000 -r 198.51.100.5:5000 -m -w 2
-a -u 192.0.2.20:5000 -r 198.51.100.6:5000 -g -w 0
-A -u [2001:db8::20]:5000 -s sh
-a -u [2001:db8::20]:5000 -r [2001:db8:b::5]:5000 -m -w 1
-A -f 7 -s rr
`)
	out := s.run("name: ipvs-192-0-2-20-5000|name: ipvs-2001-db8-20-5000|weight: 2|weight: 0|not taken over: -A -t|not taken over: -A -f 7|was reached by -g", "import", "ipvs", dump, "--offset", "1", "--length", "4")
	if strings.Contains(out, "port: 80,") {
		t.Errorf("a TCP service was taken over:\n%s", out)
	}
	s.run("2 services changed", "import", "ipvs", dump, "--offset", "1", "--length", "4", "--apply")
	s.run("2/2", "get", "services", "ipvs-192-0-2-20-5000")
	s.fail(0, "no UDP service", "import", "ipvs", s.file("empty", "\n"), "--length", "4")
	s.fail(0, "line 1", "import", "ipvs", s.file("names", "-A -u host:domain -s rr\n"), "--length", "4")
}

// A script has to know why: the status says.
func TestUnreachable(t *testing.T) {
	cmd := root()
	cmd.SetArgs([]string{"get", "services", "--socket", filepath.Join(t.TempDir(), "none")})
	err := cmd.Execute()
	if statusOf(err) != exitUnreachable || !strings.Contains(err.Error(), "roamlb serve") {
		t.Errorf("error %v, status %d", err, statusOf(err))
	}
	if _, silent := errors.AsType[exitCode](err); silent {
		t.Error("the error says nothing")
	}
}

// Packages ship what this writes: each command has a page, and completions are
// scripts of their shells.
func TestManPagesAndCompletions(t *testing.T) {
	dir := t.TempDir()
	cmd := root()
	cmd.SetArgs([]string{"generate", dir})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for file, part := range map[string]string{
		"man1/roamlb.1": "Exit status", "man1/roamlb-apply.1": "--prune", "man1/roamlb-import-ipvs.1": "ipvsadm", "man1/roamlb-token-create.1": "--scope",
		"completions/roamlb.bash": "bash completion", "completions/_roamlb": "#compdef roamlb", "completions/roamlb.fish": "fish",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(strings.ReplaceAll(string(text), "\\", ""), part) {
			t.Errorf("%s: %v, has no %q", file, err, part)
		}
	}
}
