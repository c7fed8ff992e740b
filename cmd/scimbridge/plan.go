package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"scimbridge/internal/db"
	"scimbridge/internal/mapper"
)

func newPlan(io streams) *cobra.Command {
	var file, mapping string
	var asJSON, detailed bool
	cmd := &cobra.Command{
		Use:   "plan [--mapping NEW]",
		Short: "Show what an edit of the mapping would change, for everybody",
		Long: `Compute, for everybody in the store, what the mapping file changes against the one in force: granted, extended,
shortened, removed, held, released. Counts come first, then rules, then people. Nothing changes in Entra. The plan is stored under
an id, for scimbridge apply; the last 20 are kept.

Exit codes: 0 done, 1 failed, 78 the mapping is wrong; with --detailed-exitcode: 0 nothing changes, 1 failed, 2 something changes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			if mapping == "" {
				mapping = cfg.Mapping
			}
			m, _, err := readMapping(mapping)
			if err != nil {
				return setupError(err)
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				stats, err := s.Stats(cmd.Context(), time.Now(), 0)
				if err != nil {
					return err
				}
				bar := newBar(io.err, "people", stats.People)
				p, t, err := planOf(cmd.Context(), s, admin(), m, time.Now().UTC().Truncate(time.Microsecond), bar.show)
				bar.end()
				if err != nil {
					return err
				}
				out := bufio.NewWriter(io.out)
				if asJSON {
					err = planJSON(cmd, out, s, p, t)
				} else {
					err = planTable(cmd, out, s, p, t)
				}
				if err = errors.Join(err, out.Flush()); err == nil && detailed && t.Changed > 0 {
					return &codeError{2, errors.New("")}
				}
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&mapping, "mapping", "", "the edited mapping file; default: the one that the configuration names")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if something changes")
	return cmd
}

func planKinds() []mapper.ChangeKind {
	return []mapper.ChangeKind{mapper.Granted, mapper.Extended, mapper.Shortened, mapper.Removed, mapper.Held, mapper.Released, mapper.Updated}
}

func planTable(cmd *cobra.Command, w *bufio.Writer, s *db.Store, p *db.Plan, t *tally) error {
	fmt.Fprintf(w, "plan %s: mapping %s becomes %.12s\n", p.ID[:12], orText(p.Before[:min(12, len(p.Before))], "(none)"), p.After)
	if err := t.printCounts(w); err != nil || t.Changed == 0 {
		return err
	}
	for _, g := range t.Exceeding {
		fmt.Fprintf(w, "  the guard of %s would hold this; scimbridge apply %s approves exactly these removals\n", g, p.ID[:12])
	}
	w.WriteString("\nby person\n") //nolint:errcheck // Flush tells
	for x, err := range s.PlanPeople(cmd.Context(), p) {
		if err != nil {
			return err
		}
		var changes []mapper.Change
		if err := json.Unmarshal(x.Changes, &changes); err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s (%s)\n", orText(x.Email, "no address"), x.Person)
		for i := range changes {
			fmt.Fprintf(w, "    %s\n", planChange(&changes[i]))
		}
	}
	return nil
}

// printCounts tells the counts, then what each rule has to do with them.
func (t *tally) printCounts(w io.Writer) error {
	fmt.Fprintf(w, "%d of %s change\n", t.Changed, people(t.People))
	if t.Changed == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, k := range planKinds() {
		if t.Kinds[k] > 0 {
			fmt.Fprintf(table, "  %s\t%d\n", k, t.Kinds[k])
		}
	}
	_ = table.Flush() // the next write tells
	for _, v := range slices.Sorted(maps.Keys(t.Losing)) {
		fmt.Fprintf(w, "  %d of vendor %s lose access that they hold now\n", t.Losing[v], v)
	}
	fmt.Fprintln(w, "\nby rule")
	for _, rule := range slices.Sorted(maps.Keys(t.Rules)) {
		var parts []string
		for _, k := range planKinds() {
			if n := t.Rules[rule][k]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, k))
			}
		}
		fmt.Fprintf(table, "  %s\t%s\n", rule, strings.Join(parts, ", "))
	}
	return table.Flush()
}

// planChange tells one change in a line.
func planChange(ch *mapper.Change) string {
	what := kindOf(ch.Entitlement.Kind) + " " + ch.Entitlement.Name
	toCome := ""
	if ch.ToCome {
		toCome = " (has not begun)"
	}
	switch ch.Kind {
	case mapper.Granted:
		return fmt.Sprintf("+ %s until %s by %s, line %d%s", what, day(ch.After.End), ch.After.Rule, ch.After.Line, toCome)
	case mapper.Removed:
		return fmt.Sprintf("- %s, which %s gives until %s%s", what, ch.Before.Rule, day(ch.Before.End), toCome)
	case mapper.Extended, mapper.Shortened:
		return fmt.Sprintf("~ %s %s from %s to %s by %s, line %d%s", what, ch.Kind, day(ch.Before.End), day(ch.After.End), ch.After.Rule, ch.After.Line, toCome)
	case mapper.Held, mapper.Released:
		return fmt.Sprintf("! engagement %s of %s %s: %s", ch.Engagement, ch.Vendor, ch.Kind, ch.Reason)
	}
	return "~ guest " + strings.Join(ch.Properties, ", ")
}

// planJSON streams the plan: one object, its people one by one.
func planJSON(cmd *cobra.Command, w *bufio.Writer, s *db.Store, p *db.Plan, t *tally) error {
	head, err := json.Marshal(struct {
		*db.Plan
		Summary *tally `json:"summary"`
	}{p, t})
	if err != nil {
		return err
	}
	w.Write(head[:len(head)-1])    //nolint:errcheck // Flush tells
	w.WriteString(",\"people\":[") //nolint:errcheck // Flush tells
	first := true
	for x, err := range s.PlanPeople(cmd.Context(), p) {
		if err != nil {
			return err
		}
		b, err := json.Marshal(x)
		if err != nil {
			return err
		}
		if !first {
			w.WriteByte(',') //nolint:errcheck // Flush tells
		}
		first = false
		w.WriteByte('\n') //nolint:errcheck // Flush tells
		w.Write(b)        //nolint:errcheck // Flush tells
	}
	_, err = w.WriteString("]}\n")
	return err
}

// bar shows how far long work has come, on a terminal only.
type bar struct {
	w     io.Writer // nil: no terminal
	what  string
	total int
	last  int
}

func newBar(w io.Writer, what string, total int) *bar {
	b := &bar{what: what, total: total, last: -1}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.w = w
	}
	return b
}

func (b *bar) show(done int) {
	if b.w == nil || b.total == 0 {
		return
	}
	percent := min(100*done/b.total, 100)
	if percent == b.last {
		return
	}
	b.last = percent
	fmt.Fprintf(b.w, "\r[%-40s] %3d%% of %d %s", strings.Repeat("#", percent*40/100), percent, b.total, b.what)
}

func (b *bar) end() {
	if b.w != nil && b.last >= 0 {
		fmt.Fprint(b.w, "\r\033[K")
	}
}
