package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

const (
	defaultContracts = 100
	maxContracts     = 2000
)

// Contracts lists engagements with their people, a page at a time, by an index whatever the size of the store. Only a search for
// text walks the store, in the list's order, until the page is full.
func (s *Store) Contracts(ctx context.Context, q contractor.ContractQuery) (list []contractor.Contract, err error) {
	query, args, err := contractQuery(&q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.queryTimeout)
	defer cancel()
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			x, err := scanContract(rows, q.Order)
			if err != nil {
				return err
			}
			list = append(list, x)
		}
		return rows.Err()
	})
	return list, failure("list contracts", err)
}

const contractColumns = `e.seq, e.id, p.id, e.vendor, e.status, e.start_at, e.end_at, e.prev_end, e.standing, e.record,
	p.email, p.sponsor_id, p.guest_state, p.phase, p.held, p.failures, p.last_error,
	(SELECT x.until FROM extensions x WHERE x.engagement = e.id),
	(SELECT count(*) FROM blocks b WHERE b.person = p.id),
	(SELECT count(*) FROM holdings h WHERE h.person = p.id AND h.state <> 'ended')`

// contractQuery finds the page's rows first, from as few columns as it can, and then reads what they have: a sort would carry
// everything along for every row that it throws away.
func contractQuery(q *contractor.ContractQuery) (string, []any, error) {
	if q.Order == "" {
		q.Order = contractor.ContractsByEnd
	}
	var where strings.Builder
	var args []any
	and := func(sql string, values ...any) {
		where.WriteString(" AND " + sql)
		args = append(args, values...)
	}
	// A sponsor has few people: they are found first and sorted, where walking all ends would look everybody's sponsor up.
	end := `e.end_at`
	if q.Sponsor != "" {
		end = `e.end_at + 0`
	}
	order, err := contractAfter(q, end, and)
	if err != nil {
		return "", nil, err
	}
	people := contractFilters(q, end, and)
	limit := q.Limit
	if limit <= 0 {
		limit = defaultContracts
	}
	from := `engagements e`
	if people {
		from += ` JOIN persons p ON p.id = e.person`
	}
	return `SELECT ` + contractColumns + ` FROM engagements e JOIN persons p ON p.id = e.person
		WHERE e.seq IN (SELECT e.seq FROM ` + from + ` WHERE e.deleted = 0 AND e.test = 0` + where.String() + ` ORDER BY ` + order + ` LIMIT ?)
		ORDER BY ` + order, append(args, min(limit, maxContracts)), nil
}

// contractFilters adds what a query asks for, and answers whether it is about people.
func contractFilters(q *contractor.ContractQuery, end string, and func(string, ...any)) (people bool) {
	if q.Vendor != "" && q.Order == contractor.ContractsByAge {
		and(`e.vendor = ?`, q.Vendor)
	} else if q.Vendor != "" {
		and(`e.vendor || '' = ?`, q.Vendor) // the index of ends has the vendor; one of vendors would have to be sorted
	}
	if q.Status != "" {
		and(`e.status = ?`, string(q.Status))
	}
	if q.Rule != "" {
		and(`EXISTS (SELECT 1 FROM holdings h WHERE h.rule = ? AND h.person = e.person AND h.state <> 'ended')`, q.Rule)
	}
	if !q.EndFrom.IsZero() {
		and(end+` >= ?`, q.EndFrom.UnixMicro())
	}
	if !q.EndTo.IsZero() {
		and(end+` < ?`, q.EndTo.UnixMicro())
	}
	if q.Sponsor != "" {
		// The index of sponsors leaves out people without one: a query that may ask for those cannot use it.
		and(`e.person IN (SELECT s.id FROM persons s WHERE s.sponsor_id = ? AND s.sponsor_id <> '')`, q.Sponsor)
	}
	if q.Held {
		and(`p.held <> ''`)
	}
	if q.Failing {
		and(`p.failures > 0`)
	}
	if q.Text != "" {
		text := fold(q.Text)
		and(`(instr(coalesce(e.email_key, ''), ?) > 0 OR instr(scim_fold(coalesce(e.worker_id, '')), ?) > 0
			OR instr(scim_fold(coalesce(e.record ->> 'givenName', '') || ' ' || coalesce(e.record ->> 'familyName', '') || ' ' || coalesce(e.record ->> 'displayName', '')), ?) > 0)`,
			text, text, text)
	}
	return q.Held || q.Failing
}

// contractAfter begins the list behind its key and answers the order.
func contractAfter(q *contractor.ContractQuery, end string, and func(string, ...any)) (order string, err error) {
	first, second, _ := strings.Cut(q.After, ".")
	var at, seq int64
	if q.After != "" {
		if at, err = strconv.ParseInt(first, 10, 64); err == nil && q.Order != contractor.ContractsByAge {
			seq, err = strconv.ParseInt(second, 10, 64)
		}
		if err != nil {
			return "", contractor.Errorf(contractor.CodeInvalid, "%q is no place in the list; begin at its first page", q.After)
		}
	}
	switch q.Order {
	case contractor.ContractsByEnd:
		and(`e.end_at IS NOT NULL`)
		if q.After != "" {
			and(`(`+end+`, e.seq) > (?, ?)`, at, seq)
		}
		return end + `, e.seq`, nil
	case contractor.ContractsByEndDown:
		and(`e.end_at IS NOT NULL`)
		if q.After != "" {
			and(`(`+end+`, e.seq) < (?, ?)`, at, seq)
		}
		return end + ` DESC, e.seq DESC`, nil
	case contractor.ContractsByAge:
		if q.After == "" {
			at = math.MaxInt64
		}
		and(`e.seq < ?`, at)
		return `e.seq DESC`, nil
	}
	return "", contractor.Errorf(contractor.CodeInvalid, "%q is no order of contracts", q.Order)
}

func scanContract(row scanner, order contractor.ContractOrder) (x contractor.Contract, err error) {
	var seq int64
	var start, end, prev, extended instant
	var standing, record string
	var failures, blocks int
	err = row.Scan(&seq, &x.Engagement, &x.Person, &x.Vendor, &x.Status, &start, &end, &prev, &standing, &record,
		&x.Email, &x.Sponsor, &x.GuestState, &x.Phase, &x.Held, &failures, &x.Failing, &extended, &blocks, &x.Holdings)
	if err != nil {
		return x, err
	}
	var st contractor.Standing
	var r contractor.Record
	if err := errors.Join(json.Unmarshal([]byte(standing), &st), json.Unmarshal([]byte(record), &r)); err != nil {
		return x, fmt.Errorf("engagement %s: %w", x.Engagement, err)
	}
	x.Reason, x.Name, x.SponsorMail = st.Reason, personName(&r), r.SponsorEmail
	x.Start, x.End, x.PrevEnd, x.Extended = start.Time, end.Time, prev.Time, extended.Time
	x.Blocked = blocks > 0
	if failures == 0 {
		x.Failing = ""
	}
	x.Key = strconv.FormatInt(seq, 10)
	if order != contractor.ContractsByAge {
		x.Key = strconv.FormatInt(end.UnixMicro(), 10) + "." + x.Key
	}
	return x, nil
}

// EndsPerDay counts the effective ends in [from, to) by vendor and day of UTC, from an index alone.
func (s *Store) EndsPerDay(ctx context.Context, from, to time.Time) (list []contractor.EndsOnDay, err error) {
	const day = 24 * time.Hour
	from = from.UTC().Truncate(day)
	ctx, cancel := context.WithTimeout(ctx, s.queryTimeout)
	defer cancel()
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT vendor, (end_at - ?1) / ?2 AS n, count(*) FROM engagements
			WHERE deleted = 0 AND end_at IS NOT NULL AND end_at >= ?1 AND end_at < ?3 GROUP BY vendor, n ORDER BY vendor, n`,
			from.UnixMicro(), day.Microseconds(), to.UnixMicro())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var x contractor.EndsOnDay
			var n int64
			if err := rows.Scan(&x.Vendor, &n, &x.Ends); err != nil {
				return err
			}
			x.Day = from.Add(time.Duration(n) * day)
			list = append(list, x)
		}
		return rows.Err()
	})
	return list, failure("count the ends of days", err)
}

// Sponsors lists the sponsors of people, by their Entra object ids, behind after; at most limit.
func (s *Store) Sponsors(ctx context.Context, after string, limit int) (list []string, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		list, err = c.texts(ctx, `SELECT DISTINCT sponsor_id FROM persons WHERE sponsor_id <> '' AND sponsor_id > ? ORDER BY sponsor_id LIMIT ?`, after, limit)
		return err
	})
	return list, failure("list sponsors", err)
}

// RuleCounts counts, by rule, the people who hold something now.
func (s *Store) RuleCounts(ctx context.Context) (list []contractor.RuleCount, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.queryTimeout)
	defer cancel()
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT rule, count(DISTINCT person) FROM holdings WHERE state <> 'ended' GROUP BY rule ORDER BY rule`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var x contractor.RuleCount
			if err := rows.Scan(&x.Rule, &x.People); err != nil {
				return err
			}
			list = append(list, x)
		}
		return rows.Err()
	})
	return list, failure("count the people of rules", err)
}

// HeldFor counts the people with an engagement that is held for one of the reasons, in their order.
func (s *Store) HeldFor(ctx context.Context, reasons []string) (counts []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.queryTimeout)
	defer cancel()
	counts = make([]int, len(reasons))
	err = s.short.with(ctx, func(c *conn) error {
		for i, reason := range reasons {
			// By vendor, since the index of statuses begins with it.
			err := c.row(ctx, `SELECT count(DISTINCT e.person) FROM vendors v JOIN engagements e ON e.vendor = v.name
				WHERE e.deleted = 0 AND e.status = 'held' AND e.standing ->> 'statusReason' = ?`, []any{reason}, &counts[i])
			if err != nil {
				return err
			}
		}
		return nil
	})
	return counts, failure("count who is held", err)
}

// HoldCounts counts the open holds by vendor and kind.
func (s *Store) HoldCounts(ctx context.Context) (list []contractor.HoldCount, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT vendor, kind, count(*) FROM holds WHERE state = 'open' GROUP BY vendor, kind ORDER BY vendor, kind`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var x contractor.HoldCount
			if err := rows.Scan(&x.Vendor, &x.Kind, &x.Open); err != nil {
				return err
			}
			list = append(list, x)
		}
		return rows.Err()
	})
	return list, failure("count holds", err)
}
