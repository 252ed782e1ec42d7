package suite

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is a running roamlb and what it has logged.
type daemon struct {
	t   *testing.T
	cmd *exec.Cmd

	mu    sync.Mutex // guards lines
	lines []logLine
	done  chan struct{} // closed when the log ends
}

// logLine is one line of the daemon's JSON log.
type logLine struct {
	text   string
	fields map[string]any
}

func (l logLine) str(name string) string { s, _ := l.fields[name].(string); return s }

// start starts the daemon with the file that configure wrote and waits until
// it serves.
func (b *bed) start() {
	b.t.Helper()
	b.launch()
	b.daemon.wait("the daemon serves", func(l logLine) bool { return l.str("msg") == "serving" })
}

// launch starts the daemon and does not wait.
func (b *bed) launch() {
	b.t.Helper()
	cmd := exec.Command(program, "serve", "--config", filepath.Join(b.dir, "roamlb.yaml"))
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	// A program with the race detector sleeps a second before it exits.
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=20 "+os.Getenv("GORACE")), b.env...)
	if b.as != nil {
		cmd.Path, cmd.SysProcAttr = b.program, b.as
	}
	if err := b.LB.Start(cmd); err != nil {
		b.t.Fatal(err)
	}
	w.Close()
	d := &daemon{t: b.t, cmd: cmd, done: make(chan struct{})}
	go d.read(r)
	b.daemon = d
}

func (d *daemon) read(r io.ReadCloser) {
	defer close(d.done)
	defer r.Close()
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		l := logLine{text: s.Text(), fields: map[string]any{}}
		_ = json.Unmarshal(s.Bytes(), &l.fields) // a panic's lines are no JSON
		d.mu.Lock()
		d.lines = append(d.lines, l)
		d.mu.Unlock()
	}
}

// find are the lines that match so far.
func (d *daemon) find(match func(logLine) bool) []logLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []logLine
	for _, l := range d.lines {
		if match(l) {
			out = append(out, l)
		}
	}
	return out
}

// events are the events of a kind so far.
func (d *daemon) events(kind string) []logLine {
	return d.find(func(l logLine) bool { return l.str("msg") == "event" && l.str("kind") == kind })
}

// wait waits for a line.
func (d *daemon) wait(what string, match func(logLine) bool) {
	d.t.Helper()
	deadline := time.Now().Add(slow(30 * time.Second))
	for len(d.find(match)) == 0 {
		select {
		case <-d.done:
			if len(d.find(match)) > 0 {
				return
			}
			d.t.Fatalf("the daemon ended before: %s\n%s", what, d.tail(40))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("still waiting: %s\n%s", what, d.tail(40))
		}
	}
}

// tail is the log's last lines.
func (d *daemon) tail(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, l := range d.lines[max(0, len(d.lines)-n):] {
		out = append(out, l.text)
	}
	return strings.Join(out, "\n")
}

func (d *daemon) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// kill ends the daemon as a crash would and waits until it is gone.
func (d *daemon) kill() {
	d.t.Helper()
	d.signal(syscall.SIGKILL)
	_ = d.cmd.Wait()
}

// stop ends the daemon by SIGTERM and demands that it ends cleanly.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		d.t.Fatalf("the daemon did not end cleanly: %v\n%s", err, d.tail(40))
	}
}

// end makes sure that nothing is left, and that the race detector had nothing
// to say.
func (d *daemon) end() {
	if d.cmd.ProcessState == nil {
		_ = d.cmd.Process.Signal(syscall.SIGCONT)
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		stuck := time.AfterFunc(slow(10*time.Second), func() { _ = d.cmd.Process.Kill() })
		if err := d.cmd.Wait(); err != nil {
			d.t.Errorf("the daemon did not end cleanly: %v\n%s", err, d.tail(40))
		}
		stuck.Stop()
	}
	for _, l := range d.find(func(l logLine) bool {
		return strings.Contains(l.text, "DATA RACE") || strings.HasPrefix(l.text, "panic:")
	}) {
		d.t.Errorf("the daemon said %q", l.text)
	}
}

// reload writes the services into the file and sends SIGHUP; it returns when
// the daemon has taken or refused them.
func (b *bed) reload(services ...string) (refusal string) {
	b.t.Helper()
	b.configure(services...)
	return b.hangUp()
}

// hangUp sends SIGHUP and returns when the daemon has taken the file or refused
// it.
func (b *bed) hangUp() (refusal string) {
	b.t.Helper()
	answers := func() []logLine {
		return b.daemon.find(func(l logLine) bool {
			return l.str("kind") == "config-changed" || strings.HasPrefix(l.str("msg"), "reload: nothing has changed")
		})
	}
	before := len(answers())
	b.daemon.signal(syscall.SIGHUP)
	waitFor(b.t, 30*time.Second, "the daemon answers SIGHUP", func() bool { return len(answers()) > before })
	return answers()[before].str("error")
}

// count is a figure of the line about sessions that the daemon logs when it
// stops.
func (d *daemon) count(figure string) int {
	d.t.Helper()
	<-d.done
	lines := d.find(func(l logLine) bool { return l.str("msg") == "sessions" })
	if len(lines) != 1 {
		d.t.Fatalf("the daemon has %d lines about sessions:\n%s", len(lines), d.tail(20))
	}
	n, ok := lines[0].fields[figure].(float64)
	if !ok {
		d.t.Fatalf("no figure %q in %s", figure, lines[0].text)
	}
	return int(n)
}

// packets is how many packets the daemon saw, or copies of them, as it says
// when it stops.
func (d *daemon) packets() int {
	d.t.Helper()
	<-d.done
	sum := 0
	lines := d.find(func(l logLine) bool { return l.str("msg") == "queue" || l.str("msg") == "copies" })
	if len(lines) == 0 {
		d.t.Fatalf("the daemon does not say what it saw:\n%s", d.tail(20))
	}
	for _, l := range lines {
		n, _ := l.fields["packets"].(float64)
		sum += int(n)
	}
	return sum
}
