package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/internal/confine"
	"github.com/roamlb/roamlb/internal/lab"
)

// ordinary makes the daemon run as an ordinary user with CAP_NET_ADMIN. Where
// this test runs in a user namespace with one user it stays that one.
func (b *bed) ordinary() {
	b.t.Helper()
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		b.t.Fatal(err)
	}
	if f := strings.Fields(string(users)); len(f) == 3 && f[2] == "1" {
		b.t.Log("there is one user in this namespace")
		return
	}
	const nobody = 65534
	if err := os.Chmod(filepath.Dir(b.dir), 0o711); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chown(b.dir, nobody, nobody); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(b.dir, "roamlb.yaml"), nobody, nobody); err != nil {
		b.t.Fatal(err)
	}
	// Where the user may reach it.
	b.program = filepath.Join(b.dir, "roamlb")
	if out, err := exec.Command("cp", program, b.program).CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	b.as = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_NET_ADMIN},
	}
}

// A daemon that does not need root must not be run as root: it has to do all its
// work with CAP_NET_ADMIN alone, and has no more left whoever started it; its
// keeper neither. It must go on saving its state, and answer its socket.
func TestDaemonIsConfined(t *testing.T) {
	atLeisure(t)
	for _, user := range []string{"started by root", "an ordinary user with CAP_NET_ADMIN"} {
		t.Run(user, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.configure(b.service())
			if user != "started by root" {
				b.ordinary()
			}
			b.start()
			live := numbers(0, 50)
			home := b.place(live, 0)
			if changed := b.reload(b.service("session_ttl: 1h")); changed != "" {
				t.Errorf("reload: %s", changed)
			}
			b.saved()
			b.patch(b.api(), "vpn", `{"session_ttl": "3h"}`)

			said := b.daemon.find(func(l logLine) bool { return l.str("msg") == "confined" })
			if len(said) != 1 || said[0].str("capabilities") != "cap_net_admin" || said[0].str("writes") == "" {
				t.Errorf("the daemon says of itself: %v", said)
			}
			pid := b.daemon.cmd.Process.Pid
			checkConfined(t, "daemon", pid)
			keepers, err := lab.Children(pid)
			if err != nil || len(keepers) != 1 {
				t.Fatalf("the daemon has children %v (%v), want its keeper", keepers, err)
			}
			checkConfined(t, "keeper", keepers[0])

			b.daemon.kill()
			b.start()
			b.stay("after a crash", home, from(20001, live, 1))
		})
	}
}

// checkConfined looks at every thread: the kernel keeps these things by thread.
func checkConfined(t *testing.T, what string, pid int) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of the %s: %v", what, err)
	}
	for _, path := range threads {
		s, err := confine.ReadStatus(path)
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		if s.Permitted != confine.NetAdmin || !s.NoNewPrivs {
			t.Errorf("%s, %s: capabilities %v, no_new_privs %t", what, path, s.Permitted, s.NoNewPrivs)
		}
	}
}
