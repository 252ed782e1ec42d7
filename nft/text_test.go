package nft

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/nftables/expr"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/internal/lab"
)

// paperBed is a bed of which there is only the plan: services for what needs no
// kernel.
func paperBed() *bed {
	b := &bed{Network: &lab.Network{}}
	for n := 1; n <= 3; n++ {
		b.Backends = append(b.Backends, &lab.Backend{Number: n, IPv4: lab.BackendIPv4(n), IPv6: lab.BackendIPv6(n)})
	}
	return b
}

// compiled gives the table of services on a kernel that has everything.
func compiled(services ...*balancer.Service) *Table {
	f := Features{Capabilities: balancer.Capabilities{KeyBytes: keyBytes, PayloadOffset: longOffset, Copies: true}, NativeQueue: true, TransportOffset: longOffset}
	var views []*balancer.View
	for _, s := range services {
		views = append(views, balancer.NewView(s, f.Capabilities, nil, unbound{}))
	}
	return Compile(balancer.NewSnapshot(balancer.Marks{Mask: 0xffff}, 0, views), balancer.Queues{Count: 2}, f)
}

// textOf gives the text of a Ruleset or a Table.
func textOf(t *testing.T, table interface {
	Text(w io.Writer, o TextOptions) error
}, o TextOptions,
) string {
	t.Helper()
	var out strings.Builder
	if err := table.Text(&out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func sameText(t *testing.T, what, want, got string) {
	t.Helper()
	if diff := gocmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// What operators are shown without nft, before a change and after it, must be
// what nft shows: here the files that nft wrote.
func TestTextOfCompiledTable(t *testing.T) {
	for _, c := range goldenCases {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join("testdata", c.name+".nft")
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := textOf(t, compiled(c.services(paperBed())...), TextOptions{Slots: true, Stateless: true})
			sameText(t, "the text is not as in "+file, string(want), normal(got))
		})
	}
}

// The kernel must be seen to have what was sent to it.
func TestTextOfKernelIsTextOfTable(t *testing.T) {
	for _, c := range goldenCases {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.apply(t, c.services(b)...)
			o := TextOptions{Slots: true, Sessions: true}
			sameText(t, "the kernel has something else than was sent", textOf(t, b.rules.wanted, o), textOf(t, b.rules, o))
		})
	}
}

// firstPackets are those of 20 sessions.
func firstPackets(v6 bool) []lab.Datagram {
	var list []lab.Datagram
	for i := range 20 {
		list = append(list, lab.Datagram{Src: client(v6, i), Dst: listener(v6), Payload: append(payload(i), bytes.Repeat([]byte{byte(i)}, 40)...)})
	}
	return list
}

// normal is what can be compared: where packets are queued by the xt target nft
// prints nothing for it, and the text what it does.
func (b *bed) normal(text string) string {
	if b.rules.Features().NativeQueue {
		return text
	}
	return normal(text)
}

// timeLeft differs between one listing and the next.
var timeLeft = regexp.MustCompile(`expires [0-9hms]+`)

// Operators compare what the API shows with what nft shows on the host: they
// must see the same, counters and learned sessions included.
func TestTextIsAsNFTLists(t *testing.T) {
	tool := goldenTool(t)
	for _, c := range goldenCases {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.apply(t, c.services(b)...)
			b.exchange(t, firstPackets(false))
			if _, err := b.clients.ExchangeAll(t.Context(), firstPackets(true), 20000, 300*time.Millisecond); err != nil { // some refuse them
				t.Fatal(err)
			}
			want := b.normal(list(t, b.LB, tool))
			got := b.normal(textOf(t, b.rules, TextOptions{Slots: true, Sessions: true}))
			counts := c.name != "flow-alone" // counts what Go has decided
			if counts && !regexp.MustCompile(`packets [1-9]`).MatchString(want) {
				t.Fatal("no packet was counted")
			}
			same := func(s string) string { return timeLeft.ReplaceAllString(s, "expires T") }
			sameText(t, "the text is not as nft lists", same(want), same(got))
		})
	}
}

// What nft takes back must be the same table, or an operator who loads the text
// elsewhere has another one.
func TestLoadableText(t *testing.T) {
	tool := goldenTool(t)
	for _, c := range goldenCases {
		if c.name == "variants" {
			continue // nft 1.0.6 crashes when it reads `update` with keys of several fields longer than 16 bytes
		}
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.apply(t, c.services(b)...)
			b.loadsAgain(t, tool)
		})
	}
}

// loadsAgain lets nft load the text of the table and compares.
func (b *bed) loadsAgain(t *testing.T, tool string) {
	t.Helper()
	o := TextOptions{Slots: true, Sessions: true, Stateless: true, Loadable: true}
	want := textOf(t, b.rules, o)
	if !b.rules.Features().NativeQueue { // nft cannot make the target
		want = regexp.MustCompile(`queue flags bypass to [0-9-]+`).ReplaceAllString(want, "accept")
	}
	if err := b.rules.Flush(); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd := exec.Command(tool, "-f", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(want), &complaints
	if err := b.LB.Run(cmd); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, complaints.String())
	}
	sameText(t, "what nft has loaded is another table", want, joinedByNFT.Replace(textOf(t, b.rules, o)))
}

// A table must be shown as it is, not as we made it: that is what one looks at
// it for.
func TestTextShowsWhatOthersDid(t *testing.T) {
	b := newBed(t)
	b.apply(t, b.small("vpn", port, nil))
	foreign := Rule{Exprs: join(
		encode(&expr.Payload{DestRegister: reg(0).nr(), Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}, cmp(0, true, []byte{192, 0, 2, 1})),
		encode(&expr.Quota{Bytes: 1}), drop(),
	)}
	err := b.rules.conn.commit([]request{flushChain(TableName, "postrouting"), addRule(TableName, "postrouting", &foreign), addMap(TableName, &Map{Name: "theirs", Key: typeAddr4}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	got := textOf(t, b.rules, TextOptions{})
	for _, want := range []string{
		"\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t\t@nh,96,32 0xc0000201 # unknown expression quota drop\n\t}\n",
		"\tset theirs {\n\t\ttype ipv4_addr\n\t}\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the text lacks\n%s\nin\n%s", want, got)
		}
	}
}

// Who has no table must not be shown an empty one as if all were well.
func TestTextWithoutTable(t *testing.T) {
	b := newBed(t)
	if err := b.rules.Text(io.Discard, TextOptions{}); !errors.Is(err, ErrNoTable) {
		t.Errorf("Text: %v, want ErrNoTable", err)
	}
}

// A busy balancer writes sessions all the time. Its operators must be able to
// look at it nevertheless.
func TestTextWhileSessionsAreWritten(t *testing.T) {
	b := newBed(t)
	v := b.apply(t, b.small("vpn", port, nil))[0]
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error, 1) // nobody reads it where the test has failed
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			err = b.rules.Put(v, 0, []balancer.Element{{Key: key(1), Backend: 1, Timeout: time.Hour}})
		}
		written <- err
	}()
	want := textOf(t, b.rules.wanted, TextOptions{Slots: true})
	for range 100 {
		got := textOf(t, b.rules, TextOptions{Slots: true})
		sameText(t, "the text is not whole", want, regexp.MustCompile(`\t\t# .* listed\n`).ReplaceAllString(got, ""))
	}
	cancel()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// Large maps must not fill the screen, and must be seen to hold something.
func TestTextLeavesOutLargeMaps(t *testing.T) {
	b := newBed(t)
	v := b.apply(t, b.small("vpn", port, nil))[0]
	es := []balancer.Element{{Key: key(1), Backend: 1, Timeout: time.Hour}, {Key: key(2), Backend: 2, Timeout: time.Hour}}
	if err := b.rules.Put(v, 0, es); err != nil {
		t.Fatal(err)
	}
	got := textOf(t, b.rules, TextOptions{})
	session := number(key(1)).String()
	if strings.Contains(got, "0 : 3") || strings.Contains(got, session) {
		t.Errorf("the text lists slots or sessions:\n%s", got)
	}
	// kernels before 6.17 do not tell the number
	if !regexp.MustCompile(`(?s)map sessions4-vpn-8[^}]*\t\t# (2 elements, not|elements not) listed\n`).MatchString(got) {
		t.Errorf("the text does not tell of the sessions:\n%s", got)
	}
	if !regexp.MustCompile(`(?s)map slots4-vpn-[^}]*\t\t# (7 elements, not|elements not) listed\n`).MatchString(got) {
		t.Errorf("the text does not tell of the slots:\n%s", got)
	}
	if got := textOf(t, b.rules, TextOptions{Slots: true, Sessions: true}); !strings.Contains(got, "0 : 3") || !strings.Contains(got, session) {
		t.Errorf("the text lacks slots or sessions that were asked for:\n%s", got)
	}
}

// Whoever may only read must not learn a seed: with it one finds keys that all
// go to one backend. Nor sessions, which are secrets.
func TestRedactedText(t *testing.T) {
	b := paperBed()
	s := b.small("vpn", port, nil)
	table := compiled(s)
	sessions := newIndex(table).maps[sessionsMap(s, false, 8)]
	sessions.Elements = []Element{{Key: key(1), Data: host16(1)}}
	open, hidden := textOf(t, table, TextOptions{Slots: true, Sessions: true}), textOf(t, table, TextOptions{Slots: true, Sessions: true, Redact: true})
	name := regexp.MustCompile(`slots4-vpn-[0-9a-f]{8}`).FindString(open) // its last part is a hash of the seed
	for _, secret := range []string{name, " seed 0x1267", number(key(1)).String()} {
		if secret == "" || !strings.Contains(open, secret) {
			t.Fatalf("the whole text lacks %q:\n%s", secret, open)
		}
		if strings.Contains(hidden, secret) {
			t.Errorf("the redacted text says %q", secret)
		}
	}
}
