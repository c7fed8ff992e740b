package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/tlog"
)

// Sealer signs the checkpoints of one log and never two histories of it: what it signed last is kept in a file outside the
// database, so that a database which was restored from a backup, or changed, is not signed as if nothing had happened.
type Sealer struct {
	Key  *Key
	Last string // path of the file with the checkpoint signed last
	Like string // path of the database, whose owner owns the file; may be ""
}

// BrokenHistory says that the journal is not a continuation of what was signed before.
type BrokenHistory struct {
	Signed Checkpoint // last
	Now    Checkpoint
}

func (b *BrokenHistory) Error() string {
	if b.Now.Size < b.Signed.Size {
		return fmt.Sprintf("the journal has %d events, but a checkpoint over %d was signed: the database was rolled back. "+
			"If a backup was restored on purpose, begin a new log with scimbridge audit rekey --reason …", b.Now.Size, b.Signed.Size)
	}
	return fmt.Sprintf("the first %d events are not those that were signed: the journal was changed, or a backup was restored and went on. "+
		"Find out where with scimbridge audit verify, and keep the database as evidence; if a backup was restored on purpose, "+
		"begin a new log with scimbridge audit rekey --reason …", b.Signed.Size)
}

// Seal signs a checkpoint if it continues the one signed last; *BrokenHistory if it does not. Nothing new to sign gives the last
// one again. tile reads the stored tiles of the tree that c is the head of. Calls must not overlap: the store makes them inside
// its write transaction.
func (s *Sealer) Seal(c Checkpoint, tile func(level int, n int64) ([]byte, error)) (SignedCheckpoint, error) {
	c.Origin = s.Key.Origin()
	last, err := s.last()
	if err != nil {
		return SignedCheckpoint{}, err
	}
	if last != nil {
		if last.Checkpoint == c {
			return *last, nil
		}
		if err := Continues(last.Checkpoint, c, tile); err != nil {
			return SignedCheckpoint{}, err
		}
	}
	signed, err := s.Key.Sign(c)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	if err := replaceFile(s.Last, signed.Note, s.Like); err != nil {
		return SignedCheckpoint{}, fmt.Errorf("a checkpoint is given out only once it is kept in %s; let the service's user write there: %w", s.Last, err)
	}
	return signed, nil
}

func (s *Sealer) last() (*SignedCheckpoint, error) {
	msg, err := os.ReadFile(s.Last)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint signed last: %w", err)
	}
	v, err := s.Key.Verifier()
	if err != nil {
		return nil, err
	}
	c, err := OpenCheckpoint(msg, v)
	if err != nil {
		return nil, fmt.Errorf("%s, which holds the checkpoint signed last, cannot be relied upon: %w; if the key was changed on purpose, use scimbridge audit rekey", s.Last, err)
	}
	return &c, nil
}

// Continues checks that the tree of now begins with the tree of before; *BrokenHistory if not. The stored tiles are believed only
// as far as they give now's root.
func Continues(before, now Checkpoint, tile func(level int, n int64) ([]byte, error)) error {
	if before.Size > now.Size {
		return &BrokenHistory{before, now}
	}
	if before.Size == 0 {
		return nil
	}
	root, err := RootAt(now, before.Size, tile)
	if err != nil {
		return err
	}
	if root != before.Root {
		return &BrokenHistory{before, now}
	}
	return nil
}

// RootAt is the root that the tree of c had when it had size leaves.
func RootAt(c Checkpoint, size int64, tile func(level int, n int64) ([]byte, error)) (tlog.Hash, error) {
	if size == c.Size {
		return c.Root, nil
	}
	root, err := tlog.TreeHash(size, hashReader(c, tile))
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("the stored tree of the journal is damaged: %w", err)
	}
	return root, nil
}
