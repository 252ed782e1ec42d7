package suite

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/config"
)

// wrongFile is a configuration file that must be refused, and what must be
// said about it.
type wrongFile struct {
	title string
	text  string
	want  []wrongLine
}

type wrongLine struct {
	line     string // its number
	member   string // the last part of its path; empty for the whole text
	fragment string // of the message
}

var wrongPattern = regexp.MustCompile(`^(?:@(\d+))? (\S+): (.*)$`)

// wrongFiles are the cases of package config's testdata/wrong, whose notation
// its wrong_test.go explains.
func wrongFiles(t *testing.T) []wrongFile {
	t.Helper()
	paths, err := filepath.Glob("../config/testdata/wrong/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []wrongFile
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range strings.Split(string(data), "\n=== ")[1:] {
			head, body, _ := strings.Cut(c, "\n")
			kind, title, _ := strings.Cut(head, ": ")
			w := wrongFile{title: filepath.Base(path) + ": " + title, text: wrongText(kind, strings.TrimRight(body, "\n"))}
			for i, line := range strings.Split(w.text, "\n") {
				for _, remark := range strings.Split(line, "# want")[1:] {
					m := wrongPattern.FindStringSubmatch(strings.TrimRight(remark, " "))
					if m == nil {
						t.Fatalf("%s: %q has another notation", w.title, remark)
					}
					l := wrongLine{line: fmt.Sprint(i + 1), member: m[2][strings.LastIndex(m[2], "/")+1:], fragment: m[3]}
					if m[1] != "" {
						l.line = m[1]
					}
					w.want = append(w.want, l)
				}
			}
			out = append(out, w)
		}
	}
	return out
}

// wrongText makes a file of a case's lines: a whole one, or members of a
// service or a backend, which get the others that they need.
func wrongText(kind, body string) string {
	lines := strings.Split(body, "\n")
	add := func(member string) {
		name, _, _ := strings.Cut(member, ":")
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") }) {
			lines = append(lines, member)
		}
	}
	const service = "  -\n    name: svc\n    listen: [{address: 192.0.2.1, port: 1194}]\n    key: {offset: 1, length: 8}\n"
	indent := func(head, by string) string { return head + by + strings.Join(lines, "\n"+by) + "\n" }
	switch kind {
	case "service":
		for _, m := range []string{"name: svc", "listen: [{address: 192.0.2.1, port: 1194}]", "key: {offset: 1, length: 8}"} {
			add(m)
		}
		return indent("services:\n  -\n", "    ")
	case "backend":
		add("name: srv")
		add("port: 1194")
		if !strings.Contains("\n"+body, "\naddress") {
			add("address: 198.51.100.1")
		}
		return indent("services:\n"+service+"    backends:\n      -\n", "        ")
	default:
		return body + "\n"
	}
}

// fuzzedFiles are n sound files in each of which chance has spoilt something;
// the reader must refuse them, and what it says of them is what is wanted.
func (b *bed) fuzzedFiles(n int) []wrongFile {
	b.t.Helper()
	path := b.configure(b.everyForm()...)
	sound, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	const syntax = "{}[]:-,&*!|>'\"%@` \n\t0"
	random := rand.New(rand.NewPCG(1, 2))
	var out []wrongFile
	for len(out) < n {
		text := slices.Clone(sound)
		for range 1 + random.IntN(3) {
			at := random.IntN(len(text))
			switch end := at + 1 + random.IntN(min(12, len(text)-at)); random.IntN(4) {
			case 0: // something is missing
				text = slices.Delete(text, at, end)
			case 1: // or given twice
				text = slices.Insert(text, at, text[at:end]...)
			case 2:
				text[at] = byte(random.IntN(256))
			default:
				text = slices.Insert(text, at, syntax[random.IntN(len(syntax))])
			}
		}
		var all *config.Error
		if _, err := config.Parse(path, text); !errors.As(err, &all) {
			continue // still sound
		}
		w := wrongFile{title: fmt.Sprint("fuzzed ", len(out)), text: string(text)}
		for i, said := range strings.Split(all.Error(), "\n")[:len(all.Problems)] {
			w.want = append(w.want, wrongLine{line: fmt.Sprint(all.Problems[i].Line), member: "-", fragment: said})
		}
		out = append(out, w)
	}
	return out
}

// reloadText writes a whole file as it is and returns what the daemon has
// against it.
func (b *bed) reloadText(text string) (refusal string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "roamlb.yaml"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.hangUp()
}

// standing is what a refused file must not change: the state on disk, and in
// the kernel every rule, map and element.
func (b *bed) standing(r *ruleset) string {
	b.t.Helper()
	state, err := os.ReadFile(filepath.Join(b.dir, "state.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	return fmt.Sprintf("%s\n%s\n%v", state, r.fingerprint(), r.content())
}

// A typing error in the file must cost no more than a line in the log, which
// says where it is.
func TestWrongFilesAreRefused(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	r := b.ruleset()
	l := b.startLoad(1_000_000, 500)
	want := b.standing(r)
	files := wrongFiles(t)
	if len(files) < 200 {
		t.Fatalf("%d wrong files, want 200 at least", len(files))
	}
	files = append(files, b.fuzzedFiles(200)...)
	for _, w := range files {
		refusal := b.reloadText(w.text)
		if refusal == "" {
			t.Fatalf("%s: taken\n%s", w.title, w.text)
		}
		for _, l := range w.want {
			if !slices.ContainsFunc(strings.Split(refusal, "\n"), func(s string) bool { return l.in(s) }) {
				t.Errorf("%s: refused with\n%s\nwant line %s, member %q: %s", w.title, refusal, l.line, l.member, l.fragment)
			}
		}
		if n := len(b.daemon.events("config-changed")); n > 0 {
			t.Fatalf("%s: the configuration has changed", w.title)
		}
	}
	if diff := cmp.Diff(want, b.standing(r)); diff != "" {
		t.Errorf("after %d wrong files (-want +got):\n%s", len(files), diff)
	}
	l.stop()
	if refusal := b.reload(b.service("stale: never")); refusal != "" {
		t.Errorf("a sound file after so many wrong ones: %s", refusal)
	}
}

func (l *wrongLine) in(said string) bool {
	return strings.Contains(said, "roamlb.yaml:"+l.line+":") && strings.Contains(said, l.fragment) &&
		(l.member == "-" || strings.Contains(said, strings.ReplaceAll(l.member, "~1", "/")))
}

// Some members are settled when the daemon starts. A file that changes one is
// refused as a whole: half of it in effect would be worse than none.
func TestMembersThatNeedARestart(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	b.serve(b.service())
	r := b.ruleset()
	text, err := os.ReadFile(b.configure(b.service("stale: never"))) // a change that alone would be taken
	if err != nil {
		t.Fatal(err)
	}
	l := b.startLoad(1_000_000, 500)
	want := b.standing(r)
	for _, c := range []struct{ member, old, instead string }{
		{"state", "state.json", "other.json"},
		{"queues", "queues: {count: 2}", "queues: {count: 3}"},
		{"queues", "queues: {count: 2}", "queues: {first: 7, count: 2}"},
		{"queues", "queues: {count: 2}", "queues: {count: 2, length: 99}"},
		{"log", "level: debug", "level: info"},
		{"log", "keys: full", "keys: hash"},
		{"log", "format: json", "format: text"},
		{"api", `listen: ""`, `listen: "127.0.0.1:7071"`},
		{"mark_mask", "services:", "mark_mask: 0x00000fff\nservices:"},
		{"zone_base", "services:", "zone_base: 100\nservices:"},
		{"netns", "services:", "netns: elsewhere\nservices:"},
		{"nft", "services:", "nft: external\nservices:"},
	} {
		if !bytes.Contains(text, []byte(c.old)) {
			t.Fatalf("the file has no %q", c.old)
		}
		refusal := b.reloadText(strings.Replace(string(text), c.old, c.instead, 1))
		if !strings.Contains(refusal, "start") || !strings.Contains(refusal, c.member) {
			t.Errorf("%s: refused with %q, want that %s takes effect at the next start", c.instead, refusal, c.member)
		}
	}
	if diff := cmp.Diff(want, b.standing(r)); diff != "" {
		t.Errorf("a refused file has changed something (-want +got):\n%s", diff)
	}
	l.stop()
	if refusal := b.reloadText(string(text)); refusal != "" {
		t.Errorf("the same without those changes: %s", refusal)
	}
}

// A backend's id must not come back while packets may still carry it. Who
// leaves few bits for ids must be told when they are used up, and by what.
func TestIDsRunOut(t *testing.T) {
	atLeisure(t)
	b := newBed(t, bedOptions{})
	file := func(names ...string) string {
		var lines strings.Builder
		lines.WriteString("backends:")
		for i, name := range names {
			weight := 1
			if i >= len(b.Backends) { // an id is all that the others are for
				weight = 0
			}
			fmt.Fprintf(&lines, "\n  - {name: %s, address: %s, port: %d, weight: %d}", name, b.Backends[i%len(b.Backends)].IPv4, port+i/len(b.Backends), weight)
		}
		text, err := os.ReadFile(b.configure(b.service(lines.String())))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(text), "services:", "mark_mask: 0xf\nservices:", 1)
	}
	ten := strings.Fields("a b c d e f g h i j")
	if err := os.WriteFile(filepath.Join(b.dir, "roamlb.yaml"), []byte(file(ten...)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	r := b.ruleset()
	want := b.standing(r)
	refusal := b.reloadText(file(strings.Fields("k l m n o p q")...))
	if !strings.Contains(refusal, "mark_mask") || !strings.Contains(refusal, "15") {
		t.Errorf("refused with %q, want the limit of 15 ids and where it comes from", refusal)
	}
	if diff := cmp.Diff(want, b.standing(r)); diff != "" {
		t.Errorf("a refused file has changed something (-want +got):\n%s", diff)
	}
	b.exchange(0, datagram(client(false, 1, 20000), 1, 0))
	if refusal := b.reloadText(file(append(ten, "k", "l", "m", "n", "o")...)); refusal != "" {
		t.Errorf("15 backends: %s", refusal)
	}
}
