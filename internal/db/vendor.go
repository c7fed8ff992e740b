package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// maxLiveTokens lets a vendor rotate: the old token works until the new one is in place.
const maxLiveTokens = 2

// AddToken stores a token's hash for a vendor, which it makes known where it is not, and journals it. A vendor has at most two
// live tokens: CodeConflict says so.
func (s *Store) AddToken(ctx context.Context, actor audit.Actor, token contractor.Token, reason string) (contractor.Token, error) {
	if token.Vendor == "" || token.Hash == [sha256.Size]byte{} {
		return contractor.Token{}, contractor.Errorf(contractor.CodeInvalid, "a token needs a vendor and a hash")
	}
	if token.ID == "" {
		var err error
		if token.ID, err = newID(); err != nil {
			return contractor.Token{}, err
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

// Paused implements scim.Store.
func (s *Store) Paused(ctx context.Context, vendor string) (paused bool, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		return c.row(context.WithoutCancel(ctx), `SELECT paused FROM vendors WHERE name = ?`, []any{vendor}, &paused)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return paused, failure("read whether a vendor is paused", err)
}

// AddVendor makes a vendor of the mapping known that has no token yet: it may sign in by other means, and be paused.
func (s *Store) AddVendor(ctx context.Context, vendor string) error {
	return s.write(ctx, "add a vendor", func(t *tx) error {
		_, err := t.exec(`INSERT INTO vendors (name, created) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, vendor, t.now.UnixMicro())
		return err
	})
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

// ListVendors lists the vendors that the store knows, by name, with their tokens.
func (s *Store) ListVendors(ctx context.Context) ([]contractor.VendorState, error) {
	var list []contractor.VendorState
	err := s.short.snapshot(ctx, func(c *conn) (err error) {
		if list, err = listVendors(ctx, c); err != nil {
			return err
		}
		tokens, err := listTokens(ctx, c)
		for i := range list {
			list[i].Tokens = tokens[list[i].Name]
		}
		return err
	})
	return list, failure("list vendors", err)
}

func listVendors(ctx context.Context, c *conn) (list []contractor.VendorState, err error) {
	rows, err := c.query(ctx, `SELECT v.name, v.created, v.paused, v.total, v.live,
			(SELECT max(e.modified) FROM engagements e WHERE e.vendor = v.name AND e.deleted = 0)
		FROM vendors v ORDER BY v.name`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v contractor.VendorState
		var created, last instant
		if err := rows.Scan(&v.Name, &created, &v.Paused, &v.Total, &v.Live, &last); err != nil {
			return nil, err
		}
		v.Created, v.LastPush = created.Time, last.Time
		list = append(list, v)
	}
	return list, rows.Err()
}

func listTokens(ctx context.Context, c *conn) (byVendor map[string][]contractor.Token, err error) {
	rows, err := c.query(ctx, `SELECT id, vendor, hash, created, expires, last_used, revoked FROM tokens ORDER BY vendor, created, id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	byVendor = make(map[string][]contractor.Token)
	for rows.Next() {
		var t contractor.Token
		var hash []byte
		var created, expires, used, revoked instant
		if err := rows.Scan(&t.ID, &t.Vendor, &hash, &created, &expires, &used, &revoked); err != nil {
			return nil, err
		}
		copy(t.Hash[:], hash)
		t.Created, t.Expires, t.LastUsed, t.Revoked = created.Time, expires.Time, used.Time, revoked.Time
		byVendor[t.Vendor] = append(byVendor[t.Vendor], t)
	}
	return byVendor, rows.Err()
}
