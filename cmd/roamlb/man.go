package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes man pages and completions, for the Makefile and packages.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "generate DIR",
		Short:  "Write man pages and shell completions below a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			man := filepath.Join(args[0], "man1")
			if err := os.MkdirAll(man, 0o755); err != nil {
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // two builds are alike
			epoch := time.Unix(0, 0).UTC()
			header := &doc.GenManHeader{Title: "ROAMLB", Section: "1", Source: "roamlb", Manual: "roamlb", Date: &epoch}
			if err := doc.GenManTree(root, header, man); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			return completions(root, filepath.Join(args[0], "completions"))
		},
	}
}

// completions writes a file for each shell.
func completions(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, write := range map[string]func(string) error{
		"roamlb.bash": func(p string) error { return root.GenBashCompletionFileV2(p, true) },
		"_roamlb":     root.GenZshCompletionFile,
		"roamlb.fish": func(p string) error { return root.GenFishCompletionFile(p, true) },
	} {
		if err := write(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("write completion: %w", err)
		}
	}
	return nil
}
