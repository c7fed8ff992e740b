package db

import (
	"context"
	"errors"
	"fmt"
)

// Check looks for damage that no statement would meet by itself: SQLite's own check of the file, references to rows that are not
// there, and the counts that are kept beside the rows. It answers what it found, a sentence each. The journal is VerifyJournal's.
func (s *Store) Check(ctx context.Context) ([]string, error) {
	var found []string
	// A connection of the pool: it may take minutes, and the short reads must not wait for it.
	conn, err := openConn(ctx, s.reads)
	if err != nil {
		return nil, failure("check the database", err)
	}
	for _, check := range [...]struct {
		engine          engine // that it is asked of; bothEngines: any
		query, sentence string
	}{
		{engineSQLite, `SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok' LIMIT 20`, "the file is damaged: %s; restore the last backup"},
		{engineSQLite, `SELECT "table" || ' row ' || coalesce(rowid, '?') || ' names a row of ' || parent || ' that is not there' FROM pragma_foreign_key_check LIMIT 20`, "%s"},
		{enginePostgres, `SELECT conrelid::regclass || ' holds no promise of ' || conname FROM pg_constraint
			WHERE connamespace = current_schema()::regnamespace AND NOT convalidated LIMIT 20`, "the table %s: somebody added it without a check; run ALTER TABLE … VALIDATE CONSTRAINT"},
		{enginePostgres, `SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			WHERE c.relnamespace = current_schema()::regnamespace AND NOT (i.indisvalid AND i.indisready) LIMIT 20`, "the index %s is not usable; run REINDEX INDEX on it"},
		{bothEngines, `SELECT name FROM vendors v WHERE total <> (SELECT count(*) FROM engagements e WHERE e.vendor = v.name AND e.deleted = 0)`,
			"the number of engagements of vendor %s is not what its rows say"},
		{bothEngines, `SELECT name FROM vendors v WHERE live <> (SELECT count(*) FROM engagements e WHERE e.vendor = v.name AND e.deleted = 0
			AND e.ended_at IS NULL AND e.status NOT IN ('offboarding', 'removed'))`,
			"the number of live engagements of vendor %s is not what its rows say"},
		{bothEngines, `WITH listed AS (SELECT vendor, ord / 1024 AS bucket, count(*) AS n FROM engagements WHERE deleted = 0 GROUP BY 1, 2),
			buckets AS (SELECT vendor, bucket FROM listed UNION SELECT vendor, bucket FROM vendor_holes)
			SELECT DISTINCT b.vendor FROM buckets b JOIN vendors v ON v.name = b.vendor
			LEFT JOIN listed l ON l.vendor = b.vendor AND l.bucket = b.bucket
			LEFT JOIN vendor_holes h ON h.vendor = b.vendor AND h.bucket = b.bucket
			WHERE coalesce(l.n, 0) + coalesce(h.holes, 0) <> min((b.bucket + 1) * 1024, v.last_ord + 1) - max(b.bucket * 1024, 1)`,
			"the gaps in the list of vendor %s are not what its rows say"},
	} {
		if check.engine != bothEngines && check.engine != s.engine {
			continue
		}
		list, err := conn.texts(ctx, check.query)
		if err != nil {
			return nil, failure("check the database", errors.Join(err, conn.close()))
		}
		for _, what := range list {
			found = append(found, fmt.Sprintf(check.sentence, what))
		}
	}
	return found, failure("check the database", conn.close())
}

// texts reads a query of one column of text.
func (c *conn) texts(ctx context.Context, query string, args ...any) (list []string, err error) {
	rows, err := c.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
