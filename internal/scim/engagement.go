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

// engagement makes a new engagement of a draft, which must have an end to come.
func (d *draft) engagement(id string, now time.Time) (contractor.Engagement, error) {
	e, err := d.fresh(id, now)
	if err != nil {
		return e, err
	}
	return e, begins(&e, now)
}

// fresh makes a new engagement of a draft, whatever its dates.
func (d *draft) fresh(id string, now time.Time) (contractor.Engagement, error) {
	if !d.active {
		place(&d.root, d.n.t.root.byName["active"], boolValue(true))
	}
	e := contractor.Engagement{ID: id, Vendor: d.n.vendor.Name, Version: 1, Created: now, Modified: now, EndSetAt: now}
	e.Record = d.record()
	e.Test = d.n.vendor.IsTestUser(e.Record.UserName)
	return e, d.settle(&e, now)
}

// resourceLimit bounds one stored resource, in bytes.
const resourceLimit = 64 << 10

// settle fills an engagement from a draft: the record, the stored form, what the dates mean, and what the bridge says of it.
func (d *draft) settle(e *contractor.Engagement, now time.Time) error {
	was := e.Record
	e.Record = d.record()
	if !e.Test {
		if err := d.check(&e.Record); err != nil {
			return err
		}
	}
	if e.Record.Active && !terminated(&e.Record, &was, !e.EndedAt.IsZero()) {
		e.EndedAt = time.Time{}
	} else if e.EndedAt.IsZero() {
		e.EndedAt = now
	}
	if err := d.date(e); err != nil {
		return err
	}
	e.Unused = d.unusedJSON()
	e.Aliased = d.aliased(e.Aliased, &was, &e.Record)
	e.Resource = d.stored(e.ID)
	if len(e.Resource) > resourceLimit {
		return contractor.Errorf(contractor.CodeTooLarge, "the resource would be larger than %d bytes", resourceLimit)
	}
	return nil
}

// date works out when the engagement begins and ends. What a connection test sends for a date need not be one.
func (d *draft) date(e *contractor.Engagement) error {
	if e.Test {
		return nil
	}
	own := ownWord(*e)
	p, err := own.Period(d.n.vendor)
	e.Standing.EffectiveStart, e.Standing.EffectiveEnd = p.Start, p.End
	return err
}

// period is when an engagement begins and ends by its vendor's word in the store, measured by the vendor's settings of today.
func period(v *contractor.Vendor, e *contractor.Engagement) contractor.Period {
	own := ownWord(*e)
	if p, err := own.Period(v); err == nil && !e.Test {
		return p
	}
	return contractor.Period{Start: e.Standing.EffectiveStart, End: e.Standing.EffectiveEnd} // dates that were readable when they came
}

// ownWord leaves what an admin or a sponsor decided aside: whether the vendor moved the end does not depend on it, and a vendor
// that moves the end goes before an extension.
func ownWord(e contractor.Engagement) contractor.Engagement {
	e.Extended, e.Stopped, e.KeptUntil = contractor.Extension{}, contractor.Block{}, time.Time{}
	return e
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
