package entra

import (
	"context"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// deletedIndex is the whole list of deleted users, read only where the tenant does not filter it, and believed for a short
// time so that a storm of new contractors reads it once.
type deletedIndex struct {
	turn  chan struct{} // of capacity 1, held while the list is read: who waits for it can be called off, unlike at a mutex
	users []user
	at    time.Time
}

const (
	deletedTTL    = 30 * time.Second
	deletedSelect = userSelect + ",proxyAddresses"
)

// findDeleted looks for an address among the deleted users. Which filters that list takes is not documented (mail is, by an
// example); where it refuses them, the list is read whole.
func (c *Client) findDeleted(ctx context.Context, email string) (*contractor.Guest, error) {
	const op = "find deleted guest"
	var found []user
	if !c.deletedByFilter.Load() {
		k := read(op, "/directory/deletedItems/microsoft.graph.user", query("$filter", "mail eq "+quote(email), "$select", userSelect), "User.Read.All")
		users, err := list[user](ctx, c, k)
		switch {
		case status(err) == http.StatusBadRequest:
			c.deletedByFilter.Store(true)
		case err != nil:
			return nil, err
		default:
			found = users
		}
	}
	if c.deletedByFilter.Load() {
		all, err := c.allDeleted(ctx, op)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if all[i].answersTo(email) {
				found = append(found, all[i])
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	newest := &found[0] // deleted and invited again, perhaps more than once: the last one counts
	for i := range found {
		if found[i].Created.After(newest.Created) {
			newest = &found[i]
		}
	}
	g := newest.guest()
	g.Deleted = true
	return g, nil
}

func (c *Client) allDeleted(ctx context.Context, op string) ([]user, error) {
	select {
	case c.deleted.turn <- struct{}{}:
		defer func() { <-c.deleted.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if time.Since(c.deleted.at) < deletedTTL {
		return c.deleted.users, nil
	}
	k := read(op, "/directory/deletedItems/microsoft.graph.user", query("$select", deletedSelect, "$top", "999"), "User.Read.All")
	users, err := list[user](ctx, c, k)
	if err != nil {
		return nil, err
	}
	c.deleted.users, c.deleted.at = users, time.Now()
	return users, nil
}

// answersTo reports whether the address is one of the user's. A deleted user's UPN may begin with its object id.
func (u *user) answersTo(email string) bool {
	if strings.EqualFold(u.Mail, email) {
		return true
	}
	for _, m := range u.OtherMails {
		if strings.EqualFold(m, email) {
			return true
		}
	}
	for _, p := range u.ProxyAddresses {
		if strings.EqualFold(p, "smtp:"+email) {
			return true
		}
	}
	upn := strings.ToLower(strings.TrimPrefix(strings.ToLower(u.UserPrincipalName), strings.ReplaceAll(strings.ToLower(u.ID), "-", "")))
	return strings.HasPrefix(upn, strings.ToLower(guestUPN(email)))
}
