// Command testreport runs a "go test -json" command line and reports it for
// people: a line a package, the output of what failed, what was skipped and why,
// and at the end "N passed, N failed".
//
//	testreport [-strict] go test -json [flag...] [package...]
//
// With -strict, as in CI, a skipped test counts as failed unless its reason
// begins with "kernel lacks:", so that a test cannot drop out unseen.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	strict := flag.Bool("strict", false, "count a skip as a failure unless the kernel lacks what it needs")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: testreport [-strict] go test -json [flag...] [package...]")
		os.Exit(2)
	}

	ok, err := run(os.Stdout, *strict, flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "testreport: %v\n", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run executes the command, whose standard output must be the events of
// "go test -json", and writes the report to w. It is true when something ran,
// nothing failed and the command itself succeeded.
func run(w io.Writer, strict bool, command []string) (bool, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return false, fmt.Errorf("pipe of %s: %w", command[0], err)
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("start %s: %w", command[0], err)
	}

	rep := newReport(w, strict)
	readErr := rep.read(events)
	waitErr := cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(waitErr, &exit) && rep.failed > 0 {
		waitErr = nil // the report has said why
	}
	return rep.finish(waitErr == nil), errors.Join(readErr, waitErr)
}
