package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A wrong report would let a broken build, a crash or a test that no longer runs
// pass as success.
func TestReport(t *testing.T) {
	tests := []struct {
		name    string
		strict  bool
		command bool // whether "go test" itself succeeded
		events  string
		want    string
		wantOK  bool
	}{
		{
			name:    "counts subtests, not the tests that group them",
			command: true,
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"run","Package":"p","Test":"TestA/y"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"pass","Package":"p","Test":"TestA/y"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.5}
{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}
{"Action":"skip","Package":"q"}
`,
			want: `ok    p                                                   1.5s  2 passed, 0 failed

2 passed, 0 failed
`,
			wantOK: true,
		},
		{
			name: "shows the output of the test that failed, and only that",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"output","Package":"p","Test":"TestA/x","Output":"    a_test.go:9: lost\n"}
{"Action":"fail","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p","Elapsed":1}
`,
			want: `    a_test.go:9: lost
FAIL  p                                                   1.0s  1 passed, 1 failed

1 passed, 1 failed
`,
		},
		{
			name: "counts a package that does not build",
			events: `{"Action":"build-output","ImportPath":"p [p.test]","Output":"a.go:1: undefined: x\n"}
{"Action":"build-fail","ImportPath":"p [p.test]"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
`,
			want: `a.go:1: undefined: x
FAIL  p                                                   0.0s  0 passed, 1 failed

0 passed, 1 failed
`,
		},
		{
			name: "counts a crash besides the failure before it",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"panic: boom\n"}
{"Action":"fail","Package":"p"}
`,
			want: `panic: boom
FAIL  p                                                   0.0s  0 passed, 2 failed

0 passed, 2 failed
`,
		},
		{
			name:    "fails a skip whose reason is not the kernel's",
			strict:  true,
			command: true,
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: kernel lacks: nft queue\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:12: no nft here\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
`,
			want: `    a_test.go:12: no nft here
FAIL  p                                                   0.0s  0 passed, 1 failed, 1 skipped

skipped:
  p TestA: kernel lacks: nft queue
  p TestB: no nft here (counts as failed)

0 passed, 1 failed
`,
		},
		{
			name: "does not take the death of the go command for success",
			events: `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}
go: something broke
`,
			want: `ok    p                                                   0.0s  1 passed, 0 failed
go: something broke

1 passed, 1 failed
`,
		},
		{
			name:    "does not take no tests for success",
			command: true,
			want:    "\n0 passed, 0 failed\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			rep := newReport(&out, tt.strict)
			if err := rep.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			if ok := rep.finish(tt.command); ok != tt.wantOK {
				t.Errorf("finish() = %v, want %v", ok, tt.wantOK)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}
