package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/check"
	"github.com/roamlb/roamlb/config"
)

func checkCommand() *cobra.Command {
	var path, output string
	var fix bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what this host lacks or has set against roamlb",
		Long: `Say what this host lacks, or has set against the services of a configuration
file, and what to do about it: kernel features, rights, forwarding, forward
chains that drop, reverse path filters, conntrack's size, listeners that are not
on this host, marks of other tables, return paths around this host.

Exit status: 0 if roamlb can do its work, 1 if not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("--output %q: want table or json", output)
			}
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			if err := enterNetNS(file.NetNS); err != nil {
				return err
			}
			results := runChecks(cmd.Context(), file)
			if fix {
				results = check.Fix(cmd.Context(), results)
			}
			if output == "json" {
				err = check.JSON(cmd.OutOrStdout(), results)
			} else {
				err = check.Print(cmd.OutOrStdout(), results, colour())
			}
			if err == nil && check.Worst(results) == check.Fail {
				err = exitCode(1)
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&fix, "fix", false, "set what is safe to set")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// runChecks looks at the host for a configuration.
func runChecks(ctx context.Context, file *config.File) []check.Result {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return check.Run(ctx, check.Input{
		State: file.State,
		Config: balancer.Config{
			MarkMask: file.MarkMask, ZoneBase: file.ZoneBase, Queues: file.Queues.Resolved(runtime.NumCPU()), Services: file.Services,
		},
	})
}

// colour says whether standard output is a terminal that may be coloured.
func colour() bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
