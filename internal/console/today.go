package console

import (
	"net/http"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

type todayView struct {
	Status   Status
	Stats    contractor.Stats
	Open     int // people who can sign in
	Ends     []dayBar
	EndTotal int
	Next     []contractor.Contract
	Ended    []contractor.Contract
	Waits    []holdGroup
	Held     []contractor.PersonSummary
	HeldAll  int
	Alarms   []contractor.Alarm
	Asked    int // sponsors' confirmations that wait
	Events   []audit.Event
	Empty    bool // nobody was ever sent
}

// dayBar is one day of the picture of the ends to come. Numbers are parts of the whole width and height.
type dayBar struct {
	Day           time.Time
	Ends          int
	X, W, Y, H    float64
	Label         bool
	Weekend, Mark bool
}

const (
	todayRows   = 8
	todayEvents = 10
	todayDays   = 30
	statsAge    = 5 * time.Second
)

func (c *Console) today(w http.ResponseWriter, r *http.Request, s *session) error {
	ctx, now := r.Context(), time.Now().UTC()
	var v todayView
	var err error
	if v.Status, err = c.bridge.Status(ctx); err != nil {
		return err
	}
	if v.Stats, err = c.store.Stats(ctx, now, statsAge); err != nil {
		return err
	}
	v.Open, v.HeldAll = v.Stats.Phases[contractor.PhaseOpen], v.Stats.Held
	v.Empty = v.Stats.People == 0 && v.Stats.Engagements == 0
	if v.Next, err = c.store.Contracts(ctx, contractor.ContractQuery{Order: contractor.ContractsByEnd, EndFrom: now, Limit: todayRows}); err != nil {
		return err
	}
	if v.Ended, err = c.store.Contracts(ctx, contractor.ContractQuery{Order: contractor.ContractsByEndDown, EndTo: now, EndFrom: now.AddDate(0, 0, -30), Limit: todayRows}); err != nil {
		return err
	}
	if v.Waits, err = c.holdGroups(r, 1); err != nil {
		return err
	}
	if v.Held, err = c.store.ListPersons(ctx, contractor.PersonQuery{Held: true, Limit: 5}); err != nil {
		return err
	}
	if v.Alarms, err = c.store.Alarms(ctx, contractor.AlarmQuery{Limit: alarmsShown}); err != nil {
		return err
	}
	gravest(v.Alarms)
	v.Alarms = v.Alarms[:min(len(v.Alarms), 5)]
	if v.Ends, v.EndTotal, err = c.endBars(r, now); err != nil {
		return err
	}
	for e, err := range c.store.Journal(ctx, contractor.JournalQuery{Descending: true, Limit: todayEvents}) {
		if err != nil {
			return err
		}
		v.Events = append(v.Events, e)
	}
	return c.page(w, r, s, "today", "Today", v)
}

// endBars are the ends of the days to come, over all vendors.
func (c *Console) endBars(r *http.Request, now time.Time) (bars []dayBar, total int, err error) {
	from := now.Truncate(24 * time.Hour)
	list, err := c.store.EndsPerDay(r.Context(), from, from.AddDate(0, 0, todayDays))
	if err != nil {
		return nil, 0, err
	}
	bars = make([]dayBar, todayDays)
	most := 0
	for _, x := range list {
		if i := int(x.Day.Sub(from) / (24 * time.Hour)); i >= 0 && i < todayDays {
			bars[i].Ends += x.Ends
			most = max(most, bars[i].Ends)
			total += x.Ends
		}
	}
	for i := range bars {
		b := &bars[i]
		b.Day = from.AddDate(0, 0, i)
		b.X, b.W = float64(i)/todayDays, 0.8/todayDays
		if most > 0 {
			b.H = float64(b.Ends) / float64(most)
		}
		b.Y = 1 - b.H
		b.Label = b.Day.Weekday() == time.Monday || i == 0
		b.Weekend = b.Day.Weekday() == time.Saturday || b.Day.Weekday() == time.Sunday
		b.Mark = b.Ends > 0 && b.Ends == most
	}
	return bars, total, nil
}
