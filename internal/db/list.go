package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"

	"scimbridge/internal/contractor"
)

const (
	// maxPage bounds one page, whatever is asked for.
	maxPage = 5000

	// maxCounted bounds how far matches of a filter are counted. Beyond it, the total is the least that is known, and always
	// more than the pages so far: a client that walks on reaches the end.
	maxCounted = 10_000
)

// listing is one list query on its way.
type listing struct {
	q     contractor.Query
	where fragment // "": all
	guide guide
	order order
	print fingerprint

	vendor vendorRow
	memo   memo // what is known from earlier pages, if nothing changed since
}

// vendorRow is what a list needs of its vendor.
type vendorRow struct {
	total, lastOrd, changes int64
}

// List implements scim.Store. Without a filter the total comes from the vendor's row, where every write keeps it. With one,
// matches are counted up to 10,000. A page that follows one that was served since the vendor's last change begins where that
// one ended; the offset of any other is found by the holes of the unfiltered list, or by walking an index. A query that takes
// too long is refused with scimType tooMany.
func (s *Store) List(ctx context.Context, q contractor.Query) (contractor.Page, error) {
	q.Count, q.Start = min(max(q.Count, 0), maxPage), max(q.Start, 0)
	l, err := newListing(q)
	if err != nil {
		return contractor.Page{}, failure("read the query", err)
	}
	if l.guide.few && q.Start == 0 && q.Cursor == "" && q.Count > 0 {
		if page, ok, err := s.lookUp(ctx, l); ok || err != nil {
			return page, failure("look engagements up", err)
		}
	}
	if l.print, err = fingerprintOf(q.Vendor, l.where, l.order); err != nil {
		return contractor.Page{}, failure("read the query", err)
	}
	at := position{offset: q.Start}
	if q.Cursor != "" {
		if at, err = s.openCursor(l.print, q.Cursor); err != nil {
			return contractor.Page{}, failure("read the cursor", err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, s.queryTimeout)
	defer cancel()
	var page contractor.Page
	err = s.short.snapshot(limited, func(c *conn) (err error) {
		page, err = s.page(limited, c, l, at)
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return contractor.Page{}, &contractor.Error{Code: contractor.CodeInvalid, SCIMType: "tooMany", Cause: err,
			Message: "the query looks at more users than the server is willing to; add a condition on userName, externalId, emails, meta.lastModified or active"}
	}
	return page, failure("list engagements", err)
}

func newListing(q contractor.Query) (*listing, error) {
	l := &listing{q: q}
	k := compiler{vendor: q.Vendor}
	var err error
	if q.Where != nil {
		if l.where, err = k.condition(q.Where, ""); err != nil {
			return nil, err
		}
		l.guide = guideOf(q.Where)
	}
	l.order, err = k.orderOf(&q)
	return l, err
}

// lookUp answers a query that finds few rows, all on one page, in one statement. Where they are not all on it, it answers false.
func (s *Store) lookUp(ctx context.Context, l *listing) (page contractor.Page, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return page, false, err
	}
	err = s.short.with(ctx, func(c *conn) (err error) {
		var more bool
		// It is over before an interrupt could help it, and being interruptible costs a goroutine.
		page.Items, _, more, err = l.fetch(context.WithoutCancel(ctx), c, begin{}, unknown)
		ok = !more
		return err
	})
	page.Total = len(page.Items)
	return page, ok, err
}

func (s *Store) page(ctx context.Context, c *conn, l *listing, at position) (page contractor.Page, err error) {
	err = c.row(context.WithoutCancel(ctx), `SELECT total, last_ord, changes FROM vendors WHERE name = ?`, []any{l.q.Vendor},
		&l.vendor.total, &l.vendor.lastOrd, &l.vendor.changes)
	if errors.Is(err, sql.ErrNoRows) || err == nil && l.vendor.total == 0 {
		return page, nil
	}
	if err != nil {
		return page, err
	}
	l.memo = s.memos.recall(l.print, l.vendor.changes, at.offset)
	total, err := s.countFirst(ctx, c, l)
	if err != nil {
		return page, err
	}
	if l.q.Count == 0 {
		page.Total, err = s.total(ctx, c, l, total, at.offset, 0, true)
		return page, err
	}
	from, err := s.begin(ctx, c, l, at)
	if err != nil {
		return page, err
	}
	items, ends, more, err := l.fetch(ctx, c, from, total)
	if err != nil {
		return page, err
	}
	page.Items = items
	end := at.offset + len(items)
	if page.Total, err = s.total(ctx, c, l, total, end, len(items), more); err != nil {
		return page, err
	}
	if more {
		ends.offset = end
		s.memos.mark(l.print, l.vendor.changes, ends)
		if l.q.UseCursor {
			page.Next, err = s.sealCursor(l.print, ends)
		}
	}
	return page, err
}

// unknown is a total that was not counted yet.
const unknown = -1

// countFirst answers the total where it costs nothing, or where the way to the page depends on it.
func (s *Store) countFirst(ctx context.Context, c *conn, l *listing) (int, error) {
	switch {
	case l.where.sql == "":
		return int(l.vendor.total), nil
	case l.memo.counted:
		return l.memo.total, nil
	case l.guide.rank == rankRange && l.order.index != l.guide.index:
		return s.count(ctx, c, l)
	}
	return unknown, nil
}

// total answers how many rows match, or the least that is known where that is more than maxCounted. end is the offset behind the
// page of n rows, more whether rows follow it.
func (s *Store) total(ctx context.Context, c *conn, l *listing, total, end, n int, more bool) (_ int, err error) {
	switch {
	case total == unknown && !more && (n > 0 || end == 0): // the page is the last one
		total = end
		s.memos.count(l.print, l.vendor.changes, total)
	case total == unknown && l.q.NoTotal && l.q.Count > 0:
		return end, nil
	case total == unknown:
		if total, err = s.count(ctx, c, l); err != nil {
			return 0, err
		}
	}
	if total > maxCounted && l.where.sql != "" {
		if more {
			end++
		}
		total = max(total, end)
	}
	return total, nil
}

// count counts the matches of a filter, up to one more than maxCounted.
func (s *Store) count(ctx context.Context, c *conn, l *listing) (int, error) {
	f := join("SELECT count(*) FROM (SELECT 1 FROM engagements e"+indexedBy(l.guide.index)+" WHERE e.vendor = ? AND e.deleted = 0 AND %", l.where)
	f.args = append([]any{l.q.Vendor}, f.args...)
	var n int
	if err := c.row(ctx, f.sql+" LIMIT ?)", append(f.args, maxCounted+1), &n); err != nil {
		return 0, err
	}
	s.memos.count(l.print, l.vendor.changes, n)
	return n, nil
}

// byRow is the index of what is found by row number.
const byRow = "-"

func indexedBy(index string) string {
	switch index {
	case "":
		return ""
	case byRow:
		return " NOT INDEXED"
	}
	return " INDEXED BY " + index
}

// begin is where a page begins.
type begin struct {
	after  *position // behind this row
	from   int64     // at this ordinal, in the order of the list; 0: unused
	offset int       // and so many rows further
}

func (s *Store) begin(ctx context.Context, c *conn, l *listing, at position) (begin, error) {
	if l.q.Cursor != "" {
		if _, ok := at.key.(rowKey); ok {
			f := join("SELECT % FROM engagements e WHERE e.seq = ? AND e.vendor = ?", l.order.key).with(at.tie, l.q.Vendor)
			if err := c.row(ctx, f.sql, f.args, &at.key); err != nil {
				return begin{}, errCursor()
			}
		}
		return begin{after: &at}, nil
	}
	if at.offset == 0 {
		return begin{}, nil
	}
	if l.memo.mark != nil {
		return begin{after: l.memo.mark}, nil
	}
	if l.where.sql != "" || l.q.SortBy != nil {
		return begin{offset: at.offset}, nil
	}
	offset := int64(at.offset)
	if offset >= l.vendor.total {
		return begin{offset: at.offset}, nil // nothing is there
	}
	if !l.q.Descending {
		from, rest, err := seekOffset(ctx, c, l.q.Vendor, l.vendor.lastOrd, offset)
		return begin{from: from, offset: int(rest)}, err
	}
	// The first row of the page, counted from the other end.
	from, rest, err := seekOffset(ctx, c, l.q.Vendor, l.vendor.lastOrd, l.vendor.total-1-offset)
	if err != nil {
		return begin{}, err
	}
	err = c.row(ctx, `SELECT ord FROM engagements WHERE vendor = ? AND deleted = 0 AND ord >= ? ORDER BY ord LIMIT 1 OFFSET ?`,
		[]any{l.q.Vendor, from, rest}, &from)
	return begin{from: from}, err
}

// seekOffset finds the row at an offset of a vendor's list: so many rows behind the first one at or after an ordinal. It walks
// the counts of holes, 1,024 ordinals at a time, and leaves at most that many rows to walk.
func seekOffset(ctx context.Context, c *conn, vendor string, lastOrd, offset int64) (from, rest int64, err error) {
	rows, err := c.query(ctx, `SELECT bucket, holes FROM vendor_holes WHERE vendor = ? ORDER BY bucket`, vendor)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	next := int64(1) // ordinal; every one before it has been counted off
	for rows.Next() {
		var bucket, holes int64
		if err := rows.Scan(&bucket, &holes); err != nil {
			return 0, 0, err
		}
		first := max(bucket*holesPerBucket, 1)
		if whole := first - next; offset < whole {
			return next + offset, 0, nil
		} else {
			offset -= whole
		}
		end := min((bucket+1)*holesPerBucket, lastOrd+1)
		if standing := end - first - holes; offset < standing {
			return first, offset, nil
		} else {
			offset -= standing
		}
		next = end
	}
	return next + offset, 0, rows.Err()
}

// fetch reads a page, and one row more to know whether another page follows.
func (l *listing) fetch(ctx context.Context, c *conn, b begin, total int) (items []contractor.Engagement, last position, more bool, err error) {
	f := l.selection(b, total)
	if c.below != nil && ctx.Done() == nil {
		return l.fetchDirect(c, f)
	}
	rows, err := c.query(ctx, f.sql, f.args...)
	if err != nil {
		return nil, last, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !l.guide.few {
		items = make([]contractor.Engagement, 0, min(l.q.Count, 100)) // the page that is asked for mostly
	}
	var scan engagementScan
	var e contractor.Engagement // one for all rows: it is large, and what is pointed at is allocated
	dest := append(scan.listed(&e), &last.tie, &last.key)
	for rows.Next() {
		if len(items) == l.q.Count {
			return items, last, true, nil
		}
		e = contractor.Engagement{}
		if err := rows.Scan(dest...); err != nil {
			return nil, last, false, err
		}
		if err := scan.fill(&e, false); err != nil {
			return nil, last, false, err
		}
		items = append(items, e)
	}
	return items, last, false, rows.Err()
}

// fetchDirect is fetch by the driver itself, for few rows.
func (l *listing) fetchDirect(c *conn, f fragment) (items []contractor.Engagement, last position, more bool, err error) {
	var scan engagementScan
	var e contractor.Engagement
	dest := append(scan.listed(&e), &last.tie, &last.key)
	err = c.each(f.sql, f.args, len(dest), func(values []driver.Value) (bool, error) {
		if more = len(items) == l.q.Count; more {
			return false, nil
		}
		e = contractor.Engagement{}
		if err := take(dest, values); err != nil {
			return false, err
		}
		if err := scan.fill(&e, false); err != nil {
			return false, err
		}
		items = append(items, e)
		return true, nil
	})
	return items, last, more, err
}

func (l *listing) selection(b begin, total int) fragment {
	// A range that leaves many rows would have them sorted for each page; then the list is walked in order and filtered.
	index := l.order.index
	switch d := l.guide; {
	case d.few, d.ordered && l.q.SortBy == nil, d.rank == rankRange && total <= maxCounted:
		index = d.index
	case d.wide != "" && l.q.SortBy == nil:
		index = d.wide
	}
	f := join("SELECT "+listedColumns+", e.seq, % FROM engagements e"+indexedBy(index)+" WHERE e.vendor = ? AND e.deleted = 0", l.order.key).with(l.q.Vendor)
	if l.where.sql != "" {
		f = join("% AND %", f, l.where)
	}
	switch {
	case b.after != nil:
		f = join("% AND %", f, l.order.after(*b.after))
	case b.from != 0 && l.q.Descending:
		f = join("% AND e.ord <= ?", f).with(b.from)
	case b.from != 0:
		f = join("% AND e.ord >= ?", f).with(b.from)
	}
	f = join("% ORDER BY % LIMIT ?", f, l.order.by()).with(l.q.Count + 1)
	if b.offset > 0 {
		f = join("% OFFSET ?", f).with(b.offset)
	}
	return f
}

const (
	maxMemos = 256
	maxMarks = 64
)

// memos remembers, for the queries of late, what a following page can use. An entry holds as long as its vendor's count of
// changes stands.
type memos struct {
	mu      sync.Mutex
	entries map[fingerprint]*memoEntry
}

type memoEntry struct {
	changes int64
	counted bool
	total   int
	marks   map[int]position // where the page at an offset begins
}

// memo is what is known of a query at an offset.
type memo struct {
	counted bool
	total   int
	mark    *position
}

func (m *memos) recall(f fingerprint, changes int64, offset int) memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[f]
	if e == nil || e.changes != changes {
		return memo{}
	}
	known := memo{counted: e.counted, total: e.total}
	if p, ok := e.marks[offset]; ok {
		known.mark = &p
	}
	return known
}

func (m *memos) entry(f fingerprint, changes int64) *memoEntry {
	e := m.entries[f]
	if e == nil || e.changes != changes {
		if m.entries == nil || len(m.entries) >= maxMemos {
			m.entries = make(map[fingerprint]*memoEntry)
		}
		e = &memoEntry{changes: changes, marks: make(map[int]position)}
		m.entries[f] = e
	}
	return e
}

func (m *memos) count(f fingerprint, changes int64, total int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(f, changes)
	e.counted, e.total = true, total
}

func (m *memos) mark(f fingerprint, changes int64, p position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(f, changes)
	if len(e.marks) >= maxMarks {
		clear(e.marks)
	}
	e.marks[p.offset] = p
}
