package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"sync"
	"time"

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
