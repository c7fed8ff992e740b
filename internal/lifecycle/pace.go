package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// PaceStore is what the watch over the loop's pace needs of a database. *db.Store fits.
type PaceStore interface {
	// Closings says what waits to be closed now, and how many engagements end in each minute up to until.
	Closings(ctx context.Context, now, until time.Time) (contractor.Closings, error)
	Setting(ctx context.Context, key string) ([]byte, error)
	SetSetting(ctx context.Context, key string, value []byte, events ...audit.Event) error
}

// PaceConfig configures a Pace. Store and Logger are required.
type PaceConfig struct {
	Store  PaceStore
	Logger *slog.Logger
	Every  time.Duration // between two looks. Default 15 s
	// Late is how long an end may wait to be closed before it is an alarm. Default 1 min.
	Late time.Duration
	// Ahead is how far the watch looks ahead. Default 24 h.
	Ahead time.Duration
	// PerMinute is how many doors the loop closes in a minute. Default 600: Entra takes twenty writes a second, and a door costs two.
	PerMinute int
	// Tolerable is the delay of a door, forecast from the ends that are known, from which it is an alarm. Default 15 min.
	Tolerable time.Duration
}

// Pace raises an alarm when the loop falls behind: when an end waits to be closed, and before that, when more contracts end at a time
// than Entra's quota lets close in time. Grants with an end of their own in Entra end on time all the same.
type Pace struct {
	PaceConfig
	mu   sync.Mutex
	last contractor.PaceReport
}

const paceSetting = "loop.pace"

// NewPace checks the configuration and fills the defaults.
func NewPace(c PaceConfig) (*Pace, error) {
	if c.Store == nil || c.Logger == nil || c.Every < 0 || c.Late < 0 || c.Ahead < 0 || c.Tolerable < 0 || c.PerMinute < 0 {
		return nil, errors.New("lifecycle: the watch over the loop's pace needs Store and Logger, and nothing negative")
	}
	c.Every, c.Late = orDefault(c.Every, 15*time.Second), orDefault(c.Late, time.Minute)
	c.Ahead, c.Tolerable = orDefault(c.Ahead, 24*time.Hour), orDefault(c.Tolerable, 15*time.Minute)
	c.PerMinute = orDefault(c.PerMinute, 600)
	return &Pace{PaceConfig: c}, nil
}

// Run looks until ctx ends.
func (p *Pace) Run(ctx context.Context) error {
	for {
		if _, err := p.Look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			p.Logger.Error("the loop's pace cannot be read; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(p.Every):
		}
	}
}

// Report is what the last look found.
func (p *Pace) Report() contractor.PaceReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Look looks once. An alarm is journaled when it is raised, when it changes its kind, and when it is over.
func (p *Pace) Look(ctx context.Context, now time.Time) (contractor.PaceReport, error) {
	now = now.UTC()
	c, err := p.Store.Closings(ctx, now, now.Add(p.Ahead))
	if err != nil {
		return contractor.PaceReport{}, err
	}
	r := p.judge(now, c)
	p.mu.Lock()
	p.last = r
	p.mu.Unlock()
	before, err := p.Store.Setting(ctx, paceSetting)
	if err != nil || string(before) == string(r.Alarm) {
		return r, err
	}
	e := audit.Event{Kind: "loop." + string(r.Alarm), Actor: audit.Actor{Kind: audit.ActorClock}, Outcome: audit.Failed, Reason: r.Words}
	if r.Alarm == "" {
		e.Kind, e.Outcome, e.Reason = "loop.on_time", audit.Done, "no end waits, and none will wait longer than "+p.Tolerable.String()
		p.Logger.Info("the loop is on time again")
	} else {
		p.Logger.Error("the loop falls behind", "alarm", string(r.Alarm), "problem", r.Words)
	}
	return r, p.Store.SetSetting(ctx, paceSetting, []byte(r.Alarm), e)
}

// judge is pure: what is wrong now comes before what will be.
func (p *Pace) judge(now time.Time, c contractor.Closings) contractor.PaceReport {
	r := contractor.PaceReport{At: now, Waiting: c.Waiting}
	if !c.Oldest.IsZero() && now.After(c.Oldest) {
		r.Lag = now.Sub(c.Oldest)
	}
	var wave int
	r.Delay, r.WaveAt, wave = forecast(now, c, p.PerMinute)
	switch {
	case r.Lag > p.Late:
		r.Alarm = contractor.PaceBehind
		r.Words = fmt.Sprintf("%d people wait to be closed, the oldest for %s; look at Entra's last error and the quota in scimbridge status", c.Waiting, contractor.Lasting(r.Lag.Round(time.Second)))
	case r.Delay > p.Tolerable:
		r.Alarm = contractor.PaceWave
		r.Words = fmt.Sprintf("%d contracts end around %s, and Entra's quota lets the last door close %s later (grants with an end in Entra end on time); spread the ends, or ask Microsoft for more quota",
			wave, r.WaveAt.Format(time.RFC3339), contractor.Lasting(r.Delay.Round(time.Minute)))
	}
	return r
}

// forecast follows the queue of doors minute by minute: the longest delay, the minute in which the queue that leads to it began, and
// how many ends were in it.
func forecast(now time.Time, c contractor.Closings, perMinute int) (worst time.Duration, from time.Time, ends int) {
	queue, since, began := c.Waiting, c.Waiting, now
	last := now
	for _, m := range c.Minutes {
		if free := int(m.Minute.Sub(last).Minutes()) * perMinute; free > 0 {
			queue = max(queue-free, 0)
		}
		if queue == 0 {
			since, began = 0, m.Minute
		}
		queue, since, last = queue+m.Ends, since+m.Ends, m.Minute
		if d := time.Duration(queue) * time.Minute / time.Duration(perMinute); d > worst {
			worst, from, ends = d, began, since
		}
	}
	return worst, from, ends
}
