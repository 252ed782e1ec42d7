package suite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roamlb/roamlb/nft"
)

// command runs the program in the balancer's namespace, with the file that
// configure wrote, and returns its exit status, -1 where it had to be ended, and
// what it said.
func (b *bed) command(args ...string) (status int, said string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), slow(20*time.Second))
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append(args, "--config", filepath.Join(b.dir, "roamlb.yaml"))...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := b.LB.Run(cmd)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// tables are the names of all nftables tables in the balancer's namespace.
func (r *ruleset) tables() string {
	r.t.Helper()
	list, err := r.ListTables()
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, t := range list {
		names = append(names, t.Name)
	}
	return strings.Join(names, " ")
}

// Who stops the daemon for an upgrade keeps the service; who wants to be rid of
// it gets his ruleset back as it was.
func TestStopLeavesTheTableAndFlushRemovesIt(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.addNeighbour()
	b.serve(b.service())
	live := numbers(0, 30)
	home := b.place(live, 0)
	b.daemon.stop()
	r := b.ruleset()
	if got := r.tables(); got != "neighbour "+nft.TableName {
		t.Fatalf("after the stop there are tables %q", got)
	}
	b.stay("without the daemon", home, from(20001, live, 1))
	for range 2 { // what is gone already is no error
		if status, said := b.command("flush"); status != 0 {
			t.Fatalf("flush: status %d: %s", status, said)
		}
		if got := r.tables(); got != "neighbour" {
			t.Errorf("after the flush there are tables %q", got)
		}
	}
	b.start() // the state stays
	b.stay("after the next start", home, from(20002, live, 2))
}

// Without its state the daemon would give out ids and seeds anew, and move
// every session. It must say so and leave the file for somebody to mend.
func TestStateThatCannotBeReadIsRefused(t *testing.T) {
	atLeisure(t)
	for name, spoil := range map[string]func([]byte) []byte{
		"damaged": func(data []byte) []byte { return bytes.Replace(data, []byte("198.51.100."), []byte("198.51.101."), 1) },
		"newer":   func(data []byte) []byte { return bytes.Replace(data, []byte(`"version":1`), []byte(`"version":2`), 1) },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.serve(b.service())
			live := numbers(0, 30)
			home := b.place(live, 0)
			b.daemon.stop()
			path := filepath.Join(b.dir, "state.json")
			sound, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spoilt := spoil(sound)
			if bytes.Equal(sound, spoilt) {
				t.Fatal("the state has another form: the test shows nothing")
			}
			if err := os.WriteFile(path, spoilt, 0o600); err != nil {
				t.Fatal(err)
			}
			status, said := b.command("serve")
			if status != 1 || !strings.Contains(said, path) || !strings.Contains(said, "left untouched") {
				t.Errorf("status %d, want 1 and what is wrong with %s: %s", status, path, said)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, spoilt) {
				t.Errorf("the file has changed (%v)", err)
			}
			b.stay("the kernel goes on", home, from(20001, live, 1))
			if err := os.WriteFile(path, sound, 0o600); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.stay("with the state put back", home, from(20002, live, 2))
		})
	}
}
