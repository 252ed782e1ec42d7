package suite

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// notices stands in for systemd: it takes what the daemon tells by sd_notify(3).
type notices struct {
	mu   sync.Mutex // guards list
	list []string   // datagrams, whose lines are joined by blanks
}

// supervise makes the next daemon tell of itself, with a watchdog of two
// seconds.
func (b *bed) supervise() *notices {
	b.t.Helper()
	path := filepath.Join(b.dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	b.env = append(b.env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=2000000")
	n := &notices{}
	go func() {
		buf := make([]byte, 4096)
		for {
			size, err := c.Read(buf)
			if err != nil {
				return // the test is over
			}
			n.mu.Lock()
			n.list = append(n.list, strings.ReplaceAll(string(buf[:size]), "\n", " "))
			n.mu.Unlock()
		}
	}()
	return n
}

// count is how many notices there are with a text in them.
func (n *notices) count(text string) (found int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.list {
		if strings.Contains(s, text) {
			found++
		}
	}
	return found
}

func (n *notices) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.list, "\n")
}

// systemd must not take a daemon for ready that balances nothing yet, and must
// start one anew that hangs. One that works must never miss a sign of life.
func TestSupervisorIsTold(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	n := b.supervise()
	b.serve(b.service())
	waitFor(t, 10*time.Second, "the daemon tells that it is ready", func() bool { return n.count("READY=1") == 1 })
	if n.count("READY=1 STATUS=1 services, 0 sessions") != 1 {
		t.Errorf("told:\n%v", n)
	}
	waitFor(t, 10*time.Second, "signs of life", func() bool { return n.count("WATCHDOG=1") >= 3 })

	b.reload(b.service("slots: 101"))
	waitFor(t, 10*time.Second, "the reload is told", func() bool {
		return n.count("RELOADING=1 MONOTONIC_USEC=") == 1 && n.count("READY=1") == 2
	})
	b.place(numbers(0, 20), 0)
	waitFor(t, 20*time.Second, "the status follows", func() bool { return n.count("STATUS=1 services, 20 sessions") > 0 })

	// A daemon that hangs is silent, and tells again once it goes on.
	b.daemon.signal(syscall.SIGSTOP)
	time.Sleep(100 * time.Millisecond) // what was on its way has arrived
	silent := n.count("WATCHDOG=1")
	time.Sleep(time.Second)
	if more := n.count("WATCHDOG=1") - silent; more != 0 {
		t.Errorf("%d signs of life of a daemon that is stopped", more)
	}
	b.daemon.signal(syscall.SIGCONT)
	waitFor(t, 10*time.Second, "more signs of life", func() bool { return n.count("WATCHDOG=1") > silent })

	b.daemon.stop()
	waitFor(t, 10*time.Second, "the end is told", func() bool { return n.count("STOPPING=1") == 1 })
}
