package check

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A sysctl is named by its path below /proc/sys, with slashes, since
// interface names can hold dots. Below net/ the kernel goes by the network
// namespace of the thread that opens the file.
func sysctlPath(name string) string { return "/proc/sys/" + name }

func readSysctl(name string) (int, error) {
	text, err := os.ReadFile(sysctlPath(name))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", sysctlPath(name), err)
	}
	return n, nil
}

// setting is a sysctl and the value it should have.
type setting struct {
	name  string
	value int
}

// writable reports whether this process may set the sysctl here: some are the
// first network namespace's alone.
func (s setting) writable() bool { return unix.Access(sysctlPath(s.name), unix.W_OK) == nil }

func (s setting) write() error {
	// Without O_CREATE, which would turn "no such sysctl" into "not permitted".
	f, err := os.OpenFile(sysctlPath(s.name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strconv.Itoa(s.value))
	return err
}

// argument is how sysctl(8) takes the setting.
func (s setting) argument() string {
	name := s.name
	if !strings.Contains(name, ".") {
		name = strings.ReplaceAll(name, "/", ".")
	}
	return shellWord(name + "=" + strconv.Itoa(s.value))
}

// wanting completes a result whose cure is to set sysctls.
func (r Result) wanting(set ...setting) Result {
	words := []string{"sysctl -w"}
	r.Fixable = true
	for _, s := range set {
		words = append(words, s.argument())
		r.Fixable = r.Fixable && s.writable()
	}
	r.Fix = strings.Join(words, " ")
	if !r.Fixable {
		r.Fix += " # not permitted here: as root, in the host's first network namespace"
	}
	r.set = set
	return r
}

// shellWord is s as one word of a command line. Names of chains and interfaces
// are others' and are not to be trusted there.
func shellWord(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=./:@%,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
