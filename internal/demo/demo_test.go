package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roamlb/roamlb/api"
	"github.com/roamlb/roamlb/config"
	roamlb "github.com/roamlb/roamlb/daemon"
	"github.com/roamlb/roamlb/nfq"
)

// showEnv makes the test binary show a small demo. Its value is text to put
// after the first service's name in the daemon's configuration.
const showEnv = "ROAMLB_DEMO_TEST"

// small is enough for every claim to be made.
var small = Size{Sessions: 200, Roams: 4, Stale: 8, Takeovers: 5, Rate: 800, Traffic: 4 * time.Second}

func TestMain(m *testing.M) {
	nfq.KeeperMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	change, shown := os.LookupEnv(showEnv)
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(ctx, os.Args[2], change)
	case shown:
		err = showSmall(ctx)
	default:
		os.Exit(m.Run())
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "roamlb:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve is the daemon, with a change in its configuration that the demo does
// not know of.
func serve(ctx context.Context, path, change string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := config.Parse(path, bytes.Replace(text, []byte("- name: vpn"), []byte("- name: vpn"+change), 1))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	d, err := roamlb.New(roamlb.Options{
		File: file, Log: log,
		FirstToken: func(secret string) { fmt.Fprintln(os.Stderr, secret) },
		API: func(ctx context.Context, d *roamlb.Daemon, listening func()) error {
			s, err := api.Listen(ctx, api.Options{File: d.File(), Daemon: d, Version: "test", Log: log})
			if err != nil {
				return err
			}
			listening()
			return s.Run(ctx)
		},
	})
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

func showSmall(ctx context.Context) error {
	front, err := enterLab()
	if err != nil {
		return err
	}
	before := goleak.IgnoreCurrent()
	err = Run(ctx, Options{
		Out: os.Stdout, Size: small, Keep: front != nil, Front: front,
		Serve: func(config string) *exec.Cmd { return exec.Command("/proc/self/exe", "serve", config) },
	})
	return errors.Join(err, goleak.Find(before))
}

// demoProcess returns the command that shows a small demo, and the directory
// where it keeps its files.
func demoProcess(t *testing.T, change string) (cmd *exec.Cmd, out *bytes.Buffer, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	dir = t.TempDir()
	cmd = exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), showEnv+"="+change, "TMPDIR="+dir)
	out = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out, dir
}

// expectEmpty fails the test if the demo has left files behind.
func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(dir + "/*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// The demo is the first thing people run: it must hold what it says.
func TestDemo(t *testing.T) {
	t.Parallel()
	cmd, out, dir := demoProcess(t, "")
	err := cmd.Run()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the demo failed: %v", err)
	}
	expectEmpty(t, dir)
}

// A demo that succeeds whatever happens shows nothing.
func TestBrokenClaimFails(t *testing.T) {
	t.Parallel()
	cmd, out, dir := demoProcess(t, "\n    stale: never")
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("exit: %v, want status 1", err)
	}
	for _, want := range []string{"✗ scene 3: after the answer 2 of 2 entries left", "claims did not hold"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
	expectEmpty(t, dir)
}

// What cannot go on says why in one line.
func TestDaemonThatDoesNotStart(t *testing.T) {
	t.Parallel()
	cmd, out, dir := demoProcess(t, "\n    stale: sometimes")
	if err := cmd.Run(); err == nil {
		t.Error("the demo succeeded")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "the daemon ended") || !strings.Contains(last, "stale") {
		t.Errorf("the last line is %q, want the reason", last)
	}
	expectEmpty(t, dir)
}

// Ctrl-C in the middle must leave nothing on the host.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	cmd, out, dir := demoProcess(t, "")
	seen := make(chan string, 1)
	cmd.Stdout = &trigger{text: []byte("\n2  "), seen: seen, buf: out}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-seen:
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := <-ended; err == nil || !strings.Contains(out.String(), context.Canceled.Error()) {
			t.Errorf("exit: %v, output:\n%s", err, out)
		}
	case err := <-ended:
		t.Fatalf("the demo ended before its second scene: %v\n%s", err, out)
	}
	expectEmpty(t, dir)
}

// trigger keeps what is written, and sends all of it to seen, which has room for
// one, once that contains a text. It is written to by one goroutine.
type trigger struct {
	text []byte
	seen chan string
	buf  *bytes.Buffer
	done bool
}

func (w *trigger) Write(p []byte) (int, error) {
	w.buf.Write(p)
	if !w.done && bytes.Contains(w.buf.Bytes(), w.text) {
		w.done = true
		w.seen <- w.buf.String()
	}
	return len(p), nil
}
