package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/openapi"
)

func getCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Show services, backends, the configuration, figures, checks",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(getServices(c), getBackends(c), getConfig(c), getStats(c), getChecks(c))
	return cmd
}

// pages gathers the items of all pages of a list.
func pages[T any](ask func(cursor *string) (*http.Response, error)) ([]T, error) {
	all := []T{}
	for cursor := (*string)(nil); ; {
		var page struct {
			Items []T     `json:"items"`
			Next  *string `json:"next"`
		}
		response, err := ask(cursor)
		if err := read(response, err, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == nil {
			return all, nil
		}
	}
}

// itemsOf is a list as the API shows it.
func itemsOf[T any](items []T) map[string][]T { return map[string][]T{"items": items} }

func getServices(c *connection) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:     "services [NAME]",
		Aliases: []string{"service"},
		Short:   "Show services",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				var s openapi.Service
				response, err := api.GetService(cmd.Context(), args[0], nil)
				if err := read(response, err, &s); err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), s, func(r *rows) { serviceRows(r, []openapi.Service{s}) })
			}
			all, err := allServices(cmd.Context(), api)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), itemsOf(all), func(r *rows) { serviceRows(r, all) })
		},
	}
	o.flag(cmd)
	return cmd
}

func allServices(ctx context.Context, api *openapi.Client) ([]openapi.Service, error) {
	limit := int32(1000)
	return pages[openapi.Service](func(cursor *string) (*http.Response, error) {
		return api.ListServices(ctx, &openapi.ListServicesParams{Limit: &limit, Cursor: cursor})
	})
}

func serviceRows(r *rows, all []openapi.Service) {
	r.add("NAME", "LISTEN", "KEY", "PINNING", "DATAPATH", "BACKENDS", "SLOTS", "STALE")
	for i := range all {
		s := &all[i]
		var listen []string
		for _, l := range s.Listen {
			listen = append(listen, joinPort(l.Address, l.Port))
		}
		up := 0
		for _, b := range s.Backends {
			if b.State != nil && *b.State == "up" {
				up++
			}
		}
		pinning, path := string(s.Pinning), string(s.Datapath)
		if s.Effective != nil {
			pinning = string(s.Effective.Pinning)
			if s.Effective.Datapath != nil {
				path = string(*s.Effective.Datapath)
			}
		}
		r.add(s.Name, strings.Join(listen, ","), keyText(&s.Key), pinning, path, fmt.Sprintf("%d/%d", up, len(s.Backends)), s.Slots, s.Stale)
	}
}

func joinPort(address string, port int32) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return fmt.Sprintf("%s:%d", address, port)
}

// keyText is a key in short: offset+length of each field, variants by bars.
func keyText(k *openapi.Key) string {
	if k.Variants == nil {
		return fmt.Sprintf("%d+%d", or(k.Offset, 0), or(k.Length, 0))
	}
	var variants []string
	for _, v := range *k.Variants {
		var fields []string
		for _, f := range v.Fields {
			fields = append(fields, fmt.Sprintf("%d+%d", f.Offset, f.Length))
		}
		variants = append(variants, strings.Join(fields, ","))
	}
	return strings.Join(variants, "|")
}

func getBackends(c *connection) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:     "backends SERVICE [NAME]",
		Aliases: []string{"backend"},
		Short:   "Show a service's backends",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			if len(args) == 2 {
				var b openapi.Backend
				response, err := api.GetBackend(cmd.Context(), args[0], args[1], nil)
				if err := read(response, err, &b); err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), b, func(r *rows) { backendRows(r, []openapi.Backend{b}) })
			}
			limit := int32(1000)
			all, err := pages[openapi.Backend](func(cursor *string) (*http.Response, error) {
				return api.ListBackends(cmd.Context(), args[0], &openapi.ListBackendsParams{Limit: &limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), itemsOf(all), func(r *rows) { backendRows(r, all) })
		},
	}
	o.flag(cmd)
	return cmd
}

func backendRows(r *rows, all []openapi.Backend) {
	r.add("NAME", "ID", "ADDRESS", "PORT", "WEIGHT", "ADMIN", "STATE")
	for _, b := range all {
		addresses := or(b.Address, "")
		if b.Addresses != nil {
			addresses = strings.Join(*b.Addresses, ",")
		}
		r.add(b.Name, or(b.ID, 0), addresses, b.Port, b.Weight, b.Admin, or(b.State, ""))
	}
}

func getConfig(c *connection) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the whole configuration, as a file that apply takes back",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			file, doc, _, err := currentConfig(cmd.Context(), api)
			if err != nil {
				return err
			}
			if o != "table" && o != "yaml" {
				return o.print(cmd.OutOrStdout(), doc, nil)
			}
			text, err := marshalConfig(file)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	o.flag(cmd)
	return cmd
}

func getStats(c *connection) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show figures of services and backends",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			var s openapi.Stats
			response, err := api.GetStats(cmd.Context())
			if err := read(response, err, &s); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), s, func(r *rows) {
				r.add("SERVICE", "BACKEND", "STATE", "WEIGHT", "FLOWS", "SESSIONS", "ROAMS", "DELETED", "EVICTED")
				for _, v := range s.Services {
					r.add(v.Name, "", "", "", "", v.Sessions, v.Roams, v.Deleted, v.Evicted)
					for _, b := range v.Backends {
						r.add("", b.Name, b.State, b.Weight, b.Packets, "", "", "", "")
					}
				}
			})
		},
	}
	o.flag(cmd)
	return cmd
}

func getChecks(c *connection) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "checks",
		Short: "Show what the daemon's host lacks, as \"roamlb check\" there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			var list openapi.CheckList
			response, err := api.GetChecks(cmd.Context())
			if err := read(response, err, &list); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), list, func(r *rows) {
				r.add("CHECK", "STATUS", "FOUND", "FIX")
				for _, ch := range list.Items {
					r.add(ch.Name, ch.Status, ch.Found, or(ch.Fix, ""))
				}
			})
		},
	}
	o.flag(cmd)
	return cmd
}

func rulesetCommand(c *connection) *cobra.Command {
	var printed bool
	cmd := &cobra.Command{
		Use:   "ruleset",
		Short: "Print the nftables table as the kernel has it, or the rules for a file of one's own",
		Long: `Print the nftables table as the kernel has it.

With --print, print the rules that the configuration needs where "nft: external"
leaves them to the operator: a file for "nft -f", which may be loaded again at
will. It tells seeds, which are secrets.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			p := &openapi.GetRulesetParams{}
			if printed {
				form := openapi.Print
				p.Form = &form
			}
			response, err := api.GetRuleset(cmd.Context(), p, func(_ context.Context, r *http.Request) error {
				r.Header.Set("Accept", "application/json")
				return nil
			})
			var doc openapi.Ruleset
			if err := read(response, err, &doc); err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), doc.Text)
			return err
		},
	}
	cmd.Flags().BoolVar(&printed, "print", false, "print the rules for a file of one's own")
	return cmd
}

func ringCommand(c *connection) *cobra.Command {
	var o output
	var slots bool
	cmd := &cobra.Command{
		Use:   "ring SERVICE",
		Short: "Show which backend takes which share of the keys",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			var list openapi.RingList
			response, err := api.GetRing(cmd.Context(), args[0], &openapi.GetRingParams{Slots: &slots})
			if err := read(response, err, &list); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), list, func(r *rows) {
				r.add("FAMILY", "BACKEND", "WEIGHT", "SLOTS", "SHARE", "IDEAL")
				for _, ring := range list.Items {
					for _, s := range ring.Shares {
						r.add(ring.Family, s.Backend, s.Weight, s.Slots, percent(s.Share), percent(s.Ideal))
					}
				}
				for _, ring := range list.Items {
					if ring.Slots != nil {
						for i, name := range *ring.Slots {
							r.add(ring.Family, "slot", i, name)
						}
					}
				}
			})
		},
	}
	o.flag(cmd)
	cmd.Flags().BoolVar(&slots, "slots", false, "list the backend of every slot")
	return cmd
}

func percent(v float64) string { return fmt.Sprintf("%.2f%%", 100*v) }
