// Command bench measures roamlb, see package bench. "make bench" runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/roamlb/roamlb/internal/bench"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/nfq"
)

func main() {
	nfq.KeeperMain()
	bench.ChildMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	opts := bench.Options{Out: os.Stdout, Size: bench.FullSize}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	smoke := flags.Bool("smoke", false, "small counts: that it runs and counts right, not how fast")
	vm := flags.Bool("vm", false, "counts for an emulated processor, and IPVS too")
	rounds := flags.Int("rounds", 7, "of each experiment")
	only := flags.String("only", "", "experiments, separated by commas (all)")
	among := flags.String("among", "", "contenders, separated by commas (all)")
	rest := flags.Duration("rest", -1, "wait for the machine to rest for at most this long before each measurement")
	flags.StringVar(&opts.JSON, "json", "", "write the results to this `file`; -: where the table goes")
	flags.StringVar(&opts.Document, "document", "", "write the page about them to this `file`, and its plot beside it")
	from := flags.String("from", "", "measure nothing: print and write what the results in this `file` say")
	beside := flags.String("beside", "", "results of bench -vm in this `file`, for the page and the figures against IPVS")
	flags.StringVar(&opts.Profile, "profile", "", "write processor profiles of roamlb into this `directory`")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	opts.Rounds = *rounds
	if *vm {
		opts.Size, opts.IPVS = bench.VMSize, true
	}
	if *smoke {
		opts.Size, opts.Rounds, opts.Smoke = bench.SmokeSize, 1, true
	}
	if *rest >= 0 {
		opts.Size.Rest = *rest
	}
	if *only != "" {
		opts.Only = strings.Split(*only, ",")
	}
	if *among != "" {
		opts.Among = strings.Split(*among, ",")
	}
	if *beside != "" {
		r, err := bench.ReadResults(*beside)
		if err != nil {
			return err
		}
		opts.Beside = &r
	}
	if *from != "" {
		return bench.Show(*from, opts)
	}
	if err := lab.Reexec(); err != nil {
		return err
	}
	return bench.Run(ctx, opts)
}
