package lab_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roamlb/roamlb/internal/lab"
)

// programEnv makes the test binary behave as a small program that enters the
// lab by itself, to be run by the tests of Reexec.
const programEnv = "LAB_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if program := os.Getenv(programEnv); program != "" {
		runProgram(program)
	}
	lab.Main(m)
}

func runProgram(program string) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	switch program {
	case "namespace":
		name, err := os.Readlink("/proc/self/ns/net")
		fmt.Println(name, err)
		os.Exit(0)
	case "sleep":
		select {}
	case "limited":
		// Of the user namespace that the test started this one in.
		if err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0); err != nil {
			fmt.Println(err)
		}
	}
	if err := lab.Reexec(listenerOutside(program)...); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	switch program {
	case "files":
		files := lab.TakeFiles()
		l, err := net.FileListener(files[0])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready", lab.Inside() && len(lab.TakeFiles()) == 0)
		fmt.Println(l.Addr())
		greet(l)
	case "exit":
		os.Exit(7)
	case "die":
		// The runtime ignores what it has been asked to report.
		signal.Reset(syscall.SIGTERM)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		select {}
	case "parent":
		if err := startSleeper(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("ready", lab.Inside())
	for {
		fmt.Println(<-signals)
	}
}

// listenerOutside is what a program takes along into the lab.
func listenerOutside(program string) []*os.File {
	if program != "files" || lab.Inside() {
		return nil
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	f, err := l.File()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return []*os.File{f}
}

// greet says hello to whoever connects.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		fmt.Fprintln(c, "hello")
		c.Close()
	}
}

// startSleeper leaves a process behind in a namespace.
func startSleeper() error {
	n, err := lab.NewNamespace("bed")
	if err != nil {
		return err
	}
	cmd := program("sleep")
	cmd.Stdout = os.Stdout
	return n.Start(cmd)
}

// newNetwork makes a network that ends with the test, and checks then that no
// goroutine and no namespace is left.
func newNetwork(t *testing.T, opts lab.NetworkOptions) *lab.Network {
	t.Helper()
	before := openNamespaces(t)
	n, err := lab.NewNetwork(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
		if after := openNamespaces(t); after != before {
			t.Errorf("%d namespaces are open after the test, %d before: benchmarks would fill the host", after, before)
		}
	})
	return n
}

// openNamespaces counts the network namespaces that descriptors hold.
func openNamespaces(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, entry := range list {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasPrefix(target, "net:[") {
			count++
		}
	}
	return count
}

func newEcho(t *testing.T, b *lab.Backend, opts lab.EchoOptions) *lab.Echo {
	t.Helper()
	e, err := b.Echo(port, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func newClients(t *testing.T, n *lab.Network, opts lab.ClientOptions) *lab.Clients {
	t.Helper()
	c := lab.NewClients(n.Clients, opts)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func newRaw(t *testing.T, n *lab.Network, from *lab.Namespace) *lab.RawSender {
	t.Helper()
	r, err := n.RawSender(from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// wait is enough for anything that happens at all, on a busy machine.
const wait = 10 * time.Second

// port is where the tests' servers listen.
const port = 1194
