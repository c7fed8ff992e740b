package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// reportCommand is a report whose only question is the time.
func reportCommand(io streams, use, short, long string, f *reportFlags, make func(context.Context, *db.Store, time.Time) (*report, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), io, make) },
	}
	f.add(cmd)
	return cmd
}

// spanFlag reads a length of time as the mapping writes one.
func spanFlag(name, s string) (time.Duration, error) {
	span, err := contractor.ParseSpan(s)
	if err != nil {
		return 0, &codeError{exitUsage, fmt.Errorf("--%s: %w", name, err)}
	}
	return span.Approx(), nil
}

func reportExpiring(io streams) *cobra.Command {
	var f reportFlags
	var within string
	cmd := reportCommand(io, "expiring", "Engagements that end soon",
		"Engagements whose end comes within a time, soonest first, with what their people hold.", &f,
		func(ctx context.Context, s *db.Store, now time.Time) (*report, error) {
			span, err := spanFlag("within", within)
			if err != nil {
				return nil, err
			}
			rows, err := s.Ending(ctx, now, now.Add(span))
			if err != nil {
				return nil, err
			}
			r := &report{
				name: "expiring", title: "Engagements that end within " + within,
				columns: []string{"name", "address", "vendor", "engagement", "ends", "in", "status", "holds", "sponsor named", "sponsor in Entra", "person"},
				summary: count(len(rows), "engagement"), data: rowsJSON(rows),
			}
			for i := range rows {
				row, who := &rows[i], f.subject(&rows[i].Subject)
				ends := minute(row.EndsAt)
				if !row.Before.IsZero() {
					ends += " (was " + minute(row.Before) + ")"
				}
				r.add(who.Name, who.Email, who.Vendor, who.Engagement, ends, roughly(row.EndsAt.Sub(now)), string(row.Status), holdsWord(row.Holds), who.SponsorFor, orNone(who.Sponsor), who.Person)
			}
			return r, nil
		})
	cmd.Flags().StringVar(&within, "within", "30d", "how far to look: 30d, 12w, 720h")
	return cmd
}

func reportOverdue(io streams) *cobra.Command {
	var f reportFlags
	var grace string
	cmd := reportCommand(io, "overdue", "Access that should have ended and was not seen gone",
		`Grants whose end has passed and that were not seen gone in Entra, and guests without a live engagement whose sign-in was not seen
disabled; the longest overdue first. The bridge needs moments for an end that has just come: --grace leaves those out.`, &f,
		func(ctx context.Context, s *db.Store, now time.Time) (*report, error) {
			span, err := spanFlag("grace", grace)
			if err != nil {
				return nil, err
			}
			rows, err := s.Overdue(ctx, now.Add(-span))
			if err != nil {
				return nil, err
			}
			r := &report{
				name: "overdue", title: "Access that should have ended", scope: "more than " + grace + " ago",
				columns: []string{"name", "address", "what", "should have ended", "overdue for", "why", "next attempt", "vendor", "sponsor named", "sponsor in Entra", "person"},
				summary: fmt.Sprintf("%d overdue", len(rows)), data: rowsJSON(rows),
			}
			for i := range rows {
				row, who := &rows[i], f.subject(&rows[i].Subject)
				why := row.LastError
				if row.Held != "" {
					why = strings.Trim(row.Held+"; "+why, "; ")
				}
				if row.Failures > 0 {
					why = strings.TrimSpace(fmt.Sprintf("%s (%s)", why, count(row.Failures, "failure")))
				}
				r.add(who.Name, who.Email, row.What, minute(row.EndedAt), roughly(now.Sub(row.EndedAt)), why, minute(row.NextAt), who.Vendor, who.SponsorFor, orNone(who.Sponsor), who.Person)
			}
			return r, nil
		})
	cmd.Flags().StringVar(&grace, "grace", "15m", "leave out what ended less than this ago")
	return cmd
}

func reportHeld(io streams) *cobra.Command {
	var f reportFlags
	return reportCommand(io, "held", "People and engagements that wait for somebody's decision",
		"People and engagements that wait for somebody's decision or for a better record, with the reason, and what the people hold meanwhile.", &f,
		func(ctx context.Context, s *db.Store, now time.Time) (*report, error) {
			rows, err := s.Held(ctx)
			if err != nil {
				return nil, err
			}
			r := &report{
				name: "held", title: "Held",
				columns: []string{"name", "address", "vendor", "engagement", "why", "since", "for", "holds", "sponsor named", "sponsor in Entra", "person"},
				summary: fmt.Sprintf("%d held", len(rows)), data: rowsJSON(rows),
			}
			for i := range rows {
				row, who := &rows[i], f.subject(&rows[i].Subject)
				since, length := "", ""
				if !row.Since.IsZero() {
					since, length = minute(row.Since), roughly(now.Sub(row.Since))
				}
				r.add(who.Name, who.Email, who.Vendor, who.Engagement, row.Why, since, length, holdsWord(row.Holds), who.SponsorFor, orNone(who.Sponsor), who.Person)
			}
			return r, nil
		})
}

func reportWithoutSponsor(io streams) *cobra.Command {
	var f reportFlags
	return reportCommand(io, "without-sponsor", "Guests for whom nobody is answerable",
		"Guests that stand in the tenant and for whom nobody is answerable: no sponsor was found for them.", &f,
		func(ctx context.Context, s *db.Store, now time.Time) (*report, error) {
			rows, err := s.WithoutSponsor(ctx)
			if err != nil {
				return nil, err
			}
			r := &report{name: "without-sponsor", title: "Guests without a sponsor"}
			f.guests(r, rows, now)
			return r, nil
		})
}

func reportNeverSignedIn(io streams) *cobra.Command {
	var f reportFlags
	return reportCommand(io, "never-signed-in", "Guests of whom no sign-in is known",
		`Guests that stand in the tenant and of whom no sign-in that worked is known. Where the bridge reads the tenant's sign-ins, it knows
those that it has kept; where it does not, all that is known is who did not accept the invitation. The report says which it is.`, &f,
		func(ctx context.Context, s *db.Store, now time.Time) (*report, error) {
			rows, from, err := s.NeverSignedIn(ctx)
			if err != nil {
				return nil, err
			}
			r := &report{name: "never-signed-in", title: "Guests that never signed in"}
			if from.IsZero() {
				r.notes = append(r.notes, "The tenant's sign-ins are not read: these are the guests that did not accept their invitation.")
			} else {
				r.notes = append(r.notes, "Known are the sign-ins since "+minute(from)+" UTC.")
			}
			f.guests(r, rows, now)
			return r, nil
		})
}

// guests fills a report that lists guests.
func (f *reportFlags) guests(r *report, rows []db.GuestRow, now time.Time) {
	r.columns = []string{"name", "address", "phase", "invitation", "invited", "for", "holds", "vendor", "sponsor named", "sponsor in Entra", "guest", "person"}
	r.summary, r.data = count(len(rows), "guest"), rowsJSON(rows)
	for i := range rows {
		row, who := &rows[i], f.subject(&rows[i].Subject)
		invited, length := "adopted", ""
		if !row.Invited.IsZero() {
			invited, length = minute(row.Invited), roughly(now.Sub(row.Invited))
		}
		state := row.State
		if state == "PendingAcceptance" {
			state = "not accepted"
		}
		r.add(who.Name, who.Email, string(row.Phase), strings.ToLower(state), invited, length, holdsWord(row.Holds), who.Vendor, who.SponsorFor, orNone(who.Sponsor), row.Guest, who.Person)
	}
}

// rowsJSON is the form of a report for machines. The rows are looked at when it is written.
func rowsJSON[T any](rows []T) any {
	if rows == nil {
		rows = []T{}
	}
	return struct {
		Rows []T `json:"rows"`
	}{rows}
}

func holdsWord(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// roughly is a length of time for people: days, or hours and minutes below two of them.
func roughly(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + roughly(-d)
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
