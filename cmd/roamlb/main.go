// Command roamlb is a layer-4 load balancer for UDP protocols whose clients
// roam. Run it without arguments for its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/nfq"
)

// version is set by the linker.
var version = "devel"

func main() {
	nfq.KeeperMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	var code exitCode
	if !errors.As(err, &code) {
		fmt.Fprintln(os.Stderr, "roamlb:", err)
		code = 1
	}
	os.Exit(int(code))
}

// exitCode ends the program with a status; what there is to say is said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roamlb",
		Short: "Layer-4 load balancer for UDP protocols whose clients roam",
		Long: `roamlb picks the backend of a UDP packet by a field inside its payload, so that
a client keeps its backend when its address and port change, and deletes the
conntrack entry that it left behind.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(serveCommand(), checkCommand(), demoCommand(), flushCommand(), versionCommand())
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "roamlb", version) },
	}
}
