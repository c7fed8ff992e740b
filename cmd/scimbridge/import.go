package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/intake"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
	"scimbridge/internal/strictyaml"
)

// exitPartly says that a feed was read to its end, and that something in it needs a person.
const exitPartly = 2

func newImport(io streams) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Load records from files"}
	cmd.AddCommand(importCSV(io))
	return cmd
}

// importFlags are how one file is read.
type importFlags struct {
	file, vendor string
	columns      []string
	layout       contractor.CSVLayout
	full, dry    bool
	again, json  bool
	rate         int
}

func importCSV(io streams) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "csv --vendor V FILE",
		Short: "Load a vendor's contractors from a CSV file",
		Long: `Load a vendor's contractors from a CSV file: for a first load, and for vendors that only hand out files. Each row is one
contract and goes the way that the vendor's own push would go: same aliases, dates, checks, quota and journal.

A row is known again by its key (externalId, else workerId, engagementId, e-mail), so that the same file may be imported any
number of times. An import that was interrupted goes on where it was when the same file is imported again. Begin with --dry-run.

--full says that the file has all contracts: who is known and not in it is ended. That is done only if every line could be read,
and where it would end more people than the vendor's guard allows, all of these ends are held and nobody is ended until somebody
decides (scimbridge hold list).

Columns are known by their names, or by vendors.V.csv in the mapping file, or by --column. docs/intake.md has the whole.

Exit codes: 0 done, 1 failed, 2 lines were refused or ends are held, 64 the command line is wrong, 78 the configuration is wrong.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), io, args[0]) },
	}
	configFlag(cmd, &f.file)
	fl := cmd.Flags()
	fl.StringVar(&f.vendor, "vendor", "", "whose contractors they are (required)")
	fl.StringArrayVar(&f.columns, "column", nil, "a field and its column, such as --column 'endDate=Contract end'; may be repeated")
	fl.StringVar(&f.layout.Delimiter, "delimiter", "", "what separates values; default: what the header shows")
	fl.StringVar(&f.layout.Encoding, "encoding", "", "utf-8, windows-1252 or utf-16; default: utf-8, or what the file's mark says")
	fl.StringVar(&f.layout.Key, "key", "", "the field that names a row; default: externalId, workerId, engagementId, userName or email")
	fl.StringSliceVar(&f.layout.Active, "active", nil, "the values of the status column that mean that the contract goes on")
	fl.BoolVar(&f.full, "full", false, "the file has all contracts: end those that it does not have, under the guard")
	fl.BoolVar(&f.dry, "dry-run", false, "show what would happen, and write nothing")
	fl.BoolVar(&f.again, "again", false, "from the first line, although an interrupted import could go on")
	fl.IntVar(&f.rate, "rate", 0, "records a second at most; 0: as fast as it goes")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("vendor")
	return cmd
}

func (f *importFlags) run(ctx context.Context, io streams, name string) error {
	cfg, err := readConfig(f.file, io)
	if err != nil {
		return err
	}
	m, v, err := feedVendor(cfg, f.vendor)
	if err != nil {
		return err
	}
	layout, err := f.merge(&v.CSV)
	if err != nil {
		return &codeError{exitUsage, err}
	}
	var report *intake.Report
	err = withStore(ctx, cfg, func(s *db.Store) error {
		if err := notPaused(ctx, s, v.Name); err != nil {
			return err
		}
		feed, err := openFeed(s, m, v.Name, f.dry, cfg, io)
		if err != nil {
			return err
		}
		importer, err := intake.NewImporter(intake.ImportConfig{
			Feed: feed, Store: s, Vendor: v, Actor: admin(), Fields: scim.FieldNames(), Path: scim.FieldPath, Layout: layout,
			Full: f.full, Overall: m.Guard(), Dry: f.dry, Again: f.again, Rate: f.rate,
			Progress: importProgress(io.err), Problem: func(p intake.Problem) {
				if !f.json {
					clearProgress(io.err)
					fmt.Fprintln(io.err, p)
				}
			},
		})
		if err != nil {
			return err
		}
		report, err = importer.Import(ctx, name)
		return err
	})
	clearProgress(io.err)
	if report != nil {
		if !f.dry {
			wakeDaemon(ctx, cfg)
		}
		var perr error
		if f.json {
			perr = printJSON(io.out, report)
		} else {
			perr = printImport(io.out, report)
		}
		err = errors.Join(err, perr)
	}
	switch {
	case err != nil:
		return err
	case report.Counts.Refused > 0 || report.Held != "" || report.Doubt != "":
		return &codeError{exitPartly, errors.New("")}
	}
	return nil
}

// merge lays what the command line says over the vendor's own layout.
func (f *importFlags) merge(own *contractor.CSVLayout) (contractor.CSVLayout, error) {
	l := *own
	l.Columns = map[string][]string{}
	maps.Copy(l.Columns, own.Columns)
	given := map[string][]string{}
	for _, c := range f.columns {
		field, header, ok := strings.Cut(c, "=")
		if !ok || field == "" || header == "" {
			return l, fmt.Errorf("--column %q is not FIELD=HEADER, such as endDate=Contract end", c)
		}
		given[field] = append(given[field], header)
	}
	maps.Copy(l.Columns, given)
	if len(l.Columns) == 0 {
		l.Columns = nil
	}
	for _, s := range []struct{ from, to *string }{{&f.layout.Delimiter, &l.Delimiter}, {&f.layout.Encoding, &l.Encoding}, {&f.layout.Key, &l.Key}} {
		if *s.from != "" {
			*s.to = *s.from
		}
	}
	if len(f.layout.Active) > 0 {
		l.Active = f.layout.Active
	}
	return l, nil
}

// feedVendor is the vendor that a feed is of, and the mapping that it stands in.
func feedVendor(cfg *config.Config, name string) (*mapper.Mapping, *contractor.Vendor, error) {
	m, _, err := readMapping(cfg.Mapping)
	if err != nil {
		return nil, nil, setupError(err)
	}
	v, ok := m.Vendor(name)
	if !ok {
		hint := ""
		if s := strictyaml.Suggest(name, m.Vendors()); s != "" {
			hint = fmt.Sprintf(" (did you mean %q?)", s)
		}
		return nil, nil, fmt.Errorf("vendor %q is not in %s%s, which has: %s", name, cfg.Mapping, hint, strings.Join(m.Vendors(), ", "))
	}
	return m, v, nil
}

// notPaused refuses the feed of a vendor whose pushes would be refused, too.
func notPaused(ctx context.Context, s *db.Store, vendor string) error {
	all, err := s.ListVendors(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		if v.Name == vendor && v.Paused {
			return fmt.Errorf("vendor %s is paused; let it go on with: scimbridge vendor resume %s --reason TEXT", vendor, vendor)
		}
	}
	return nil
}

// openFeed opens the SCIM door for one command.
func openFeed(s *db.Store, m *mapper.Mapping, vendor string, dry bool, cfg *config.Config, io streams) (*scim.Feed, error) {
	door, err := scim.New(scim.Config{
		Store: s, Wake: func() {}, Logger: newLogger(cfg.Log, io), Vendors: m.Vendor, Names: m.Vendors, Groups: m.Catalog, PublicURL: cfg.PublicURL,
	})
	if err != nil {
		return nil, err
	}
	return door.Feed(vendor, admin(), dry)
}

// importProgress draws a bar where somebody looks.
func importProgress(w io.Writer) func(intake.Progress) {
	width := terminalWidth(w)
	if width == 0 {
		return nil
	}
	return func(p intake.Progress) {
		share := float64(p.Read) / float64(max(p.Size, 1))
		const bar = 24
		full := min(bar, int(share*bar))
		line := fmt.Sprintf("%s%s %3.0f %%  %d records", strings.Repeat("█", full), strings.Repeat("░", bar-full), 100*share, p.Counts.Read)
		if p.Rate > 0 {
			line += fmt.Sprintf("  %.0f/s  %s left", p.Rate, contractor.Lasting(p.Left.Round(time.Second)))
		}
		if p.Counts.Refused > 0 {
			line += fmt.Sprintf("  %d refused", p.Counts.Refused)
		}
		if r := []rune(line); len(r) >= width {
			line = string(r[:width-1])
		}
		fmt.Fprint(w, "\r\x1b[K"+line)
	}
}

func clearProgress(w io.Writer) {
	if terminalWidth(w) > 0 {
		fmt.Fprint(w, "\r\x1b[K")
	}
}

func printImport(w io.Writer, r *intake.Report) error {
	var b strings.Builder
	verb := "imported"
	if r.DryRun {
		verb = "would be imported: nothing was written"
	}
	fmt.Fprintf(&b, "%s for vendor %s, %s\n", r.File, r.Vendor, verb)
	if r.Resumed > 0 {
		fmt.Fprintf(&b, "an earlier import of this file had come to line %d and was gone on with\n", r.Resumed)
	}
	b.WriteString("\ncolumns\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range r.Columns {
		key := ""
		if c.Field == r.Key {
			key = "(names the row)"
		}
		fmt.Fprintf(t, "  %s\tis %s\t%s\n", c.Header, c.Field, key)
	}
	_ = t.Flush() // a strings.Builder takes everything
	if len(r.Unused) > 0 {
		fmt.Fprintf(&b, "  not used, not kept: %s\n", strings.Join(r.Unused, ", "))
	}
	b.WriteString("\n")
	printFeedCounts(&b, &r.Counts, r.DryRun)
	switch {
	case r.Doubt != "":
		fmt.Fprintf(&b, "nobody was ended for not being in the file: %s\n", r.Doubt)
	case r.Held != "":
		fmt.Fprintf(&b, "%d are not in the file; all their ends are held: %s\nsee scimbridge hold list\n", r.Absent, r.Held)
	case r.Full:
		fmt.Fprintf(&b, "%d were not in the file\n", r.Absent)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printFeedCounts tells what became of a feed's records.
func printFeedCounts(b *strings.Builder, c *contractor.FeedCounts, dry bool) {
	fmt.Fprintf(b, "%8d  records read\n", c.Read)
	word := func(done, would string) string {
		if dry {
			return would
		}
		return done
	}
	for _, l := range []struct {
		n    int
		text string
	}{
		{c.Created, word("created", "would be created")},
		{c.Changed, word("changed", "would be changed")},
		{c.Ended, word("ended", "would be ended")},
		{c.Held, word("held: the end waits for a person", "would be held: the end waits for a person")},
		{c.Unchanged, "unchanged"},
		{c.Skipped, "skipped: over already, and never known here"},
		{c.Refused, "refused"},
	} {
		if l.n > 0 {
			fmt.Fprintf(b, "%8d  %s\n", l.n, l.text)
		}
	}
}
