package main

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/internal/demo"
	"github.com/roamlb/roamlb/internal/lab"
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
			if err := lab.Reexec(); err != nil {
				return err
			}
			err := demo.Run(cmd.Context(), demo.Options{
				Out:   os.Stdout,
				Look:  demo.LookOf(os.Stdout, os.Getenv),
				Size:  demo.FullSize,
				Keep:  keep,
				Serve: serveProcess,
			})
			if errors.Is(err, context.Canceled) {
				return exitCode(130) // as a shell says it of SIGINT
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "stay up after the show, with a little traffic, for you to look around")
	return cmd
}

// serveProcess is this program as the daemon.
func serveProcess(config string) *exec.Cmd {
	return exec.Command("/proc/self/exe", "serve", "--config", config)
}
