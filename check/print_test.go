package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var printed = []Result{
	{Name: "kernel version", Status: OK, Found: "6.18"},
	{Name: "IPv4 forwarding", Status: Fail, Found: "off", Want: "on", Fix: "sysctl -w net.ipv4.ip_forward=1", Fixable: true},
	{Name: "marks", Status: Warn, Found: "chain é\x1b[2J\n"},
	{Name: "own table", Status: Skip, Found: "not known"},
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	if err := Print(&b, printed, false); err != nil {
		t.Fatal(err)
	}
	// Names that others gave must not steer the operator's terminal.
	want := strings.Join([]string{
		"✓ kernel version   6.18",
		"✗ IPv4 forwarding  off",
		"                   want: on",
		"                   fix:  sysctl -w net.ipv4.ip_forward=1",
		"! marks            chain é\ufffd[2J\ufffd",
		"- own table        not known",
		"",
		"1 ok, 1 to look at, 1 to fix, 1 skipped",
		"roamlb check --fix does 1 of them",
		"",
	}, "\n")
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	b.Reset()
	if err := Print(&b, printed, true); err != nil || !strings.Contains(b.String(), "\x1b[31m✗\x1b[0m IPv4") {
		t.Errorf("%v: %q has no red", err, b.String())
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, printed); err != nil {
		t.Fatal(err)
	}
	var got []Result
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed, got, cmp.AllowUnexported(Result{}, setting{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	b.Reset()
	if err := JSON(&b, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("%q, %v: no results must still be an array", b.String(), err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestOutputThatFails(t *testing.T) {
	if Print(broken{}, printed, false) == nil || JSON(broken{}, printed) == nil {
		t.Error("a write error is lost")
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"FORWARD": "FORWARD", "": "''", "a b": "'a b'", "x;reboot": "'x;reboot'", "it's": `'it'\''s'`, "$(id)": "'$(id)'", "net/ipv4/eth0.1=2": "net/ipv4/eth0.1=2",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
	}
}
