package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// What decides in user space has a process of its own, whose time is its own
// alone. It is this program again; the parent writes a line and gets one back.

// childArg is the first argument of such a process, the second is its task.
const childArg = "child"

// ChildMain must be called first thing in main, behind nfq.KeeperMain. In a
// process that the benchmarks have started it does that one's task and exits.
func ChildMain() {
	if len(os.Args) < 3 || os.Args[1] != childArg {
		return
	}
	var err error
	switch os.Args[2] {
	case "serve":
		err = serve(os.Args[3])
	case "callback":
		err = callback()
	default:
		err = fmt.Errorf("no task %q", os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// attend says that the process is ready, and answers the parent's lines until
// there are no more.
func attend(answer func(line string) (any, error)) error {
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode("ready"); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		v, err := answer(in.Text())
		if err != nil {
			return err
		}
		if err := out.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// child is such a process as its parent sees it. One goroutine uses it.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
	log string
}

// startChild starts a task in a namespace and returns when it is ready. What it
// logs goes to a file in dir.
func startChild(n *lab.Namespace, dir string, task ...string) (*child, error) {
	c := &child{cmd: exec.Command("/proc/self/exe", append([]string{childArg}, task...)...), log: filepath.Join(dir, "log")}
	log, err := os.OpenFile(c.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd.Stderr = log
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.Start(c.cmd); err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	var ready string
	if err := c.out.Decode(&ready); err != nil {
		return nil, errors.Join(fmt.Errorf("start %v: %w; %s", task, err, c.lastWords()), c.stop())
	}
	return c, nil
}

// ask sends a line and decodes the answer.
func (c *child) ask(line string, answer any) error {
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		return fmt.Errorf("ask %q: %w; %s", line, err, c.lastWords())
	}
	if err := c.out.Decode(answer); err != nil {
		return fmt.Errorf("answer to %q: %w; %s", line, err, c.lastWords())
	}
	return nil
}

// stop ends the process and waits for it.
func (c *child) stop() error {
	stuck := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Signal(unix.SIGKILL) })
	defer stuck.Stop()
	_ = c.in.Close() // its end is what this tells
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%v: %w; %s", c.cmd.Args[2:], err, c.lastWords())
	}
	return nil
}

// lines are those of the log so far.
func (c *child) lines() []string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (c *child) lastWords() string {
	l := c.lines()
	if len(l) == 0 {
		return ""
	}
	return l[len(l)-1]
}
