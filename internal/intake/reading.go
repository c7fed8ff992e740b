package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"scimbridge/internal/contractor"
)

// reading is one round with one server.
type reading struct {
	puller *Puller
	source *Source
	vendor *contractor.Vendor
	feed   Feed
	round  Round
	state  contractor.PullState
	begun  time.Time
	report *RoundReport

	can    abilities
	origin json.RawMessage
	mark   time.Time // the server's clock when the round began
	since  time.Time // of a delta
	etag   string    // of the first page
	pages  int

	mu     sync.Mutex // what follows is written by the records' goroutines
	had    seen
	unique map[[16]byte]struct{} // the server's ids
}

// atOnce is how many records of a page are handed to the door at the same time.
const atOnce = 8

// overlap is how far a delta looks back behind the last one: servers of one vendor do not agree about the time, and a change may
// become visible after a later one.
const overlap = 5 * time.Minute

// noDeltaFor is how long a server is not asked for a delta that could not give one.
const noDeltaFor = 24 * time.Hour

func (k *reading) do(ctx context.Context) error {
	if err := k.ask(ctx); err != nil {
		return err
	}
	full := k.round.Full || k.state.Full.IsZero() || k.state.Watermark.IsZero() || k.begun.Sub(k.state.Full) >= k.source.FullEvery ||
		!k.can.filter || k.begun.Sub(k.state.NoDelta) < noDeltaFor
	if !full {
		k.since = k.state.Watermark.Add(-overlap)
		err := k.read(ctx, modeDelta)
		switch e := refusal(err); {
		case err == nil && k.state.NoDelta.Before(k.begun):
			if k.report.Doubt == "" { // else it is asked for again
				k.state.Watermark = k.mark
			}
			return nil
		case err == nil: // it was no delta: records that should not have come did
		case e != nil && e.Code == contractor.CodeInvalid:
			k.state.NoDelta = k.begun // it says that it can filter, and cannot by this
		default:
			return err
		}
		k.restart()
	}
	if err := k.read(ctx, modeFull); err != nil || k.report.Mode == modeUnchanged {
		if err == nil {
			k.state.Watermark = k.mark // Full stays: an ETag is not believed for longer than full_every
		}
		return err
	}
	return k.whole(ctx)
}

// restart forgets a delta that was none.
func (k *reading) restart() {
	k.had, k.unique, k.pages, k.since = seen{}, map[[16]byte]struct{}{}, 0, time.Time{}
	k.report.Counts, k.report.Doubt, k.report.Problems = contractor.FeedCounts{}, "", []RecordProblem{}
}

// ask finds out what the server can. One that does not tell is read by index, whole.
func (k *reading) ask(ctx context.Context) error {
	a, err := k.source.get(ctx, "/ServiceProviderConfig", nil, "")
	if err != nil {
		if refusal(err) == nil {
			return err
		}
		return nil
	}
	if a.status == http.StatusOK {
		if can, err := parseAbilities(a.body); err == nil {
			k.can = can
		}
	}
	return nil
}

// read reads a list page by page, and hands each record on before the next page is asked for.
func (k *reading) read(ctx context.Context, mode string) error {
	k.report.Mode = mode
	origin, err := json.Marshal(map[string]string{"pull": k.source.URL, "mode": mode})
	if err != nil {
		return err
	}
	k.origin = origin
	count := k.source.Page
	if k.can.maxResults > 0 {
		count = min(count, k.can.maxResults)
	}
	q := url.Values{"count": {strconv.Itoa(count)}}
	if f := k.filter(); f != "" {
		q.Set("filter", f)
	}
	if k.can.cursor {
		q.Set("cursor", "")
	} else {
		q.Set("startIndex", "1")
		if k.can.sort {
			q.Set("sortBy", "id")
		}
	}
	next, cursors := 1, map[string]bool{}
	for {
		tag := ""
		if k.pages == 0 && mode == modeFull && !k.round.Full && !k.round.Dry && k.begun.Sub(k.state.Full) < k.source.FullEvery {
			tag = k.state.ETag
		}
		p, a, err := k.source.list(ctx, q, tag)
		if err != nil {
			return err
		}
		if k.mark.IsZero() {
			k.mark = clockOf(a.header, k.begun)
		}
		if p == nil {
			k.report.Mode, k.report.Total = modeUnchanged, k.state.Total
			return nil
		}
		if err := k.page(ctx, p, a); err != nil {
			return err
		}
		next += len(p.resources)
		more := p.next != ""
		if !k.can.cursor {
			more = len(p.resources) > 0 && next <= p.total
		}
		if !more {
			break
		}
		if k.can.cursor {
			if cursors[p.next] {
				return contractor.Errorf(contractor.CodeInvalid, "the server gives the same cursor again: its list has no end")
			}
			cursors[p.next] = true
			q.Set("cursor", p.next)
		} else {
			q.Set("startIndex", strconv.Itoa(next))
		}
	}
	k.complete()
	return nil
}

// filter is the condition of the list.
func (k *reading) filter() string {
	if k.since.IsZero() {
		return k.source.Filter
	}
	since := `meta.lastModified ge "` + k.since.UTC().Format(time.RFC3339) + `"`
	if k.source.Filter == "" {
		return since
	}
	return "(" + k.source.Filter + ") and " + since
}

// clockOf is the server's own time; ours where it does not say.
func clockOf(h http.Header, ours time.Time) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t.UTC()
	}
	return ours
}

// doubt keeps the first reason why the list is no ground for ending anybody.
func (k *reading) doubt(format string, args ...any) {
	if k.report.Doubt == "" {
		k.report.Doubt = fmt.Sprintf(format, args...)
	}
}

// page takes one page: what of it contradicts what came before, and its records.
func (k *reading) page(ctx context.Context, p *page, a *answer) error {
	if k.pages++; k.pages == 1 {
		k.report.Total, k.etag = p.total, a.header.Get("ETag")
	} else {
		k.etag = ""
		if p.total != k.report.Total {
			k.doubt("the number of Users changed while the list was read, from %d to %d", k.report.Total, p.total)
		}
	}
	if p.start > 0 && !k.can.cursor && k.pages > 1 && p.start <= len(k.unique) {
		k.doubt("the server began a page at %d again", p.start)
	}
	if len(k.unique)+len(p.resources) > k.source.Max {
		return contractor.Errorf(contractor.CodeTooLarge, "the server has more than %d Users; set a larger max_records, or a filter", k.source.Max)
	}
	if !k.round.Dry {
		if err := k.puller.claim(ctx, k.vendor.Name); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	fresh := 0
	for i := range p.resources {
		r := &p.resources[i]
		if _, twice := k.unique[seenKey(r.id)]; twice {
			k.doubt("a User came twice")
			continue
		}
		k.unique[seenKey(r.id)] = struct{}{}
		fresh++
		if !k.since.IsZero() && !r.modified.IsZero() && r.modified.Before(k.since.Add(-time.Second)) {
			k.state.NoDelta = k.begun // the filter was not heeded: what should have come is not known
		}
		g.Go(func() error { return k.take(gctx, r) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if fresh == 0 && len(p.resources) > 0 {
		return contractor.Errorf(contractor.CodeInvalid, "the server gives the same page again: its list has no end")
	}
	return nil
}

// take hands one record to the door.
func (k *reading) take(ctx context.Context, r *resource) error {
	result, err := k.feed.Put(ctx, contractor.FeedRecord{Body: r.body, Origin: k.origin})
	e := refusal(err)
	if err != nil && e == nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report.Counts.Read++
	k.had.add(result.Engagement)
	if e == nil {
		k.report.Counts.Add(result.Outcome)
		return nil
	}
	k.report.Counts.Refused++
	if len(k.report.Problems) < maxProblems {
		k.report.Problems = append(k.report.Problems, RecordProblem{r.id, said(e)})
	}
	return nil
}

// complete checks that as many Users came as the server has.
func (k *reading) complete() {
	switch n := len(k.unique); {
	case k.report.Total < 0:
		k.doubt("the server does not say how many Users it has")
	case n != k.report.Total:
		k.doubt("the server says that it has %d Users, and gave %d", k.report.Total, n)
	}
}

// whole ends who is missing from a whole reading that is beyond doubt.
func (k *reading) whole(ctx context.Context) error {
	c := &k.report.Counts
	if k.report.Doubt != "" {
		return nil // the next round reads the whole again
	}
	if k.source.Absent {
		if d := doubtful(c.Read, c.Refused); d != "" {
			k.doubt("%s", d)
		}
	}
	if !k.source.Absent || k.report.Doubt != "" {
		k.wasWhole(c)
		return nil
	}
	before := c.Ended + c.Held
	a := absence{
		feed: k.feed, guards: k.puller.Store, vendor: k.vendor, overall: k.puller.Overall(), now: time.Now(),
		reason: "the vendor's server does not have it any more", origin: k.origin,
		prolong: func(ctx context.Context) error {
			if k.round.Dry {
				return nil
			}
			return k.puller.claim(ctx, k.vendor.Name)
		},
	}
	why, err := a.end(ctx, k.had, c)
	k.report.Absent, k.report.Held = c.Ended+c.Held-before, why
	if err == nil { // else the next round reads the whole again: an unchanged list would not end who is missing
		k.wasWhole(c)
	}
	return err
}

// wasWhole keeps that the whole was read, and what makes an unchanged list cheap; not if a record was refused, which may be taken next time.
func (k *reading) wasWhole(c *contractor.FeedCounts) {
	k.state.Full, k.state.Watermark, k.state.Total, k.state.ETag = k.begun, k.mark, k.report.Total, ""
	if c.Refused == 0 {
		k.state.ETag = k.etag
	}
}
