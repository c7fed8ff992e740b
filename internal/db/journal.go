package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"scimbridge/internal/audit"
)

// head is the last event of the journal.
type head struct {
	seq  int64
	hash string // hex
}

// append seals an event behind the journal's last one and stores it. Seq, Time and the hashes are filled in.
func (t *tx) append(e *audit.Event) error {
	if !t.headKnown {
		if err := t.readHead(); err != nil {
			return err
		}
	}
	e.Seq, e.Time = t.head.seq+1, t.now
	if e.Personal != nil {
		e.Salt = make([]byte, 16)
		if _, err := rand.Read(e.Salt); err != nil {
			return err
		}
	}
	leaf, err := e.SealLeaf(t.head.hash)
	if err != nil {
		return err
	}
	hash, err := hex.DecodeString(e.Hash)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO journal (seq, time, kind, person, engagement, vendor, hash, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		e.Seq, e.Time.UnixMicro(), e.Kind, e.Person, e.Engagement, e.Vendor, hash, string(leaf))
	if err != nil {
		return fmt.Errorf("append %s to the journal: %w", e.Kind, err)
	}
	if e.Personal != nil {
		_, err = t.exec(`INSERT INTO journal_personal (seq, person, salt, fields) VALUES (?, ?, ?, ?)`,
			e.Seq, e.Person, e.Salt, string(e.Personal))
		if err != nil {
			return fmt.Errorf("append the personal fields of %s to the journal: %w", e.Kind, err)
		}
	}
	t.head = head{e.Seq, e.Hash}
	return nil
}

func (t *tx) readHead() error {
	var seq int64
	var hash []byte
	err := t.row(`SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1`, nil, &seq, &hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		t.head = head{0, audit.Genesis}
	case err != nil:
		return fmt.Errorf("read the journal's head: %w", err)
	default:
		t.head = head{seq, hex.EncodeToString(hash)}
	}
	t.headKnown = true
	return nil
}

// detail is an event's detail with one field.
func detail(key string, value any) json.RawMessage {
	b, err := json.Marshal(map[string]any{key: value})
	if err != nil {
		return nil // a string or a number cannot fail
	}
	return b
}

// Refused implements scim.Store.
func (s *Store) Refused(ctx context.Context, event audit.Event) error {
	return s.AppendEvents(ctx, event)
}

// AppendEvents journals events that change nothing else.
func (s *Store) AppendEvents(ctx context.Context, events ...audit.Event) error {
	return s.writeRepeatable(ctx, "append to the journal", func(t *tx) error {
		for _, event := range events {
			if err := t.append(&event); err != nil {
				return err
			}
		}
		return nil
	})
}
