package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

const (
	auditPage     = 100
	exportTimeout = 10 * time.Minute
	maxExport     = 1_000_000 // events of one export; the command line has no bound
)

// verified is the last verification that the console made.
type verified struct {
	mu     sync.Mutex
	at     time.Time
	by     string
	report *audit.Report
	fault  string // what is wrong; "" nothing
}

type auditView struct {
	Events     []audit.Event
	Kind       string
	Person     string
	Vendor     string
	From, To   string
	Kinds      []string
	Vendors    []string
	Next       string
	First      string
	Export     string // query of the same search
	Head       int64
	Checkpoint Checkpoint
	Report     *audit.Report
	Fault      string
	At         time.Time
	By         string
}

// kindsOfEvents are the nouns by which a search narrows; the whole kind may be written, too.
func kindsOfEvents() []string {
	return []string{"alarm.", "attestation.", "console.", "client.", "engagement.", "foreign.", "grant.", "guest.", "hold.", "journal.", "mail.", "mapping.", "pass.", "person.", "plan.", "policy.", "token.", "vendor."}
}

// journalQuery reads the search that a URL holds.
func (c *Console) journalQuery(r *http.Request) (q contractor.JournalQuery, err error) {
	q = contractor.JournalQuery{Kind: strings.TrimSpace(r.FormValue("kind")), Vendor: r.FormValue("vendor"), Descending: true}
	for _, x := range []struct {
		name string
		into *time.Time
		more time.Duration
	}{{"from", &q.From, 0}, {"to", &q.To, 24 * time.Hour}} {
		text := r.FormValue(x.name)
		if text == "" {
			continue
		}
		t, err := time.Parse("2006-01-02", text)
		if err != nil {
			return q, contractor.Errorf(contractor.CodeInvalid, "%q is not a day; write 2026-01-31.", text)
		}
		*x.into = t.Add(x.more) // the last day belongs to the search
	}
	if who := strings.TrimSpace(r.FormValue("person")); who != "" {
		p, err := c.store.FindPerson(r.Context(), who)
		if err != nil {
			return q, err
		}
		q.Person = p.ID
	}
	if text := r.FormValue("after"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return q, contractor.Errorf(contractor.CodeInvalid, "%q is not the number of an event.", text)
		}
		q.After = n
	}
	return q, nil
}

func (c *Console) audit(w http.ResponseWriter, r *http.Request, s *session) error {
	q, err := c.journalQuery(r)
	if err != nil {
		return err
	}
	v := auditView{Kind: q.Kind, Person: r.FormValue("person"), Vendor: q.Vendor, From: r.FormValue("from"), To: r.FormValue("to"), Kinds: kindsOfEvents(), Vendors: c.bridge.Mapping().Vendors()}
	q.Limit = auditPage + 1
	for e, err := range c.store.Journal(r.Context(), q) {
		if err != nil {
			return err
		}
		v.Events = append(v.Events, e)
	}
	if len(v.Events) > auditPage {
		v.Events = v.Events[:auditPage]
		v.Next = with(r.URL, "after", strconv.FormatInt(v.Events[auditPage-1].Seq, 10))
	}
	if q.After > 0 {
		v.First = with(r.URL, "after", "")
	}
	u := *r.URL
	query := u.Query()
	query.Del("after")
	v.Export = query.Encode()
	if v.Head, err = c.store.JournalHead(r.Context()); err != nil {
		return err
	}
	if v.Checkpoint, err = c.bridge.Checkpoint(r.Context()); err != nil {
		return err
	}
	c.verified.mu.Lock()
	v.Report, v.Fault, v.At, v.By = c.verified.report, c.verified.fault, c.verified.at, c.verified.by
	c.verified.mu.Unlock()
	return c.page(w, r, s, "audit", "Audit", v)
}

// verify walks the journal and holds it against every checkpoint.
func (c *Console) verify(w http.ResponseWriter, r *http.Request, s *session) error {
	return c.begin(w, r, "verify", "Verifying the journal", exportTimeout, func(ctx context.Context, k *work) (string, error) {
		report, err := c.bridge.Verify(ctx, func(done, of int64) { k.told("events", done, of) })
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		fault, outcome, reason := "", audit.Done, "the journal is whole"
		if err != nil { // what does not fit is what was asked for
			fault, outcome, reason = err.Error(), audit.Failed, "the journal is not what was written, or cannot be read"
			report = nil
		}
		c.verified.mu.Lock()
		c.verified.at, c.verified.by, c.verified.report, c.verified.fault = time.Now().UTC(), s.Name, report, fault
		c.verified.mu.Unlock()
		return "/audit#verified", c.store.AppendEvents(ctx, audit.Event{Kind: "journal.verified", Actor: s.actor(), Outcome: outcome, Reason: reason})
	})
}

// exportAudit streams the events of a search, oldest first, and journals that they were taken. Personal fields leave only where
// they were asked for.
func (c *Console) exportAudit(w http.ResponseWriter, r *http.Request, s *session) error {
	q, err := c.journalQuery(r)
	if err != nil {
		return err
	}
	q.Descending, q.After, q.Limit = false, 0, maxExport
	form, personal := r.FormValue("form"), r.FormValue("personal") == "1"
	if form != "csv" && form != "json" {
		return contractor.Errorf(contractor.CodeInvalid, "An export is csv or json.")
	}
	ctx, cancel := withDeadline(whole(r), w, exportTimeout)
	defer cancel()
	detail, err := json.Marshal(map[string]any{"form": form, "personal": personal, "kind": q.Kind, "vendor": q.Vendor, "from": r.FormValue("from"), "to": r.FormValue("to")})
	if err != nil {
		return err
	}
	if err := c.store.AppendEvents(ctx, audit.Event{Kind: "journal.exported", Actor: s.actor(), Outcome: audit.Done, Person: q.Person, Reason: "by the console", Detail: detail}); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Disposition", `attachment; filename="scimbridge-journal.`+form+`"`)
	if form == "csv" {
		h.Set("Content-Type", "text/csv; charset=utf-8")
		err = c.exportCSV(ctx, w, q, personal)
	} else {
		h.Set("Content-Type", "application/jsonl")
		err = c.exportJSON(ctx, w, q, personal)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		// The head of the answer is gone: a connection that breaks off tells that the file is not whole.
		c.log.Error("an export broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (c *Console) exportCSV(ctx context.Context, w http.ResponseWriter, q contractor.JournalQuery, personal bool) error {
	out := csv.NewWriter(w)
	if err := out.Write(audit.CSVHeader(personal)); err != nil {
		return err
	}
	for e, err := range c.store.Journal(ctx, q) {
		if err == nil {
			err = out.Write(audit.CSVRecord(&e, personal))
		}
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func (c *Console) exportJSON(ctx context.Context, w http.ResponseWriter, q contractor.JournalQuery, personal bool) error {
	out := json.NewEncoder(w)
	for e, err := range c.store.Journal(ctx, q) {
		if err == nil {
			err = out.Encode(e.Export(personal))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type eventView struct {
	audit.Event
	Name     string // the person's
	Detail   string
	Personal string
	Before   int64
	After    int64
	Covered  bool // by the last checkpoint
}

// event shows one event whole.
func (c *Console) event(w http.ResponseWriter, r *http.Request, s *session) error {
	n, err := strconv.ParseInt(r.PathValue("event"), 10, 64)
	if err != nil || n < 1 {
		return contractor.Errorf(contractor.CodeNotFound, "%q is not the number of an event.", r.PathValue("event"))
	}
	for e, err := range c.store.Journal(r.Context(), contractor.JournalQuery{After: n - 1, Limit: 1}) {
		if err != nil {
			return err
		}
		if e.Seq != n {
			break // archived
		}
		head, err := c.store.JournalHead(r.Context())
		if err != nil {
			return err
		}
		point, err := c.bridge.Checkpoint(r.Context())
		if err != nil {
			return err
		}
		v := eventView{Event: e, Detail: indented(e.Detail), Personal: indented(e.Personal), Before: n - 1, Covered: n <= point.Size}
		if n < head {
			v.After = n + 1
		}
		names := map[string]string{}
		c.nameOf(r, e.Person, names)
		v.Name = names[e.Person]
		return c.page(w, r, s, "event", "Event "+strconv.FormatInt(n, 10), v)
	}
	return contractor.Errorf(contractor.CodeNotFound, "The journal has no event %d, or it is in an archive; see scimbridge audit archive.", n)
}

// withDeadline gives work and answer more time than a page has.
func withDeadline(ctx context.Context, w http.ResponseWriter, d time.Duration) (context.Context, context.CancelFunc) {
	// A server without deadlines has none to move. The one for reading would end the request's context, too.
	rc := http.NewResponseController(w)
	_, _ = rc.SetReadDeadline(time.Now().Add(d+timeout)), rc.SetWriteDeadline(time.Now().Add(d+timeout))
	return context.WithTimeout(ctx, d)
}
