package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// netnsEntered tells the process that replaces itself which namespace it is in.
const netnsEntered = "ROAMLB_NETNS_ENTERED"

// enterNetNS puts the whole process into a network namespace, a name under
// /run/netns or a path, by entering it on one thread and executing the program
// again from there: threads that Go has started before stay where they were.
func enterNetNS(netns string) error {
	if netns == "" || os.Getenv(netnsEntered) == netns {
		return nil
	}
	path := netns
	if !strings.Contains(netns, "/") {
		path = filepath.Join("/run/netns", netns)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("netns: %w", err)
	}
	defer f.Close()
	runtime.LockOSThread() // never unlocked: this thread becomes the process
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter netns %s: %w", path, err)
	}
	err = unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), netnsEntered+"="+netns))
	return fmt.Errorf("execute again in netns %s: %w", path, err)
}
