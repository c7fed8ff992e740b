package db

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// The events that tell of archives.
const (
	kindArchived = "journal.archived"
	kindDropped  = "journal.dropped"
)

// archiveDetail is the detail of these events. The triggers read it: an archive is recorded, and its events leave the journal,
// only as the journal says.
type archiveDetail struct {
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
	SHA256 string `json:"sha256"`
	File   string `json:"file"`
}

func (d *archiveDetail) read(e *audit.Event) error { return json.Unmarshal(e.Detail, d) }

// Archives are the archives that were made, oldest first.
func (s *Store) Archives(ctx context.Context) (list []audit.ArchiveRecord, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT first, last, hash, sha256, file, archived, coalesce(dropped, 0) FROM trail_archives ORDER BY last`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var a audit.ArchiveRecord
			var hash, sum []byte
			if err := rows.Scan(&a.First, &a.Last, &hash, &sum, &a.File, &a.Archived, &a.Dropped); err != nil {
				return err
			}
			a.Hash, a.SHA256 = hex.EncodeToString(hash), hex.EncodeToString(sum)
			list = append(list, a)
		}
		return rows.Err()
	})
	return list, failure("list the archives", err)
}

// WriteArchive writes the events older than before, as far as no archive has them, with their proof. Nothing is recorded yet:
// once the file is safe and was read back, RecordArchive does that. CodeConflict says that there is nothing to archive.
func (s *Store) WriteArchive(ctx context.Context, w io.Writer, before time.Time, sealer *audit.Sealer) (audit.ArchiveRecord, error) {
	var a audit.ArchiveRecord
	signed, err := s.Seal(ctx, sealer)
	if err != nil {
		return a, err
	}
	archives, err := s.Archives(ctx)
	if err != nil {
		return a, err
	}
	a.First = 1
	prev := audit.Genesis
	if n := len(archives); n > 0 {
		a.First, prev = archives[n-1].Last+1, archives[n-1].Hash
	}
	err = s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT coalesce(max(seq), 0) FROM journal WHERE seq >= ? AND seq <= ? AND time < ?`, []any{a.First, signed.Size, before.UnixMicro()}, &a.Last)
	})
	if err != nil {
		return a, failure("look for events to archive", err)
	}
	if a.Last < a.First {
		return a, contractor.Errorf(contractor.CodeConflict, "no event before %s is left to archive", before.UTC().Format(time.RFC3339))
	}
	tree, err := audit.ResumeTree(a.First-1, s.tileReader(ctx), nil)
	if err != nil {
		return a, failure("read the tree of the journal", err)
	}
	sum := sha256.New()
	out, err := audit.NewArchiveWriter(io.MultiWriter(w, sum), signed.Origin, a.First, a.Last, prev, tree)
	if err != nil {
		return a, err
	}
	err = s.journalRows(ctx, a.First, a.Last, func(r *audit.Row) error {
		if r.Seq == a.Last {
			a.Hash = hex.EncodeToString(r.Hash)
		}
		return out.Add(r)
	})
	if err == nil {
		err = out.Finish(signed, s.tileReader(ctx))
	}
	a.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return a, journalFailure("write an archive", err)
}

// RecordArchive journals that an archive stands in a file and records it, in one transaction. a is what WriteArchive answered,
// with File. The events stay until DropArchived.
func (s *Store) RecordArchive(ctx context.Context, actor audit.Actor, a audit.ArchiveRecord, reason string) (audit.ArchiveRecord, error) {
	hash, err := hex.DecodeString(a.Hash)
	if err != nil {
		return a, err
	}
	sum, err := hex.DecodeString(a.SHA256)
	if err != nil {
		return a, err
	}
	err = s.write(ctx, "record an archive", func(t *tx) error {
		e, err := t.tellArchive(kindArchived, actor, a, reason)
		if err != nil {
			return err
		}
		a.Archived = e.Seq
		_, err = t.exec(`INSERT INTO trail_archives (last, first, hash, sha256, file, archived) VALUES (?, ?, ?, ?, ?, ?)`,
			a.Last, a.First, hash, sum, a.File, a.Archived)
		return err
	})
	return a, err
}

func (t *tx) tellArchive(kind string, actor audit.Actor, a audit.ArchiveRecord, reason string) (*audit.Event, error) {
	b, err := json.Marshal(archiveDetail{a.First, a.Last, a.SHA256, a.File})
	if err != nil {
		return nil, err
	}
	e := &audit.Event{Kind: kind, Actor: actor, Outcome: audit.Done, Reason: reason, Detail: b}
	return e, t.append(e)
}

// dropStep is how many events leave the journal in one transaction.
const dropStep = 2000

// DropArchived takes the events of an archive out of the journal, having journaled that it does. The archive is named by the
// SHA-256 of its file, which the caller has just read again. Archives go oldest first; one whose dropping was interrupted is
// dropped to its end. CodeConflict says what must be done before.
func (s *Store) DropArchived(ctx context.Context, actor audit.Actor, sha256 string, reason string) (audit.ArchiveRecord, error) {
	archives, err := s.Archives(ctx)
	if err != nil {
		return audit.ArchiveRecord{}, err
	}
	for i := range archives {
		a := &archives[i]
		if a.SHA256 == sha256 {
			return *a, s.drop(ctx, actor, a, reason)
		}
		if a.Dropped == 0 {
			return *a, contractor.Errorf(contractor.CodeConflict, "the events of the older archive %s are still in the journal; drop that one first, or name the file of an archive that was made", a.File)
		}
	}
	return audit.ArchiveRecord{}, contractor.Errorf(contractor.CodeNotFound, "this is the file of no archive that was recorded; it was changed, or is of another database")
}

func (s *Store) drop(ctx context.Context, actor audit.Actor, a *audit.ArchiveRecord, reason string) error {
	if a.Dropped == 0 {
		err := s.write(ctx, "journal the drop of an archive", func(t *tx) error {
			e, err := t.tellArchive(kindDropped, actor, *a, reason)
			if err != nil {
				return err
			}
			a.Dropped = e.Seq
			_, err = t.exec(`UPDATE trail_archives SET dropped = ? WHERE last = ? AND dropped IS NULL`, e.Seq, a.Last)
			return err
		})
		if err != nil {
			return err
		}
	}
	for {
		var gone int64
		err := s.write(ctx, "drop archived events", func(t *tx) error {
			var to int64
			err := t.row(`SELECT min(coalesce((SELECT min(seq) FROM journal), ?1 + 1) + ?2 - 1, ?1)`, []any{a.Last, dropStep}, &to)
			if err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM journal_personal WHERE seq <= ?`, to); err != nil {
				return err
			}
			gone, err = t.changed(`DELETE FROM journal WHERE seq <= ?`, to)
			return err
		})
		if err != nil || gone == 0 {
			return err
		}
	}
}

// WritePersonal writes the personal fields of events first to last, a JSON line each: what an archive leaves out so that it can
// be kept for longer than they may be.
func (s *Store) WritePersonal(ctx context.Context, w io.Writer, first, last int64) error {
	var b bytes.Buffer
	err := s.journalRows(ctx, first, last, func(r *audit.Row) error {
		if r.Personal == nil {
			return nil
		}
		b.Reset()
		fmt.Fprintf(&b, `{"seq":%d,"person":"%s","salt":"%x","personal":%s}`+"\n", r.Seq, r.Person, r.Salt, r.Personal)
		_, err := w.Write(b.Bytes())
		return err
	})
	return journalFailure("write personal fields", err)
}

// resumeBehindArchives has the walk begin behind the events that were dropped, in the middle of an archive where its dropping was
// interrupted.
func resumeBehindArchives(ctx context.Context, pool *sql.DB, v *audit.Verifier) error {
	var seq int64
	var prev, hash []byte
	err := pool.QueryRowContext(ctx, `SELECT j.seq, j.leaf ->> '$.prev', CASE WHEN a.last = j.seq - 1 THEN lower(hex(a.hash)) END
		FROM journal j JOIN trail_archives a ON j.seq - 1 BETWEEN a.first AND a.last AND a.dropped IS NOT NULL
		WHERE j.seq = (SELECT min(seq) FROM journal)`).Scan(&seq, &prev, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if hash == nil {
		hash = prev
	}
	v.Resume(seq-1, string(hash))
	return nil
}
