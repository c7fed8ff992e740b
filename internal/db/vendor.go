package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

const (
	// tokenFresh is how long an authenticated token is believed without asking the file again: a token that another process
	// revoked works no longer than this. A revocation in this process holds at once.
	tokenFresh = time.Second

	// tokenUseEvery is how exact last_used is: a request does not cost a write.
	tokenUseEvery = 10 * time.Minute

	// maxCachedTokens bounds the cache; beyond it, it starts afresh.
	maxCachedTokens = 10_000

	// maxLiveTokens lets a vendor rotate: the old token works until the new one is in place.
	maxLiveTokens = 2
)

// tokenCache remembers the tokens seen in the last second. A read of the file costs more than the rest of a cheap request.
type tokenCache struct {
	mu     sync.Mutex
	tokens map[[sha256.Size]byte]cachedToken
}

type cachedToken struct {
	client  contractor.Client
	expires time.Time // zero: never
	read    time.Time
	used    time.Time // last use that was noted
}

// Authenticate implements scim.Store.
func (s *Store) Authenticate(ctx context.Context, tokenHash [sha256.Size]byte, now time.Time) (contractor.Client, error) {
	s.tokens.mu.Lock()
	token, ok := s.tokens.tokens[tokenHash]
	s.tokens.mu.Unlock()
	if age := now.Sub(token.read); !ok || age < 0 || age >= tokenFresh {
		var err error
		if token, err = s.readToken(ctx, tokenHash, now); err != nil {
			return contractor.Client{}, err
		}
	}
	if !token.expires.IsZero() && !now.Before(token.expires) {
		return contractor.Client{}, errUnauthorized()
	}
	return token.client, nil
}

func errUnauthorized() error {
	return contractor.Errorf(contractor.CodeUnauthorized, "the bearer token is not valid; ask for a new one")
}

func (s *Store) readToken(ctx context.Context, tokenHash [sha256.Size]byte, now time.Time) (cachedToken, error) {
	token := cachedToken{read: now}
	var expires, used instant
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(context.WithoutCancel(ctx), `SELECT t.id, t.vendor, t.expires, t.last_used, v.paused
			FROM tokens t JOIN vendors v ON v.name = t.vendor WHERE t.hash = ? AND t.revoked IS NULL`,
			[]any{tokenHash[:]}, &token.client.TokenID, &token.client.Vendor, &expires, &used, &token.client.Paused)
	})
	if errors.Is(err, sql.ErrNoRows) {
		s.tokens.mu.Lock()
		delete(s.tokens.tokens, tokenHash)
		s.tokens.mu.Unlock()
		return token, errUnauthorized()
	}
	if err != nil {
		return token, failure("read a token", err)
	}
	token.expires, token.used = expires.Time, used.Time

	s.tokens.mu.Lock()
	if old, ok := s.tokens.tokens[tokenHash]; ok && old.used.After(token.used) {
		token.used = old.used // noted, and on its way to the file
	}
	note := now.Sub(token.used) >= tokenUseEvery
	if note {
		token.used = now
	}
	if s.tokens.tokens == nil || len(s.tokens.tokens) >= maxCachedTokens {
		s.tokens.tokens = make(map[[sha256.Size]byte]cachedToken)
	}
	s.tokens.tokens[tokenHash] = token
	s.tokens.mu.Unlock()

	if note {
		s.w.offer(func(t *tx) error {
			_, err := t.exec(`UPDATE tokens SET last_used = ? WHERE id = ?`, now.UnixMicro(), token.client.TokenID)
			return err
		})
	}
	return token, nil
}

func (s *Store) forgetTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.tokens = nil
}

// Token is what is stored of a vendor's bearer token.
type Token struct {
	ID       string // not secret; AddToken makes one where it is ""
	Vendor   string
	Hash     [sha256.Size]byte // of the token
	Created  time.Time
	Expires  time.Time // zero: never
	LastUsed time.Time // to within minutes; zero: never
	Revoked  time.Time // zero: not revoked
}

// AddToken stores a token's hash for a vendor, which it makes known where it is not, and journals it. A vendor has at most two
// live tokens: CodeConflict says so.
func (s *Store) AddToken(ctx context.Context, actor audit.Actor, token Token, reason string) (Token, error) {
	if token.Vendor == "" || token.Hash == [sha256.Size]byte{} {
		return Token{}, contractor.Errorf(contractor.CodeInvalid, "a token needs a vendor and a hash")
	}
	if token.ID == "" {
		var err error
		if token.ID, err = newID(); err != nil {
			return Token{}, err
		}
	}
	err := s.write(ctx, "add a token", func(t *tx) error {
		token.Created = t.now
		_, err := t.exec(`INSERT INTO vendors (name, created) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, token.Vendor, t.now.UnixMicro())
		if err != nil {
			return err
		}
		var live int
		err = t.row(`SELECT count(*) FROM tokens WHERE vendor = ? AND revoked IS NULL AND (expires IS NULL OR expires > ?)`,
			[]any{token.Vendor, t.now.UnixMicro()}, &live)
		if err != nil {
			return err
		}
		if live >= maxLiveTokens {
			return contractor.Errorf(contractor.CodeConflict, "%s has %d live tokens; revoke one first", token.Vendor, live)
		}
		_, err = t.exec(`INSERT INTO tokens (id, vendor, hash, created, expires) VALUES (?, ?, ?, ?, ?)`,
			token.ID, token.Vendor, token.Hash[:], token.Created.UnixMicro(), micros(token.Expires))
		if isUnique(err) {
			return contractor.Errorf(contractor.CodeConflict, "this token is known already; make a new one")
		}
		if err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "token.added", Actor: actor, Outcome: audit.Done, Reason: reason, Vendor: token.Vendor,
			Until: token.Expires, Detail: detail("token", token.ID)})
	})
	return token, err
}

// RevokeToken ends a token now; CodeNotFound if there is no live one with this id.
func (s *Store) RevokeToken(ctx context.Context, actor audit.Actor, id, reason string) error {
	err := s.write(ctx, "revoke a token", func(t *tx) error {
		var vendor string
		err := t.row(`UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL RETURNING vendor`, []any{t.now.UnixMicro(), id}, &vendor)
		if errors.Is(err, sql.ErrNoRows) {
			return contractor.Errorf(contractor.CodeNotFound, "there is no live token %s; list them with: scimbridge vendor list", id)
		}
		if err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "token.revoked", Actor: actor, Outcome: audit.Done, Reason: reason, Vendor: vendor, Detail: detail("token", id)})
	})
	s.forgetTokens()
	return err
}

// PauseVendor pauses a vendor or, with paused false, lets it go on; it journals a change and does nothing where there is none.
func (s *Store) PauseVendor(ctx context.Context, actor audit.Actor, vendor string, paused bool, reason string) error {
	err := s.write(ctx, "pause a vendor", func(t *tx) error {
		var was bool
		err := t.row(`SELECT paused FROM vendors WHERE name = ?`, []any{vendor}, &was)
		if errors.Is(err, sql.ErrNoRows) {
			return contractor.Errorf(contractor.CodeNotFound, "there is no vendor %s; list them with: scimbridge vendor list", vendor)
		}
		if err != nil || was == paused {
			return err
		}
		if _, err := t.exec(`UPDATE vendors SET paused = ? WHERE name = ?`, boolean(paused), vendor); err != nil {
			return err
		}
		kind := "vendor.resumed"
		if paused {
			kind = "vendor.paused"
		}
		return t.append(&audit.Event{Kind: kind, Actor: actor, Outcome: audit.Done, Reason: reason, Vendor: vendor})
	})
	s.forgetTokens()
	return err
}

// Refused implements scim.Store.
func (s *Store) Refused(ctx context.Context, event audit.Event) error {
	return s.AppendEvents(ctx, event)
}

// AppendEvents journals events that change nothing else.
func (s *Store) AppendEvents(ctx context.Context, events ...audit.Event) error {
	return s.write(ctx, "append to the journal", func(t *tx) error {
		for _, event := range events {
			if err := t.append(&event); err != nil {
				return err
			}
		}
		return nil
	})
}
