package scim

import (
	"time"

	"scimbridge/internal/contractor"
)

// Engagement makes of a User, as the vendor would POST it, the engagement that the door would store: for a first load, and for
// vendors that only hand out files. What the door would refuse is refused.
func (r *Reader) Engagement(id string, body []byte, now time.Time) (contractor.Engagement, error) {
	sent, err := parseJSON(string(body), Limits{}.withDefaults().json())
	if err != nil {
		return contractor.Engagement{}, err
	}
	d, err := read(r.names, &sent)
	if err != nil {
		return contractor.Engagement{}, err
	}
	return d.engagement(id, now)
}

// engagement makes a new engagement of a draft.
func (d *draft) engagement(id string, now time.Time) (contractor.Engagement, error) {
	if !d.active {
		place(&d.root, d.n.t.root.byName["active"], boolValue(true))
	}
	e := contractor.Engagement{ID: id, Vendor: d.n.vendor.Name, Version: 1, Created: now, Modified: now, EndSetAt: now}
	e.Record = d.record()
	e.Test = d.n.vendor.IsTestUser(e.Record.UserName)
	if err := d.settle(&e, now); err != nil {
		return e, err
	}
	return e, begins(&e, now)
}

// resourceLimit bounds one stored resource, in bytes.
const resourceLimit = 64 << 10

// settle fills an engagement from a draft: the record, the stored form, what the dates mean, and what the bridge says of it.
func (d *draft) settle(e *contractor.Engagement, now time.Time) error {
	e.Record = d.record()
	if !e.Test {
		if err := d.check(&e.Record); err != nil {
			return err
		}
	}
	if e.Record.Active {
		e.EndedAt = time.Time{}
	} else if e.EndedAt.IsZero() {
		e.EndedAt = now
	}
	if !e.Test { // what a connection test sends for a date need not be one
		p, err := e.Period(d.n.vendor)
		if err != nil {
			return err
		}
		e.Standing.EffectiveStart, e.Standing.EffectiveEnd = p.Start, p.End
	}
	e.Unused = d.unusedJSON()
	e.Resource = d.stored(e.ID)
	if len(e.Resource) > resourceLimit {
		return contractor.Errorf(contractor.CodeTooLarge, "the resource would be larger than %d bytes", resourceLimit)
	}
	return nil
}

// begins refuses a new contract that is over before it begins. In an update such an end means now (product rule 3).
func begins(e *contractor.Engagement, now time.Time) error {
	if e.Test || !e.Record.Active {
		return nil
	}
	start, end := e.Standing.EffectiveStart, e.Standing.EffectiveEnd
	switch {
	case end.IsZero():
		return nil
	case !end.After(now):
		return contractor.Invalid(urnContractor+":endDate", "has passed: a new contractor must have an end to come")
	case !end.After(start):
		return contractor.Invalid(urnContractor+":endDate", "lies before the contract's start")
	}
	return nil
}
