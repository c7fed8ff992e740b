package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// AddRevision records the mapping file that is now in force and journals it, unless it is the one recorded last.
func (s *Store) AddRevision(ctx context.Context, actor audit.Actor, text, reason string) (contractor.MappingRevision, error) {
	sum := sha256.Sum256([]byte(text))
	r := contractor.MappingRevision{Hash: hex.EncodeToString(sum[:]), Text: text, Who: actor.Name}
	who, err := json.Marshal(actor)
	if err != nil {
		return r, err
	}
	err = s.write(ctx, "record a mapping revision", func(t *tx) error {
		var last string
		var loaded instant
		err := t.row(`SELECT hash, loaded FROM mapping_revisions ORDER BY seq DESC LIMIT 1`, nil, &last, &loaded)
		if err == nil && last == r.Hash {
			r.Loaded = loaded.Time
			return nil
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r.Loaded = t.now
		t.due = true // other nodes look which mapping is in force
		_, err = t.exec(`INSERT INTO mapping_revisions (hash, text, who, loaded) VALUES (?, ?, ?, ?)`, r.Hash, text, string(who), t.now.UnixMicro())
		if err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "mapping.loaded", Actor: actor, Outcome: audit.Done, Reason: reason, Revision: r.Hash})
	})
	return r, err
}

// Revision reads a recorded mapping file by its hash, or the last one with ""; CodeNotFound if there is none.
func (s *Store) Revision(ctx context.Context, hash string) (contractor.MappingRevision, error) {
	var r contractor.MappingRevision
	var who string
	var loaded instant
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT hash, text, who, loaded FROM mapping_revisions WHERE hash = ?1 OR ?1 = '' ORDER BY seq DESC LIMIT 1`,
			[]any{hash}, &r.Hash, &r.Text, &who, &loaded)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return r, contractor.Errorf(contractor.CodeNotFound, "no mapping revision %s is recorded; a revision is recorded when serve or reload puts it in force", hash)
	}
	if err == nil {
		var actor audit.Actor
		err = json.Unmarshal([]byte(who), &actor)
		r.Who, r.Loaded = actor.Name, loaded.Time
	}
	return r, failure("read a mapping revision", err)
}

// RevisionHash is the hash of the mapping file in force; "" if there never was one.
func (s *Store) RevisionHash(ctx context.Context) (hash string, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT hash FROM mapping_revisions ORDER BY seq DESC LIMIT 1`, nil, &hash)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return hash, failure("read which mapping is in force", err)
}

// Setting reads a value that a part of the program keeps here (a watermark, a pause, a counter); nil if there is none.
func (s *Store) Setting(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT value FROM settings WHERE key = ?`, []any{key}, &value)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return value, failure("read a setting", err)
}

// SetSetting writes a value, or removes it with nil, together with the events that tell why.
func (s *Store) SetSetting(ctx context.Context, key string, value []byte, events ...audit.Event) error {
	if key == "" || key == cursorKeySetting {
		return contractor.Errorf(contractor.CodeInternal, "the setting %q is the store's own", key)
	}
	return s.write(ctx, "write a setting", func(t *tx) error {
		var err error
		if value == nil {
			_, err = t.exec(`DELETE FROM settings WHERE key = ?`, key)
		} else {
			_, err = t.exec(`INSERT INTO settings (key, value, changed) VALUES (?, ?, ?)
				ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed`, key, value, t.now.UnixMicro())
		}
		if err != nil {
			return err
		}
		for _, event := range events {
			if err := t.append(&event); err != nil {
				return err
			}
		}
		return nil
	})
}
