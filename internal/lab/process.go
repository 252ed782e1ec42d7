package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts cmd inside the namespace; the caller then calls cmd.Wait.
// Unless cmd says otherwise, the process is killed when this one dies.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if cmd.SysProcAttr.Pdeathsig == 0 {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	// Takes nil once the process runs and then what visitHere returns: only
	// the first counts, and nobody blocks on the second.
	started := make(chan error, 2)
	go func() {
		started <- visitHere(n.enter, func() error {
			if err := cmd.Start(); err != nil {
				return err
			}
			pid := cmd.Process.Pid
			started <- nil
			awaitExit(pid)
			return nil
		})
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s in namespace %s: %w", cmd.Path, n.name, err)
	}
	return nil
}

// Run starts cmd inside the namespace and waits for it, as [exec.Cmd.Run].
func (n *Namespace) Run(cmd *exec.Cmd) error {
	if err := n.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// awaitExit blocks until the process has ended, and leaves its status to
// whoever waits for it. This keeps the calling thread, whose end would send
// the process its parent-death signal.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
