package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
)

// undecided is how long what the mapping takes away waits for a decision, as the loop's own default is.
const undecided = 7 * 24 * time.Hour

// holdRemovals asks the guard about everything that a mapping would take away, before it comes into force.
func holdRemovals(ctx context.Context, store *db.Store, before, after *mapper.Mapping) (held int, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	c, err := newComparison(before, after, newFormer(store).rules, now)
	if err != nil {
		return 0, err
	}
	var losses []contractor.Loss
	err = c.population(ctx, store, func(batch []outcome) error {
		for i := range batch {
			losses = append(losses, batch[i].losses...)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	bounds := func(name string) (g contractor.Guard) {
		if v, known := after.Vendor(name); known {
			return v.Guard
		}
		if before != nil { // the vendor's section is gone: its old guard still guards
			if v, known := before.Vendor(name); known {
				return v.Guard
			}
		}
		return g
	}
	return store.HoldRemovals(ctx, after.Revision(), losses, now, undecided, bounds, after.Guard())
}

// derivedKey is the setting under which it is kept how a vendor's stored records were read.
func derivedKey(vendor string) string { return "derived:" + vendor }

// rederive reads the stored records of vendors whose section changed anew. It may be ended at any instant: what was done stays
// done, and the next start goes on. What would take access away from more people than the guard allows waits, record by record.
func (d *daemon) rederive(ctx context.Context, m *mapper.Mapping) error {
	for _, name := range m.Vendors() {
		v, _ := m.Vendor(name)
		was, err := d.store.Setting(ctx, derivedKey(name))
		if err != nil {
			return err
		}
		is := reading(v)
		if string(was) == is {
			continue
		}
		done, left, err := d.rederiveVendor(ctx, m, v)
		if err != nil {
			return fmt.Errorf("records of vendor %s were not read anew: %w", name, err)
		}
		if done > 0 || left > 0 {
			d.log.Info("records read anew, since the vendor's section changed", "vendor", name, "changed", done, "waiting", left)
		}
		if left > 0 {
			continue // looked at again with the next tick
		}
		if err := d.store.SetSetting(ctx, derivedKey(name), []byte(is)); err != nil {
			return err
		}
	}
	return nil
}

func (d *daemon) rederiveVendor(ctx context.Context, m *mapper.Mapping, v *contractor.Vendor) (done, left int, err error) {
	r, err := scim.NewReader(v)
	if err != nil {
		return 0, 0, err
	}
	for e, err := range d.store.ListEngagements(ctx, v.Name) {
		if err != nil {
			return done, left, err
		}
		if e.Deleted || len(e.Resource) == 0 {
			continue
		}
		next, derr := r.Rederive(e)
		if reflect.DeepEqual(next.Record, e.Record) && next.Test == e.Test {
			continue
		}
		may, err := d.mayRederive(ctx, m, v, &e, &next)
		if err != nil {
			return done, left, err
		}
		if !may {
			left++
			continue
		}
		err = d.store.UpdateRecord(ctx, next, time.Now(), rederived(m, &e, &next, derr))
		var ce *contractor.Error
		switch {
		case errors.As(err, &ce) && (ce.Code == contractor.CodeVersion || ce.Code == contractor.CodeNotFound):
			left++ // the vendor wrote it meanwhile
		case err != nil:
			return done, left, err
		default:
			done++
		}
	}
	d.loop.Wake()
	return done, left, nil
}

// mayRederive asks the guard where reading a record anew takes access away.
func (d *daemon) mayRederive(ctx context.Context, m *mapper.Mapping, v *contractor.Vendor, e, next *contractor.Engagement) (bool, error) {
	if e.Person == "" {
		return true, nil
	}
	p, err := d.store.Person(ctx, e.Person)
	if err != nil {
		return false, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	was := m.Desired(p, now)
	q := *p
	q.Engagements = slices.Clone(p.Engagements)
	for i := range q.Engagements {
		if q.Engagements[i].ID == e.ID {
			q.Engagements[i] = *next
		}
	}
	is := m.Desired(&q, now)
	var loses []string
	for _, g := range was.Grants {
		if !slices.ContainsFunc(is.Grants, func(x contractor.Grant) bool { return x.Entitlement.Key() == g.Entitlement.Key() }) {
			loses = append(loses, contractor.LossOf(g.Entitlement))
		}
	}
	if len(loses) == 0 {
		return true, nil
	}
	slices.Sort(loses)
	h, err := d.store.AdmitRemoval(ctx, contractor.RemovalRequest{
		Loss:     contractor.Loss{Person: p.ID, Vendor: v.Name, Engagement: e.ID, Loses: loses},
		Revision: m.Revision(), Now: now, Bounds: v.Guard, Overall: m.Guard(), Undecided: undecided,
	})
	return h.State == contractor.HoldAdmitted || h.State == contractor.HoldApproved, err
}

// rederived tells which fields of a record changed, never their values.
func rederived(m *mapper.Mapping, e, next *contractor.Engagement, problem error) audit.Event {
	ev := audit.Event{
		Kind: "engagement.rederived", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Engagement: e.ID, Vendor: e.Vendor,
		Revision: m.Revision(), Reason: "the vendor's section of the mapping changed",
	}
	if problem != nil {
		ev.Reason += "; the vendor could not send this record today"
	}
	var fields []string
	was, is := reflect.ValueOf(e.Record), reflect.ValueOf(next.Record)
	for i := range was.NumField() {
		if !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			fields = append(fields, was.Type().Field(i).Name)
		}
	}
	ev.Detail, _ = json.Marshal(map[string][]string{"changed": fields})
	return ev
}

// rederiveEvery is how often records that had to wait are looked at again.
const rederiveEvery = time.Minute

// keepDerived runs rederive after each mapping that comes into force, and again while something waits.
func (d *daemon) keepDerived(ctx context.Context) {
	tick := time.NewTicker(rederiveEvery)
	defer tick.Stop()
	for {
		if err := d.rederive(ctx, d.mapping.get()); err != nil && ctx.Err() == nil {
			d.log.Error("records were not read anew; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.derive:
		case <-tick.C:
		}
	}
}
