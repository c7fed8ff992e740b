package siem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"scimbridge/internal/audit"
)

const (
	// signTimeout bounds one checkpoint: growing the tree over a journal that never had one takes seconds for a million events.
	signTimeout = 5 * time.Minute

	// lastTimeout bounds the one at the end: the daemon is being stopped.
	lastTimeout = 10 * time.Second

	// maxCheckpointFile bounds what is read of the checkpoint file's end to find its last note.
	maxCheckpointFile = 128 << 10
)

// sign makes checkpoints on schedule.
func (r *Runner) sign(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Settings.Checkpoints.Every)
	defer tick.Stop()
	for {
		r.signOnce(ctx, signTimeout)
		select {
		case <-ctx.Done():
			r.signOnce(context.WithoutCancel(ctx), lastTimeout)
			return
		case <-tick.C:
		}
	}
}

func (r *Runner) signOnce(ctx context.Context, timeout time.Duration) {
	if ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	head, err := r.cfg.Store.JournalHead(ctx)
	if err == nil && head == 0 {
		return // nothing to sign yet
	}
	var c audit.SignedCheckpoint
	if err == nil {
		c, err = r.cfg.Store.Seal(ctx, r.cfg.Sealer)
	}
	if err != nil {
		r.cfg.Logger.Error("no checkpoint over the journal was signed", "error", err)
		return
	}
	if err := r.keep(ctx, c); err != nil {
		r.cfg.Logger.Error("the checkpoint was not kept in its file", "error", err)
	}
	for _, s := range r.sinks {
		if s.settings.Checkpoints {
			s.offer(c)
		}
	}
}

// keep appends a checkpoint to its file, if it continues the file's last one.
func (r *Runner) keep(ctx context.Context, c audit.SignedCheckpoint) (err error) {
	path := r.cfg.Settings.Checkpoints.File
	if path == "" {
		return nil
	}
	last, err := lastNote(path)
	if err != nil {
		return err
	}
	if last != nil {
		old, err := audit.PeekCheckpoint(last)
		if err != nil {
			return fmt.Errorf("the last checkpoint in %s cannot be read: %w; move the file away to begin another, and find out who wrote to it", path, err)
		}
		if old.Origin == c.Origin { // else a new log was begun: audit rekey
			if old == c.Checkpoint {
				return nil
			}
			if err := r.continues(ctx, old, c); err != nil {
				return fmt.Errorf("%s holds a checkpoint that the journal does not continue: %w", path, err)
			}
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // checkpoints are no secret
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	note := c.Note
	if last != nil {
		note = append([]byte("\n"), note...)
	}
	if _, err := f.Write(note); err != nil {
		return err
	}
	return f.Sync()
}

func (r *Runner) continues(ctx context.Context, old audit.Checkpoint, c audit.SignedCheckpoint) error {
	_, err := r.cfg.Store.ProveConsistency(ctx, audit.SignedCheckpoint{Checkpoint: old}, c)
	return err
}

// lastNote is the last checkpoint of a file, nil if it has none or is not there. A part that was cut off behind it (the disk was
// full, the machine stopped) is passed over.
func lastNote(path string) (last []byte, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(info.Size(), maxCheckpointFile))
	if _, err := f.ReadAt(b, info.Size()-int64(len(b))); err != nil {
		return nil, err
	}
	notes, err := audit.SplitNotes(b)
	if len(notes) == 0 {
		return nil, err
	}
	return notes[len(notes)-1], nil
}
