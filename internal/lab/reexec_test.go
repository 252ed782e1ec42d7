package lab_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/roamlb/roamlb/internal/lab"
)

// program prepares this test binary as one of runProgram's programs, outside
// of any lab as far as it knows.
func program(name string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "ROAMLB_LAB=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, append(env, programEnv+"="+name)...)
	return cmd
}

// startProgram starts a program, with a reader of its lines, and returns when
// it is ready inside. Its process is killed with the test.
func startProgram(t *testing.T, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := r.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		r.Close()
	})
	lines := bufio.NewScanner(r)
	if !lines.Scan() || lines.Text() != "ready true" {
		t.Fatalf("the program said %q (%v), want that it is ready inside", lines.Text(), lines.Err())
	}
	return lines
}

// Without the status, failed tests would pass.
func TestReexecPassesStatus(t *testing.T) {
	for name, want := range map[string]int{"exit": 7, "die": 128 + int(syscall.SIGTERM)} {
		t.Run(name, func(t *testing.T) {
			err := program(name).Run()
			exit := (*exec.ExitError)(nil)
			if !errors.As(err, &exit) || exit.ExitCode() != want {
				t.Errorf("the program ended with %v, want status %d", err, want)
			}
		})
	}
}

// A signal that came twice would break off the demo's orderly end.
func TestReexecForwardsEachSignalOnce(t *testing.T) {
	cmd := program("wait")
	lines := startProgram(t, cmd)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != s.String() {
			t.Fatalf("inside: %q (%v), want %q once", lines.Text(), lines.Err(), s)
		}
	}
}

// A terminal sends its signals to the whole process group.
func TestReexecForwardsSignalsOfTheGroupOnce(t *testing.T) {
	cmd := program("wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lines := startProgram(t, cmd)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
		if err := syscall.Kill(-cmd.Process.Pid, s); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != s.String() {
			t.Fatalf("inside: %q (%v), want %q once", lines.Text(), lines.Err(), s)
		}
	}
}

// Processes that outlived their parents would hold namespaces for ever.
func TestReexecDiesWithItsParent(t *testing.T) {
	for _, name := range []string{"wait", "parent"} {
		t.Run(name, func(t *testing.T) {
			cmd := program(name)
			lines := startProgram(t, cmd)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			// The process inside, and the one that it started in a namespace,
			// hold the other end of the pipe.
			if lines.Scan() {
				t.Fatalf("inside: %q, want nothing more", lines.Text())
			}
			if err := lines.Err(); err != nil {
				t.Errorf("a process inside lives: %v", err)
			}
		})
	}
}

// Without the listener that it brings along nobody on the host reaches what the
// demo runs inside.
func TestReexecPassesFiles(t *testing.T) {
	lines := startProgram(t, program("files"))
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	// The tests are where the program was before: outside of its lab.
	c, err := net.DialTimeout("tcp", lines.Text(), wait)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); got != "hello\n" {
		t.Errorf("the process inside said %q (%v), want hello", got, err)
	}
}

// Somebody who cannot run the demo should read what to change.
func TestReexecSaysWhatIsMissing(t *testing.T) {
	cmd := program("limited")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.Output()
	if err == nil || !strings.Contains(string(out), "sysctl user.max_net_namespaces=") {
		t.Errorf("the program said %q (%v), want which sysctl is in the way", out, err)
	}
}

// Whoever exports the mark by accident must not get the host's firewall
// changed by tests.
func TestReexecDoesNotBelieveAMarkOfItsOwnNamespace(t *testing.T) {
	info, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	mark := "ROAMLB_LAB=" + fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	startProgram(t, program("wait", mark)) // which says whether it is inside
}

func TestInside(t *testing.T) {
	if !lab.Inside() {
		t.Error("the tests do not run inside: they could change the host")
	}
}
