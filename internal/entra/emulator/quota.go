package emulator

import (
	"net/http"
	"strconv"
	"time"
)

// Quota are the limits of the tenant. A zero field takes the documented figure, a
// negative one means no limit. Windows slide.
type Quota struct {
	Off bool // no limits at all

	RUPer10s               int // resource units of app and tenant; by size of the tenant: 3,500, 5,000 or 8,000
	WritesPer150s          int // identity writes of app and tenant; 3,000
	TenantWritesPer5m      int // identity writes of the tenant; 18,000
	ReportsPer10s          int // auditLogs; 5
	ConditionalAccessPer1s int // policies and named locations of the tenant; 1, and its 429 has no Retry-After
	InvitationsPer5s       int // 150
	GovernancePer10s       int // PIM, entitlement management and other policies; none is published, so none
	RequestsPer10s         int // of the app over all services; 130,000
}

func (q Quota) withDefaults() Quota {
	q.WritesPer150s = or(q.WritesPer150s, 3000)
	q.TenantWritesPer5m = or(q.TenantWritesPer5m, 18_000)
	q.ReportsPer10s = or(q.ReportsPer10s, 5)
	q.ConditionalAccessPer1s = or(q.ConditionalAccessPer1s, 1)
	q.InvitationsPer5s = or(q.InvitationsPer5s, 150)
	q.GovernancePer10s = or(q.GovernancePer10s, -1)
	q.RequestsPer10s = or(q.RequestsPer10s, 130_000)
	return q
}

// ruFor returns the resource units that a tenant with so many users has in 10 s.
func (q Quota) ruFor(users int) int {
	switch {
	case q.RUPer10s != 0:
		return q.RUPer10s
	case users < 50:
		return 3500
	case users <= 500:
		return 5000
	}
	return 8000
}

// quota keeps the windows.
type quota struct {
	limits                                                    Quota
	ru, writes, tenantWrites, reports, ca, invites, gov, reqs *window
}

func newQuota(q Quota) *quota {
	return &quota{
		limits:       q,
		ru:           &window{name: "ResourceUnitLimitExceeded", scope: "Tenant_Application/ReadWrite", span: 10 * time.Second},
		writes:       &window{name: "WriteLimitExceeded", scope: "Tenant_Application/Write", span: 150 * time.Second, limit: q.WritesPer150s},
		tenantWrites: &window{name: "WriteLimitExceeded", scope: "Tenant/Write", span: 5 * time.Minute, limit: q.TenantWritesPer5m},
		reports:      &window{name: "ReportsLimitExceeded", scope: "Tenant_Application/Read", span: 10 * time.Second, limit: q.ReportsPer10s},
		ca:           &window{name: "PolicyLimitExceeded", scope: "Tenant/ReadWrite", span: time.Second, limit: q.ConditionalAccessPer1s, silent: true},
		invites:      &window{name: "InvitationLimitExceeded", scope: "Tenant/Write", span: 5 * time.Second, limit: q.InvitationsPer5s},
		gov:          &window{name: "GovernanceLimitExceeded", scope: "Tenant_Application/ReadWrite", span: 10 * time.Second, limit: q.GovernancePer10s},
		reqs:         &window{name: "RequestLimitExceeded", scope: "Application/ReadWrite", span: 10 * time.Second, limit: q.RequestsPer10s},
	}
}

// charge is what one call takes from one window.
type charge struct {
	w    *window
	cost int
}

func (q *quota) charges(c *call, users int) []charge {
	list := []charge{{q.reqs, 1}}
	switch c.op.service {
	case reports:
		return append(list, charge{q.reports, 1})
	case conditions:
		return append(list, charge{q.ca, 1})
	case governance:
		return append(list, charge{q.gov, 1})
	}
	q.ru.limit = q.limits.ruFor(users)
	list = append(list, charge{q.ru, c.ru})
	if c.op.write() {
		list = append(list, charge{q.writes, 1}, charge{q.tenantWrites, 1})
	}
	if c.op.id == "invitation.create" {
		list = append(list, charge{q.invites, 1})
	}
	return list
}

// lowPriorityShare is the share of a limit above which calls that ask for low
// priority are refused. The documentation says only that they are throttled first.
const lowPriorityShare = 0.9

// take charges a call, or says that it must wait. A refused call counts too, which
// is why hammering does not help. The first result is the highest share in use.
func (q *quota) take(c *call, users int) (float64, *graphError) {
	if q.limits.Off || c.isBatch() {
		return 0, nil
	}
	charges := q.charges(c, users)
	var full *window
	var wait time.Duration
	for _, ch := range charges {
		ch.w.slide(c.now)
		limit := ch.w.limit
		if c.header.Get("x-ms-throttle-priority") == "low" && limit > 10 {
			limit = int(float64(limit) * lowPriorityShare)
		}
		if ch.w.limit > 0 && ch.w.used+ch.cost > limit {
			if w := ch.w.wait(c.now, ch.cost, limit); full == nil || w > wait {
				full, wait = ch.w, w
			}
		}
	}
	pressure := 0.0
	for _, ch := range charges {
		if full == nil || float64(ch.w.used+ch.cost) <= 1.8*float64(ch.w.limit) {
			ch.w.add(c.now, ch.cost)
		}
		if ch.w.limit > 0 && c.op.service == identity {
			pressure = max(pressure, float64(ch.w.used)/float64(ch.w.limit))
		}
	}
	if full == nil {
		return min(pressure, 1.8), nil
	}
	full.refused++
	c.fault = "quota " + full.name
	return pressure, full.refusal(c, wait, pressure)
}

func (w *window) refusal(c *call, wait time.Duration, pressure float64) *graphError {
	if w.silent {
		return throttled(0, "Too many requests.")
	}
	e := throttled(max(wait, time.Second), "The request is throttled: "+w.name+".")
	cfg := c.e.cfg
	e.header.Set("x-ms-throttle-information", w.name)
	e.header.Set("x-ms-throttle-scope", w.scope+"/"+cfg.ClientID+"/"+cfg.TenantID)
	if pressure >= 0.8 {
		e.header.Set("x-ms-throttle-limit-percentage", formatPressure(min(pressure, 1.8)))
	}
	return e
}

func formatPressure(p float64) string { return strconv.FormatFloat(p, 'f', 2, 64) }

// window counts what was used during the last span, in slots of a hundredth of it.
type window struct {
	name, scope string
	span        time.Duration
	limit       int  // none if not positive
	silent      bool // its 429 has no Retry-After
	slots       []slot
	used        int
	peak        int
	total       int
	refused     int
}

type slot struct {
	at   time.Time
	cost int
}

func (w *window) slide(now time.Time) {
	n := 0
	for n < len(w.slots) && !w.slots[n].at.Add(w.span).After(now) {
		w.used -= w.slots[n].cost
		n++
	}
	w.slots = w.slots[n:]
}

func (w *window) add(now time.Time, cost int) {
	w.used += cost
	w.total += cost
	w.peak = max(w.peak, w.used)
	if n := len(w.slots); n > 0 && now.Sub(w.slots[n-1].at) < w.span/100 {
		w.slots[n-1].cost += cost
		return
	}
	w.slots = append(w.slots, slot{now, cost})
}

// wait says how long until cost fits under limit.
func (w *window) wait(now time.Time, cost, limit int) time.Duration {
	used := w.used
	for _, s := range w.slots {
		if used -= s.cost; used+cost <= limit {
			return s.at.Add(w.span).Sub(now)
		}
	}
	return w.span
}

// cost returns the resource units of a call: the base of the operation, one less for
// $select and for a $top below 20, one more for $expand, at least one.
func (c *call) cost() int {
	ru := max(c.op.ru, 1)
	if c.method != http.MethodGet {
		return ru
	}
	if c.query.values.Get("$select") != "" {
		ru--
	}
	if top, err := strconv.Atoi(c.query.values.Get("$top")); err == nil && top < 20 {
		ru--
	}
	if c.query.values.Get("$expand") != "" {
		ru++
	}
	return max(ru, 1)
}
