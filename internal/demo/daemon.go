package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// daemon is the real one, in a process of its own. It is one goroutine's.
type daemon struct {
	network  *lab.Namespace
	serve    func(config string) *exec.Cmd
	settings *settings
	lost     context.CancelCauseFunc // called when it ends though nobody asked it to

	cmd     *exec.Cmd
	asked   chan struct{} // closed when its end is wanted
	ended   chan struct{} // closed at its end
	logFrom int64         // where in the log this process begins
}

// startLimit is how long the daemon may take until it serves.
const startLimit = 20 * time.Second

// serving is what the daemon's log says then.
var serving = []byte("msg=serving")

// start starts the daemon and returns, once it serves, how long that took.
func (d *daemon) start(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	log, err := os.OpenFile(d.settings.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return 0, err
	}
	d.logFrom = info.Size()
	d.cmd = d.serve(d.settings.config)
	// A file, not a pipe: whatever the daemon leaves behind may hold it.
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.network.Start(d.cmd); err != nil {
		d.cmd = nil
		return 0, err
	}
	d.asked, d.ended = make(chan struct{}), make(chan struct{})
	go d.watch(d.cmd, d.asked, d.ended)
	if err := d.awaitServing(ctx); err != nil {
		return 0, err
	}
	return time.Since(begun), nil
}

// watch waits for the process and tells of an end that nobody asked for.
func (d *daemon) watch(cmd *exec.Cmd, asked, ended chan struct{}) {
	err := cmd.Wait()
	select {
	case <-asked:
	default:
		if err == nil {
			err = errors.New("exit status 0")
		}
		d.lost(fmt.Errorf("the daemon ended: %s (%w); \"roamlb check\" says what the host lacks", d.lastWords(), err))
	}
	close(ended)
}

// awaitServing waits until the log says so.
func (d *daemon) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		text, err := d.logText()
		if err != nil {
			return err
		}
		if bytes.Contains(text, serving) {
			return nil
		}
		if sleep(ctx, 2*time.Millisecond); ctx.Err() == nil {
			continue
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("the daemon does not serve after %s; its log ends with: %s", span(startLimit), d.lastWords())
		}
		return ctx.Err()
	}
}

// logText is what this process has written.
func (d *daemon) logText() ([]byte, error) {
	text, err := os.ReadFile(d.settings.log)
	if err != nil {
		return nil, err
	}
	return text[min(int(d.logFrom), len(text)):], nil
}

// lastWords is the last line of the log.
func (d *daemon) lastWords() string {
	text, err := d.logText()
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "roamlb: ")
}

// pid is the process's id.
func (d *daemon) pid() int { return d.cmd.Process.Pid }

// kill ends the daemon at once, as a crash would.
func (d *daemon) kill() { d.end(unix.SIGKILL) }

// stop ends the daemon if it runs, in good order, and waits.
func (d *daemon) stop() error {
	if d.cmd == nil {
		return nil
	}
	pid := d.pid()
	limit := time.AfterFunc(10*time.Second, func() { _ = unix.Kill(pid, unix.SIGKILL) })
	d.end(unix.SIGTERM)
	if !limit.Stop() {
		return fmt.Errorf("the daemon, process %d, did not end on SIGTERM", pid)
	}
	return nil
}

// end sends a signal and waits for the process.
func (d *daemon) end(signal unix.Signal) {
	close(d.asked)
	_ = d.cmd.Process.Signal(signal) // the only error: it has ended
	<-d.ended
	d.cmd = nil
}
