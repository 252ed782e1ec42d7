package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what was measured on.
type Machine struct {
	Kernel    string
	Processor string
	CPUs      int
	Go        string
	Root      bool // of the host, not of a user namespace
}

func thisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Processor: processor()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	text, err := os.ReadFile("/proc/self/uid_map")
	m.Root = err == nil && os.Geteuid() == 0 && strings.HasSuffix(strings.TrimSpace(string(text)), "4294967295")
	return m
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// String is the machine in a line.
func (m Machine) String() string {
	return fmt.Sprintf("Linux %s, %d × %s, %s", m.Kernel, m.CPUs, m.Processor, m.Go)
}
