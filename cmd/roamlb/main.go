// Command roamlb is a layer-4 load balancer for UDP protocols whose clients
// roam. Run it without arguments for its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/openapi"
)

// version is set by the linker.
var version = "devel"

func main() {
	// The process's first thread is the one that a parent's death is told to:
	// replace executes from it, and the keeper's name is its.
	runtime.LockOSThread()
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
		if code = statusOf(err); code == 0 {
			code = 1
		}
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
conntrack entry that it left behind.

serve, check, demo and flush work on this host. All other commands ask a running
daemon, over its Unix socket or, with --server, over TCP.

Exit status: 0 done; 1 an error; 3 there is no such thing; 4 it contradicts what
there is, or somebody else was faster; 5 the token is missing or may not;
6 the daemon cannot be reached; 130 interrupted.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(serveCommand(), checkCommand(), demoCommand(), flushCommand(), manCommand())
	for _, client := range clientCommands() {
		cmd.AddCommand(client)
	}
	return cmd
}

// clientCommands are those that ask a daemon.
func clientCommands() []*cobra.Command {
	c := &connection{}
	all := []*cobra.Command{
		getCommand(c), applyCommand(c), deleteCommand(c),
		drainCommand(c, "drain", "Let a backend keep its sessions and take no new ones", "drain", "drains: it keeps its sessions and takes no new ones"),
		drainCommand(c, "undrain", "Let a backend take new sessions again", "up", "takes new sessions"),
		explainCommand(c), sessionsCommand(c), eventsCommand(c), ringCommand(c), rulesetCommand(c), tokenCommand(c), importCommand(c), versionCommand(c),
	}
	for _, cmd := range all {
		c.flags(cmd)
	}
	return all
}

func versionCommand(c *connection) *cobra.Command {
	var server bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), "roamlb", version)
			if !server {
				return nil
			}
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			var v openapi.Version
			response, err := api.GetVersion(cmd.Context())
			return done(cmd, read(response, err, &v), "daemon %s, API %s, %s", v.Version, v.API, v.Go)
		},
	}
	cmd.Flags().BoolVar(&server, "daemon", false, "the running daemon's too")
	return cmd
}
