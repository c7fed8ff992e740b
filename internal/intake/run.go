package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// run is the import of one file.
type run struct {
	*Importer
	sheet   *sheet
	table   *table
	columns *columns
	meter   *meter
	begun   time.Time
	prolong func(context.Context) error

	report *Report
	state  contractor.ImportState
	from   int // lines up to this one were done by an import that was interrupted
	had    seen
	blind  string // why it cannot be known who is in the file; "": it can

	saved     time.Time // when state was stored
	shown     time.Time
	sinceFrom int // records since this process began
}

// outcome is what became of an item.
type outcome struct {
	seq, line int
	result    contractor.FeedResult
	problem   *lineError
	skipped   bool // done before
	blind     bool // whom it is about cannot be known
}

// do imports: one goroutine reads, some hand records to the door, this one notes what became of them.
func (r *run) do(ctx context.Context) error {
	if err := r.resume(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs, results := make(chan item, 4*r.Workers), make(chan outcome, 4*r.Workers)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { defer close(jobs); return r.read(gctx, jobs) })
	workers, wctx := errgroup.WithContext(gctx)
	limit := rate.NewLimiter(rate.Inf, 1)
	if r.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(r.Rate), r.Workers)
	}
	for range r.Workers {
		workers.Go(func() error { return r.work(wctx, limit, jobs, results) })
	}
	g.Go(func() error { defer close(results); return workers.Wait() })
	noteErr := r.collect(ctx, results)
	if noteErr != nil {
		cancel()
	}
	for range results { //nolint:revive // until the workers have ended
	}
	err := g.Wait()
	if noteErr != nil {
		err = noteErr
	}
	if err != nil {
		if !r.Dry {
			_ = r.Store.SaveImport(context.WithoutCancel(ctx), r.state) // what is not noted is done again, and changes nothing
		}
		return err
	}
	return r.finish(ctx)
}

// resume finds out how far an earlier import of the same file, read in the same way, has come.
func (r *run) resume(ctx context.Context) error {
	way, err := r.way(r.sheet.hash)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	r.state = contractor.ImportState{Vendor: r.Vendor.Name, File: way, Begun: now}
	if r.Dry {
		return nil
	}
	old, err := r.Store.ImportState(ctx, r.Vendor.Name, way)
	if err != nil {
		return err
	}
	if old.Line > 0 && !old.Done && !r.Again {
		r.from, r.report.Resumed = old.Line, old.Line
		if r.Full { // who is in the file has to be found out anew: records that are done come out unchanged
			r.from = 0
		} else {
			r.state = old
		}
	}
	r.saved = now
	return r.Store.SaveImport(ctx, r.state, r.event("import.begun", audit.Intended, map[string]any{"resumedAfterLine": r.report.Resumed, "full": r.Full}))
}

// event is a line of the journal about the whole file.
func (r *run) event(kind string, o audit.Outcome, more map[string]any) audit.Event {
	more["file"], more["sha256"] = filepath.Base(r.sheet.name), r.sheet.hash
	b, err := json.Marshal(more)
	if err != nil {
		b = nil
	}
	return audit.Event{Kind: kind, Actor: r.Actor, Outcome: o, Vendor: r.Vendor.Name, Detail: b}
}

// read makes items of the file's rows.
func (r *run) read(ctx context.Context, jobs chan<- item) error {
	seed := maphash.MakeSeed()
	first := map[uint64]int{} // hash of a key -> its line
	last := 1
	for seq := 0; ; {
		row, err := r.table.next()
		var wrong *lineError
		var it item
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &wrong):
			it = item{line: wrong.line, wrong: wrong}
		case err != nil:
			return fmt.Errorf("%s: behind line %d: %w", r.sheet.name, last, err)
		case row.empty():
			continue
		default:
			it = r.columns.item(&row)
		}
		last = it.line
		it.blind = it.wrong != nil
		if it.key != "" {
			h := maphash.String(seed, it.key)
			if before, twice := first[h]; twice {
				it.wrong = &lineError{it.line, it.places["externalId"], fmt.Sprintf("%s is the same as in line %d; a row for each contract, each with its own %s", r.columns.key, before, r.columns.key)}
			} else {
				first[h] = it.line
			}
		}
		it.seq, seq = seq, seq+1
		select {
		case jobs <- it:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// work hands records to the door.
func (r *run) work(ctx context.Context, limit *rate.Limiter, jobs <-chan item, results chan<- outcome) error {
	for it := range jobs {
		out := outcome{seq: it.seq, line: it.line, problem: it.wrong, skipped: it.line <= r.from, blind: it.blind}
		if it.wrong == nil && !out.skipped {
			if err := limit.Wait(ctx); err != nil {
				return err
			}
			var err error
			if out.result, err = r.put(ctx, &it); err != nil {
				e := refusal(err)
				if e == nil {
					return fmt.Errorf("%s:%d: %w", r.sheet.name, it.line, err)
				}
				out.problem = &lineError{it.line, it.places[e.Path], said(e)}
			}
		}
		select {
		case results <- out:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// said is the sentence of a refusal, with the attribute where it names none.
func said(e *contractor.Error) string {
	if e.Path == "" {
		return e.Message
	}
	return strings.TrimPrefix(e.Path, contractor.ExtensionURN+":") + ": " + e.Message
}

// base is the file's own name as JSON.
func (r *run) base() []byte {
	b, err := json.Marshal(filepath.Base(r.sheet.name))
	if err != nil {
		return []byte(`""`)
	}
	return b
}

// putAttempts is how often a record is tried that a busy store did not take.
const putAttempts = 5

func (r *run) put(ctx context.Context, it *item) (result contractor.FeedResult, err error) {
	origin := fmt.Appendf(nil, `{"file":%s,"sha256":"%s","line":%d}`, r.base(), r.sheet.hash, it.line)
	for n := range putAttempts {
		result, err = r.Feed.Put(ctx, contractor.FeedRecord{Body: it.body, Origin: origin})
		var e *contractor.Error
		if !errors.As(err, &e) || e.Code != contractor.CodeUnavailable && e.Code != contractor.CodeTooMany {
			return result, err
		}
		select {
		case <-time.After(time.Second << n):
		case <-ctx.Done():
			return result, ctx.Err()
		}
	}
	return result, err
}

// saveEvery is how often it is noted how far the import is, which is also how much a killed one does again.
const saveEvery = 2 * time.Second

// collect counts outcomes, and notes how far all is done without a gap.
func (r *run) collect(ctx context.Context, results <-chan outcome) error {
	waiting := map[int]outcome{}
	next := 0
	for out := range results {
		waiting[out.seq] = out
		for {
			o, ok := waiting[next]
			if !ok {
				break
			}
			delete(waiting, next)
			next++
			r.note(&o)
		}
		now := time.Now()
		if now.Sub(r.shown) > 200*time.Millisecond {
			r.show(now)
		}
		if !r.Dry && now.Sub(r.saved) > saveEvery {
			r.saved = now
			if err := r.prolong(ctx); err != nil {
				return err
			}
			if err := r.Store.SaveImport(ctx, r.state); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) note(o *outcome) {
	if o.skipped {
		return
	}
	r.sinceFrom++
	r.state.Line = max(r.state.Line, o.line)
	r.state.Counts.Read++
	r.had.add(o.result.Engagement)
	if o.problem == nil {
		r.state.Counts.Add(o.result.Outcome)
		return
	}
	r.state.Counts.Refused++
	if o.blind {
		r.blind = fmt.Sprintf("line %d cannot be read, and may be about anybody", o.line)
	}
	p := Problem{r.sheet.name, o.problem.line, o.problem.column, o.problem.message}
	if len(r.report.Problems) < maxProblems {
		r.report.Problems = append(r.report.Problems, p)
	}
	r.Problem(p)
}

func (r *run) show(now time.Time) {
	r.shown = now
	p := Progress{Read: min(r.meter.n.Load(), r.sheet.size), Size: r.sheet.size, Counts: r.state.Counts}
	if took := now.Sub(r.begun); took > time.Second && p.Read > 0 {
		p.Rate = float64(r.sinceFrom) / took.Seconds()
		p.Left = time.Duration(float64(took) * float64(p.Size-p.Read) / float64(p.Read))
	}
	r.Progress(p)
}

// finish ends who is not in the file, where that was asked for, and tells the journal.
func (r *run) finish(ctx context.Context) error {
	r.show(time.Now())
	if r.Full {
		if err := r.endAbsent(ctx); err != nil {
			return err
		}
	}
	if r.Dry {
		return nil
	}
	r.state.Done = true
	return r.Store.SaveImport(ctx, r.state, r.event("import.done", audit.Done, map[string]any{
		"counts": r.state.Counts, "full": r.Full, "absent": r.report.Absent, "doubt": r.report.Doubt,
	}))
}

func (r *run) endAbsent(ctx context.Context) error {
	c := &r.state.Counts
	if r.report.Doubt = doubtful(c.Read, c.Refused); r.report.Doubt == "" {
		r.report.Doubt = r.blind
	}
	if r.report.Doubt != "" {
		return nil
	}
	before := c.Ended + c.Held
	a := absence{
		feed: r.Feed, guards: r.Store, vendor: r.Vendor, overall: r.Overall, now: time.Now(), prolong: func(ctx context.Context) error {
			if r.Dry {
				return nil
			}
			return r.prolong(ctx)
		},
		reason: "the file of all contracts does not have it", origin: fmt.Appendf(nil, `{"file":%s,"sha256":"%s","absent":true}`, r.base(), r.sheet.hash),
	}
	why, err := a.end(ctx, r.had, c)
	r.report.Absent, r.report.Held = c.Ended+c.Held-before, why
	return err
}
