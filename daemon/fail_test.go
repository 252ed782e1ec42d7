package daemon

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

var cmpAddr = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// obstacle stands between a daemon and the kernel's table: before, if any, is
// asked what to do of each call, counted from 1.
type obstacle struct {
	table
	calls  atomic.Int32
	before atomic.Pointer[func(call int, want *nft.Table) error]
}

// block puts a new obstacle in the daemon's way; nil takes it away.
func (b *bed) block(before func(call int, want *nft.Table) error) {
	o := &obstacle{table: b.rules}
	if before != nil {
		o.before.Store(&before)
	}
	b.change.Lock()
	defer b.change.Unlock()
	b.table = o
}

func (o *obstacle) ask(want *nft.Table) error {
	if f := o.before.Load(); f != nil {
		return (*f)(int(o.calls.Add(1)), want)
	}
	return nil
}

func (o *obstacle) Switch(want *nft.Table, before func() error) error {
	if err := o.ask(want); err != nil {
		return err
	}
	return o.table.Switch(want, before)
}

func (o *obstacle) Put(v *balancer.View, zoneBase uint16, es []balancer.Element) error {
	if err := o.ask(nil); err != nil {
		return err
	}
	return o.table.Put(v, zoneBase, es)
}

// poison has the kernel itself refuse a table: near the end of the transaction
// comes a verdict that leads nowhere.
func poison(want *nft.Table) {
	const typeIPv4, typeVerdict = 7, 0xffffff00
	*want = nft.Table{Name: want.Name, Chains: want.Chains, Maps: want.Maps, Timeouts: want.Timeouts}
	want.Maps = append(want.Maps, &nft.Map{
		Name: "poison", Key: nft.Type{ID: typeIPv4, Len: 4}, Data: nft.Type{ID: typeVerdict},
		Elements: []nft.Element{{Key: make([]byte, 4), Goto: "nowhere"}},
	})
}

// disk stops the daemon and puts the state on a file system of its own, small
// enough to be filled.
func (b *bed) disk() string {
	b.t.Helper()
	return b.diskOf("256k")
}

func (b *bed) diskOf(size string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	if err := unix.Mount("roamlb-test", dir, "tmpfs", 0, "size="+size); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	b.end()
	b.file.State = filepath.Join(dir, "state.json")
	return dir
}

// readOnly makes a directory read-only, also for who has files open in it.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	err := unix.Mount(dir, dir, "", unix.MS_BIND, "")
	if err == nil {
		err = unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	if err != nil {
		t.Errorf("make the disk read-only: %v", err)
	}
}

func writable(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Errorf("make the disk writable: %v", err)
	}
}

// failures are the ways in which a change can fail, each with what ends it.
func failures(t *testing.T, b *bed, dir string) []struct {
	name        string
	errno       error
	lost        int
	begin, mend func()
} {
	filler := filepath.Join(dir, "filler")
	refuse := func(at int, errno unix.Errno) func() {
		return func() {
			b.block(func(call int, _ *nft.Table) error {
				if call == at {
					return &nft.RequestError{What: "test", Errno: errno}
				}
				return nil
			})
		}
	}
	poisoned := func(at int) func() {
		return func() {
			b.block(func(call int, want *nft.Table) error {
				if call == at {
					poison(want)
				}
				return nil
			})
		}
	}
	// A refused transaction takes the rules back that it had made. Where these
	// set zones the kernel then drops what waits in the queues, see nft.
	const refused = 40
	away := func() { b.block(nil) }
	// The change that is tried: the backend that comes is made known (1), vpn's
	// sessions off the ring are written (2), the switch (3), the state's rename.
	return []struct {
		name        string
		errno       error
		lost        int // datagrams at most, or misplaced
		begin, mend func()
	}{
		{"the disk is full", unix.ENOSPC, 0, func() {
			for size := 64 << 10; size >= 1; size /= 2 {
				f, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				for err == nil {
					_, err = f.Write(make([]byte, size))
				}
				f.Close()
			}
		}, func() { os.Remove(filler) }},
		{"the disk is read-only", unix.EROFS, 0, func() { readOnly(t, dir) }, func() { writable(t, dir) }},
		{"sessions off the ring cannot be written", unix.ENOMEM, 0, refuse(2, unix.ENOMEM), away},
		{"EPERM at the first step", unix.EPERM, 0, refuse(1, unix.EPERM), away},
		{"EPERM at the switch", unix.EPERM, 0, refuse(3, unix.EPERM), away},
		{"the kernel refuses the first step", unix.ENOENT, refused, poisoned(1), away},
		{"the kernel refuses the switch", unix.ENOENT, refused, poisoned(3), away},
		{"the disk turns read-only before the rename", unix.EROFS, 0, func() {
			b.block(func(call int, _ *nft.Table) error {
				if call == 3 {
					readOnly(t, dir)
				}
				return nil
			})
		}, func() { writable(t, dir); away() }},
	}
}

// A change that the disk or the kernel refuses, at whatever step, must leave
// both as they were, cost no packet and move nobody; and once what refused is
// gone it must work.
func TestChangeThatFails(t *testing.T) {
	b := newBed(t, 3, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2)} })
	dir := b.disk()
	b.start()
	first := b.State().Services
	want := append(changed(first, "vpn", func(s *balancer.Service) {
		s.Backends[0].Weight = 3
		s.Backends = append(s.Backends, service(b.Network, "", 1, 3).Backends...)
	}), service(b.Network, "web", 2000, 2, 3))
	home := b.place(0, 100, 0, port)
	seq := 0
	for _, f := range failures(t, b, dir) {
		t.Run(f.name, func(t *testing.T) {
			state, kernel := mustRead(t, b.file.State), b.kernel()
			l := b.startLoad(10_000*(seq+1), 3, f.lost)
			f.begin()
			err := b.set(want)
			if !errors.Is(err, ErrNotApplied) || !errors.Is(err, f.errno) || errors.Is(err, ErrDegraded) {
				t.Errorf("the change answered %v, want ErrNotApplied and %v", err, f.errno)
			}
			if h := b.Health(); !h.Ready || h.Degraded {
				t.Errorf("health %+v", h)
			}
			if got := mustRead(t, b.file.State); got != state {
				t.Error("the state on disk is another")
			}
			if diff := cmp.Diff(first, b.State().Services, cmpAddr); diff != "" {
				t.Errorf("the services (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(kernel, b.kernel()); diff != "" {
				t.Errorf("the kernel's table (-before +after):\n%s", diff)
			}
			seq++
			b.stay("after the failure", home, seq)
			f.mend()
			if err := b.set(want); err != nil {
				t.Fatalf("afterwards: %v", err)
			}
			if diff, err := b.rules.Verify(); err != nil || len(diff) > 0 {
				t.Errorf("afterwards the kernel has something else: %v %v", diff, err)
			}
			seq++
			b.stay("after the change", home, seq)
			l.stop(f.name)
			b.mustSet(first)
			if diff := cmp.Diff(kernel, b.kernel()); diff != "" {
				t.Errorf("the kernel's table, there and back (-before +after):\n%s", diff)
			}
			if left, _ := filepath.Glob(b.file.State + ".tmp"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A change that can be neither made nor taken back must be known to whoever
// asks, stop others, and be taken back as soon as that is possible.
func TestDegraded(t *testing.T) {
	for _, how := range []struct {
		name  string
		begin func(b *bed) (end func())
	}{
		{"the kernel refuses all from the switch on", func(b *bed) func() {
			b.block(func(call int, _ *nft.Table) error {
				if call >= 3 {
					return &nft.RequestError{What: "test", Errno: unix.EPERM}
				}
				return nil
			})
			return func() { b.block(nil) }
		}},
		{"the rename fails, and the kernel refuses from then on", func(b *bed) func() {
			dir := filepath.Dir(b.file.State)
			b.block(func(call int, _ *nft.Table) error {
				switch {
				case call == 3:
					readOnly(b.t, dir)
				case call > 3:
					return &nft.RequestError{What: "test", Errno: unix.EPERM}
				}
				return nil
			})
			return func() { writable(b.t, dir); b.block(nil) }
		}},
	} {
		t.Run(how.name, func(t *testing.T) {
			b := newBed(t, 3, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2)} })
			b.disk()
			b.start()
			home := b.place(0, 100, 0, port)
			state, kernel, first := mustRead(t, b.file.State), b.kernel(), b.State().Services
			want := changed(first, "vpn", func(s *balancer.Service) {
				s.Backends[0].Weight = 3
				s.Backends = append(s.Backends, service(b.Network, "", 1, 3).Backends...)
			})
			end := how.begin(b)
			if err := b.set(want); !errors.Is(err, ErrNotApplied) || !errors.Is(err, unix.EPERM) {
				t.Fatalf("the change answered %v, want ErrNotApplied and EPERM", err)
			}
			if h := b.Health(); !h.Degraded || len(h.Reasons) == 0 || !strings.Contains(h.Reasons[0], "not permitted") {
				t.Errorf("health %+v, want it to be degraded, with the reason", h)
			}
			if err := b.set(want); !errors.Is(err, ErrDegraded) {
				t.Errorf("another change answered %v, want ErrDegraded", err)
			}
			if got := mustRead(t, b.file.State); got != state {
				t.Error("the state on disk is another")
			}
			end()
			lab.WaitFor(t, 10*time.Second, "recovered", func() bool { return len(b.events(event.Repaired)) > 0 })
			if h := b.Health(); h.Degraded {
				t.Errorf("recovered, health %+v", h)
			}
			if diff := cmp.Diff(kernel, b.kernel()); diff != "" {
				t.Errorf("the kernel's table (-before +after):\n%s", diff)
			}
			if len(b.events(event.Degraded)) == 0 {
				t.Error("no event told of it")
			}
			b.stay("recovered", home, 1)
			if err := b.set(want); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			b.stay("changed at last", home, 2)
		})
	}
}

// Another program takes the table and gives it to nobody: real EPERM. Whoever
// asks must learn that nothing is as it should be, and when it is over all must
// be well by itself.
func TestTableOfAnother(t *testing.T) {
	b := newBed(t, 3, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1, 2)} })
	home := b.place(0, 100, 0, port)
	state, kernel, first := mustRead(t, b.file.State), b.kernel(), b.State().Services
	want := changed(first, "vpn", func(s *balancer.Service) { s.Backends[0].Weight = 3 })
	release := b.seize()
	lab.WaitFor(t, 10*time.Second, "the daemon says so", func() bool { return b.Health().Degraded })
	if err := b.set(want); !errors.Is(err, unix.EPERM) && !errors.Is(err, ErrDegraded) {
		t.Errorf("a change answered %v, want EPERM", err)
	}
	if got := mustRead(t, b.file.State); got != state {
		t.Error("the state on disk is another")
	}
	release()
	lab.WaitFor(t, 10*time.Second, "recovered", func() bool { return !b.Health().Degraded })
	if diff := cmp.Diff(kernel, b.kernel()); diff != "" {
		t.Errorf("the kernel's table (-before +after):\n%s", diff)
	}
	b.stay("recovered", home, 1)
	if err := b.set(want); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	b.stay("changed at last", home, 2)
}

// seize replaces the daemon's table by one that this program owns: the kernel
// refuses whoever else would change it, as long as it is there.
func (b *bed) seize() (release func()) {
	b.t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(b.LB.Fd()), nftables.AsLasting())
	if err != nil {
		b.t.Fatal(err)
	}
	const owned = nftables.TableFlags(0x2) // NFT_TABLE_F_OWNER
	c.DelTable(&nftables.Table{Name: nft.TableName, Family: nftables.TableFamilyINet})
	c.AddTable(&nftables.Table{Name: nft.TableName, Family: nftables.TableFamilyINet, Flags: owned})
	if err := c.Flush(); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		if err := c.CloseLasting(); err != nil {
			b.t.Error(err)
		}
	}
}

// A token that was stolen must go, whatever the kernel says; and a disk that
// refuses must leave the tokens as they were.
func TestTokensThatCannotBeWritten(t *testing.T) {
	b := newBed(t, 1, func(n *lab.Network) []balancer.Service { return []balancer.Service{service(n, "vpn", port, 1)} })
	dir := b.disk()
	b.start()
	none := func([]store.Token) ([]store.Token, error) { return nil, nil }
	state := mustRead(t, b.file.State)
	readOnly(t, dir)
	if err := b.ChangeTokens(t.Context(), operator, none); !errors.Is(err, ErrNotApplied) || !errors.Is(err, unix.EROFS) {
		t.Errorf("on a read-only disk: %v, want ErrNotApplied and EROFS", err)
	}
	if diff := cmp.Diff([]string{"admin"}, tokenNames(b.State())); diff != "" || mustRead(t, b.file.State) != state {
		t.Errorf("the tokens (-before +after):\n%s", diff)
	}
	writable(t, dir)
	b.block(func(int, *nft.Table) error { return &nft.RequestError{What: "test", Errno: unix.EPERM} })
	if err := b.set(nil); !errors.Is(err, unix.EPERM) || !b.Health().Degraded {
		t.Fatalf("not degraded: %v", err)
	}
	if err := b.ChangeTokens(t.Context(), operator, none); err != nil {
		t.Errorf("while degraded: %v", err)
	}
	b.block(nil)
	lab.WaitFor(t, 10*time.Second, "recovered", func() bool { return !b.Health().Degraded })
	if got := tokenNames(b.State()); len(got) != 0 {
		t.Errorf("tokens %v are still there", got)
	}
}
