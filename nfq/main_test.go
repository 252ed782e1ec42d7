package nfq

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
)

// daemonEnv makes the test binary a daemon that serves queues until SIGTERM,
// as the JSON of a daemonConfig says.
const daemonEnv = "NFQ_TEST_DAEMON"

func TestMain(m *testing.M) {
	KeeperMain()
	if config := os.Getenv(daemonEnv); config != "" {
		runDaemon(config)
	}
	lab.Main(m)
}

// daemonConfig is what a test asks of the daemon that it starts.
type daemonConfig struct {
	Queues balancer.Queues
	Keeper bool
	Delay  time.Duration // of every decision
}

// daemonLine is a line that the daemon prints.
type daemonLine struct {
	Ready bool
	Event event.Kind
	Log   string
	Stats []Stats
	Err   string
}

func runDaemon(config string) {
	var c daemonConfig
	out := json.NewEncoder(os.Stdout)
	var mu sync.Mutex
	say := func(l daemonLine) {
		mu.Lock()
		defer mu.Unlock()
		if out.Encode(l) != nil {
			os.Exit(1)
		}
	}
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		say(daemonLine{Err: err.Error()})
		os.Exit(1)
	}
	snapshot := testSnapshot(&fakeBindings{delay: c.Delay})
	q, err := Open(Options{
		Queues:   c.Queues,
		Snapshot: func() *balancer.Snapshot { return snapshot },
		Facts:    func([]balancer.Fact) {},
		Now:      testNow,
		Keeper:   c.Keeper,
		Log:      slog.New(slog.NewTextHandler(lineWriter(func(s string) { say(daemonLine{Log: s}) }), nil)),
		Events:   func(e event.Event) { say(daemonLine{Event: e.Kind}) },
	})
	if err != nil {
		say(daemonLine{Err: err.Error()})
		os.Exit(1)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	say(daemonLine{Ready: true})
	if err := q.Run(ctx); err != nil {
		say(daemonLine{Err: err.Error()})
		os.Exit(1)
	}
	say(daemonLine{Stats: q.Stats()})
	os.Exit(0)
}

// lineWriter hands each write on as a line.
type lineWriter func(string)

func (w lineWriter) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

// daemonProcess is a daemon in a process of its own, for tests that kill it.
type daemonProcess struct {
	t   *testing.T
	cmd *exec.Cmd

	mu    sync.Mutex // guards lines
	lines []daemonLine
	read  chan struct{} // closed when all output is read
}

// startDaemon starts a daemon in the namespace and waits until it serves. It
// is killed with the test, if it lives so long.
func startDaemon(t *testing.T, n *lab.Namespace, c daemonConfig) *daemonProcess {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), daemonEnv+"="+string(config))
	cmd.Stderr = os.Stderr
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = in
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	in.Close()
	d := &daemonProcess{t: t, cmd: cmd, read: make(chan struct{})}
	go d.readLines(out)
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			d.signal(syscall.SIGKILL)
			d.wait()
		}
	})
	lab.WaitFor(t, wait, "the daemon serves", func() bool {
		return d.has(func(l daemonLine) bool { return l.Ready || l.Err != "" })
	})
	if d.has(func(l daemonLine) bool { return l.Err != "" }) {
		t.Fatalf("daemon: %+v", d.all())
	}
	return d
}

func (d *daemonProcess) readLines(out io.ReadCloser) {
	defer close(d.read)
	defer out.Close()
	for s := bufio.NewScanner(out); s.Scan(); {
		var l daemonLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			l.Err = fmt.Sprintf("%s: %v", s.Text(), err)
		}
		d.mu.Lock()
		d.lines = append(d.lines, l)
		d.mu.Unlock()
	}
}

func (d *daemonProcess) all() []daemonLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

func (d *daemonProcess) has(match func(daemonLine) bool) bool {
	return slices.ContainsFunc(d.all(), match)
}

func (d *daemonProcess) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// wait waits for the daemon's end and for all that it has printed.
func (d *daemonProcess) wait() {
	_ = d.cmd.Wait()
	<-d.read
}

// stop ends the daemon as an operator does, and returns its counters.
func (d *daemonProcess) stop() []Stats {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	d.wait()
	for _, l := range d.all() {
		if l.Stats != nil {
			return l.Stats
		}
	}
	d.t.Fatalf("daemon ended without its counters: %+v", d.all())
	return nil
}

// wait is enough for anything that happens at all, on a busy machine.
const wait = 20 * time.Second

var started = time.Now()

func testNow() int64 { return int64(time.Since(started)) }

// testLog is a log that the test shows.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter(func(s string) { t.Log(s) }), nil))
}
