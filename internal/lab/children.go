package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Children returns the ids of a process's children that live: one that has
// ended and that nobody has waited for is left out (proc(5), task/TID/children;
// such a one has no command line).
func Children(pid int) ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(lists) == 0 {
		return nil, fmt.Errorf("children of process %d: no such process, or a kernel without CONFIG_PROC_CHILDREN", pid)
	}
	var children []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for field := range bytes.FieldsSeq(text) {
			child, err := strconv.Atoi(string(field))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", list, err)
			}
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child)); err == nil && len(line) > 0 {
				children = append(children, child)
			}
		}
	}
	return children, nil
}
