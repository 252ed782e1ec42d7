package config_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roamlb/roamlb/config"
)

// Whatever stands in the file, the daemon reads it or says what is wrong with
// it: it does not panic, and does not stop. What it reads it can write and read
// again.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../roamlb.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, c := range readWrongCases(f) {
		f.Add([]byte(c.text))
	}
	for _, text := range []string{
		minimal("{offset: 1, length: 8, mask: 00ff00ff00ff00ff}"), "a: &a {<<: *a}", "{\"a\": [null, ~, 1e5, -.inf]}",
		"services: &s\n- *s\n", "? a\n: b", "%TAG !! x\n--- !!a b", "a: |2-\n  x\n", "- - - -\n- ", "a: \"\\ud800\\udc00\"",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		start := time.Now()
		got, err := config.Parse("fuzz.yaml", text)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if err != nil {
			checkError(t, err)
			return
		}
		again, err := config.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		other, err := config.Parse("again.yaml", again)
		if err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		if diff := cmp.Diff(got, other, compareAddresses); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
	})
}

// checkError fails where an error does not lead to its place.
func checkError(t *testing.T, err error) {
	t.Helper()
	var all *config.Error
	if !errors.As(err, &all) || len(all.Problems) == 0 || all.Error() == "" {
		t.Fatalf("error is %#v", err)
	}
	for _, p := range all.Problems {
		if p.Message == "" || p.Pointer != "" && (p.Line < 1 || p.Column < 1) {
			t.Errorf("problem without a message or a place: %+v", p)
		}
	}
}
