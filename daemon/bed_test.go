package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/event"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/store"
)

func TestMain(m *testing.M) {
	nfq.KeeperMain()
	lab.Main(m)
}

const port = 1194

// bed is a network with a daemon in this process, and echoes on its backends.
type bed struct {
	*lab.Network
	*Daemon
	t       *testing.T
	clients *lab.Clients
	echoes  []*lab.Echo // on port, in the order of the backends
	file    *config.File
	token   string // the first one's secret
	end     func() // stops the daemon
}

// newBed serves services, in a state directory of their own.
func newBed(t *testing.T, backends int, services func(*lab.Network) []balancer.Service) *bed {
	t.Helper()
	b := newIdleBed(t, backends, services)
	b.start()
	return b
}

// newIdleBed is newBed without a daemon yet.
func newIdleBed(t *testing.T, backends int, services func(*lab.Network) []balancer.Service) *bed {
	t.Helper()
	n, err := lab.NewNetwork(lab.NetworkOptions{Backends: backends})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{Network: n, t: t, clients: lab.NewClients(n.Clients, lab.ClientOptions{}), file: config.Default()}
	t.Cleanup(func() {
		if b.end != nil {
			b.end()
		}
		errs := []error{b.clients.Close()}
		for _, e := range b.echoes {
			errs = append(errs, e.Close())
		}
		if err := errors.Join(append(errs, n.Close())...); err != nil {
			t.Error(err)
		}
	})
	for _, be := range n.Backends {
		e, err := be.Echo(port, lab.EchoOptions{Number: byte(be.Number)})
		if err != nil {
			t.Fatal(err)
		}
		b.echoes = append(b.echoes, e)
	}
	b.file.State = filepath.Join(t.TempDir(), "state.json")
	b.file.Queues.Count = 2
	b.file.Services = services(n)
	if err := b.file.Validate(); err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs the daemon until it is ready.
func (b *bed) start() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- b.LB.Do(func() (err error) {
			b.Daemon, err = New(Options{
				File: b.file, Ready: func() { close(ready) }, FirstToken: func(s string) { b.token = s },
				Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				return err
			}
			return b.Run(ctx)
		})
	}()
	b.end = func() {
		b.t.Helper()
		b.end = nil
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("the daemon ended with: %v", err)
		}
	}
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		b.t.Fatalf("the daemon ended before it served: %v", err)
	case <-time.After(lab.Slow(30 * time.Second)):
		b.t.Fatal("the daemon does not serve")
	}
}

var operator = event.Actor{Name: "operator", From: "192.0.2.1:1000"}

// set is Change to services, whatever they are now.
func (b *bed) set(services []balancer.Service) error {
	_, err := b.Change(b.t.Context(), operator, func([]balancer.Service) ([]balancer.Service, error) { return services, nil })
	return err
}

func (b *bed) mustSet(services []balancer.Service) {
	b.t.Helper()
	if err := b.set(services); err != nil {
		b.t.Fatal(err)
	}
}

// service listens at a port, and has some of the network's backends.
func service(n *lab.Network, name string, at uint16, numbers ...int) balancer.Service {
	s := config.DefaultService()
	s.Name = name
	s.Listen = []netip.AddrPort{netip.AddrPortFrom(lab.ListenerIPv4(0), at), netip.AddrPortFrom(lab.ListenerIPv6(0), at)}
	s.Key.Variants = []balancer.Variant{{Fields: []balancer.Field{{Offset: 1, Length: 8}}}}
	s.Slots, s.MaxSessions = 251, 100_000
	for _, nr := range numbers {
		be := n.Backend(nr)
		x := config.DefaultBackend()
		x.Name, x.Addresses, x.Port = fmt.Sprint("b", nr), []netip.Addr{be.IPv4, be.IPv6}, port
		s.Backends = append(s.Backends, x)
	}
	return s
}

// changed is a copy of services in which one is changed; what it refers to
// stays as it is in the original.
func changed(services []balancer.Service, name string, change func(*balancer.Service)) []balancer.Service {
	services = slices.Clone(services)
	i := slices.IndexFunc(services, func(s balancer.Service) bool { return s.Name == name })
	services[i].Backends = slices.Clone(services[i].Backends)
	change(&services[i])
	return services
}

// datagram is of a session, from an address of its own, to the listener at a
// port. Odd sessions use IPv6.
func datagram(session, seq int, at uint16) lab.Datagram {
	p := append([]byte{0x48}, binary.BigEndian.AppendUint64(nil, uint64(session+1)*0x9e3779b97f4a7c15)...)
	p = binary.BigEndian.AppendUint32(p, uint32(seq))
	src, dst := lab.ClientIPv4(1+session%100_000), lab.ListenerIPv4(0)
	if session%2 == 1 {
		src, dst = lab.ClientIPv6(1+session%100_000), lab.ListenerIPv6(0)
	}
	return lab.Datagram{Src: netip.AddrPortFrom(src, 20000), Dst: netip.AddrPortFrom(dst, at), Payload: p}
}

// place sends a datagram of each session from..from+n and says which backends
// answered.
func (b *bed) place(from, n, seq int, at uint16) []int {
	b.t.Helper()
	list := make([]lab.Datagram, n)
	for i := range list {
		list[i] = datagram(from+i, seq, at)
	}
	replies, err := b.clients.ExchangeAll(b.t.Context(), list, 5000, lab.Slow(5*time.Second))
	if err != nil {
		b.t.Fatal(err)
	}
	if lost := lab.Unanswered(replies); len(lost) > 0 {
		b.t.Fatalf("%d of %d datagrams had no answer", len(lost), n)
	}
	out := make([]int, n)
	for i, r := range replies {
		out[i] = r.Number()
	}
	return out
}

// stay demands that sessions are where they were.
func (b *bed) stay(when string, home []int, seq int) {
	b.t.Helper()
	for i, at := range b.place(0, len(home), seq, port) {
		if at != home[i] {
			b.t.Errorf("%s: session %d moved from backend %d to %d", when, i, home[i], at)
		}
	}
}

// load is traffic of new and of live sessions while something happens.
type load struct {
	b        *bed
	sessions int
	home     map[int]int // backend by session
	cancel   context.CancelFunc
	done     chan struct{}
	failed   []string
	bursts   int
	guest    int // the number of a backend that comes and goes: its sessions may move
	spare    int // how many datagrams may have no answer, or go elsewhere
}

// startLoad sends to the first service, from sessions numbered from first on.
func (b *bed) startLoad(first, guest, spare int) *load {
	ctx, cancel := context.WithCancel(b.t.Context())
	l := &load{b: b, sessions: first, guest: guest, spare: spare, home: make(map[int]int), cancel: cancel, done: make(chan struct{})}
	go l.run(ctx)
	return l
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	for ; ctx.Err() == nil && len(l.failed) == 0; l.bursts++ {
		var list []lab.Datagram
		var who []int
		for s := range l.home { // some, in any order
			if who = append(who, s); len(who) == 20 {
				break
			}
		}
		for range 20 {
			who = append(who, l.sessions)
			l.sessions++
		}
		for _, s := range who {
			list = append(list, datagram(s, l.bursts, port))
		}
		replies, err := l.b.clients.ExchangeAll(context.Background(), list, 4000, lab.Slow(5*time.Second))
		if err != nil {
			l.failed = append(l.failed, err.Error())
			return
		}
		for i, r := range replies {
			was, known := l.home[who[i]]
			at := r.Number()
			wrong := at == 0 || known && at != was && was != l.guest
			switch {
			case wrong && l.spare > 0:
				l.spare--
			case at == 0:
				l.failed = append(l.failed, fmt.Sprintf("session %d: no answer", who[i]))
			case wrong:
				l.failed = append(l.failed, fmt.Sprintf("session %d moved from backend %d to %d", who[i], was, at))
			default:
				l.home[who[i]] = at
			}
		}
	}
}

// stop ends the load and demands that every datagram was answered, all of a
// session by one backend.
func (l *load) stop(what string) {
	l.b.t.Helper()
	l.cancel()
	<-l.done
	for _, f := range l.failed {
		l.b.t.Errorf("%s: %s", what, f)
	}
	if l.bursts == 0 {
		l.b.t.Errorf("%s: there was no load", what)
	}
}

// kernel is the table as another program sees it: rules by what they say, and
// elements, but for what is learned.
func (b *bed) kernel() map[string][]string {
	b.t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(b.LB.Fd()))
	if err != nil {
		b.t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			b.t.Helper()
			b.t.Fatal(err)
		}
	}
	table := &nftables.Table{Name: nft.TableName, Family: nftables.TableFamilyINet}
	out := make(map[string][]string)
	chains, err := c.ListChainsOfTableFamily(table.Family)
	must(err)
	for _, ch := range chains {
		if ch.Table.Name != table.Name {
			continue
		}
		rules, err := c.GetRules(table, ch)
		must(err)
		list := []string{}
		for _, r := range rules {
			list = append(list, fmt.Sprintf("%x", r.UserData))
		}
		out["chain "+ch.Name] = list
	}
	sets, err := c.GetSets(table)
	must(err)
	for _, s := range sets {
		list := []string{}
		if !s.Dynamic {
			elements, err := c.GetSetElements(s)
			must(err)
			for _, e := range elements {
				text := fmt.Sprintf("%x: %x", e.Key, e.Val)
				if e.VerdictData != nil {
					text += " goto " + e.VerdictData.Chain
				}
				list = append(list, text)
			}
			slices.Sort(list)
		}
		out["map "+s.Name] = list
	}
	return out
}

// events are those of a kind so far.
func (b *bed) events(kind event.Kind) []event.Event {
	all, _ := b.Events().Since(0, 1<<20)
	var out []event.Event
	for _, e := range all {
		if e.Kind == kind {
			out = append(out, e.Event)
		}
	}
	return out
}

// tokenNames are the names of the tokens of now.
func tokenNames(st store.State) []string {
	var out []string
	for _, t := range st.Tokens {
		out = append(out, t.Name)
	}
	return out
}
