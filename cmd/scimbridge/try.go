package main

import (
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

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
)

// tryReport is what a payload would become; the form of try --json.
type tryReport struct {
	Vendor     string                 `json:"vendor"`
	At         time.Time              `json:"at"`
	Revision   string                 `json:"revision"`
	Refused    string                 `json:"refused,omitempty"` // the vendor would be answered so, and nothing stored
	TestUser   bool                   `json:"testUser,omitempty"`
	Zone       string                 `json:"zone,omitempty"`
	Start      time.Time              `json:"start,omitzero"`
	End        time.Time              `json:"end,omitzero"`
	EndNote    string                 `json:"endNote,omitempty"` // why the end is not what was sent
	Record     *contractor.Record     `json:"record,omitempty"`
	Aliases    []scim.Alias           `json:"aliases"`
	Sources    []scim.Source          `json:"read"` // each field with its place in the payload
	Dates      []scim.Date            `json:"dates"`
	Ignored    json.RawMessage        `json:"ignored,omitempty"` // sent, and read by nobody
	Evaluation *contractor.Evaluation `json:"evaluation,omitempty"`
	zone       *time.Location
}

func newTry(io streams) *cobra.Command {
	var file, mapping, vendor, at string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "try --vendor V FILE",
		Short: "Show what a vendor's record would become, without writing anything",
		Long: `Show what a SCIM User, as the vendor would send it, would become under the mapping file: which aliases were used, what
the dates mean and in which zone, which rules hit and which missed and why, what is granted until when, and what was sent and
nobody reads. FILE is a file with the JSON body, or - for standard input. Nothing is written, here or in Entra.

Exit codes: 0 shown, 1 the vendor would be refused (or the file cannot be read), 78 the mapping is wrong.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := mappingOf(file, mapping, io)
			if err != nil {
				return err
			}
			v, ok := m.Vendor(vendor)
			if !ok {
				return fmt.Errorf("vendor %q is not in the mapping, which has: %s", vendor, strings.Join(m.Vendors(), ", "))
			}
			now, err := instantOf(at, v.Zone)
			if err != nil {
				return err
			}
			body, err := readPayload(args[0], io.in)
			if err != nil {
				return err
			}
			report := tryPayload(m, v, body, now)
			if asJSON {
				err = printJSON(io.out, report)
			} else {
				err = report.print(io.out)
			}
			if err == nil && report.Refused != "" {
				return &codeError{exitError, errors.New("")}
			}
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&mapping, "mapping", "", "the mapping file; default: the one that the configuration names")
	cmd.Flags().StringVar(&vendor, "vendor", "", "whose record it is (required)")
	cmd.Flags().StringVar(&at, "at", "", "as if it were this date or instant; default: now")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("vendor")
	return cmd
}

// mappingOf reads the mapping that is named, or the configuration's. Its warnings are for validate to tell.
func mappingOf(file, mapping string, io streams) (*mapper.Mapping, error) {
	if mapping == "" {
		cfg, err := readConfig(file, io)
		if err != nil {
			return nil, err
		}
		mapping = cfg.Mapping
	}
	m, _, err := readMapping(mapping)
	if err != nil {
		return nil, setupError(err)
	}
	return m, nil
}

// instantOf reads --at: an instant, or the first second of a day in zone; "" is now.
func instantOf(at string, zone *time.Location) (time.Time, error) {
	if at == "" {
		return time.Now().UTC().Truncate(time.Microsecond), nil
	}
	t, err := contractor.ParseDate(at, nil, zone, contractor.StartOfDay)
	if err != nil || t.IsZero() {
		return t, fmt.Errorf("--at %q is not a date; write 2026-06-01 or 2026-06-01T12:00:00Z", at)
	}
	return t, nil
}

// maxPayload bounds a payload that is tried, as the vendor door bounds a request.
const maxPayload = 1 << 20

func readPayload(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("the payload cannot be read; name a file with the vendor's JSON, or - for standard input: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, maxPayload+1))
	if err == nil && len(body) > maxPayload {
		err = fmt.Errorf("the payload is larger than %d bytes; send one User", maxPayload)
	}
	return body, err
}

// tryPayload is pure: the same mapping, body and instant give the same report.
func tryPayload(m *mapper.Mapping, v *contractor.Vendor, body []byte, now time.Time) *tryReport {
	r := &tryReport{Vendor: v.Name, At: now, Revision: m.Revision(), Aliases: []scim.Alias{}, Sources: []scim.Source{}, Dates: []scim.Date{}}
	n, err := scim.Normalise(v, body)
	r.Aliases, r.Dates, r.Ignored, r.TestUser = append(r.Aliases, n.Aliases...), append(r.Dates, n.Dates...), n.Unused, n.Test
	for _, s := range n.Sources {
		if s.Alias && !slices.ContainsFunc(r.Aliases, func(a scim.Alias) bool { return a.Field == s.Field }) {
			r.Aliases = append(r.Aliases, scim.Alias{Field: s.Field, Path: s.Path})
		}
	}
	r.Sources = append(r.Sources, n.Sources...)
	if n.Resource != nil {
		n.Record.SecurityID = hidden(n.Record.SecurityID)
		r.Record = &n.Record
	}
	if err != nil {
		r.Refused = err.Error()
	}
	if n.Resource == nil || n.Test {
		return r
	}
	e := contractor.Engagement{ID: "tried", Vendor: v.Name, Record: n.Record, Created: now}
	if !n.Record.Active {
		e.EndedAt = now
	}
	ev := m.Evaluate(&e, now)
	r.Evaluation, r.Start, r.End, r.EndNote, r.zone = &ev, ev.Period.Start, ev.Period.End, ev.Period.Note, ev.Period.Zone
	if r.zone != nil {
		r.Zone = r.zone.String()
	}
	switch {
	case r.Refused != "" || !n.Record.Active || r.End.IsZero():
	case !r.End.After(now):
		r.Refused = "the contract's end has passed: a new contractor must have an end to come"
	case !r.End.After(r.Start):
		r.Refused = "the contract's end lies before its start"
	}
	return r
}

// hidden keeps a secret value out of a report, but tells that there was one.
func hidden(s string) string {
	if s == "" {
		return ""
	}
	return "(not shown)"
}

func (r *tryReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "vendor    %s, mapping %.12s, as of %s\n", r.Vendor, r.Revision, day(r.At))
	if r.Refused != "" {
		fmt.Fprintf(&b, "REFUSED   %s\n", r.Refused)
	}
	if r.TestUser {
		b.WriteString("test user: answered as SCIM, never sent to Entra\n")
	}
	if r.Record != nil {
		fmt.Fprintf(&b, "person    %s\n", r.Record.Email)
	}
	b.WriteString("\naliases used\n")
	for _, a := range r.Aliases {
		fmt.Fprintf(&b, "  %s was read from %s\n", a.Field, a.Path)
	}
	if len(r.Aliases) == 0 {
		b.WriteString("  none: every value came under its own name\n")
	}
	b.WriteString("\nread from what was sent\n")
	printSources(&b, r.Sources)
	fmt.Fprintf(&b, "\ndates understood (zone %s)\n", orText(r.Zone, "of the vendor"))
	for _, d := range r.Dates {
		fmt.Fprintf(&b, "  %s %q means %s\n", d.Field, d.Sent, inZone(d.Means, r.zone, "open ended"))
	}
	if len(r.Dates) == 0 {
		b.WriteString("  none were sent\n")
	}
	if !r.Start.IsZero() {
		fmt.Fprintf(&b, "  the contract runs from %s to %s\n", inZone(r.Start, r.zone, "?"), inZone(r.End, r.zone, "no end"))
	}
	if r.EndNote != "" {
		fmt.Fprintf(&b, "  %s\n", r.EndNote)
	}
	if r.Evaluation != nil {
		printEvaluation(&b, r.Evaluation, r.zone)
	}
	b.WriteString("\nsent and ignored\n")
	printIgnored(&b, r.Ignored)
	_, err := io.WriteString(w, b.String())
	return err
}

// printEvaluation tells what a mapping says about one engagement.
func printEvaluation(b *strings.Builder, ev *contractor.Evaluation, zone *time.Location) {
	fmt.Fprintf(b, "\nstatus    %s", ev.Status)
	if ev.Reason != "" {
		fmt.Fprintf(b, ": %s", ev.Reason)
	}
	b.WriteString("\n\nrules\n")
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, r := range ev.Rules {
		fmt.Fprintf(table, "  %s\tline %d\t%s\t%s\n", r.Rule, r.Line, r.Outcome, r.Detail)
	}
	_ = table.Flush() // a strings.Builder takes everything
	if len(ev.Rules) == 0 {
		b.WriteString("  not asked: " + orText(ev.Reason, "the contract has ended") + "\n")
	}
	b.WriteString("\ngrants\n")
	for _, g := range ev.Grants {
		fmt.Fprintf(table, "  %s %s\tfrom %s\tto %s\trule %s, line %d\t%s\n", kindOf(g.Entitlement.Kind), g.Entitlement.Name,
			inZone(g.Start, zone, "?"), inZone(g.End, zone, "?"), g.Rule, g.Line, bridgeNote(g.Entitlement))
	}
	_ = table.Flush()
	if len(ev.Grants) == 0 {
		b.WriteString("  none\n")
	}
	if len(ev.Attributes) > 0 {
		b.WriteString("\nguest\n")
		for _, k := range slices.Sorted(maps.Keys(ev.Attributes)) {
			fmt.Fprintf(table, "  %s\t%s\n", k, ev.Attributes[k])
		}
		_ = table.Flush()
	}
	if len(ev.Sponsors) > 0 {
		fmt.Fprintf(b, "\nsponsor   the first of %s that the tenant knows\n", strings.Join(ev.Sponsors, ", "))
	}
}

func bridgeNote(e contractor.Entitlement) string {
	if e.Expiry == contractor.ExpiryBridge {
		return "(ended by the bridge, not by Entra)"
	}
	return ""
}

func kindOf(k contractor.Kind) string { return strings.ReplaceAll(string(k), "_", " ") }

// inZone writes an instant as people of the contract's zone read it.
func inZone(t time.Time, zone *time.Location, word string) string {
	if t.IsZero() {
		return word
	}
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

// printIgnored lists what nobody reads, a path and a value on each line.
func printIgnored(b *strings.Builder, unused json.RawMessage) {
	var values map[string]json.RawMessage
	if len(unused) == 0 || json.Unmarshal(unused, &values) != nil || len(values) == 0 {
		b.WriteString("  nothing\n")
		return
	}
	paths := make([]string, 0, len(values))
	for p := range values {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		v := []rune(string(values[p]))
		if len(v) > 80 {
			v = append(v[:80], '…')
		}
		fmt.Fprintf(b, "  %s: %s\n", p, string(v))
	}
}
