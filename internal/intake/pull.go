package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// PullConfig is what a Puller needs.
type PullConfig struct {
	Store   PullStore                                                  // required
	Vendors func(name string) (*contractor.Vendor, bool)               // required: the mapping in force
	Paused  func(ctx context.Context, vendor string) (bool, error)     // required
	Feed    func(vendor string, a audit.Actor, dry bool) (Feed, error) // required
	Overall func() contractor.Guard                                    // required: over all vendors
	Logger  *slog.Logger                                               // required
	Sources map[string]*Source                                         // by vendor; the Puller fills their defaults
	By      string                                                     // required: who holds the claims, such as the machine and the process
}

// Puller reads vendors' SCIM servers.
type Puller struct{ PullConfig }

// NewPuller makes a Puller. It refuses missing parts and sources that cannot work.
func NewPuller(c PullConfig) (*Puller, error) {
	switch {
	case c.Store == nil:
		return nil, errors.New("intake: no Store")
	case c.Vendors == nil || c.Paused == nil || c.Feed == nil || c.Overall == nil:
		return nil, errors.New("intake: no Vendors, Paused, Feed or Overall")
	case c.Logger == nil:
		return nil, errors.New("intake: no Logger")
	case c.By == "":
		return nil, errors.New("intake: no By")
	}
	for _, name := range sortedKeys(c.Sources) {
		if c.Sources[name] == nil {
			return nil, fmt.Errorf("intake: no source of %s", name)
		}
		if err := c.Sources[name].check(); err != nil {
			return nil, fmt.Errorf("%w (vendor %s)", err, name)
		}
	}
	return &Puller{c}, nil
}

// Names are the vendors that have a source.
func (p *Puller) Names() []string { return sortedKeys(p.Sources) }

// Round says how one round is made.
type Round struct {
	Full bool // a whole reading, although a delta would do
	Dry  bool // nothing is written, and nothing is remembered
	By   audit.Actor
}

// RoundReport is what a round came to.
type RoundReport struct {
	Vendor   string                `json:"vendor"`
	URL      string                `json:"url"`
	Mode     string                `json:"mode"` // full, delta, or unchanged: the server said so
	DryRun   bool                  `json:"dryRun,omitempty"`
	Counts   contractor.FeedCounts `json:"counts"`
	Total    int                   `json:"total"`           // as the server says, -1 if it does not
	Absent   int                   `json:"absent"`          // ended or held for being missing
	Held     string                `json:"held,omitempty"`  // the guard's word on them
	Doubt    string                `json:"doubt,omitempty"` // why nobody was ended for being missing
	Error    string                `json:"error,omitempty"`
	Problems []RecordProblem       `json:"problems"` // the first ones
	Seconds  float64               `json:"seconds"`
}

// RecordProblem is a User that was refused.
type RecordProblem struct {
	ID      string `json:"id"` // the server's
	Message string `json:"message"`
}

// The modes of a round.
const (
	modeFull      = "full"
	modeDelta     = "delta"
	modeUnchanged = "unchanged"
)

// failuresToAlarm is how many rounds in a row must fail before somebody is called: one may be the network.
const failuresToAlarm = 3

// Pull makes one round with a vendor's server. A round that fails is told in the report and remembered; nobody is ended by it.
// The error is for what is not the server's doing.
func (p *Puller) Pull(ctx context.Context, name string, r Round) (*RoundReport, error) {
	s, ok := p.Sources[name]
	if !ok {
		return nil, contractor.Errorf(contractor.CodeNotFound, "there is no pull.%s in scimbridge.yaml", name)
	}
	v, ok := p.Vendors(name)
	if !ok {
		return nil, contractor.Errorf(contractor.CodeNotFound, "vendor %q is not in the mapping", name)
	}
	paused, err := p.Paused(ctx, name)
	if err != nil {
		return nil, err
	}
	if paused {
		return nil, contractor.Errorf(contractor.CodeForbidden, "vendor %s is paused; let it go on with: scimbridge vendor resume %s --reason TEXT", name, name)
	}
	feed, err := p.Feed(name, audit.Actor{Kind: audit.ActorVendor, Name: name}, r.Dry)
	if err != nil {
		return nil, err
	}
	state, err := p.Store.PullState(ctx, name)
	if err != nil {
		return nil, err
	}
	if !r.Dry {
		if err := p.claim(ctx, name); err != nil {
			return nil, err
		}
		defer p.Store.ReleaseFeed(context.WithoutCancel(ctx), name, p.By) //nolint:errcheck // it ends by itself
	}
	k := &reading{
		puller: p, source: s, vendor: v, feed: feed, round: r, state: state, had: seen{}, unique: map[[16]byte]struct{}{},
		begun: time.Now().UTC().Truncate(time.Microsecond), report: &RoundReport{Vendor: name, URL: s.URL, DryRun: r.Dry, Total: -1, Problems: []RecordProblem{}},
	}
	if state.URL != s.URL { // another server's watermark says nothing
		k.state = contractor.PullState{Vendor: name, URL: s.URL}
	}
	err = k.do(ctx)
	k.report.Seconds = time.Since(k.begun).Seconds()
	if err != nil && ctx.Err() != nil {
		return k.report, ctx.Err()
	}
	if err != nil {
		k.report.Error = sentence(err)
	}
	if r.Dry {
		return k.report, nil
	}
	return k.report, k.remember(ctx, err)
}

func (p *Puller) claim(ctx context.Context, vendor string) error {
	return p.Store.ClaimFeed(ctx, vendor, p.By, time.Now(), claimFor)
}

// sentence is an error for people: of ours its own words, of anything else no more than that it was.
func sentence(err error) string {
	if e, ok := errors.AsType[*contractor.Error](err); ok {
		return said(e)
	}
	return err.Error()
}

// remember stores how the round went, and tells journal and alarms.
func (k *reading) remember(ctx context.Context, failed error) error {
	st := &k.state
	wasFailing, wasDoubt := st.Failures, st.Doubt
	st.URL, st.Started, st.Mode, st.Counts, st.Doubt = k.source.URL, k.begun, k.report.Mode, k.report.Counts, k.report.Doubt
	var events []audit.Event
	var alarms []contractor.Alarm
	if failed != nil {
		st.Error = k.report.Error
		if st.Failures++; st.Failures == 1 {
			st.Since = k.begun
			events = append(events, k.event("pull.failed", audit.Failed, k.report.Error))
		}
		e, _ := errors.AsType[*contractor.Error](failed)
		if st.Failures >= failuresToAlarm || e != nil && e.Code == contractor.CodeUnauthorized {
			alarms = append(alarms, k.alarm(contractor.AlarmFeedFailed, contractor.SeverityWarning,
				fmt.Sprintf("the server of vendor %s could not be read since %s: %s", k.vendor.Name, st.Since.Format(time.RFC3339), k.report.Error), "scimbridge pull --vendor "+k.vendor.Name+" --dry-run"))
		}
	} else {
		st.Error, st.Since, st.Failures, st.Finished = "", time.Time{}, 0, time.Now().UTC().Truncate(time.Microsecond)
		if k.report.Mode != modeUnchanged && (k.report.Counts.Wrote() || k.report.Mode == modeFull || wasFailing > 0) {
			events = append(events, k.event("pull.done", audit.Done, ""))
		}
	}
	if k.report.Held != "" {
		alarms = append(alarms, k.alarm(contractor.AlarmFeedHeld, contractor.SeverityWarning,
			fmt.Sprintf("the server of vendor %s has %d contracts no more, more than the guard allows; all their ends are held: %s", k.vendor.Name, k.report.Absent, k.report.Held), "scimbridge hold list"))
	}
	if k.report.Doubt != "" && k.source.Absent && wasDoubt != "" { // twice in a row: once may be a change while it was read
		alarms = append(alarms, k.alarm(contractor.AlarmFeedDoubt, contractor.SeverityNotice,
			fmt.Sprintf("nobody is ended for being missing at the server of vendor %s, for its lists are in doubt: %s", k.vendor.Name, k.report.Doubt), "scimbridge pull --vendor "+k.vendor.Name+" --full --dry-run"))
	}
	return k.puller.Store.SavePull(context.WithoutCancel(ctx), *st, events, alarms)
}

func (k *reading) alarm(kind contractor.AlarmKind, severity contractor.Severity, words, next string) contractor.Alarm {
	return contractor.Alarm{
		Key: string(kind) + "/" + k.vendor.Name, Kind: kind, Severity: severity, Vendor: k.vendor.Name, Words: words, Next: next,
		First: k.begun, Last: k.begun, Evidence: []contractor.Evidence{{At: k.begun, Words: words}},
	}
}

func (k *reading) event(kind string, o audit.Outcome, reason string) audit.Event {
	b, err := json.Marshal(map[string]any{
		"url": k.source.URL, "mode": k.report.Mode, "counts": k.report.Counts, "total": k.report.Total, "absent": k.report.Absent, "doubt": k.report.Doubt, "held": k.report.Held,
	})
	if err != nil {
		b = nil
	}
	return audit.Event{Kind: kind, Actor: k.round.By, Outcome: o, Reason: reason, Vendor: k.vendor.Name, Detail: b}
}

// Run pulls from every source in its turn until ctx ends. What a round says goes into the store and the log.
func (p *Puller) Run(ctx context.Context) error {
	done := make(chan struct{})
	names := p.Names()
	for _, name := range names {
		go func() {
			p.keep(ctx, name)
			done <- struct{}{}
		}()
	}
	for range names {
		<-done
	}
	<-ctx.Done()
	return nil
}

// longestSleep is the longest that is slept at once: a machine that was suspended stretches timers.
const longestSleep = time.Minute

// keep pulls from one source whenever it is due.
func (p *Puller) keep(ctx context.Context, name string) {
	log := p.Logger.With("vendor", name)
	var refused string
	for {
		wait := longestSleep
		st, err := p.Store.PullState(ctx, name)
		if err == nil {
			wait = time.Until(p.due(name, &st))
		}
		if wait <= 0 && err == nil {
			refused = p.roundAndLog(ctx, log, name, refused)
			wait = longestSleep
			if refused == "" {
				continue
			}
		}
		select {
		case <-time.After(min(max(wait, time.Second), longestSleep)):
		case <-ctx.Done():
			return
		}
	}
}

// due is when the next round is: after a failure sooner than else, at first.
func (p *Puller) due(name string, st *contractor.PullState) time.Time {
	s := p.Sources[name]
	if st.Started.IsZero() || st.URL != s.URL {
		return time.Time{}
	}
	if st.Failures > 0 {
		return st.Started.Add(min(s.Every, time.Minute<<min(st.Failures-1, 10)))
	}
	return st.Started.Add(s.Every)
}

// roundAndLog makes a round; what it answers says why none could be made, and is logged once.
func (p *Puller) roundAndLog(ctx context.Context, log *slog.Logger, name, before string) (refused string) {
	r, err := p.Pull(ctx, name, Round{By: audit.Actor{Kind: audit.ActorBridge, Name: "pull"}})
	switch {
	case ctx.Err() != nil:
		return "stopping"
	case err != nil:
		if refused = sentence(err); refused != before {
			log.Warn("the vendor's server was not asked", "error", refused)
		}
		return refused
	case r.Error != "":
		log.Warn("the vendor's server could not be read; nobody is ended by that", "error", r.Error)
	case r.Counts.Wrote() || r.Doubt != "" || r.Counts.Refused > 0:
		c := &r.Counts
		log.Info("pulled", "mode", r.Mode, "read", c.Read, "created", c.Created, "changed", c.Changed, "ended", c.Ended, "held", c.Held, "refused", c.Refused, "doubt", r.Doubt)
	}
	return ""
}

// Overdue names the sources whose rounds fail, for the status: a sentence each.
func Overdue(states []contractor.PullState, configured []string) (trouble []string) {
	for i := range states {
		st := &states[i]
		if st.Failures > 0 && slices.Contains(configured, st.Vendor) {
			trouble = append(trouble, fmt.Sprintf("the server of vendor %s cannot be read since %s: %s; nobody is ended by that; try scimbridge pull --vendor %s --dry-run",
				st.Vendor, st.Since.UTC().Format("2006-01-02 15:04"), st.Error, st.Vendor))
		}
	}
	return trouble
}
