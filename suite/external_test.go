package suite

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/nft"
	"github.com/roamlb/roamlb/openapi"
)

// nativeQueue skips a test where nft cannot make the rules that queue.
func (b *bed) nativeQueue() {
	b.t.Helper()
	var native bool
	err := b.LB.Do(func() error {
		r, err := nft.Open()
		if err != nil {
			return err
		}
		native = r.Features().NativeQueue
		return r.Close()
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if !native {
		b.t.Skip("kernel lacks: nft's queue expression (CONFIG_NFT_QUEUE)")
	}
}

// nftFile has the real nft read a file of the bed's directory; it must have
// nothing to say.
func (b *bed) nftFile(args ...string) {
	b.t.Helper()
	if said := tool(b.t, b.LB, b.dir, "", "nftables", "nft", args...); said != "" {
		b.t.Fatalf("nft %v says\n%s", args, said)
	}
}

// copyTestdata puts a file of testdata into the bed's directory.
func (b *bed) copyTestdata(name string) {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, name), text, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) writeRules(text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "roamlb.nft"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// printRules is "roamlb ruleset --print".
func (b *bed) printRules() string {
	b.t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(b.t.Context(), slow(20*time.Second))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "ruleset", "--print", "--socket", b.socket())
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := b.LB.Run(cmd); err != nil {
		b.t.Fatal(err)
	}
	return out.String()
}

// Whose host has a ruleset of its own builds roamlb's rules into it, with nft and
// nothing else; the daemon serves by them, and a change that needs others says
// which. None of it costs a packet or moves a session.
func TestHandWrittenRuleset(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.nativeQueue()
	b.queues = patientQueues
	b.more = "nft: external\n"
	b.configure(b.service("timeouts: {unreplied: 20s, replied: 60s}", "deny: [203.0.113.0/24]"))
	b.launch()
	b.daemon.wait("the daemon waits for rules", func(l logLine) bool { return strings.HasPrefix(l.str("msg"), "waiting for the rules") })
	b.copyTestdata("external.nft")
	b.writeRules(b.printRules())
	b.nftFile("-c", "-f", "external.nft")
	b.nftFile("-f", "external.nft")
	b.daemon.wait("the daemon serves", func(l logLine) bool { return l.str("msg") == "serving" })

	n := scaled(600, 100)
	live := numbers(0, n)
	home := b.settle(live)
	if got := shares(home); len(got) != len(b.Backends) {
		t.Errorf("the sessions are on backends %v", got)
	}
	b.stay("after a roam", home, from(22000, live, 2))

	l := b.startLoad(1_000_000, paced(2000))
	time.Sleep(200 * time.Millisecond)
	b.nftFile("-f", "roamlb.nft") // the same again: what waits in the queues goes with the old rules
	time.Sleep(200 * time.Millisecond)
	sent, lost, misplaced := l.end()
	t.Logf("the same rules loaded again: %d datagrams, %d lost, %d of %d sessions misplaced", sent, lost, misplaced, len(l.sent))
	if lost > sent/20 || misplaced > 0 {
		t.Errorf("of %d datagrams %d were lost, %d sessions were misplaced", sent, lost, misplaced)
	}

	l = b.startLoad(2_000_000, paced(2000))
	if refusal := b.reload(b.service("timeouts: {unreplied: 20s, replied: 60s}", "deny: [203.0.113.0/24]", b.backends(map[int]string{1: "weight: 2"}))); refusal != "" {
		t.Fatal(refusal)
	}
	c := b.api()
	drop := func() *openapi.PatchServiceResponse {
		r, err := c.PatchServiceWithBodyWithResponse(t.Context(), "vpn", &openapi.PatchServiceParams{IfMatch: &anyState},
			"application/merge-patch+json", strings.NewReader(`{"no_backend": "drop"}`))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	refused := drop()
	if refused.StatusCode() != http.StatusConflict || refused.ApplicationProblemJSON409 == nil || refused.ApplicationProblemJSON409.Rules == nil {
		t.Fatalf("a change that needs rules: %s: %.300s", refused.Status(), refused.Body)
	}
	b.writeRules(*refused.ApplicationProblemJSON409.Rules)
	b.nftFile("-f", "roamlb.nft") // beside the old ones
	if r := drop(); r.JSON200 == nil {
		t.Fatalf("with its rules the change is refused: %s: %.300s", r.Status(), r.Body)
	}
	time.Sleep(200 * time.Millisecond)
	l.outcome("changes, one of the rules")
	b.nftFile("-c", "-f", "roamlb.nft") // not under load: what is tried is taken back, and what waits goes with it
	b.stay("after all changes", home, from(22001, live, 3))
	for _, e := range b.daemon.events("drift") {
		t.Errorf("the operator's own doing is taken for drift: %s", e.text)
	}
}
