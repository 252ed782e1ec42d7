package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the process inside the namespaces. Its value is the
// identity of the network namespace outside, so that a mark that was merely
// inherited or set by hand is not believed: whoever is still in that
// namespace is not inside.
const insideEnv = "ROAMLB_LAB"

// forwarded are the signals that reach the process inside through its parent.
var forwarded = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// Main is the whole of a TestMain: it runs the tests inside fresh namespaces
// and exits with their status. It never returns.
//
//	func TestMain(m *testing.M) { lab.Main(m) }
func Main(m interface{ Run() int }) {
	if err := Reexec(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Reexec runs the program again with the same arguments, environment and
// standard files, inside a new network namespace with lo up and a new mount
// namespace whose mounts are private; where the caller lacks the rights for
// that, inside a new user namespace as its root. It returns nil in the
// process inside. In the process outside it does not return: it exits with
// the status of the one inside, or 128 and the number of the signal that
// ended it. An error says that there is no process inside, and how the host
// can permit one.
//
// The process inside finds the files, open, with [TakeFiles]: a listener that
// was opened outside still is the host's there. Reexec closes none of them.
//
// Call it first in main. The process inside has a process group of its own
// and gets each SIGINT, SIGTERM, SIGHUP and SIGQUIT of its parent once, from
// the terminal as from kill; it cannot read from the terminal. It is killed
// when its parent dies.
func Reexec(files ...*os.File) error {
	here, err := currentNamespace()
	if err != nil {
		return err
	}
	if isInside(here) {
		return settle()
	}
	status, err := runInside(here, files)
	if err != nil {
		return err
	}
	os.Exit(status)
	return nil
}

// Inside tells whether this process runs in namespaces that Main or Reexec
// made, or descends from one that does.
func Inside() bool {
	here, err := currentNamespace()
	return err == nil && isInside(here)
}

// isInside tells whether a process that is in the network namespace here has
// been marked, somewhere else.
func isInside(here string) bool {
	mark := os.Getenv(insideEnv)
	return mark != "" && mark != here
}

// currentNamespace identifies the calling thread's network namespace.
func currentNamespace() (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(threadNamespace, &stat); err != nil {
		return "", fmt.Errorf("stat %s: %w", threadNamespace, err)
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), nil
}

// settle prepares the fresh namespaces for use.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w%s", err, hint(err))
	}
	routes, err := openRoutes()
	if err != nil {
		return err
	}
	defer routes.Close()
	return loopbackUp(routes)
}

// runInside starts the process inside, waits for it and returns its status.
func runInside(mark string, files []*os.File) (int, error) {
	// The parent-death signal is sent when the thread that started the child
	// ends, so this goroutine keeps its thread.
	runtime.LockOSThread()
	// Holds what arrives before there is a child to forward to.
	signals := make(chan os.Signal, 16)
	for _, s := range forwarded {
		// What nohup or a shell's background job ignores stays ignored.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	cmd, err := startInside(mark, files)
	if err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			// The only error is that the process has ended: Wait reports that.
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for the process inside: %w", err)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// startInside starts the process inside, with the caller's rights if they
// are enough and else in a user namespace.
func startInside(mark string, files []*os.File) (*exec.Cmd, error) {
	const own = unix.CLONE_NEWNET | unix.CLONE_NEWNS
	cmd := insideCommand(mark, files, &syscall.SysProcAttr{Cloneflags: own})
	err := cmd.Start()
	// Not only ordinary users are refused: a container's root may lack
	// CAP_SYS_ADMIN and still be allowed to make user namespaces.
	if errors.Is(err, unix.EPERM) {
		cmd = insideCommand(mark, files, &syscall.SysProcAttr{
			Cloneflags:  own | unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		})
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("enter new namespaces: %w%s", err, hint(err))
	}
	return cmd, nil
}

func insideCommand(mark string, files []*os.File, attr *syscall.SysProcAttr) *exec.Cmd {
	// A group of its own keeps the terminal's signals away: they come through
	// the parent, as others do, and so once.
	attr.Setpgid = true
	attr.Pdeathsig = unix.SIGKILL
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), insideEnv+"="+mark, fmt.Sprintf("%s=%d", filesEnv, len(files)))
	cmd.ExtraFiles = files
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	return cmd
}
