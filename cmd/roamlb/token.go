package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/roamlb/roamlb/openapi"
)

func sorted(texts []string) []string {
	slices.Sort(texts)
	return texts
}

func tokenCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Manage the API's tokens", Args: cobra.NoArgs}
	cmd.AddCommand(tokenList(c), tokenCreate(c), &cobra.Command{
		Use: "delete NAME", Aliases: []string{"revoke"}, Short: "Revoke a token", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			response, err := api.DeleteToken(cmd.Context(), args[0])
			return done(cmd, read(response, err, nil), "token %s counts no longer", args[0])
		},
	})
	return cmd
}

func tokenList(c *connection) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use: "list", Short: "Show the tokens, without their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			all, err := pages[openapi.Token](func(cursor *string) (*http.Response, error) {
				return api.ListTokens(cmd.Context(), &openapi.ListTokensParams{Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), itemsOf(all), func(r *rows) {
				r.add("NAME", "SCOPE", "CREATED")
				for _, t := range all {
					r.add(t.Name, t.Scope, t.Created.Local().Format(time.DateTime))
				}
			})
		},
	}
	o.flag(cmd)
	return cmd
}

func tokenCreate(c *connection) *cobra.Command {
	var o output
	var scope string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token, and print its secret this once", Args: cobra.ExactArgs(1),
		Example: "  roamlb token create prometheus --scope read > /etc/prometheus/roamlb.token",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.dial(false)
			if err != nil {
				return err
			}
			wanted := openapi.Scope(scope)
			var t openapi.NewToken
			response, err := api.CreateToken(cmd.Context(), nil, openapi.TokenInput{Name: args[0], Scope: &wanted})
			if err := read(response, err, &t); err != nil {
				return err
			}
			if o == "table" {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), t.Secret)
				return err
			}
			return o.print(cmd.OutOrStdout(), t, nil)
		},
	}
	o.flag(cmd)
	cmd.Flags().StringVar(&scope, "scope", "read", "read or write")
	return cmd
}
