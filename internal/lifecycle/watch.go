package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// WatchStore is what the watch needs of a database. *db.Store fits.
type WatchStore interface {
	ActivityMark(ctx context.Context, log contractor.ActivityLog) (contractor.ActivityMark, error)
	// WatchedGuests finds those of the Entra object ids that are guests of ours, by id.
	WatchedGuests(ctx context.Context, ids []string, now time.Time) (map[string]contractor.WatchedGuest, error)
	// NewActivity returns those of the entries that are not stored yet, each once.
	NewActivity(ctx context.Context, entries []contractor.Activity) ([]contractor.Activity, error)
	// RecordActivity stores a batch whole or not at all and returns the alarms that were not open yet, each journaled in the
	// same transaction.
	RecordActivity(ctx context.Context, b contractor.ActivityBatch) ([]contractor.Alarm, error)
	ActivitySince(ctx context.Context, person string, log contractor.ActivityLog, since time.Time, limit int) ([]contractor.Activity, error)
	// PruneActivity deletes what is beyond the bounds; full: entries went for their number alone.
	PruneActivity(ctx context.Context, log contractor.ActivityLog, b contractor.ActivityBounds, now time.Time) (deleted int64, full bool, err error)
	NeverAccepted(ctx context.Context, before, now time.Time, limit int) ([]contractor.WatchedGuest, error)
	ClosedSince(ctx context.Context, since, now time.Time, limit int) ([]contractor.WatchedGuest, error)
	ManagedPolicies(ctx context.Context) ([]contractor.CAManaged, error)
	// AlarmsFor lists alarms that were not handed to a sink yet; AlarmDelivered notes that one was.
	AlarmsFor(ctx context.Context, sink string, since time.Time, limit int) ([]contractor.Alarm, error)
	AlarmDelivered(ctx context.Context, sink, id string) error
}

// ActivityReader reads the tenant's logs. *entra.Client fits.
type ActivityReader interface {
	// Activity reads a page of a log between two instants, or the page that more leads to. Entries may come late, in any
	// order, and more than once.
	Activity(ctx context.Context, log contractor.ActivityLog, from, to time.Time, guest, more string) (entries []contractor.Activity, next string, err error)
	// LastSuccess is when the guest last got in or renewed a token; zero if never.
	LastSuccess(ctx context.Context, guestID string) (time.Time, error)
}

// AlarmSink takes alarms out of the house: mail, a webhook. It is called at least once for each alarm, with the same ID each
// time, in the order in which they were raised; an error makes it be called again at the next pass.
type AlarmSink interface {
	Name() string // stays the same across restarts
	Alarm(ctx context.Context, a contractor.Alarm) error
}

// WatchConfig of a watch. Store, Reader, Logger and AppID are required.
type WatchConfig struct {
	Store  WatchStore
	Reader ActivityReader
	Logger *slog.Logger
	// AppID tells the application id of the bridge, whose own changes raise no alarm. It is asked until it answers; before
	// that nothing is read. *entra.Client's AppID fits.
	AppID func(ctx context.Context) (string, error)

	// TrustedApps are further application ids whose changes raise no alarm, such as the HR system's.
	TrustedApps []string
	// Forbids names the declared policies that would have blocked a sign-in, and says whether one of them is enforced. Nil:
	// no policies are declared.
	Forbids func(a contractor.Activity, groups []string) (policies []string, enforced bool)
	// Sinks get every alarm besides the log and the journal.
	Sinks []AlarmSink
	// OnAlarm, if not nil, is told of every alarm raised, for the metrics.
	OnAlarm func(contractor.Alarm)
	// OnPass, if not nil, is told how each pass ended, for the metrics: entries stored, and how far the logs were read.
	OnPass func(WatchPass)
	// Skew tells how far this machine's clock is ahead of Entra's, and whether that is known. Nil: never known.
	Skew func() (ahead time.Duration, known bool)

	// Every is the time between passes. Default 10 min: each pass reads the overlap again, so that with these defaults an entry is
	// read some seven times, sweeps included.
	Every time.Duration
	// Overlap is how far back each pass reads again what was read before, since entries come late: minutes mostly, half an hour
	// on a bad day (graph.md 5.2). Default 45 min.
	Overlap time.Duration
	// SweepEvery and SweepBack: how often the log is read far back for what came later still. Default once a day, 48 h back;
	// SweepEvery negative: never.
	SweepEvery, SweepBack time.Duration
	FirstLook             time.Duration             // how far back the very first pass reads. Default 24 h
	Slice                 time.Duration             // how much of a log is read before the progress is noted. Default 1 h
	Retention             time.Duration             // how long the tenant keeps its logs. Default 30 d (7 d without P1: graph.md 5.2)
	Bounds                contractor.ActivityBounds // what is kept. Default 90 d and 200,000 entries of each log

	Slack         time.Duration // an event this soon after the end is no alarm: clocks and closing take their time. Default 2 min
	NeverAccepted time.Duration // after an invitation. Default 14 d
	QuietEvery    time.Duration // how often invitations and renewed tokens are looked at. Default 1 h
	TokenWatch    time.Duration // how long after the closing renewed tokens are looked for. Default 48 h
	MFAFailures   Burst         // default 5 in 15 min
	RiskySignIns  Burst         // default 3 in 24 h; one at high risk that worked is enough
}

// Burst is so many events in so long a time.
type Burst struct {
	Count  int
	Within time.Duration
}

// WatchPass is how a pass ended.
type WatchPass struct {
	Stored  int // entries about our guests that were new
	Raised  int // alarms
	Through map[contractor.ActivityLog]time.Time
	Took    time.Duration
	Err     error
}

// Watch pulls what the tenant's logs say about our guests, keeps it for a while, and raises alarms. It has a loop of its own:
// nothing of it stands in the way of the loop that keeps the tenant in agreement.
//
// No entry is lost and none counts twice, across restarts and late arrivals:
//
//	     floor          through - overlap        through      now
//	───────┼───────────────────┼────────────────────┼──────────┼──>
//	  never read again         └── each pass reads this again ─┘
//
// A pass reads slices, oldest first. Each page is stored in one transaction, an entry that is there already is passed over, and
// alarms are worked out for new entries alone, in that transaction. Only when the last page of a slice is stored does through
// move. What comes later than the overlap is found by the daily sweep, which does the same from further back. Pruning raises the
// floor to what it deleted, so that nothing comes back as new.
type Watch struct {
	WatchConfig
	kick  chan struct{}
	quiet time.Time // last look at invitations and tokens
	prune time.Time
	told  string    // the error that was logged last
	app   string    // our own application id, once known
	noUse time.Time // until when signInActivity is not asked: a permission or licence is missing
}

// NewWatch checks the configuration and fills the defaults.
func NewWatch(c WatchConfig) (*Watch, error) {
	if c.Store == nil || c.Reader == nil || c.Logger == nil || c.AppID == nil {
		return nil, errors.New("lifecycle: the watch needs Store, Reader, Logger and AppID")
	}
	names := map[string]bool{}
	for _, s := range c.Sinks {
		if s == nil || s.Name() == "" || names[s.Name()] {
			return nil, errors.New("lifecycle: every sink of alarms needs a name of its own")
		}
		names[s.Name()] = true
	}
	day := 24 * time.Hour
	c.Every = orDefault(c.Every, 10*time.Minute)
	c.Overlap = orDefault(c.Overlap, 45*time.Minute)
	c.SweepEvery = orDefault(c.SweepEvery, day)
	c.SweepBack = orDefault(c.SweepBack, 2*day)
	c.FirstLook = orDefault(c.FirstLook, day)
	c.Slice = orDefault(c.Slice, time.Hour)
	c.Retention = orDefault(c.Retention, 30*day)
	c.Bounds.For = orDefault(c.Bounds.For, 90*day)
	c.Bounds.Rows = orDefault(c.Bounds.Rows, 200_000)
	c.Slack = orDefault(c.Slack, 2*time.Minute)
	c.NeverAccepted = orDefault(c.NeverAccepted, 14*day)
	c.QuietEvery = orDefault(c.QuietEvery, time.Hour)
	c.TokenWatch = orDefault(c.TokenWatch, 2*day)
	c.MFAFailures = orDefault(c.MFAFailures, Burst{5, 15 * time.Minute})
	c.RiskySignIns = orDefault(c.RiskySignIns, Burst{3, day})
	for _, d := range []time.Duration{c.Every, c.Overlap, c.SweepBack, c.FirstLook, c.Slice, c.Retention, c.Bounds.For, c.Slack, c.NeverAccepted, c.QuietEvery, c.TokenWatch, c.MFAFailures.Within, c.RiskySignIns.Within} {
		if d < 0 {
			return nil, errors.New("lifecycle: durations of the watch cannot be negative")
		}
	}
	if c.Bounds.For <= c.Overlap || c.Bounds.For <= c.SweepBack {
		return nil, errors.New("lifecycle: activity must be kept longer than it is read back, or entries would come back as new")
	}
	if c.MFAFailures.Count < 1 || c.RiskySignIns.Count < 1 || c.Bounds.Rows < 1 {
		return nil, errors.New("lifecycle: counts of the watch must be at least 1")
	}
	return &Watch{WatchConfig: c, kick: make(chan struct{}, 1)}, nil
}

// Wake makes a pass begin now. It never blocks.
func (w *Watch) Wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Run makes passes until ctx ends. Only one watch may run on a store.
func (w *Watch) Run(ctx context.Context) error {
	for {
		w.report(w.Pass(ctx))
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		timer := time.NewTimer(w.Every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-w.kick:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// report logs a failure once until it changes: a missing licence is not news every ten minutes.
func (w *Watch) report(p WatchPass) {
	if w.OnPass != nil {
		w.OnPass(p)
	}
	if p.Err == nil || errors.Is(p.Err, context.Canceled) {
		if w.told != "" && p.Err == nil {
			w.Logger.Info("activity is read again")
			w.told = ""
		}
		return
	}
	if text := reason(p.Err); text != w.told {
		w.told = text
		w.Logger.Error("activity could not be read whole; trying again", "error", p.Err)
	}
}

// reason is an error without what differs each time.
func reason(err error) string {
	if f, ok := errors.AsType[*contractor.Failure](err); ok {
		return f.Op + ": " + f.Message
	}
	return err.Error()
}

// Pass reads both logs up to now, looks at what stays silent, hands alarms on and prunes. A part that fails leaves the others to
// do their work.
func (w *Watch) Pass(ctx context.Context) WatchPass {
	ctx = contractor.WithPriority(ctx, contractor.PrioritySweep)
	began := time.Now()
	now := began.UTC()
	if w.Skew != nil {
		if ahead, known := w.Skew(); known {
			now = now.Add(-ahead)
		}
	}
	p := WatchPass{Through: map[contractor.ActivityLog]time.Time{}}
	if w.app == "" {
		if w.app, p.Err = w.AppID(ctx); p.Err != nil {
			p.Took = time.Since(began)
			return p
		}
	}
	var errs []error
	for _, log := range []contractor.ActivityLog{contractor.LogSignIns, contractor.LogAudits} {
		errs = append(errs, w.read(ctx, log, now, &p))
	}
	if now.Sub(w.quiet) >= w.QuietEvery {
		err := w.lookAtSilence(ctx, now, &p)
		if err == nil {
			w.quiet = now
		}
		errs = append(errs, err)
	}
	errs = append(errs, w.deliver(ctx, now))
	if now.Sub(w.prune) >= w.QuietEvery {
		errs = append(errs, w.pruneAll(ctx, now, &p))
		w.prune = now
	}
	p.Took, p.Err = time.Since(began), errors.Join(errs...)
	return p
}

// deliverDays is how old an alarm may be that is still handed on: a sink that was broken for a week is told nothing of before.
const deliverDays = 7

// deliverBatch bounds what one pass hands to one sink.
const deliverBatch = 100

// deliverTimeout bounds one call of a sink.
const deliverTimeout = 30 * time.Second

// deliver hands alarms to the sinks. A sink that fails keeps its place and does not hold up the others.
func (w *Watch) deliver(ctx context.Context, now time.Time) error {
	var errs []error
	for _, s := range w.Sinks {
		list, err := w.Store.AlarmsFor(ctx, s.Name(), now.AddDate(0, 0, -deliverDays), deliverBatch)
		if err != nil {
			return err
		}
		for _, a := range list {
			call, cancel := context.WithTimeout(ctx, deliverTimeout)
			err := s.Alarm(call, a)
			cancel()
			if err != nil {
				errs = append(errs, fmt.Errorf("alarm %s could not be handed to %s: %w", a.ID, s.Name(), err))
				break
			}
			if err := w.Store.AlarmDelivered(ctx, s.Name(), a.ID); err != nil {
				return err
			}
		}
	}
	return errors.Join(errs...)
}

func (w *Watch) pruneAll(ctx context.Context, now time.Time, p *WatchPass) error {
	for _, log := range []contractor.ActivityLog{contractor.LogSignIns, contractor.LogAudits} {
		deleted, full, err := w.Store.PruneActivity(ctx, log, w.Bounds, now)
		if err != nil {
			return err
		}
		if deleted > 0 {
			w.Logger.Debug("activity pruned", "log", log, "deleted", deleted)
		}
		if !full {
			continue
		}
		a := contractor.Alarm{
			Key: "overflow/" + string(log), Kind: contractor.AlarmActivityOverflow, Severity: contractor.SeverityNotice, First: now, Last: now,
			Words:    fmt.Sprintf("the %s log of our guests has more than %d entries in %s: the oldest were deleted before their time", log, w.Bounds.Rows, days(w.Bounds.For)),
			Evidence: []contractor.Evidence{{At: now, ID: now.Format(time.DateOnly), Words: fmt.Sprintf("%d entries deleted", deleted)}},
			Next:     "raise watch.keep_rows in scimbridge.yaml, or lower watch.keep",
		}
		if err := w.record(ctx, contractor.ActivityBatch{Log: log, Alarms: []contractor.Alarm{a}}, p); err != nil {
			return err
		}
	}
	return nil
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return strings.TrimSuffix(d.String(), "0s")
}
