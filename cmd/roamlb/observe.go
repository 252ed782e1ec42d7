package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/openapi"
)

func explainCommand(c *connection) *cobra.Command {
	var o output
	var client, listener string
	var ip bool
	cmd := &cobra.Command{
		Use:   "explain HEX",
		Short: "Say what happens to a packet, step by step, and why",
		Long: `Say what happens to a packet, step by step, and why. HEX is a UDP payload, with
--client and --listener, or with --ip a whole IP packet. - reads it from
standard input. Nothing is changed.`,
		Example: `  roamlb explain 488c31f2d0a4b7e915 --client 198.18.0.7:40000 --listener 192.0.2.10:1194`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := openapi.Packet{Packet: args[0]}
			if p.Packet == "-" {
				text, err := os.ReadFile("/dev/stdin")
				if err != nil {
					return err
				}
				p.Packet = string(text)
			}
			if ip {
				form := openapi.IP
				p.Form = &form
			}
			if client != "" {
				p.Client = &client
			}
			if listener != "" {
				p.Listener = &listener
			}
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			var e openapi.Explanation
			response, err := api.Explain(cmd.Context(), nil, p)
			if err := read(response, err, &e); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), e, func(r *rows) {
				for _, s := range e.Steps {
					r.add(string(s.Name), s.Text)
				}
			})
		},
	}
	o.flag(cmd)
	cmd.Flags().StringVar(&client, "client", "", "`address:port` that the packet comes from")
	cmd.Flags().StringVar(&listener, "listener", "", "`address:port` that it is sent to")
	cmd.Flags().BoolVar(&ip, "ip", false, "HEX is a whole IP packet")
	return cmd
}

func sessionsCommand(c *connection) *cobra.Command {
	var o output
	var p openapi.ListSessionsParams
	var client, backend, prefix, hash string
	var most int
	cmd := &cobra.Command{
		Use:   "sessions SERVICE [KEY]",
		Short: "Show live sessions; \"place\" moves one",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			if len(args) == 2 {
				var s openapi.Session
				response, err := api.GetSession(cmd.Context(), args[0], args[1])
				if err := read(response, err, &s); err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), s, func(r *rows) { sessionRows(r, []openapi.Session{s}) })
			}
			for text, member := range map[*string]**string{&client: &p.Client, &backend: &p.Backend, &prefix: &p.KeyPrefix, &hash: &p.KeyHash} {
				if *text != "" {
					*member = text
				}
			}
			all, more, err := someSessions(cmd.Context(), api, args[0], p, most)
			if err != nil {
				return err
			}
			if err := o.print(cmd.OutOrStdout(), itemsOf(all), func(r *rows) { sessionRows(r, all) }); err != nil {
				return err
			}
			if more {
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), "there are more: --limit %d\n", 10*most)
			}
			return err
		},
	}
	o.flag(cmd)
	cmd.Flags().StringVar(&client, "client", "", "of this `address`, or address and port")
	cmd.Flags().StringVar(&backend, "backend", "", "on this `backend`")
	cmd.Flags().StringVar(&prefix, "prefix", "", "whose key begins with these bytes, in `hex`")
	cmd.Flags().StringVar(&hash, "hash", "", "with this key `hash`")
	cmd.Flags().IntVar(&most, "limit", 1000, "how many at the most")
	cmd.AddCommand(placeCommand(c))
	return cmd
}

// someSessions are up to most sessions, and whether there are more.
func someSessions(ctx context.Context, api *openapi.Client, service string, p openapi.ListSessionsParams, most int) ([]openapi.Session, bool, error) {
	all := []openapi.Session{}
	for {
		limit := int32(min(1000, max(most-len(all), 1)))
		p.Limit = &limit
		var page openapi.SessionList
		response, err := api.ListSessions(ctx, service, &p)
		if err := read(response, err, &page); err != nil {
			return nil, false, err
		}
		all = append(all, page.Items...)
		if page.Next == nil {
			return all, false, nil
		}
		if len(all) >= most {
			return all, true, nil
		}
		p.Cursor = page.Next
	}
}

func sessionRows(r *rows, all []openapi.Session) {
	r.add("KEY", "BACKEND", "CLIENT", "SEEN", "FLAGS")
	for i := range all {
		s := &all[i]
		key := or(s.Key, or(s.KeyHash, ""))
		backend := or(s.Backend, "")
		if s.Backend6 != nil {
			backend += "," + *s.Backend6
		}
		var flags []string
		for name, set := range map[string]bool{"live": s.Live, "confirmed": s.Confirmed, "shared": s.Shared, "placed": s.Placed} {
			if set {
				flags = append(flags, name)
			}
		}
		if s.Candidate != nil {
			flags = append(flags, "candidate="+*s.Candidate)
		}
		r.add(key, backend, or(s.Client, ""), time.Since(s.LastSeen).Round(time.Second), strings.Join(sorted(flags), ","))
	}
}

func placeCommand(c *connection) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use: "place SERVICE KEY BACKEND", Short: "Bind a session to a backend by hand", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			var p openapi.Placed
			response, err := api.PlaceSession(cmd.Context(), args[0], args[1], openapi.Placing{Backend: args[2]})
			if err := read(response, err, &p); err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), p, func(r *rows) {
				r.add("session", args[1], "on", args[2])
				r.add("old flow", p.OldFlow)
			})
		},
	}
	o.flag(cmd)
	return cmd
}

func eventsCommand(c *connection) *cobra.Command {
	var follow bool
	var kinds []string
	var service string
	var o output
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what has happened; -f follows",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := openapi.GetEventsParams{}
			if len(kinds) > 0 {
				p.Kind = &kinds
			}
			if service != "" {
				p.Service = &service
			}
			api, err := c.dial(follow)
			if err != nil {
				return err
			}
			if follow {
				return followEvents(cmd, api, &p, o)
			}
			limit := int32(1000)
			p.Limit = &limit
			all, err := pages[openapi.Event](func(cursor *string) (*http.Response, error) {
				p.Cursor = cursor
				return api.GetEvents(cmd.Context(), &p)
			})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), itemsOf(all), func(r *rows) {
				for i := range all {
					r.add(eventCells(&all[i])...)
				}
			})
		},
	}
	o.flag(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as events come")
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "of these `kinds`")
	cmd.Flags().StringVar(&service, "service", "", "about this `service`")
	return cmd
}

// followEvents prints events as they come, until it is interrupted; after an
// end of the stream it goes on where it was.
func followEvents(cmd *cobra.Command, api *openapi.Client, p *openapi.GetEventsParams, o output) error {
	first := true
	for {
		response, err := api.GetEvents(cmd.Context(), p, func(_ context.Context, r *http.Request) error {
			r.Header.Set("Accept", "text/event-stream")
			return nil
		})
		if cmd.Context().Err() != nil {
			return nil
		}
		if err == nil && response.StatusCode >= http.StatusBadRequest {
			return read(response, nil, nil)
		}
		if err != nil && first {
			return err
		}
		if err == nil {
			first = false
			if err := printStream(cmd, response, p, o); err != nil {
				return err
			}
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// printStream prints one stream's events to its end, and notes the last id.
func printStream(cmd *cobra.Command, response *http.Response, p *openapi.GetEventsParams, o output) error {
	defer response.Body.Close()
	kind := ""
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			p.LastEventID = &value
		case "event":
			kind = value
		case "data":
			if err := printEvent(cmd, kind, value, o); err != nil {
				return err
			}
		}
	}
	return nil // how it ended is no matter: the next one goes on
}

func printEvent(cmd *cobra.Command, kind, data string, o output) error {
	out := cmd.OutOrStdout()
	if o == "json" {
		_, err := fmt.Fprintln(out, data)
		return err
	}
	var e openapi.Event
	if kind == "missed" || kind == "reset" || json.Unmarshal([]byte(data), &e) != nil {
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), kind+":", data)
		return err
	}
	for i, cell := range eventCells(&e) {
		if i > 0 {
			fmt.Fprint(out, "  ")
		}
		fmt.Fprint(out, cell)
	}
	fmt.Fprintln(out)
	if e.Diff != nil {
		_, err := fmt.Fprintln(out, *e.Diff)
		return err
	}
	return nil
}

// eventCells are an event's members that say something.
func eventCells(e *openapi.Event) []any {
	var facts []string
	add := func(name string, v *string) {
		if v != nil && *v != "" {
			facts = append(facts, name+"="+*v)
		}
	}
	add("service", e.Service)
	if e.Session != nil {
		add("session", e.Session.Key)
		add("session", e.Session.KeyHash)
	}
	add("old_client", e.OldClient)
	add("new_client", e.NewClient)
	add("backend", e.Backend)
	add("reason", e.Reason)
	if e.Delay != nil {
		facts = append(facts, fmt.Sprintf("delay=%v", time.Duration(*e.Delay*float64(time.Second)).Round(time.Microsecond)))
	}
	if e.Count != nil {
		facts = append(facts, fmt.Sprintf("count=%d", *e.Count))
	}
	add("actor", e.Actor)
	add("from", e.From)
	add("detail", e.Detail)
	return []any{e.Time.Local().Format("15:04:05.000"), e.Kind, strings.Join(facts, " ")}
}
