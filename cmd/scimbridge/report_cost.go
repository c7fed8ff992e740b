package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
)

// costRow is one entitlement's use in a month; the form of report cost --json.
type costRow struct {
	Kind    contractor.Kind `json:"kind"`
	Name    string          `json:"entitlement"`
	ID      string          `json:"entitlementId"`
	Guests  int             `json:"guests"`            // who had it at any time of the month
	Metered bool            `json:"metered,omitempty"` // known with --online only
	Why     string          `json:"why,omitempty"`
}

func reportCost(io streams) *cobra.Command {
	var f reportFlags
	var month string
	var price float64
	var ask bool
	cmd := &cobra.Command{
		Use: "cost", Short: "What of a month is metered: guests of each group and access package", Args: cobra.NoArgs,
		Long: `How many guests had each group and access package at any time of a month (UTC), and how many signed in, as far as sign-ins are read.
Microsoft bills a guest once a month however many metered features it used: with --online the tenant is asked which access packages are
metered (sponsors as approvers, automatic assignment, custom extensions, verified IDs, groups in PIM), with --price the sum is worked out. The
invoice decides; this is what the bridge knows.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := monthOf(month, time.Now().UTC())
			if err != nil {
				return err
			}
			metered := map[string]string{}
			if ask {
				if metered, err = meteredPackages(cmd.Context(), io, f.file); err != nil {
					return err
				}
			}
			return f.run(cmd.Context(), io, func(ctx context.Context, s *db.Store, _ time.Time) (*report, error) {
				return costReport(ctx, s, from, metered, ask, price)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&month, "month", "", "the month: 2026-11; without it, this one")
	cmd.Flags().BoolVar(&ask, "online", false, "ask the tenant which access packages are metered")
	cmd.Flags().Float64Var(&price, "price", 0, "of one guest with metered features for a month, in your currency")
	return cmd
}

// monthOf is the first instant of a month.
func monthOf(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), nil
	}
	t, err := time.Parse("2006-01", s)
	if err != nil || t.After(now) {
		return t, &codeError{exitUsage, fmt.Errorf("--month %q is not a month that has begun; write 2026-11", s)}
	}
	return t, nil
}

// meteredPackages asks the tenant; by access package name, why.
func meteredPackages(ctx context.Context, io streams, file string) (map[string]string, error) {
	cfg, err := readConfig(file, io)
	if err != nil {
		return nil, err
	}
	m, _, err := readMapping(cfg.Mapping)
	if err != nil {
		return nil, setupError(err)
	}
	graph, err := openGraphOnce(cfg, io)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(contractor.WithPriority(ctx, contractor.PrioritySweep), 5*time.Minute)
	defer cancel()
	metered := map[string]string{}
	for _, c := range graph.Doctor(ctx, entra.DoctorConfig{Catalog: m.Catalog()}) {
		switch {
		case c.Area == "token" && c.Level == entra.CheckFail:
			return nil, fmt.Errorf("the tenant cannot be asked: %s; %s", c.Found, c.Action)
		case c.Area == "billing" && c.Level == entra.CheckWarn:
			metered[c.Name] = c.Found
		}
	}
	return metered, nil
}

func costReport(ctx context.Context, s *db.Store, from time.Time, metered map[string]string, asked bool, price float64) (*report, error) {
	to := from.AddDate(0, 1, 0)
	byID := map[contractor.EntitlementKey]*costRow{}
	billed, people := map[string]bool{}, map[string]bool{}
	seenUse := map[db.Use]bool{}
	for u, err := range s.Used(ctx, from, to) {
		if err != nil {
			return nil, err
		}
		same := db.Use{Person: u.Person, Kind: u.Kind, ID: u.ID}
		if seenUse[same] {
			continue
		}
		seenUse[same] = true
		key := contractor.EntitlementKey{Kind: u.Kind, ID: u.ID}
		row := byID[key]
		if row == nil {
			row = &costRow{Kind: u.Kind, Name: u.Name, ID: u.ID}
			if u.Kind == contractor.KindAccessPackage {
				row.Why, row.Metered = metered[u.Name]
			}
			byID[key] = row
		}
		row.Guests++
		people[u.Person] = true
		if row.Metered {
			billed[u.Person] = true
		}
	}
	rows := make([]costRow, 0, len(byID))
	for _, row := range byID {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b costRow) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	stood, active, seen, err := s.GuestsIn(ctx, from, to)
	if err != nil {
		return nil, err
	}
	r := &report{name: "cost", title: "Use in " + from.Format("2006-01"), columns: []string{"kind", "has", "guests", "metered", "why"}, data: rowsJSON(rows)}
	parts := []string{count(stood, "guest") + " stood", count(len(people), "guest") + " had something"}
	if seen {
		parts = append(parts, fmt.Sprintf("%d signed in, as far as is known", active))
	} else {
		r.notes = append(r.notes, "Sign-ins are not read (watch: in scimbridge.yaml), so that monthly active guests are not known.")
	}
	if asked {
		parts = append(parts, fmt.Sprintf("%d had a metered feature", len(billed)))
		if price > 0 {
			parts = append(parts, fmt.Sprintf("%d × %.2f = %.2f", len(billed), price, float64(len(billed))*price))
		}
	} else {
		r.notes = append(r.notes, "Which access packages are metered was not asked for; add --online.")
	}
	r.summary = strings.Join(parts, ", ")
	for i := range rows {
		word := "no"
		switch {
		case !asked && rows[i].Kind == contractor.KindAccessPackage:
			word = "not asked"
		case rows[i].Metered:
			word = "yes"
		}
		r.add(kindOf(rows[i].Kind), rows[i].Name, fmt.Sprint(rows[i].Guests), word, rows[i].Why)
	}
	return r, nil
}
