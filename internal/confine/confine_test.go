package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/lab"
)

// Names of the programs that the test binary becomes: one confines itself
// and executes the second, which tries what it can do, and so starts the third,
// which does nothing.
const (
	confineEnv = "CONFINE_TEST_LIMITS"
	tryEnv     = "CONFINE_TEST_TRY"
	idleEnv    = "CONFINE_TEST_IDLE"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(idleEnv) != "": // first, or what "run self" starts would try the same, for ever
		os.Exit(0)
	case os.Getenv(tryEnv) != "":
		tryAll(os.Getenv(tryEnv))
	case os.Getenv(confineEnv) != "":
		become(os.Getenv(confineEnv))
	}
	lab.Main(m)
}

// become confines the process as the daemon does, and never returns.
func become(text string) {
	var l Limits
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		fail(err)
	}
	runtime.LockOSThread()
	version, err := Thread(l)
	if err != nil {
		fail(err)
	}
	dir := filepath.Dir(l.Dirs[0].Path)
	fail(unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), tryEnv+"="+strconv.Itoa(version)+" "+dir)))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// runSelf runs the program once more, to no end.
func runSelf() error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{idleEnv + "=1"}
	return cmd.Run()
}

// outcome is what a process has found out about itself.
type outcome struct {
	Landlock int
	Status   Status
	Errors   map[string]string // by what was tried; empty for what worked
}

// tryAll tries what a daemon that was taken over would try, below dir: there
// are own/, of the limits, and other/ with a file.
func tryAll(arg string) {
	version, dir, _ := strings.Cut(arg, " ")
	o := outcome{Errors: make(map[string]string)}
	o.Landlock, _ = strconv.Atoi(version)
	var err error
	if o.Status, err = Self(); err != nil {
		fail(err)
	}
	own := func(name string) string { return filepath.Join(dir, "own", name) }
	other := func(name string) string { return filepath.Join(dir, "other", name) }
	for what, try := range map[string]func() error{
		"make own":         func() error { return os.WriteFile(own("new"), []byte("x"), 0o600) },
		"rename own":       func() error { return errors.Join(os.WriteFile(own("a"), nil, 0o600), os.Rename(own("a"), own("b"))) },
		"remove own":       func() error { return errors.Join(os.WriteFile(own("c"), nil, 0o600), os.Remove(own("c"))) },
		"listen own":       func() error { return closing(net.Listen("unix", own("socket"))) },
		"write null":       func() error { return os.WriteFile(os.DevNull, []byte("x"), 0) },
		"read other":       func() error { _, err := os.ReadFile(other("file")); return err },
		"make other":       func() error { return os.WriteFile(other("new"), nil, 0o600) },
		"write other":      func() error { return closing(os.OpenFile(other("file"), os.O_WRONLY|os.O_APPEND, 0)) },
		"remove other":     func() error { return os.Remove(other("file")) },
		"directory other":  func() error { return os.Mkdir(other("d"), 0o700) },
		"link other":       func() error { return os.Symlink("file", other("l")) },
		"move to other":    func() error { return errors.Join(os.WriteFile(own("m"), nil, 0o600), os.Rename(own("m"), other("m"))) },
		"sysctl":           func() error { return closing(os.OpenFile("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY, 0)) },
		"run shell":        func() error { return exec.Command("/bin/sh", "-c", "true").Run() },
		"run self":         runSelf,
		"listen":           func() error { return closing(net.Listen("tcp", "127.0.0.1:7070")) },
		"signal parent":    func() error { return unix.Kill(os.Getppid(), 0) },
		"raw socket":       func() error { return closing(net.ListenPacket("ip4:icmp", "127.0.0.1")) },
		"mount":            func() error { return unix.Mount("none", dir, "tmpfs", 0, "") },
		"become another":   func() error { return syscall.Setuid(12345) },
		"change ownership": func() error { return os.Chown(filepath.Join(dir, "own"), 12345, 12345) },
		"nftables": func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			c.AddTable(&nftables.Table{Name: "confined", Family: nftables.TableFamilyINet})
			return c.Flush()
		},
	} {
		o.Errors[what] = ""
		if err := try(); err != nil {
			var errno syscall.Errno
			if o.Errors[what] = err.Error(); errors.As(err, &errno) {
				if errno == unix.EINVAL { // a user that this user namespace has not
					errno = unix.EPERM
				}
				o.Errors[what] = errno.Error()
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
		fail(err)
	}
	os.Exit(0)
}

func closing[C interface{ Close() error }](c C, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// Whoever takes the daemon over must not own the host with it: files, programs
// and other processes are out of reach, and what it is there for still works.
func TestConfinedProcess(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "other", "file")
	if err := os.WriteFile(file, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	limits, err := json.Marshal(Limits{Capabilities: NetAdmin, Dirs: []Dir{{Path: filepath.Join(dir, "own"), Mode: 0o700}}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), confineEnv+"="+string(limits))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var got outcome
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	t.Logf("Landlock %d", got.Landlock)
	if want := (Status{Permitted: NetAdmin, Ambient: NetAdmin, Bounding: NetAdmin, NoNewPrivs: true}); got.Status != want {
		t.Errorf("status %+v, want %+v", got.Status, want)
	}
	const denied, forbidden = "permission denied", "operation not permitted"
	want := map[string]string{
		"make own": "", "rename own": "", "remove own": "", "listen own": "", "write null": "", "read other": "",
		"run self": "", "listen": "", "nftables": "",
		"raw socket": forbidden, "mount": forbidden, "become another": forbidden, "change ownership": forbidden,
	}
	for _, what := range []string{"make other", "write other", "remove other", "directory other", "link other", "move to other", "sysctl", "run shell"} {
		want[what] = denied
	}
	if want["signal parent"] = forbidden; got.Landlock < 6 {
		want["signal parent"] = ""
	}
	if got.Landlock == 0 {
		t.Skip("kernel lacks: Landlock")
	}
	if diff := cmp.Diff(want, got.Errors); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "untouched" {
		t.Errorf("the file elsewhere is %q: %v", text, err)
	}
}

func TestSetNames(t *testing.T) {
	for set, want := range map[Set]string{0: "none", NetAdmin: "cap_net_admin", NetAdmin | NetRaw | 1: "0 cap_net_admin cap_net_raw"} {
		if got := set.String(); got != want {
			t.Errorf("%#x is %q, want %q", uint64(set), got, want)
		}
	}
}
