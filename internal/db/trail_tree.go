package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// The tree is not grown with every event but when a checkpoint or a proof wants it. It is a pure function of leaves that never
// change, so a crash can lose none of it: what is missing is worked out from the journal again, each step one transaction that
// takes the stored tree from one whole state to the next. An event costs its writer nothing, and a tree that is grown later
// proves neither less nor more: what proves is a checkpoint kept elsewhere, and until it is made both could be rewritten.

// growStep is how many events enter the tree in one transaction: about ten milliseconds of the writer.
const growStep = 8192

// errTreeMoved says that another process grew the tree meanwhile.
var errTreeMoved = errors.New("the tree was grown by somebody else")

// storedTreeSize is how many leaves the stored tiles have.
func (t *tx) storedTreeSize() (size int64, err error) {
	err = t.row(treeSizeQuery, nil, &size)
	return size, err
}

const treeSizeQuery = `SELECT coalesce((SELECT n * 256 + length(hashes) / 32 FROM trail_tiles WHERE level = 0 ORDER BY n DESC LIMIT 1), 0)`

func (s *Store) treeSize(ctx context.Context) (size int64, err error) {
	err = s.short.with(ctx, func(c *conn) error { return c.row(ctx, treeSizeQuery, nil, &size) })
	return size, err
}

const tileQuery = `SELECT hashes FROM trail_tiles WHERE level = ? AND n = ?`

// tile reads a stored tile; the error says that the tree is damaged if there is none.
func (s *Store) tile(ctx context.Context, level int, n int64) (data []byte, err error) {
	err = s.short.with(ctx, func(c *conn) error { return c.row(ctx, tileQuery, []any{level, n}, &data) })
	return data, missingTile(err, level, n)
}

func missingTile(err error, level int, n int64) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("tile %d of level %d of the journal's tree is missing", n, level)
	}
	return err
}

func (s *Store) tileReader(ctx context.Context) func(int, int64) ([]byte, error) {
	return func(level int, n int64) ([]byte, error) { return s.tile(ctx, level, n) }
}

func (t *tx) tile(level int, n int64) (data []byte, err error) {
	err = t.row(tileQuery, []any{level, n}, &data)
	return data, missingTile(err, level, n)
}

// growTree takes the stored tree up to the journal's last event. Events that do not fit each other are no leaves: the error is
// an *audit.Fault then.
func (s *Store) growTree(ctx context.Context) error {
	for {
		size, err := s.treeSize(ctx)
		if err != nil {
			return err
		}
		first, last, err := s.bounds(ctx)
		if err != nil {
			return err
		}
		if size >= last {
			return nil
		}
		if size+1 < first {
			return fmt.Errorf("events %d to %d are missing and are not in the tree of the journal: %w", size+1, first-1,
				&audit.Fault{Seq: size + 1, Why: "it was removed"})
		}
		if err := s.growOnce(ctx, size, min(size+growStep, last)); err != nil && !errors.Is(err, errTreeMoved) {
			return err
		}
	}
}

// growOnce works out the tiles outside of the writer and hands them to it.
func (s *Store) growOnce(ctx context.Context, size, to int64) error {
	var tiles []audit.Tile
	tree, err := audit.ResumeTree(size, s.tileReader(ctx), func(t audit.Tile) { tiles = append(tiles, t) })
	if err != nil {
		return err
	}
	span := audit.Span{First: size + 1}
	if err := s.journalRows(ctx, size+1, to, span.Add); err != nil {
		return err
	}
	if span.Last() != to {
		return &audit.Fault{Seq: span.Last() + 1, Why: "it is missing: events were removed"}
	}
	for _, r := range span.Records {
		tree.Append(r)
	}
	tiles = append(tiles, tree.Edge()...)
	return s.write(ctx, "grow the tree of the journal", func(t *tx) error {
		if now, err := t.storedTreeSize(); err != nil || now != size {
			return errors.Join(err, errTreeMoved)
		}
		for _, tile := range tiles {
			_, err := t.exec(`INSERT INTO trail_tiles (level, n, hashes) VALUES (?, ?, ?) ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`,
				tile.Level, tile.N, tile.Data)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Seal signs a checkpoint over the journal, or answers the last one again if nothing was journaled since. seal (audit.Sealer) is
// called in the write transaction, so that no two processes sign at once.
func (s *Store) Seal(ctx context.Context, sealer *audit.Sealer) (audit.SignedCheckpoint, error) {
	var signed audit.SignedCheckpoint
	if err := s.growTree(ctx); err != nil {
		return signed, journalFailure("grow the tree of the journal", err)
	}
	var refused error // by the sealer: not a failure of the database
	err := s.write(ctx, "sign a checkpoint", func(t *tx) error {
		size, err := t.storedTreeSize()
		if err != nil {
			return err
		}
		if size == 0 {
			return contractor.Errorf(contractor.CodeConflict, "the journal has no event yet: there is nothing to sign")
		}
		tree, err := audit.ResumeTree(size, t.tile, nil)
		if err != nil {
			return err
		}
		c := audit.Checkpoint{Origin: sealer.Key.Origin(), Size: size, Root: tree.Root()}
		if signed, refused = sealer.Seal(c, t.tile); refused != nil {
			return refused
		}
		var known int
		if err := t.row(`SELECT count(*) FROM trail_checkpoints WHERE size = ? AND note = ?`, []any{signed.Size, string(signed.Note)}, &known); err != nil || known > 0 {
			return err
		}
		_, err = t.exec(`INSERT INTO trail_checkpoints (size, made, public_key, note) VALUES (?, ?, ?, ?)`,
			signed.Size, t.now.UnixMicro(), sealer.Key.Public(), string(signed.Note))
		return err
	})
	if refused != nil {
		return signed, refused
	}
	return signed, err
}

// journalFailure keeps what the journal's own errors say, which is what the caller has to act upon.
func journalFailure(what string, err error) error {
	var fault *audit.Fault
	var signed *audit.CheckpointFault
	if errors.As(err, &fault) || errors.As(err, &signed) {
		return err
	}
	return failure(what, err)
}

// StoredCheckpoint is a checkpoint that the database keeps of itself.
type StoredCheckpoint struct {
	audit.SignedCheckpoint
	Made      time.Time
	PublicKey string // of the key that signed it
}

// Checkpoints are the checkpoints that the database keeps, oldest first. What they prove is less than what one kept elsewhere
// does: who can write to the database can write them too.
func (s *Store) Checkpoints(ctx context.Context) (list []StoredCheckpoint, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT made, public_key, note FROM trail_checkpoints ORDER BY id`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var cp StoredCheckpoint
			var made instant
			if err := rows.Scan(&made, &cp.PublicKey, &cp.Note); err != nil {
				return err
			}
			cp.Made = made.Time
			list = append(list, cp)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, failure("read the checkpoints", err)
	}
	for i := range list {
		if err := list[i].open(); err != nil {
			return nil, fmt.Errorf("checkpoint %d of the database is not what was signed: %w", i+1, err)
		}
	}
	return list, nil
}

func (c *StoredCheckpoint) open() error {
	v, err := audit.NewVerifier(c.PublicKey)
	if err != nil {
		return err
	}
	c.SignedCheckpoint, err = audit.OpenCheckpoint(c.Note, v)
	return err
}

// records reads the leaf hashes of events first to last from the stored tree.
func (s *Store) records(ctx context.Context, first, last int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, last-first+1)
	for n := (first - 1) / 256; n*256 < last; n++ {
		data, err := s.tile(ctx, 0, n)
		if err != nil {
			return nil, err
		}
		for i := max(first-1-n*256, 0); i < min(last-n*256, 256); i++ {
			if (i+1)*tlog.HashSize > int64(len(data)) {
				return nil, fmt.Errorf("the tree of the journal ends before event %d", n*256+i+1)
			}
			hashes = append(hashes, tlog.Hash(data[i*tlog.HashSize:(i+1)*tlog.HashSize]))
		}
	}
	return hashes, nil
}
