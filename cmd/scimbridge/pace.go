package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/lifecycle"
)

// startPace begins to watch whether the loop keeps up with the ends of contracts.
func (d *daemon) startPace(ctx context.Context) error {
	pace, err := lifecycle.NewPace(lifecycle.PaceConfig{Store: d.store, Logger: d.log.With("component", "pace")})
	if err != nil {
		return err
	}
	d.pace = pace
	d.alone(ctx, "pace", pace.Run)
	return nil
}

// keepingUp adds to a status what is due, what ends next, whether the loop keeps up, and the mails.
func (d *daemon) keepingUp(ctx context.Context, st *adminStatus, stats *contractor.Stats) error {
	mails, err := d.store.MailCounts(ctx)
	if err != nil {
		return err
	}
	st.Mails, st.Oldest, st.Ends = mails, stats.OldestDue, stats.NextEnds
	if n := mails["failed"]; n > 0 {
		st.Notes = append(st.Notes, count(n, "mail")+" to sponsors could not be sent; the journal says why: scimbridge audit search --kind mail.failed")
	}
	if note := d.staleNote(&st.Mapping); note != "" {
		st.Notes = append(st.Notes, note)
	}
	if st.Role == roleStandby {
		return nil // the leader watches
	}
	r := d.pace.Report()
	st.Closing = closingStatus{Waiting: r.Waiting, Lag: r.Lag.Seconds(), Forecast: r.Delay.Seconds(), WaveAt: r.WaveAt}
	if r.Alarm != "" {
		st.Trouble = append(st.Trouble, r.Words)
	}
	return nil
}

// printKeepingUp prints the lines of status about ends and mails.
func printKeepingUp(b *strings.Builder, st *adminStatus) {
	fmt.Fprintf(b, "closing   %d wait, oldest %.1f s, longest wait to come %s\n", st.Closing.Waiting, st.Closing.Lag, time.Duration(st.Closing.Forecast*float64(time.Second)).Round(time.Second))
	if len(st.Ends) > 0 {
		b.WriteString("next ends")
		for i, e := range st.Ends[:min(len(st.Ends), 3)] {
			fmt.Fprintf(b, "%s %s (%s, %.8s)", []string{"", ","}[min(i, 1)], day(e.EndsAt), e.Vendor, e.Engagement)
		}
		b.WriteByte('\n')
	}
	if len(st.Mails) > 0 {
		fmt.Fprintf(b, "mails     %s\n", counts(st.Mails))
	}
	for _, n := range st.Notes {
		fmt.Fprintf(b, "note      %s\n", n)
	}
}
