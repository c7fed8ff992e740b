package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"scimbridge/internal/audit"
)

// VerifyJournal walks the whole journal and answers how many events it has and the hash of the last. The first event that is not
// what was written is an *audit.Fault. The walk sees one state of the file, however long it takes, and holds nobody up.
func (s *Store) VerifyJournal(ctx context.Context) (count int64, head string, err error) {
	return verifyJournal(ctx, s.reads)
}

func verifyJournal(ctx context.Context, pool *sql.DB) (count int64, head string, err error) {
	var v audit.Verifier
	if err := resumeBehindArchives(ctx, pool, &v); err != nil {
		return 0, "", failure("read the journal", err)
	}
	rows, err := pool.QueryContext(ctx, `SELECT j.leaf, j.hash, p.fields, p.salt
		FROM journal j LEFT JOIN journal_personal p ON p.seq = j.seq ORDER BY j.seq`)
	if err != nil {
		return 0, "", failure("read the journal", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var leaf, hash, fields, salt []byte
		if err := rows.Scan(&leaf, &hash, &fields, &salt); err != nil {
			return 0, "", failure("read the journal", err)
		}
		if _, err := v.Check(leaf, hex.EncodeToString(hash), fields, salt); err != nil {
			return 0, "", fmt.Errorf("the journal was tampered with or damaged: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, "", failure("read the journal", err)
	}
	count, head = v.Head()
	return count, head, nil
}
