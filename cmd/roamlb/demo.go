package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/internal/demo"
	"github.com/roamlb/roamlb/internal/lab"
	"github.com/roamlb/roamlb/web"
)

func demoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what roamlb does, on a network of its own",
		Long: `Show what roamlb does, in about half a minute: a load balancer, three backends
and clients in network namespaces of their own, where nothing is seen of the
host and nothing is left behind. Root is not needed where the kernel permits
user namespaces.

Each claim is measured; the exit status is 0 if all of them hold.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			outside, err := demoFiles(keep)
			if err != nil {
				return err
			}
			if err := lab.Reexec(outside...); err != nil {
				return err
			}
			var front *os.File
			if files := lab.TakeFiles(); len(files) > 0 {
				front = files[0]
			}
			err = demo.Run(cmd.Context(), demo.Options{
				Out:   os.Stdout,
				Look:  demo.LookOf(os.Stdout, os.Getenv),
				Size:  demo.FullSize,
				Keep:  keep,
				Front: front,
				Serve: serveProcess,

				Dashboard: web.Built(),
			})
			if errors.Is(err, context.Canceled) {
				return exitCode(130) // as a shell says it of SIGINT
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "stay up after the show with the dashboard and a little traffic")
	return cmd
}

// demoFiles is what the demo takes along into its namespaces: the listener by
// which this host's browsers reach the daemon there.
func demoFiles(keep bool) ([]*os.File, error) {
	if !keep || lab.Inside() {
		return nil, nil
	}
	front, err := demo.OpenFront()
	if err != nil {
		return nil, fmt.Errorf("listen for browsers: %w", err)
	}
	return []*os.File{front}, nil
}

// serveProcess is this program as the daemon.
func serveProcess(config string) *exec.Cmd {
	return exec.Command("/proc/self/exe", "serve", "--config", config)
}
