package suite

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/roamlb/roamlb/internal/lab"
)

// tool runs a program that its package may not have installed, in a namespace
// and a directory, and returns all that it says.
func tool(t *testing.T, n *lab.Namespace, dir, stdin, pkg, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s: install %s", name, pkg)
	}
	var said bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader(stdin), &said, &said
	if err := n.Run(cmd); err != nil {
		t.Fatalf("%s %v in %s: %v\n%s%s", name, args, n.Name(), err, stdin, said.String())
	}
	return said.String()
}
