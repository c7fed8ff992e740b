package db

import (
	"context"
	"database/sql"
	"errors"

	"scimbridge/internal/contractor"
)

// Show implements scim.Store: Get without the Record, which costs a third of a read and is not part of an answer.
func (s *Store) Show(ctx context.Context, vendor, id string) (contractor.Engagement, error) {
	if err := ctx.Err(); err != nil {
		return contractor.Engagement{}, err
	}
	var e contractor.Engagement
	err := s.short.with(ctx, func(c *conn) error {
		var scan engagementScan
		// As in Get: it is over before an interrupt could help it.
		err := c.row(context.WithoutCancel(ctx),
			`SELECT `+listedColumns+` FROM engagements e WHERE e.id = ? AND e.vendor = ? AND e.deleted = 0`,
			[]any{id, vendor}, scan.listed(&e)...)
		if errors.Is(err, sql.ErrNoRows) {
			return errNotFound(id)
		}
		if err != nil {
			return err
		}
		return scan.fill(&e, false)
	})
	if err != nil {
		return contractor.Engagement{}, failure("read an engagement", err)
	}
	return e, nil
}
