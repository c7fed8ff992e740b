package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newReport(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Reports for reviews: access at a time, expiring, overdue, held …",
		Long: `Reports for reviews and audits, from the database, with the daemon running or stopped: as a table, CSV (a cell that looks like a
formula is given an apostrophe in front), JSON, or a page of HTML that stands by itself and prints well.`,
	}
	cmd.AddCommand(reportAccess(io), reportExpiring(io), reportOverdue(io), reportHeld(io), reportWithoutSponsor(io), reportNeverSignedIn(io), reportCost(io))
	return cmd
}

// reportFlags are the flags that every report has.
type reportFlags struct {
	file, format, output string
	asJSON, noNames      bool
}

func (f *reportFlags) add(cmd *cobra.Command) {
	configFlag(cmd, &f.file)
	cmd.Flags().StringVar(&f.format, "format", "table", "table, csv, json or html")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "the same as --format json")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "a new file to write to, mode 0600; without it, standard output")
	cmd.Flags().BoolVar(&f.noNames, "no-names", false, "leave out names and addresses")
}

// subject is who a line is about, as far as it is to be named.
func (f *reportFlags) subject(s *db.Subject) *db.Subject {
	if f.noNames {
		s.Name, s.Email, s.SponsorFor = "", "", ""
	}
	return s
}

// run makes a report and writes it.
func (f *reportFlags) run(ctx context.Context, io streams, make func(context.Context, *db.Store, time.Time) (*report, error)) error {
	if f.asJSON {
		f.format = "json"
	}
	write, err := reportWriter(f.format)
	if err != nil {
		return err
	}
	cfg, err := readConfig(f.file, io)
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, func(s *db.Store) error {
		now := time.Now().UTC()
		r, err := make(ctx, s, now)
		if err != nil {
			return err
		}
		r.made = now
		if f.noNames {
			r.dropNames()
		}
		if err := r.seal(ctx, s); err != nil {
			return err
		}
		out, done, err := newFile(f.output, io.out)
		if err != nil {
			return err
		}
		return done(write(out, r))
	})
}

// seal notes the journal's head that the report was made from: with it an auditor can tell what the report could know.
func (r *report) seal(ctx context.Context, s *db.Store) error {
	for e, err := range s.Journal(ctx, contractor.JournalQuery{Descending: true, Limit: 1}) {
		if err != nil {
			return err
		}
		r.headSeq, r.headHash = e.Seq, e.Hash
	}
	return nil
}

func reportAccess(io streams) *cobra.Command {
	var f reportFlags
	var at whenFlag
	var person, group, pack, vendor string
	cmd := &cobra.Command{
		Use: "access", Short: "Who had what at a time, by which rule, answered for by whom", Args: cobra.NoArgs,
		Long: `Who had what at a time: since when, until when, by which rule and line of which mapping, because of which vendor's engagement,
answered for by whom, and which event of the journal proves it (scimbridge audit prove SEQ). What was still held while it was being
taken away is in it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), io, func(ctx context.Context, s *db.Store, now time.Time) (*report, error) {
				q := db.AccessQuery{At: now, Vendor: vendor}
				if t, err := at.read(now); err != nil {
					return nil, err
				} else if !t.IsZero() {
					q.At = t
				}
				if q.At.After(now) {
					return nil, &codeError{exitUsage, fmt.Errorf("--at %s has not come yet; what ends until then is in: scimbridge report expiring", at.text)}
				}
				return f.access(ctx, s, q, person, group, pack)
			})
		},
	}
	f.add(cmd)
	at.add(cmd, "at", "the instant: 2026-11-24, 2026-11-24 15:04, RFC 3339, or how long ago, 7d; without it, now")
	cmd.Flags().StringVar(&person, "person", "", "of one person: id, address, guest id or engagement id")
	cmd.Flags().StringVar(&group, "group", "", "of one group: its name in the catalog or its Entra object id")
	cmd.Flags().StringVar(&pack, "package", "", "of one access package: its name in the catalog or its Entra object id")
	cmd.Flags().StringVar(&vendor, "vendor", "", "because of one vendor's engagements")
	cmd.MarkFlagsMutuallyExclusive("group", "package")
	return cmd
}

func (f *reportFlags) access(ctx context.Context, s *db.Store, q db.AccessQuery, person, group, pack string) (*report, error) {
	of := []string{}
	if person != "" {
		p, err := s.FindPerson(ctx, person)
		if err != nil {
			return nil, err
		}
		q.Person = p.ID
		of = append(of, "person "+p.ID)
	}
	switch {
	case group != "":
		q.Kind, q.Name = contractor.KindGroup, group
		of = append(of, "group "+group)
	case pack != "":
		q.Kind, q.Name = contractor.KindAccessPackage, pack
		of = append(of, "access package "+pack)
	}
	if q.Vendor != "" {
		of = append(of, "vendor "+q.Vendor)
	}
	r := &report{
		name: "access", title: "Access at " + q.At.Format("2006-01-02 15:04:05") + " UTC", scope: strings.Join(of, ", "),
		columns: []string{"name", "address", "has", "since", "until", "ends by", "rule", "vendor", "sponsor named", "sponsor in Entra", "event", "person"},
	}
	rows := []db.AccessRow{}
	for row, err := range s.AccessAt(ctx, q) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b db.AccessRow) int {
		return cmp.Or(strings.Compare(a.Email, b.Email), strings.Compare(a.Person, b.Person), strings.Compare(string(a.Kind)+a.Granted, string(b.Kind)+b.Granted))
	})
	people := map[string]bool{}
	unproven := 0
	for i := range rows {
		a := &rows[i]
		people[a.Person] = true
		event := "archived"
		if a.Event != 0 {
			event = fmt.Sprint(a.Event)
		} else {
			unproven++
		}
		endedBy := "Entra"
		if !a.EndsItself {
			endedBy = "the bridge"
		}
		if a.Removing {
			endedBy = "being taken"
		}
		who := f.subject(&a.Subject)
		r.add(who.Name, who.Email, kindWord(a.Kind)+" "+a.Granted, minute(a.Since), minute(a.Until), endedBy,
			fmt.Sprintf("%s (line %d of %.8s)", a.Rule, a.Line, a.Revision), a.Vendor, who.SponsorFor, orNone(who.Sponsor), event, who.Person)
	}
	r.summary = fmt.Sprintf("%s held by %s", count(len(rows), "grant"), countPeople(len(people)))
	if unproven > 0 {
		r.notes = append(r.notes, fmt.Sprintf("The events of %s are in an archive; end and rule are those last written.", count(unproven, "grant")))
	}
	r.notes = append(r.notes, "The event is the journal's that proves the line: scimbridge audit prove NUMBER. A rule's line is in the mapping revision that begins so.")
	r.data = struct {
		At   time.Time      `json:"at"`
		Rows []db.AccessRow `json:"access"`
	}{q.At, rows}
	return r, nil
}

func kindWord(k contractor.Kind) string {
	if k == contractor.KindAccessPackage {
		return "package"
	}
	return string(k)
}

func countPeople(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return day(t)
}

func reportWriter(format string) (func(io.Writer, *report) error, error) {
	switch format {
	case "table":
		return writeTable, nil
	case "csv":
		return writeCSV, nil
	case "json":
		return writeReportJSON, nil
	case "html":
		return writeHTML, nil
	}
	return nil, &codeError{exitUsage, errors.New("--format is one of table, csv, json and html")}
}
