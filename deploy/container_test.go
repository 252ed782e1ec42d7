//go:build packages

package deploy

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The image has the program and nothing else: no libc, no users, no /tmp, no
// certificates. It must be enough to balance.
func TestContainerImage(t *testing.T) {
	root := t.TempDir()
	text, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nFROM scratch\n") {
		t.Error("the image is not made from scratch")
	}
	for _, c := range regexp.MustCompile(`(?m)^COPY (\S+) (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		run(t, "install", "-D", filepath.Join("..", c[1]), filepath.Join(root, c[2]))
	}
	for _, dir := range []string{"proc", "dev"} { // which every container has
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec",
		`mount --bind /dev "$1/dev"; mount -t proc proc "$1/proc"; ip link set lo up; exec chroot "$1" /usr/bin/roamlb serve`, "sh", root)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "msg=serving") {
			_ = cmd.Process.Kill() // which takes the daemon along
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the daemon goes on after its parent's death: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for _, want := range []string{"msg=serving", "msg=confined", "capabilities=cap_net_admin"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the daemon does not say %s:\n%s", want, said.String())
		}
	}
}
