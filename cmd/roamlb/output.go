package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// output is the form in which a command prints: a table for people, JSON or
// YAML for programs.
type output string

func (o *output) flag(cmd *cobra.Command) {
	*o = "table"
	cmd.Flags().VarP(o, "output", "o", "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp
	})
}

// String is of pflag.Value.
func (o *output) String() string { return string(*o) }

// Type is of pflag.Value.
func (o *output) Type() string { return "format" }

// Set is of pflag.Value.
func (o *output) Set(s string) error {
	switch s {
	case "table", "json", "yaml":
		*o = output(s)
		return nil
	}
	return fmt.Errorf("want table, json or yaml")
}

// print writes a document, as a table by the rows that table makes.
func (o *output) print(w io.Writer, doc any, table func(*rows)) error {
	switch *o {
	case "json":
		text, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, string(text))
		return err
	case "yaml":
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	r := rows{tab: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	table(&r)
	return r.tab.Flush()
}

// rows are the lines of a table whose columns line up.
type rows struct{ tab *tabwriter.Writer }

func (r *rows) add(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		if texts[i] = fmt.Sprint(c); texts[i] == "" {
			texts[i] = "-"
		}
	}
	// A terminal is not to do what somebody wrote into a name.
	fmt.Fprintln(r.tab, strings.Join(texts, "\t"))
}

// or is what a pointer points to, or another value where it points to nothing.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
