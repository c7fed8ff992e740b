package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newMapping(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mapping",
		Short: "Mapping files that were in force: list, show, diff",
		Long:  "Every mapping file that came into force is stored, with who loaded it and when. Events of the journal name its revision.",
	}
	cmd.AddCommand(mappingList(io), mappingShow(io), mappingDiff(io))
	return cmd
}

func mappingList(io streams) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List revisions, the one in force first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withRevisions(cmd, file, io, func(s *db.Store) error {
				list, err := s.Revisions(cmd.Context(), 0)
				if err != nil {
					return err
				}
				type line struct {
					Revision string    `json:"revision"`
					Loaded   time.Time `json:"loaded"`
					Who      string    `json:"who"`
					InForce  bool      `json:"inForce"`
				}
				lines := make([]line, len(list))
				for i, r := range list {
					lines[i] = line{r.Hash, r.Loaded, r.Who, i == 0}
				}
				if asJSON {
					return printJSON(io.out, lines)
				}
				w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "REVISION\tLOADED\tBY\t")
				for _, l := range lines {
					state := ""
					if l.InForce {
						state = "in force"
					}
					fmt.Fprintf(w, "%.12s\t%s\t%s\t%s\n", l.Revision, day(l.Loaded), l.Who, state)
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func mappingShow(io streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "show [REVISION]", Short: "Print a revision's text; by default the one in force", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRevisions(cmd, file, io, func(s *db.Store) error {
				which := ""
				if len(args) > 0 {
					which = args[0]
				}
				r, err := s.RevisionLike(cmd.Context(), which)
				if err == nil {
					_, err = fmt.Fprint(io.out, r.Text)
				}
				return err
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func mappingDiff(io streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "diff [REVISION REVISION]", Short: "Compare two revisions line by line; by default the one in force with the file on disk",
		Long: "Compare two revisions line by line; by default the one in force with the file on disk.\n\nExit codes: 0 compared, 1 failed.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return &codeError{exitUsage, fmt.Errorf("give two revisions, or none; see scimbridge mapping list")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				if len(args) == 2 {
					a, err := s.RevisionLike(cmd.Context(), args[0])
					if err != nil {
						return err
					}
					b, err := s.RevisionLike(cmd.Context(), args[1])
					if err != nil {
						return err
					}
					return diffLines(io.out, revisionName(a), a.Text, revisionName(b), b.Text)
				}
				a, err := s.RevisionLike(cmd.Context(), "")
				if err != nil {
					return err
				}
				text, err := os.ReadFile(cfg.Mapping)
				if err != nil {
					return err
				}
				return diffLines(io.out, revisionName(a), a.Text, cfg.Mapping, string(text))
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func revisionName(r contractor.MappingRevision) string {
	return fmt.Sprintf("revision %.12s, loaded %s by %s", r.Hash, day(r.Loaded), r.Who)
}

func withRevisions(cmd *cobra.Command, file string, io streams, do func(*db.Store) error) error {
	cfg, err := readConfig(file, io)
	if err != nil {
		return err
	}
	return withStore(cmd.Context(), cfg, do)
}

// maxDiff bounds the lines that are compared one with each other.
const maxDiff = 5000

// diffLines prints what differs between two texts, each line with its number: the longest common subsequence, after what is the
// same at both ends was set aside.
func diffLines(w io.Writer, nameA, textA, nameB, textB string) error {
	a, b := strings.Split(textA, "\n"), strings.Split(textB, "\n")
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	endA, endB := len(a), len(b)
	for endA > head && endB > head && a[endA-1] == b[endB-1] {
		endA, endB = endA-1, endB-1
	}
	if endA == head && endB == head {
		_, err := fmt.Fprintln(w, "nothing differs")
		return err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", nameA, nameB)
	x, y := a[head:endA], b[head:endB]
	if len(x) > maxDiff || len(y) > maxDiff {
		x, y = x[:min(len(x), maxDiff)], y[:min(len(y), maxDiff)]
		fmt.Fprintf(&out, "more than %d lines differ; these are the first\n", maxDiff)
	}
	common := commonLines(x, y)
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			fmt.Fprintf(&out, "%5d - %s\n", head+i+1, x[i])
			i++
		default:
			fmt.Fprintf(&out, "%5d + %s\n", head+j+1, y[j])
			j++
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// commonLines counts for each pair of positions the lines that both have in common behind them.
func commonLines(x, y []string) [][]int32 {
	n := make([][]int32, len(x)+1)
	for i := range n {
		n[i] = make([]int32, len(y)+1)
	}
	for i, v := range slices.Backward(x) {
		for j := len(y) - 1; j >= 0; j-- {
			if v == y[j] {
				n[i][j] = n[i+1][j+1] + 1
			} else {
				n[i][j] = max(n[i+1][j], n[i][j+1])
			}
		}
	}
	return n
}
