package emulator

import (
	"maps"
	"slices"
	"time"
)

// Call is one Graph request as the emulator saw it. Items of a batch are calls.
type Call struct {
	Time            time.Time `json:"time"`
	Operation       string    `json:"operation"`
	Method          string    `json:"method"`
	Path            string    `json:"path"`
	Query           string    `json:"query,omitempty"`
	Status          int       `json:"status"` // 0: the connection was closed
	RU              int       `json:"ru,omitempty"`
	Write           bool      `json:"write,omitempty"`
	Done            bool      `json:"done"`            // it took effect, whatever the status says
	Fault           string    `json:"fault,omitempty"` // why the answer is not the operation's own
	Permission      string    `json:"permission,omitempty"`
	ClientRequestID string    `json:"clientRequestId,omitempty"`
	RequestID       string    `json:"requestId"`
	Batch           bool      `json:"batch,omitempty"`
	Body            string    `json:"body,omitempty"` // what was sent, decompressed, up to 16 KB
}

// Report sums all calls up.
type Report struct {
	Calls       int                  `json:"calls"`
	ByStatus    map[int]int          `json:"byStatus"`
	ByOperation map[string]OpReport  `json:"byOperation"`
	Writes      int                  `json:"writes"` // identity writes charged
	RU          int                  `json:"ru"`     // identity resource units charged
	Faults      map[string]int       `json:"faults"`
	Permissions map[string]int       `json:"permissions"` // uses of each
	Windows     map[string]WindowUse `json:"windows"`
	Tokens      int                  `json:"tokens"` // issued
}

// OpReport counts one operation.
type OpReport struct {
	Calls, Done, Refused, Failed int // Refused: 4xx of its own; Failed: changed by a fault, the dice or a limit
	RU, Writes                   int
}

// WindowUse says how full a limit was.
type WindowUse struct {
	Limit   int           `json:"limit"`
	Span    time.Duration `json:"span"`
	Used    int           `json:"used"`
	Peak    int           `json:"peak"`
	Total   int           `json:"total"`
	Refused int           `json:"refused"`
}

// ledger keeps the last calls and the sums of all.
type ledger struct {
	max    int
	calls  []Call // a ring once it is full
	first  int
	report Report
}

func newLedger(limit int) ledger {
	return ledger{max: limit, report: Report{
		ByStatus: map[int]int{}, ByOperation: map[string]OpReport{}, Faults: map[string]int{}, Permissions: map[string]int{},
	}}
}

// maxKeptBody bounds what is kept of a body.
const maxKeptBody = 16 << 10

func (l *ledger) record(c *call, a answer) {
	entry := Call{
		Time: c.now, Method: c.method, Path: c.path, Query: c.query.raw, Status: a.status,
		Done: c.done, Fault: c.fault, Permission: c.used, RequestID: c.requestID,
		ClientRequestID: c.header.Get("client-request-id"), Batch: c.inBatch, Body: string(c.raw[:min(len(c.raw), maxKeptBody)]),
	}
	if c.op != nil {
		entry.Operation, entry.RU = c.op.id, c.ru
		entry.Write = c.op.write()
	}
	l.sum(entry, c.op)
	switch {
	case l.max == 0:
	case len(l.calls) < l.max:
		l.calls = append(l.calls, entry)
	default:
		l.calls[l.first] = entry
		l.first = (l.first + 1) % l.max
	}
}

func (l *ledger) sum(entry Call, op *operation) {
	r := &l.report
	r.Calls++
	r.ByStatus[entry.Status]++
	if entry.Fault != "" {
		r.Faults[entry.Fault]++
	}
	if entry.Permission != "" {
		r.Permissions[entry.Permission]++
	}
	o := r.ByOperation[entry.Operation]
	o.Calls++
	switch {
	case entry.Done:
		o.Done++
	case entry.Fault == "":
		o.Refused++
	}
	if entry.Fault != "" {
		o.Failed++
	}
	if op != nil && op.service == identity {
		o.RU += entry.RU
		r.RU += entry.RU
		if entry.Write {
			o.Writes++
			r.Writes++
		}
	}
	r.ByOperation[entry.Operation] = o
}

// Calls returns the calls that are kept, oldest first.
func (e *Emulator) Calls() []Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := &e.ledger
	return append(slices.Clone(l.calls[l.first:]), l.calls[:l.first]...)
}

// Report returns the sums of all calls so far.
func (e *Emulator) Report() Report {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.ledger.report
	r.ByStatus, r.ByOperation = maps.Clone(r.ByStatus), maps.Clone(r.ByOperation)
	r.Faults, r.Permissions = maps.Clone(r.Faults), maps.Clone(r.Permissions)
	r.Tokens = e.tokens.issued
	r.Windows = map[string]WindowUse{}
	q := e.quota
	for name, w := range map[string]*window{
		"resourceUnits": q.ru, "writes": q.writes, "tenantWrites": q.tenantWrites, "reports": q.reports,
		"conditionalAccess": q.ca, "invitations": q.invites, "governance": q.gov, "requests": q.reqs,
	} {
		w.slide(e.now())
		r.Windows[name] = WindowUse{Limit: w.limit, Span: w.span, Used: w.used, Peak: w.peak, Total: w.total, Refused: w.refused}
	}
	return r
}
