package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// journalFilter are the flags that choose events.
type journalFilter struct {
	from, to                         whenFlag
	person, vendor, engagement, kind string
}

func (f *journalFilter) add(cmd *cobra.Command) {
	f.from.add(cmd, "from", "events from this time on: 2026-11-24, RFC 3339, or how long ago, 7d")
	f.to.add(cmd, "to", "events before this time")
	cmd.Flags().StringVar(&f.person, "person", "", "a person: id, address, guest id or engagement id")
	cmd.Flags().StringVar(&f.vendor, "vendor", "", "a vendor")
	cmd.Flags().StringVar(&f.engagement, "engagement", "", "an engagement's id")
	cmd.Flags().StringVar(&f.kind, "kind", "", "a kind, such as grant.added, or all that begin so: grant.")
}

func (f *journalFilter) query(ctx context.Context, store *db.Store) (q contractor.JournalQuery, err error) {
	now := time.Now()
	q = contractor.JournalQuery{Kind: f.kind, Engagement: f.engagement, Vendor: f.vendor}
	if q.From, err = f.from.read(now); err != nil {
		return q, err
	}
	if q.To, err = f.to.read(now); err != nil {
		return q, err
	}
	if f.person != "" {
		p, err := store.FindPerson(ctx, f.person)
		if err != nil {
			return q, err
		}
		q.Person = p.ID
	}
	return q, nil
}

func auditTail(io streams) *cobra.Command {
	var file string
	var filter journalFilter
	var count int
	var follow, asJSON, personal bool
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the last events, and with -f those that follow", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				q, err := filter.query(cmd.Context(), s)
				if err != nil {
					return err
				}
				show := eventPrinter(io.out, asJSON, personal)
				last, err := showLast(cmd.Context(), s, q, count, show)
				if err != nil || !follow {
					return err
				}
				return followJournal(cmd.Context(), s, q, last, show)
			})
		},
	}
	configFlag(cmd, &file)
	filter.add(cmd)
	cmd.Flags().IntVarP(&count, "lines", "n", 20, "how many events")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with those that follow, until interrupted")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object a line")
	cmd.Flags().BoolVar(&personal, "personal", false, "show names and addresses, where they were not erased")
	return cmd
}

// showLast shows the last events that fit, oldest first, and answers the number of the journal's last event.
func showLast(ctx context.Context, s *db.Store, q contractor.JournalQuery, count int, show func(*audit.Event) error) (last int64, err error) {
	for e, err := range s.Journal(ctx, contractor.JournalQuery{Descending: true, Limit: 1}) {
		if err != nil {
			return 0, err
		}
		last = e.Seq
	}
	if count <= 0 {
		return last, nil
	}
	q.Descending, q.Limit, q.After = true, count, last+1
	var events []audit.Event
	for e, err := range s.Journal(ctx, q) {
		if err != nil {
			return 0, err
		}
		events = append(events, e)
	}
	for i := len(events) - 1; i >= 0; i-- {
		if err := show(&events[i]); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// followEvery is how often tail -f looks: often enough to seem at once, rarely enough to cost nothing.
const followEvery = 300 * time.Millisecond

func followJournal(ctx context.Context, s *db.Store, q contractor.JournalQuery, last int64, show func(*audit.Event) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // interrupted, as it is meant to be
		case <-tick.C:
		}
		q.After = last
		for e, err := range s.Journal(ctx, q) {
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if err := show(&e); err != nil {
				return err
			}
			last = e.Seq
		}
	}
}

// eventPrinter prints events one by one, a line each: on a terminal cut to its width.
func eventPrinter(out io.Writer, asJSON, personal bool) func(*audit.Event) error {
	if asJSON {
		enc := json.NewEncoder(out)
		return func(e *audit.Event) error { return enc.Encode(e.Export(personal)) }
	}
	width := terminalWidth(out)
	return func(e *audit.Event) error {
		_, err := fmt.Fprintln(out, shorten(eventLine(e, personal), width))
		return err
	}
}

// eventLine is an event for people.
func eventLine(e *audit.Event, personal bool) string {
	who := string(e.Actor.Kind)
	if e.Actor.Name != "" {
		who += " " + e.Actor.Name
	}
	var what []string
	if e.Entitlement != "" {
		name, _, _ := strings.Cut(e.Entitlement, " (")
		what = append(what, name)
	}
	if e.Rule != "" {
		what = append(what, fmt.Sprintf("by rule %s (line %d)", e.Rule, e.Line))
	}
	if !e.Until.IsZero() {
		what = append(what, "until "+day(e.Until))
	}
	if e.Person != "" {
		what = append(what, "person "+e.Person)
	}
	if e.Reason != "" {
		what = append(what, oneLine(e.Reason))
	}
	if personal && e.Personal != nil {
		what = append(what, string(e.Personal))
	}
	outcome := string(e.Outcome)
	if e.Outcome == audit.Done {
		outcome = ""
	}
	return strings.TrimRight(fmt.Sprintf("%7d  %s  %-22s %-8s  %-20s  %s", e.Seq, e.Time.UTC().Format("2006-01-02 15:04:05Z"), e.Kind, outcome, who, strings.Join(what, ", ")), " ")
}

// oneLine takes line ends and control characters out of a text that others wrote, so that it cannot play with a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, s)
}

func shorten(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	return string(r[:max(width-1, 0)]) + "…"
}

func auditShow(io streams) *cobra.Command {
	var file string
	var asJSON, personal bool
	cmd := &cobra.Command{
		Use: "show SEQ", Short: "Show one event whole", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := parseSeq(args[0])
			if err != nil {
				return err
			}
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				e, err := s.StoredEvent(cmd.Context(), seq)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(io.out, e.Export(personal))
				}
				return printEvent(io.out, e, personal)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&personal, "personal", false, "show names and addresses, if they were not erased")
	return cmd
}

func printEvent(out io.Writer, e *audit.Event, personal bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, oneLine(value))
		}
	}
	line("event", fmt.Sprint(e.Seq))
	line("time", e.Time.UTC().Format(time.RFC3339Nano))
	line("kind", e.Kind)
	line("outcome", string(e.Outcome))
	line("actor", strings.TrimSpace(string(e.Actor.Kind)+" "+e.Actor.Name))
	line("reason", e.Reason)
	line("person", e.Person)
	line("engagement", e.Engagement)
	line("vendor", e.Vendor)
	line("entitlement", e.Entitlement)
	if e.Rule != "" {
		line("rule", fmt.Sprintf("%s, line %d of the mapping", e.Rule, e.Line))
	}
	line("mapping", e.Revision)
	if !e.Until.IsZero() {
		line("until", e.Until.UTC().Format(time.RFC3339))
	}
	line("Graph request", e.RequestID)
	line("client request", e.ClientID)
	line("detail", string(e.Detail))
	switch {
	case e.PersonalHash == "":
	case e.Personal == nil:
		line("personal", "erased; their salted hash is "+e.PersonalHash)
	case personal:
		line("personal", string(e.Personal))
	default:
		line("personal", "there; show them with --personal")
	}
	line("hash", e.Hash)
	line("event before", e.Prev)
	return w.Flush()
}

func auditExport(io streams) *cobra.Command {
	var file, format, output string
	var filter journalFilter
	var personal bool
	cmd := &cobra.Command{
		Use: "export", Short: "Write events out as JSON lines, CSV or CEF", Args: cobra.NoArgs,
		Long: `Write events out: jsonl (a JSON object a line, every field), csv (for spreadsheets; a cell that looks like a formula is given
an apostrophe in front), cef (ArcSight's Common Event Format, a line each). Names and addresses only with --personal.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, err := exporter(format, personal)
			if err != nil {
				return err
			}
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				q, err := filter.query(cmd.Context(), s)
				if err != nil {
					return err
				}
				out, done, err := newFile(output, io.out)
				if err != nil {
					return err
				}
				return done(exportJournal(cmd.Context(), s, q, out, write))
			})
		},
	}
	configFlag(cmd, &file)
	filter.add(cmd)
	cmd.Flags().StringVar(&format, "format", "jsonl", "jsonl, csv or cef")
	cmd.Flags().StringVarP(&output, "output", "o", "", "a new file to write to, mode 0600; without it, standard output")
	cmd.Flags().BoolVar(&personal, "personal", false, "with names and addresses, where they were not erased")
	return cmd
}

// eventWriter writes events in one format, behind what begins it.
type eventWriter struct {
	begin func(w io.Writer) error
	event func(w io.Writer, e *audit.Event) error
}

func exporter(format string, personal bool) (eventWriter, error) {
	nothing := func(io.Writer) error { return nil }
	row := func(w io.Writer, cells []string) error {
		c := csv.NewWriter(w)
		c.UseCRLF = true // RFC 4180
		return errors.Join(c.Write(cells), flushed(c))
	}
	switch format {
	case "jsonl":
		return eventWriter{nothing, func(w io.Writer, e *audit.Event) error { return json.NewEncoder(w).Encode(e.Export(personal)) }}, nil
	case "csv":
		return eventWriter{
			func(w io.Writer) error { return row(w, audit.CSVHeader(personal)) },
			func(w io.Writer, e *audit.Event) error { return row(w, audit.CSVRecord(e, personal)) },
		}, nil
	case "cef":
		return eventWriter{nothing, func(w io.Writer, e *audit.Event) error {
			_, err := io.WriteString(w, e.CEF(version(), personal)+"\n")
			return err
		}}, nil
	}
	return eventWriter{}, &codeError{exitUsage, fmt.Errorf("--format %q is not known here; write jsonl, csv or cef", format)}
}

func flushed(c *csv.Writer) error {
	c.Flush()
	return c.Error()
}

func exportJournal(ctx context.Context, s *db.Store, q contractor.JournalQuery, out io.Writer, write eventWriter) error {
	w := bufio.NewWriterSize(out, 1<<16)
	if err := write.begin(w); err != nil {
		return err
	}
	for e, err := range s.Journal(ctx, q) {
		if err != nil {
			return err
		}
		if err := write.event(w, &e); err != nil {
			return err
		}
	}
	return w.Flush()
}
