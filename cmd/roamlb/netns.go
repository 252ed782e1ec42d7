package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// replacedEnv tells the program that replaces itself that it has: its value is
// the process's id, so that no child takes it for its own, and what to remember.
const replacedEnv = "ROAMLB_REPLACED"

// replacement is what was remembered; ok is false in a process that has not
// replaced itself.
func replacement() (note string, ok bool) {
	pid, note, _ := strings.Cut(os.Getenv(replacedEnv), " ")
	return note, pid == strconv.Itoa(os.Getpid())
}

// replace makes the process over by what prepare does to one thread, and by
// executing the program again from there: threads that Go has started before
// stay as they were. It returns where the process has replaced itself already,
// with what prepare returned then.
func replace(prepare func() (note string, err error)) (note string, err error) {
	if note, ok := replacement(); ok {
		return note, nil
	}
	note, err = prepare()
	if err != nil {
		return "", err
	}
	env := append(os.Environ(), fmt.Sprintf("%s=%d %s", replacedEnv, os.Getpid(), note))
	err = unix.Exec("/proc/self/exe", os.Args, env)
	return "", fmt.Errorf("execute the program again: %w", err)
}

// enterNetNS puts the whole process into a network namespace, a name under
// /run/netns or a path; empty stands for the one it is in.
func enterNetNS(netns string) error {
	if netns == "" {
		return nil
	}
	_, err := replace(func() (string, error) { return "", setNetNS(netns) })
	return err
}

// setNetNS puts the calling thread into a network namespace.
func setNetNS(netns string) error {
	if netns == "" {
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
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter netns %s: %w", path, err)
	}
	return nil
}
