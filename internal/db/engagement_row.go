package db

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"scimbridge/internal/contractor"
)

// engagementRow is an engagement as its columns hold it, worked out before the writer is asked so that the writer only writes.
type engagementRow struct {
	hot
	closes   bool // access ends by what this row says
	standing string
	record   string
	resource string
	unused   any
	aliased  any
}

// encodeEngagement refuses what cannot be stored, and works out the columns.
func encodeEngagement(e *contractor.Engagement, now time.Time) (*engagementRow, error) {
	switch {
	case e.ID == "" || e.Vendor == "":
		return nil, contractor.Errorf(contractor.CodeInternal, "an engagement without an id or a vendor cannot be stored")
	case e.Deleted:
		return nil, contractor.Errorf(contractor.CodeInternal, "an engagement is deleted by Delete alone")
	case e.Record.UserName == "":
		return nil, contractor.Invalid("userName", "send a userName; it is required")
	case !e.Test && contractor.EmailKey(e.Record.Email) == "":
		return nil, contractor.Invalid("emails", "send an e-mail address; it says who the person is")
	}
	row := &engagementRow{closes: closesAccess(e, now), resource: string(e.Resource)}
	var err error
	if row.hot, err = hotAttributes(e, row.resource); err != nil {
		return nil, err
	}
	record, err := json.Marshal(&e.Record)
	if err != nil {
		return nil, fmt.Errorf("write the record as JSON: %w", err)
	}
	standing, err := json.Marshal(&e.Standing)
	if err != nil {
		return nil, fmt.Errorf("write the standing as JSON: %w", err)
	}
	row.record, row.standing = string(record), string(standing)
	if len(e.Resource) == 0 {
		row.resource = "{}"
	}
	if len(e.Unused) > 0 {
		row.unused = string(e.Unused)
	}
	if len(e.Aliased) > 0 {
		aliased, err := json.Marshal(e.Aliased)
		if err != nil {
			return nil, err
		}
		row.aliased = string(aliased)
	}
	return row, nil
}

// isLive reports whether the engagement counts against its vendor's quota: known, not ended by the vendor, and not ended by
// time as far as the loop has seen.
func isLive(deleted bool, endedAt time.Time, status contractor.Status) bool {
	return !deleted && endedAt.IsZero() && status != contractor.StatusOffboarding && status != contractor.StatusRemoved
}

// closesAccess reports whether the loop has to look at the engagement before everything else. The store does not know the
// vendor's date layouts: an end date that it cannot read is taken for one that may have passed, which costs a place in the
// queue and nothing else.
func closesAccess(e *contractor.Engagement, now time.Time) bool {
	if !e.Record.Active || e.Deleted || !e.EndedAt.IsZero() {
		return true
	}
	for _, s := range []string{e.Record.EndDate, e.Record.LastWorkingDay} {
		if s != "" && hasPassed(s, e.Record.TimeZone, now) {
			return true
		}
	}
	return false
}

// hasPassed reports whether an end lies behind, or cannot be read. A zone is looked up, which reads a file, only for an end that
// is so near that the zone decides.
func hasPassed(end, zone string, now time.Time) bool {
	t, err := contractor.ParseDate(end, nil, time.UTC, contractor.EndOfDay)
	switch {
	case err != nil:
		return true
	case t.IsZero() || t.Sub(now) > 14*time.Hour: // no zone is further ahead of UTC
		return false
	case now.Sub(t) > 12*time.Hour: // nor further behind
		return true
	}
	if z, err := contractor.LoadZone(zone); err == nil {
		t, err = contractor.ParseDate(end, nil, z, contractor.EndOfDay)
		return err != nil || !t.After(now)
	}
	return !t.After(now)
}

// engagementColumns are read by engagementScan.dest, in this order; listedColumns, without the record, by listed.
const (
	listedColumns = `e.id, e.vendor, e.person, e.deleted, e.test, e.version, e.created, e.modified,
	e.end_set_at, e.ended_at, e.prev_end, e.standing, e.resource, e.unused`
	engagementColumns = listedColumns + `, e.aliased, e.record`
)

// engagementScan holds one row while it is read.
type engagementScan struct {
	person                                      sql.NullString
	created, modified, endSet, endedAt, prevEnd instant
	standing, record, resource                  string
	unused, aliased                             sql.NullString
}

// listed lists where the columns of listedColumns go.
func (s *engagementScan) listed(e *contractor.Engagement) []any {
	return []any{&e.ID, &e.Vendor, &s.person, &e.Deleted, &e.Test, &e.Version, &s.created, &s.modified,
		&s.endSet, &s.endedAt, &s.prevEnd, &s.standing, &s.resource, &s.unused}
}

// dest lists where the columns of engagementColumns go.
func (s *engagementScan) dest(e *contractor.Engagement) []any {
	return append(s.listed(e), &s.aliased, &s.record)
}

// fill decodes what was read. Without the record, decoding costs almost nothing.
func (s *engagementScan) fill(e *contractor.Engagement, withRecord bool) error {
	e.Person = s.person.String
	e.Created, e.Modified = s.created.Time, s.modified.Time
	e.EndSetAt, e.EndedAt, e.PrevEnd = s.endSet.Time, s.endedAt.Time, s.prevEnd.Time
	e.Resource = json.RawMessage(s.resource)
	if s.unused.Valid {
		e.Unused = json.RawMessage(s.unused.String)
	}
	var err error
	if e.Standing, err = decodeStanding(e.ID, s.standing); err != nil {
		return err
	}
	if s.aliased.Valid {
		if err := json.Unmarshal([]byte(s.aliased.String), &e.Aliased); err != nil {
			return fmt.Errorf("engagement %s: the names of its fields cannot be read: %w", e.ID, err)
		}
	}
	if withRecord {
		e.Record, err = decodeRecord(e.ID, s.record)
	}
	return err
}

// decodeStanding reads a standing as recordStanding wrote it, by hand for decodeRecord's reason.
func decodeStanding(id, stored string) (s contractor.Standing, err error) {
	unreadable := func(err error) error { return fmt.Errorf("engagement %s: its standing cannot be read: %w", id, err) }
	if firstByte(stored) != '{' {
		return s, unreadable(errors.New("it is not a JSON object"))
	}
	members(stored, func(name, value string) {
		instant := func(into *time.Time) {
			if fault := into.UnmarshalText([]byte(text(value))); fault != nil && err == nil {
				err = unreadable(fault)
			}
		}
		switch name {
		case "status":
			s.Status = contractor.Status(text(value))
		case "statusReason":
			s.Reason = text(value)
		case "effectiveStart":
			instant(&s.EffectiveStart)
		case "effectiveEnd":
			instant(&s.EffectiveEnd)
		case "entraObjectId":
			s.EntraObjectID = text(value)
		case "entraUserState":
			s.EntraUserState = text(value)
		case "access":
			elements(value, func(name string) { s.Access = append(s.Access, text(name)) })
		}
	})
	return s, err
}

// scanEngagements reads all rows of a query over engagementColumns and what stands behind them.
func scanEngagements(rows *sql.Rows, withRecord bool, more ...any) (list []contractor.Engagement, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	var scan engagementScan
	var e contractor.Engagement
	dest := append(scan.dest(&e), more...)
	for rows.Next() {
		e = contractor.Engagement{}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		if err := scan.fill(&e, withRecord); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}
