package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/openapi"
)

func applyCommand(c *connection) *cobra.Command {
	var path string
	var prune, dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make a file's services the daemon's",
		Long: `Create the services of a configuration file that the daemon does not have, and
change those that differ; with --prune, delete those that the file does not
have. All of it or nothing. What differs is printed. A service without a seed
keeps the one it has.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			want, err := readServices(path, cmd.InOrStdin())
			if err != nil {
				return err
			}
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			return apply(cmd.Context(), cmd.OutOrStdout(), api, want, prune, dryRun)
		},
	}
	cmd.Flags().StringVarP(&path, "file", "f", "", "configuration `file`, - for standard input")
	cmd.Flags().BoolVar(&prune, "prune", false, "delete the services that the file does not have")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would change, and change nothing")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

// readServices are the services of a configuration file.
func readServices(path string, stdin io.Reader) ([]balancer.Service, error) {
	var text []byte
	var err error
	if path == "-" {
		path = "standard input"
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	f, err := config.Parse(path, text)
	if err != nil {
		return nil, err
	}
	return f.Services, nil
}

// currentConfig is what the daemon has, as a file and as it was answered, and
// its tag.
func currentConfig(ctx context.Context, api *openapi.Client) (*config.File, *openapi.Config, string, error) {
	response, err := api.GetConfig(ctx, nil)
	var doc openapi.Config
	if err := read(response, err, &doc); err != nil {
		return nil, nil, "", err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, nil, "", err
	}
	f, err := config.ReadDocument(text)
	if err != nil {
		return nil, nil, "", fmt.Errorf("read the daemon's configuration: %w", err)
	}
	return f, &doc, response.Header.Get("ETag"), nil
}

// marshalConfig is a file's text.
func marshalConfig(f *config.File) ([]byte, error) { return config.Marshal(f) }

// apply makes services the daemon's, and prints what differs.
func apply(ctx context.Context, out io.Writer, api *openapi.Client, want []balancer.Service, prune, dryRun bool) error {
	have, _, tag, err := currentConfig(ctx, api)
	if err != nil {
		return err
	}
	next := merged(have.Services, want, prune)
	changes, err := describeChanges(out, have.Services, next)
	if err != nil {
		return err
	}
	switch {
	case changes == 0:
		_, err = fmt.Fprintln(out, "nothing differs")
		return err
	case dryRun:
		_, err = fmt.Fprintf(out, "%d services would change\n", changes)
		return err
	}
	body := []byte(`{"services":[`)
	for i := range next {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, config.MarshalService(&next[i])...)
	}
	body = append(body, "]}"...)
	response, err := api.PutConfigWithBody(ctx, &openapi.PutConfigParams{IfMatch: &tag}, "application/json", strings.NewReader(string(body)))
	if err := read(response, err, nil); err != nil {
		return changedMeanwhile(err)
	}
	_, err = fmt.Fprintf(out, "%d services changed\n", changes)
	return err
}

// changedMeanwhile says what to do about a change that somebody else was
// faster with.
func changedMeanwhile(err error) error {
	var p *problemError
	if errors.As(err, &p) && p.Status == 412 {
		return fmt.Errorf("somebody else has changed the configuration at this moment; nothing was applied: run it again: %w", err)
	}
	return err
}

// merged is have with the services of want, in have's order.
func merged(have, want []balancer.Service, prune bool) []balancer.Service {
	var out []balancer.Service
	left := slices.Clone(want)
	for i := range have {
		at := slices.IndexFunc(left, func(s balancer.Service) bool { return s.Name == have[i].Name })
		switch {
		case at >= 0:
			s := left[at]
			if s.Seed == 0 {
				s.Seed = have[i].Seed
			}
			out = append(out, s)
			left = slices.Delete(left, at, at+1)
		case !prune:
			out = append(out, have[i])
		}
	}
	return append(out, left...)
}

// describeChanges prints the services that differ, and says how many.
func describeChanges(out io.Writer, have, next []balancer.Service) (int, error) {
	texts := func(all []balancer.Service) (map[string]string, []string) {
		byName := make(map[string]string, len(all))
		var names []string
		for i := range all {
			byName[all[i].Name] = string(config.MarshalServiceYAML(&all[i]))
			names = append(names, all[i].Name)
		}
		return byName, names
	}
	before, names := texts(have)
	after, more := texts(next)
	for _, n := range more {
		if _, known := before[n]; !known {
			names = append(names, n)
		}
	}
	changes := 0
	for _, name := range names {
		if before[name] == after[name] {
			continue
		}
		changes++
		diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: lines(before[name]), B: lines(after[name]), FromFile: "daemon: " + name, ToFile: "file: " + name, Context: 3,
		})
		if err != nil {
			return 0, err
		}
		if _, err := io.WriteString(out, diff); err != nil {
			return 0, err
		}
	}
	return changes, nil
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return difflib.SplitLines(strings.TrimSuffix(text, "\n"))
}

func deleteCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "delete", Short: "Delete a service, a backend or a session", Args: cobra.NoArgs}
	whatever := "*"
	cmd.AddCommand(
		&cobra.Command{
			Use: "service NAME", Short: "Delete a service", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				api, err := c.dial(false)
				if err != nil {
					return err
				}
				response, err := api.DeleteService(cmd.Context(), args[0], &openapi.DeleteServiceParams{IfMatch: &whatever})
				return done(cmd, read(response, err, nil), "service %s is gone", args[0])
			},
		},
		&cobra.Command{
			Use: "backend SERVICE NAME", Short: "Remove a backend; its sessions continue elsewhere", Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				api, err := c.dial(false)
				if err != nil {
					return err
				}
				response, err := api.DeleteBackend(cmd.Context(), args[0], args[1], &openapi.DeleteBackendParams{IfMatch: &whatever})
				return done(cmd, read(response, err, nil), "backend %s of service %s is gone", args[1], args[0])
			},
		},
		&cobra.Command{
			Use: "session SERVICE KEY", Short: "Forget a session; its next packet is decided anew", Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				api, err := c.dial(false)
				if err != nil {
					return err
				}
				response, err := api.DeleteSession(cmd.Context(), args[0], args[1])
				return done(cmd, read(response, err, nil), "session %s of service %s is forgotten", args[1], args[0])
			},
		},
	)
	return cmd
}

// done prints what was done, if it was.
func done(cmd *cobra.Command, err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

func drainCommand(c *connection, use, short, admin, told string) *cobra.Command {
	return &cobra.Command{
		Use: use + " SERVICE BACKEND", Short: short, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			whatever := "*"
			response, err := api.PatchBackendWithApplicationMergePatchPlusJSONBody(cmd.Context(), args[0], args[1],
				&openapi.PatchBackendParams{IfMatch: &whatever}, openapi.MergePatch{"admin": admin})
			return done(cmd, read(response, err, nil), "backend %s of service %s "+told, args[1], args[0])
		},
	}
}
