package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/api"
	"github.com/roamlb/roamlb/check"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/daemon"
	"github.com/roamlb/roamlb/internal/loglimit"
	"github.com/roamlb/roamlb/nft"
)

const defaultConfig = "/etc/roamlb/roamlb.yaml"

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration `file`")
}

func serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Balance the services of a configuration file",
		Long: `Balance the services of a configuration file until SIGTERM or SIGINT.

SIGHUP reads the file again and takes its services: all of them, or none and a
log line that says why. When the daemon ends the kernel goes on balancing by
itself; "roamlb flush" removes the table.

The daemon gives up every capability but CAP_NET_ADMIN, and with Landlock the
right to write outside the directories of its state and its socket. CAP_NET_RAW
stays where it is ambient, or where the file has probes over ICMP. A "netns" in
the file needs CAP_SYS_ADMIN until it is entered.

Under systemd (Type=notify) it tells when it is ready, reloads and stops, and
gives a sign of life where WatchdogSec asks for one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), path) },
	}
	configFlag(cmd, &path)
	return cmd
}

func loadConfig(path string) (*config.File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return config.Parse(path, data)
}

func serve(ctx context.Context, path string) error {
	file, err := loadConfig(path)
	if err != nil {
		return err
	}
	landlock, err := enterConfined(file)
	if err != nil {
		return err
	}
	return balance(ctx, path, file, landlock)
}

// balance runs the daemon in this process as it is. The file is that at path.
func balance(ctx context.Context, path string, file *config.File, landlock int) error {
	log := newLogger(file.Log)
	log.Info("roamlb", "version", version, "config", path, "pid", os.Getpid())
	sayConfined(log, file, landlock)
	for _, r := range runChecks(ctx, file) {
		// That the table is there without a daemon is so at every start but the first.
		if r.Name != "own table" && (r.Status == check.Warn || r.Status == check.Fail) {
			log.Warn("check", "name", r.Name, "status", r.Status, "found", r.Found, "fix", r.Fix)
		}
	}
	d, err := daemon.New(daemon.Options{
		File:       file,
		Reload:     func() (*config.File, error) { return loadConfig(path) },
		HUP:        hangups(ctx),
		Log:        log,
		Checks:     func(ctx context.Context, f *config.File) []check.Result { return runChecks(ctx, f) },
		API:        serveAPI(log),
		FirstToken: firstToken(),
		Supervisor: supervisor(log),
	})
	if err != nil {
		return err
	}
	if err := d.Run(ctx); err != nil {
		return err
	}
	log.Info("stopped: the table stays, the kernel goes on balancing")
	return nil
}

// serveAPI answers the API where the configuration wants it anywhere.
func serveAPI(log *slog.Logger) func(context.Context, *daemon.Daemon, func()) error {
	return func(ctx context.Context, d *daemon.Daemon, listening func()) error {
		c := d.File().API
		if !c.Listen.IsValid() && c.Socket == "" {
			listening()
			return nil
		}
		s, err := api.Listen(ctx, api.Options{File: d.File(), Daemon: d, Version: version, Log: log})
		if err != nil {
			return err
		}
		listening()
		return s.Run(ctx)
	}
}

// hangups turns SIGHUP into values. One that comes while another waits is the
// same wish.
func hangups(ctx context.Context) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	out := make(chan struct{}, 1)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				select {
				case out <- struct{}{}:
				default:
				}
			}
		}
	}()
	return out
}

func newLogger(c config.Log) *slog.Logger {
	var level slog.Level
	// the configuration allows no other names than slog's own
	_ = level.UnmarshalText([]byte(c.Level))
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == config.LogJSON {
		return slog.New(loglimit.New(slog.NewJSONHandler(os.Stderr, opts)))
	}
	return slog.New(loglimit.New(slog.NewTextHandler(os.Stderr, opts)))
}

func flushCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Remove roamlb's nftables table from the kernel",
		Long: `Remove roamlb's nftables table, and with it all that the kernel balances.
The state on disk stays. A running daemon puts the table back. Where the rules
are the operator's ("nft: external") the table stays, and its maps are emptied.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := loadConfig(path)
			switch {
			case errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("config"):
				file = config.Default()
			case err != nil:
				return err
			}
			if err := enterNetNS(file.NetNS); err != nil {
				return err
			}
			r, err := nft.Open()
			if err != nil {
				return err
			}
			defer r.Close()
			if file.NFT == config.NFTExternal {
				r.SetExternal()
				if err := r.Flush(); err != nil {
					return fmt.Errorf("empty the maps: %w", err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), "roamlb's maps are empty; table inet "+nft.TableName+" is yours")
				return nil
			}
			if err := r.Flush(); err != nil {
				return fmt.Errorf("remove table: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "table inet "+nft.TableName+" is gone")
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}
