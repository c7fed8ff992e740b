package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan writes manual pages for the packages: the same words as --help, from the same commands.
func newMan(io streams) *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "Write the manual pages into a folder", Args: cobra.ExactArgs(1), Hidden: true,
		Long: "Write a manual page (section 1) for each command into a folder that exists. SOURCE_DATE_EPOCH sets their date.",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same commands give the same pages
			keepExamples(root)
			header := &doc.GenManHeader{Section: "1", Source: "scimbridge " + version(), Manual: "scimbridge"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			pages, err := os.ReadDir(args[0])
			if err == nil {
				_, err = fmt.Fprintln(io.out, count(len(pages), "page"))
			}
			return err
		},
	}
}

// keepExamples indents what --help indents by two spaces by four, which Markdown, of which the pages are made, leaves as it is.
func keepExamples(cmd *cobra.Command) {
	cmd.Long = strings.ReplaceAll(cmd.Long, "\n  ", "\n    ")
	for _, c := range cmd.Commands() {
		keepExamples(c)
	}
}
