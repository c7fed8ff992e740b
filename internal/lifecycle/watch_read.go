package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"scimbridge/internal/contractor"
)

// maxPages bounds one slice of a log: at a thousand entries a page, two million in an hour.
const maxPages = 2000

// read brings one log up to now.
func (w *Watch) read(ctx context.Context, log contractor.ActivityLog, now time.Time, p *WatchPass) error {
	mark, err := w.Store.ActivityMark(ctx, log)
	if err != nil {
		return err
	}
	from, sweep, err := w.from(ctx, log, mark, now, p)
	if err != nil {
		return err
	}
	for start := from; start.Before(now); start = start.Add(w.Slice) {
		end := start.Add(w.Slice)
		if end.After(now) {
			end = now
		}
		next := contractor.ActivityMark{Through: end}
		if sweep && !end.Before(now) {
			next.Swept = now
		}
		if err := w.slice(ctx, log, start, end, next, now, p); err != nil {
			return err
		}
		if end.After(p.Through[log]) {
			p.Through[log] = end
		}
	}
	return nil
}

// from is where a pass begins to read, and whether it is a sweep.
func (w *Watch) from(ctx context.Context, log contractor.ActivityLog, mark contractor.ActivityMark, now time.Time, p *WatchPass) (from time.Time, sweep bool, err error) {
	switch {
	case mark.Through.IsZero():
		from, sweep = now.Add(-w.FirstLook), true // counts as one: there is nothing older that was read
	default:
		from = mark.Through.Add(-w.Overlap)
		if w.SweepEvery > 0 && now.Sub(mark.Swept) >= w.SweepEvery {
			from, sweep = earlier(from, now.Add(-w.SweepBack)), true
		}
	}
	if !mark.Floor.IsZero() && !from.After(mark.Floor) {
		from = mark.Floor.Add(time.Second) // the logs' own precision
	}
	if oldest := now.Add(-w.Retention); !mark.Through.IsZero() && mark.Through.Before(oldest) {
		return oldest, true, w.gap(ctx, log, mark.Through, oldest, p)
	}
	return from, sweep, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// slice reads all pages between two instants; the last one carries the mark.
func (w *Watch) slice(ctx context.Context, log contractor.ActivityLog, from, to time.Time, mark contractor.ActivityMark, now time.Time, p *WatchPass) error {
	more := ""
	for range maxPages {
		entries, next, err := w.Reader.Activity(ctx, log, from, to, "", more)
		if err != nil {
			return err
		}
		b := contractor.ActivityBatch{Log: log}
		if next == "" {
			b.Mark = &mark
		}
		if err := w.take(ctx, b, entries, now, p); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		if next == more {
			break
		}
		more = next
	}
	return fmt.Errorf("the %s log between %s and %s does not end; report this with the request ids of the debug log", log, from.Format(time.RFC3339), to.Format(time.RFC3339))
}

// take stores what a page says about our guests, with the alarms that follow from what is new.
func (w *Watch) take(ctx context.Context, b contractor.ActivityBatch, entries []contractor.Activity, now time.Time, p *WatchPass) error {
	guests, err := w.guests(ctx, entries, now)
	if err != nil {
		return err
	}
	about := ours(entries, guests)
	if b.Log == contractor.LogAudits {
		alarms, err := w.policyAlarms(ctx, entries)
		if err != nil {
			return err
		}
		b.Alarms = append(b.Alarms, alarms...)
	}
	if len(about) > 0 {
		if b.Entries, err = w.Store.NewActivity(ctx, about); err != nil {
			return err
		}
	}
	for _, a := range b.Entries {
		b.Alarms = append(b.Alarms, w.judge(a, guests[a.Guest])...)
	}
	bursts, err := w.bursts(ctx, b.Entries, guests)
	if err != nil {
		return err
	}
	b.Alarms = append(b.Alarms, bursts...)
	if len(b.Entries)+len(b.Alarms) == 0 && b.Mark == nil {
		return nil
	}
	return w.record(ctx, b, p)
}

func (w *Watch) record(ctx context.Context, b contractor.ActivityBatch, p *WatchPass) error {
	raised, err := w.Store.RecordActivity(ctx, b)
	if err != nil {
		return err
	}
	p.Stored += len(b.Entries)
	p.Raised += len(raised)
	for _, a := range raised {
		w.Logger.Warn("alarm", "id", a.ID, "kind", a.Kind, "severity", a.Severity, "person", a.Person, "words", a.Words, "next", a.Next)
		if w.OnAlarm != nil {
			w.OnAlarm(a)
		}
	}
	return nil
}

// guests finds our guests among all that the entries are about.
func (w *Watch) guests(ctx context.Context, entries []contractor.Activity, now time.Time) (map[string]contractor.WatchedGuest, error) {
	var ids []string
	seen := map[string]bool{}
	for i := range entries {
		for _, id := range append([]string{entries[i].Guest}, entries[i].Targets...) {
			if id != "" && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return w.Store.WatchedGuests(ctx, ids, now)
}

// ours returns the entries that are about our guests, one for each guest, with the person.
func ours(entries []contractor.Activity, guests map[string]contractor.WatchedGuest) []contractor.Activity {
	var out []contractor.Activity
	for _, a := range entries {
		about := append([]string{a.Guest}, a.Targets...)
		slices.Sort(about)
		for _, id := range slices.Compact(about) {
			if g, ok := guests[id]; ok {
				a.Guest, a.Person = id, g.Person
				out = append(out, a)
			}
		}
	}
	return out
}
