package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// happening is one thing on a person's line of time: what was done to them, from our journal, or what they did, from the tenant's logs.
// Exactly one of Event and Activity is set.
type happening struct {
	At       time.Time            `json:"at"`
	Event    *audit.Event         `json:"event,omitempty"`
	Activity *contractor.Activity `json:"activity,omitempty"`
}

// maxHappenings bounds what is read of each source, the newest first.
const maxHappenings = 1000

// lifeOf joins our journal with what is kept of the tenant's logs, oldest first. Where one source is longer than what is read of
// it, the line begins where both are known.
func lifeOf(ctx context.Context, s *db.Store, person string) ([]happening, error) {
	var list []happening
	var from time.Time
	n := 0
	for e, err := range s.Journal(ctx, contractor.JournalQuery{Person: person, Limit: maxHappenings, Descending: true}) {
		if err != nil {
			return nil, err
		}
		n++
		list = append(list, happening{At: e.Time, Event: &e})
	}
	if n == maxHappenings {
		from = list[n-1].At
	}
	logs, err := s.Activity(ctx, person, time.Time{}, maxHappenings)
	if err != nil {
		return nil, err
	}
	for i := range logs {
		list = append(list, happening{At: logs[i].At, Activity: &logs[i]})
	}
	if len(logs) == maxHappenings && logs[len(logs)-1].At.After(from) {
		from = logs[len(logs)-1].At
	}
	list = slices.DeleteFunc(list, func(h happening) bool { return h.At.Before(from) })
	slices.SortStableFunc(list, func(a, b happening) int {
		if d := a.At.Compare(b.At); d != 0 || a.Event == nil || b.Event == nil {
			return d
		}
		return int(a.Event.Seq - b.Event.Seq)
	})
	return list, nil
}

// printLife tells a person's line of time.
func printLife(w io.Writer, list []happening) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHEN\tFROM\tWHAT\tRESULT\tABOUT\tWHY")
	for _, h := range list {
		at := h.At.UTC().Format("2006-01-02 15:04:05")
		if e := h.Event; e != nil {
			fmt.Fprintf(table, "%s\tevent %d\t%s\t%s\t%s\t%s\n", at, e.Seq, e.Kind, e.Outcome, e.Entitlement, e.Reason)
			continue
		}
		a := h.Activity
		what, about, by := "signed in to "+a.What, activityFrom(*a), ""
		if a.Log != contractor.LogSignIns {
			what, about, by = a.What, strings.Join(a.Changed, ", "), "by "+orText(orText(a.By.Name, a.By.ID), "Entra")
		}
		fmt.Fprintf(table, "%s\tEntra's %s log\t%s\t%s\t%s\t%s\n", at, a.Log, what, activityResult(*a), about, by)
	}
	return table.Flush()
}
