package entra

import (
	"context"

	"scimbridge/internal/contractor"
)

// Sponsors reads the object ids of a guest's sponsors, users and groups.
func (c *Client) Sponsors(ctx context.Context, id string) ([]string, error) {
	const op = "read sponsors"
	if !isGUID(id) {
		return nil, wrong(op, "the guest's object id is not a GUID")
	}
	have, err := list[objectID](ctx, c, read(op, "/users/"+seg(id)+"/sponsors", query("$select", "id"), "User.Read.All"))
	if err != nil {
		return nil, c.notYet(err, id)
	}
	ids := make([]string, 0, len(have))
	for _, h := range have {
		ids = append(ids, h.ID)
	}
	return ids, nil
}

// Guests calls yield with every guest of the tenant, page by page. It reads no memberships: Privileged is not known.
func (c *Client) Guests(ctx context.Context, yield func(*contractor.Guest) error) error {
	k := read("list guests", "/users", query("$filter", "userType eq 'Guest'", "$select", userSelect, "$top", "999"), "User.Read.All")
	return eachPage(ctx, c, k, func(page []user) error {
		for i := range page {
			if err := yield(page[i].guest()); err != nil {
				return err
			}
		}
		return nil
	})
}
