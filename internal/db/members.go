package db

import (
	"context"
	"errors"

	"scimbridge/internal/contractor"
)

// Members implements scim.Store. A member is an engagement because of which its person holds the entitlement: the one that the
// holding names, or one whose standing lists the entitlement's name. What a person holds because of another vendor is not told.
func (s *Store) Members(ctx context.Context, vendor string, key contractor.EntitlementKey) ([]contractor.Member, error) {
	members, err := s.members(ctx, vendor, key)
	return members, failure("list the members of a group", err)
}

func (s *Store) members(ctx context.Context, vendor string, key contractor.EntitlementKey) (list []contractor.Member, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.queryTimeout)
	defer cancel()
	rows, err := s.reads.QueryContext(ctx, `SELECT e.id,
			coalesce(nullif(e.record ->> 'displayName', ''),
				nullif(trim(coalesce(e.record ->> 'givenName', '') || ' ' || coalesce(e.record ->> 'familyName', '')), ''),
				e.record ->> 'userName')
		FROM holdings h JOIN engagements e ON e.person = h.person
		WHERE h.kind = ? AND h.entitlement = ? AND h.state IN ('held', 'removing') AND e.vendor = ? AND e.deleted = 0
			AND (e.id = h.engagement OR EXISTS (SELECT 1 FROM json_each(e.standing, '$.access') a WHERE a.value = h.name))
		ORDER BY e.ord`, string(key.Kind), key.ID, vendor)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var m contractor.Member
		if err := rows.Scan(&m.ID, &m.Display); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return list, s.short.settle(ctx)
}
