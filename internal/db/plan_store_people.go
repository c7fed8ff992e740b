package db

import (
	"context"
	"errors"

	"scimbridge/internal/contractor"
)

// decisionRows adds what admins and sponsors decided to those of a chunk of people about whom they did.
func decisionRows(ctx context.Context, c *conn, from, to int64, byID map[string]*contractor.Person) (err error) {
	// CROSS JOIN: from the few decisions to the people, not the other way.
	rows, err := c.query(ctx, `SELECT b.person FROM blocks b CROSS JOIN persons p ON p.id = b.person WHERE p.seq > ?1 AND p.seq <= ?2
		UNION SELECT p.id FROM engagement_stops x CROSS JOIN engagements e ON e.id = x.engagement CROSS JOIN persons p ON p.id = e.person WHERE p.seq > ?1 AND p.seq <= ?2
		UNION SELECT p.id FROM extensions x CROSS JOIN engagements e ON e.id = x.engagement CROSS JOIN persons p ON p.id = e.person WHERE p.seq > ?1 AND p.seq <= ?2`, from, to)
	if err != nil {
		return err
	}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range ids {
		if p := byID[id]; p != nil {
			if err := decisions(ctx, c, p); err != nil {
				return err
			}
			if err := stops(ctx, c, p); err != nil {
				return err
			}
		}
	}
	return nil
}
