package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/term"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newAudit(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "The journal: read it, prove it, archive it",
		Long: `The journal: who did what to whom, by which rule, with what proof. These commands work on the database directly, with the
daemon running or stopped. How an auditor uses them: docs/auditor.md.`,
	}
	cmd.AddCommand(
		auditTail(io), auditShow(io), auditExport(io),
		auditVerify(io), auditProve(io), auditCheckProof(io), auditCheckpoint(io), auditKey(io), auditRekey(io),
		auditArchive(io), auditDrop(io), auditErase(io),
	)
	return cmd
}

// auditFiles are the key and the checkpoint signed last: beside the database, the key rather among systemd's credentials.
func auditFiles(cfg *config.Config) (key, last string, fixed bool) {
	key, last = cfg.Beside(".audit-key"), cfg.Beside(".audit-last")
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		credential := filepath.Join(dir, "audit-key")
		if _, err := os.Stat(credential); err == nil { //nolint:gosec // systemd says where its credentials are
			return credential, last, true
		}
	}
	return key, last, false
}

// kindKeyed is the event that says which key seals the journal from then on.
const kindKeyed = "journal.keyed"

type keyedDetail struct {
	Origin    string `json:"origin"`
	PublicKey string `json:"publicKey"`
	Replaces  string `json:"replaces,omitempty"`
}

// openSealer reads the journal's key, and makes it once: not if the journal was sealed by another before, since that one is
// missing then.
func openSealer(ctx context.Context, cfg *config.Config, store *db.Store, actor audit.Actor) (*audit.Sealer, error) {
	path, last, _ := auditFiles(cfg)
	known, err := journalKey(ctx, store)
	if err != nil {
		return nil, err
	}
	key, err := audit.ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) && known == "" {
		key, err = makeKey(path, ownerOf(cfg))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the journal is sealed with the key %s, which is not at %s; put it back, run this where the service's credentials are, or begin a new log with: scimbridge audit rekey --reason …", known, path)
	case err != nil:
		return nil, err
	case known != "" && known != key.Public():
		return nil, fmt.Errorf("the journal is sealed with the key %s, and %s holds %s; put the right one back, or begin a new log with: scimbridge audit rekey --reason …", known, path, key.Public())
	case known == "":
		if err := tellKey(ctx, store, actor, key, "", "the journal's first key"); err != nil {
			return nil, err
		}
	}
	return &audit.Sealer{Key: key, Last: last, Like: ownerOf(cfg)}, nil
}

func makeKey(path, like string) (*audit.Key, error) {
	origin, err := audit.NewOrigin()
	if err != nil {
		return nil, err
	}
	key, err := audit.MakeKey(path, origin, like)
	if errors.Is(err, fs.ErrExist) { // another process was first
		return audit.ReadKey(path)
	}
	return key, err
}

func tellKey(ctx context.Context, store *db.Store, actor audit.Actor, key *audit.Key, old, reason string) error {
	detail, err := json.Marshal(keyedDetail{key.Origin(), key.Public(), old})
	if err != nil {
		return err
	}
	return store.AppendEvents(ctx, audit.Event{Kind: kindKeyed, Actor: actor, Outcome: audit.Done, Reason: reason, Detail: detail})
}

// journalKey is the public key that seals the journal by its own word, "" if none does yet.
func journalKey(ctx context.Context, store *db.Store) (string, error) {
	for e, err := range store.Journal(ctx, contractor.JournalQuery{Kind: kindKeyed, Descending: true, Limit: 1}) {
		var d keyedDetail
		if err == nil {
			err = json.Unmarshal(e.Detail, &d)
		}
		return d.PublicKey, err
	}
	// The event may be in an archive.
	checkpoints, err := store.Checkpoints(ctx)
	if err != nil || len(checkpoints) == 0 {
		return "", err
	}
	return checkpoints[len(checkpoints)-1].PublicKey, nil
}

// ownKeys are the public keys that this machine knows: the key file's, and all that the journal and its checkpoints ever named.
func ownKeys(ctx context.Context, cfg *config.Config, store *db.Store) ([]string, error) {
	var keys []string
	add := func(key string) {
		if key != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	path, _, _ := auditFiles(cfg)
	if key, err := audit.ReadKey(path); err == nil { // this user may not be allowed to
		add(key.Public())
	}
	for e, err := range store.Journal(ctx, contractor.JournalQuery{Kind: kindKeyed}) {
		var d keyedDetail
		if err == nil {
			err = json.Unmarshal(e.Detail, &d)
		}
		if err != nil {
			return nil, err
		}
		add(d.PublicKey)
	}
	checkpoints, err := store.Checkpoints(ctx)
	for _, c := range checkpoints {
		add(c.PublicKey)
	}
	return keys, err
}

// trustedKeys are the public keys given, each as text or as the name of a file, or else the machine's own.
func trustedKeys(ctx context.Context, given []string, cfg *config.Config, store *db.Store) ([]note.Verifier, error) {
	if len(given) == 0 {
		own, err := ownKeys(ctx, cfg, store)
		if err != nil {
			return nil, err
		}
		given = own
	}
	return verifiers(given)
}

func verifiers(given []string) ([]note.Verifier, error) {
	var list []note.Verifier
	for _, g := range given {
		v, err := audit.NewVerifier(g)
		if err != nil {
			b, readErr := os.ReadFile(g)
			if readErr != nil {
				return nil, fmt.Errorf("--key %s is neither a public key nor a file with one: %w", g, readErr)
			}
			if v, err = audit.NewVerifier(string(b)); err != nil {
				return nil, fmt.Errorf("--key %s: %w", g, err)
			}
		}
		list = append(list, v)
	}
	return list, nil
}

// readCheckpoints reads checkpoint files, each with one or more.
func readCheckpoints(files []string, keys []note.Verifier) ([]audit.KnownCheckpoint, error) {
	var list []audit.KnownCheckpoint
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a checkpoint: %w", err)
		}
		notes, err := audit.SplitNotes(b)
		if err != nil && len(notes) == 0 {
			return nil, fmt.Errorf("%s holds no checkpoint: %w", file, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w; remove the part behind its last checkpoint", file, err)
		}
		for i, n := range notes {
			c, err := audit.OpenCheckpoint(n, keys...)
			if err != nil {
				return nil, fmt.Errorf("checkpoint %d in %s: %w", i+1, file, err)
			}
			list = append(list, audit.KnownCheckpoint{SignedCheckpoint: c, Source: file, Kept: true})
		}
	}
	return list, nil
}

// parseWhen reads an instant as people write one: a day (its first second), a minute, RFC 3339, or how long ago. All is UTC but
// what names its zone.
func parseWhen(flag, s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if span, err := contractor.ParseSpan(s); err == nil && s != "" {
		return now.Add(-span.Approx()).UTC(), nil
	}
	return time.Time{}, &codeError{exitUsage, fmt.Errorf("--%s %q is no time; write 2026-11-24, 2026-11-24 15:04, RFC 3339, or how long ago: 7d, 12h", flag, s)}
}

// whenFlag is a flag that parseWhen reads; the zero time if it was not given.
type whenFlag struct{ name, text string }

func (w *whenFlag) add(cmd *cobra.Command, name, usage string) {
	w.name = name
	cmd.Flags().StringVar(&w.text, name, "", usage)
}

func (w *whenFlag) read(now time.Time) (time.Time, error) {
	if w.text == "" {
		return time.Time{}, nil
	}
	return parseWhen(w.name, w.text, now)
}

// parseSeq reads the number of an event.
func parseSeq(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "#"), 10, 64)
	if err != nil || n < 1 {
		return 0, &codeError{exitUsage, fmt.Errorf("%q is not the number of an event; scimbridge audit tail shows them", s)}
	}
	return n, nil
}

// newFile makes a file that does not exist yet, for its owner alone; "" and "-" are out. done closes and syncs it, and removes it
// if err says that what is in it is not whole.
func newFile(path string, out io.Writer) (w io.Writer, done func(err error) error, err error) {
	if path == "" || path == "-" {
		return out, func(err error) error { return err }, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, fmt.Errorf("%s exists and is not written over; name a new file", path)
	}
	if err != nil {
		return nil, nil, err
	}
	return f, func(err error) error {
		if err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}, nil
}

// terminalWidth is the width of a terminal, 0 if w is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
