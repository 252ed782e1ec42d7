package suite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ti-mo/conntrack"

	"github.com/roamlb/roamlb/internal/lab"
)

const (
	port      = 1194
	keyOffset = 1
	keyLength = 8
)

// patientQueues hold what comes while the machine has no time for the daemon:
// where a queue overflows the kernel decides, by a ring that may be another than
// Go's for a moment, which is another test's matter.
const patientQueues = "{count: 2, length: 65535}"

// bed is a network in which roamlb is to run: clients, the balancer, and an
// echo on every backend.
type bed struct {
	*lab.Network
	t       *testing.T
	clients *lab.Clients
	echoes  []*lab.Echo // echoes[i] answers with the number i+1
	arrived *arrivals
	dir     string
	queues  string               // the file's member
	more    string               // lines of further members of the file
	quiet   bool                 // the log has no room for every event, as in production
	env     []string             // the daemon's, beside the test's own
	as      *syscall.SysProcAttr // whom it runs as; nil: as the test
	program string               // what runs then
	daemon  *daemon
	ct      *conntrack.Conn
}

// bedOptions are the choices for newBed; the zero value will do.
type bedOptions struct {
	backends int
	clients  lab.ClientOptions
	answer   func(backend int, payload []byte) bool // nil: all are answered
	silent   bool                                   // backends do not answer
	arrival  func(backend int, payload []byte)      // told of what arrives, in place of arrivals, which takes room
}

func newBed(t *testing.T, o bedOptions) *bed {
	t.Helper()
	n, err := lab.NewNetwork(lab.NetworkOptions{Backends: o.backends})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{Network: n, t: t, dir: t.TempDir(), queues: "{count: 2}", arrived: newArrivals()}
	t.Cleanup(b.close)
	b.clients = lab.NewClients(n.Clients, o.clients)
	for _, be := range n.Backends {
		opts := lab.EchoOptions{
			Number:    byte(be.Number),
			Key:       keyOf,
			Answer:    func(p []byte) bool { return !o.silent && (o.answer == nil || o.answer(be.Number, p)) },
			OnArrival: func(a lab.Arrival) { b.arrived.add(be.Number, a) },
		}
		if o.arrival != nil {
			opts.Key, opts.OnArrival = nil, func(a lab.Arrival) { o.arrival(be.Number, a.Payload) }
		}
		e, err := be.Echo(port, opts)
		if err != nil {
			t.Fatal(err)
		}
		b.echoes = append(b.echoes, e)
	}
	if err := n.LB.Do(func() (err error) { b.ct, err = conntrack.Dial(nil); return err }); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) close() {
	if b.daemon != nil {
		b.daemon.end()
		if b.t.Failed() {
			b.t.Logf("the daemon's log:\n%s", b.daemon.tail(60))
		}
	}
	var errs []error
	for _, e := range b.echoes {
		errs = append(errs, e.Close())
	}
	if b.clients != nil {
		errs = append(errs, b.clients.Close())
	}
	if b.ct != nil {
		errs = append(errs, b.ct.Close())
	}
	if err := errors.Join(append(errs, b.Close())...); err != nil {
		b.t.Error(err)
	}
}

// service is a YAML service "vpn" on the first listeners with all backends,
// weights 1. Lines are members that are added, or stand in the place of the
// defaults listen, key and backends.
func (b *bed) service(lines ...string) string {
	return b.serviceNamed("vpn", port, lines...)
}

func (b *bed) serviceNamed(name string, at uint16, lines ...string) string {
	given := func(member string) bool {
		for _, l := range lines {
			if strings.HasPrefix(l, member+":") {
				return true
			}
		}
		return false
	}
	var s strings.Builder
	fmt.Fprintf(&s, "  - name: %s\n", name)
	if !given("listen") {
		fmt.Fprintf(&s, "    listen: [{address: %s, port: %d}, {address: %q, port: %d}]\n", lab.ListenerIPv4(0), at, lab.ListenerIPv6(0), at)
	}
	if !given("key") {
		fmt.Fprintf(&s, "    key: {offset: %d, length: %d}\n", keyOffset, keyLength)
	}
	if kernelDecides() && !given("datapath") {
		s.WriteString("    datapath: kernel\n")
	}
	for _, l := range lines {
		fmt.Fprintf(&s, "    %s\n", strings.ReplaceAll(l, "\n", "\n    "))
	}
	if !given("backends") {
		fmt.Fprintf(&s, "    backends:\n%s", b.backendLines(nil))
	}
	return s.String()
}

// backendLines are the YAML lines of all backends; members adds to one's, by
// number, e.g. "weight: 2"; "-" leaves it out.
func (b *bed) backendLines(members map[int]string) string {
	var s strings.Builder
	for _, be := range b.Backends {
		extra := members[be.Number]
		if extra == "-" {
			continue
		}
		if extra != "" {
			extra = ", " + extra
		}
		fmt.Fprintf(&s, "      - {name: b%d, addresses: [%s, %q], port: %d%s}\n", be.Number, be.IPv4, be.IPv6, port, extra)
	}
	return s.String()
}

// backends is the member of a service with these backends.
func (b *bed) backends(members map[int]string) string {
	return "backends:\n" + strings.TrimRight(strings.ReplaceAll("\n"+b.backendLines(members), "\n    ", "\n"), "\n")[1:]
}

// configure writes the daemon's file.
func (b *bed) configure(services ...string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, "roamlb.yaml")
	level := "debug"
	if b.quiet {
		level = "info"
	}
	text := fmt.Sprintf("state: %s\nlog: {format: json, keys: full, level: %s}\napi: {listen: \"\", socket: %s}\nqueues: %s\n%sservices:\n%s",
		filepath.Join(b.dir, "state.json"), level, b.socket(), b.queues, b.more, strings.Join(services, ""))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// socket is where the daemon's API answers.
func (b *bed) socket() string { return filepath.Join(b.dir, "s") }

// serve configures the services and starts the daemon.
func (b *bed) serve(services ...string) {
	b.t.Helper()
	b.configure(services...)
	b.start()
}

// sessionKey is the key of a numbered session, spread over all eight bytes.
func sessionKey(session int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(session+1)*0x9e3779b97f4a7c15)
}

// payload is a datagram of a session: a byte, the key, a sequence number.
func payload(session, seq int) []byte {
	p := append([]byte{0x48}, sessionKey(session)...)
	return binary.BigEndian.AppendUint32(p, uint32(seq))
}

// keyOf is the key of a payload; nil where it has none.
func keyOf(p []byte) []byte {
	if len(p) < keyOffset+keyLength {
		return nil
	}
	return p[keyOffset : keyOffset+keyLength]
}

func listener(v6 bool) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(lab.ListenerIPv6(0), port)
	}
	return netip.AddrPortFrom(lab.ListenerIPv4(0), port)
}

// client is a client's address; ports from 20000 on are free to choose.
func client(v6 bool, i int, sourcePort uint16) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(lab.ClientIPv6(i), sourcePort)
	}
	return netip.AddrPortFrom(lab.ClientIPv4(i), sourcePort)
}

// datagram is a session's datagram from a client to the first listener of its
// family.
func datagram(src netip.AddrPort, session, seq int) lab.Datagram {
	return lab.Datagram{Src: src, Dst: listener(src.Addr().Is6()), Payload: payload(session, seq)}
}

// exchange sends datagrams, rate a second, and demands an answer to each from
// the address it was sent to.
func (b *bed) exchange(rate int, list ...lab.Datagram) []lab.Reply {
	b.t.Helper()
	return b.exchangeFrom(b.clients, rate, list...)
}

// exchangeFrom is exchange for clients that are elsewhere.
func (b *bed) exchangeFrom(clients *lab.Clients, rate int, list ...lab.Datagram) []lab.Reply {
	b.t.Helper()
	replies, err := clients.ExchangeAll(b.t.Context(), list, paced(rate), slow(5*time.Second))
	if err != nil {
		b.t.Fatal(err)
	}
	if lost := lab.Unanswered(replies); len(lost) > 0 {
		b.t.Fatalf("%d of %d datagrams had no answer, the first %v -> %v", len(lost), len(list), list[lost[0]].Src, list[lost[0]].Dst)
	}
	for i, r := range replies {
		if r.From != list[i].Dst {
			b.t.Fatalf("the answer to %v came from %v, want %v", list[i].Src, r.From, list[i].Dst)
		}
	}
	return replies
}

// entry is a conntrack entry to a listener.
type entry struct {
	client, listener, backend netip.AddrPort
	zone                      uint16 // of the original direction
	id, mark                  uint32
	replied, assured          bool
	timeout                   time.Duration // that it has left, in seconds
}

// entries are the conntrack entries of UDP flows in the balancer's namespace.
func (b *bed) entries() []entry {
	b.t.Helper()
	flows, err := b.ct.Dump(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []entry
	for _, f := range flows {
		if f.TupleOrig.Proto.Protocol != 17 {
			continue
		}
		e := entry{
			client:   netip.AddrPortFrom(f.TupleOrig.IP.SourceAddress, f.TupleOrig.Proto.SourcePort),
			listener: netip.AddrPortFrom(f.TupleOrig.IP.DestinationAddress, f.TupleOrig.Proto.DestinationPort),
			backend:  netip.AddrPortFrom(f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort),
			zone:     max(f.Zone, f.TupleOrig.Zone), id: f.ID, mark: f.Mark, replied: f.Status.SeenReply(), assured: f.Status.Assured(),
			timeout: time.Duration(f.Timeout) * time.Second,
		}
		out = append(out, e)
	}
	return out
}

// entriesOf are the entries of one client.
func (b *bed) entriesOf(at netip.AddrPort) []entry {
	b.t.Helper()
	var out []entry
	for _, e := range b.entries() {
		if e.client == at {
			out = append(out, e)
		}
	}
	return out
}
