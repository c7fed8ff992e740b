package entra

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"scimbridge/internal/contractor"
)

// FindGuest looks for a user by address: mail, otherMails, proxyAddresses, guest UPN, then among the deleted. The first of
// these that has a hit decides; nil if none has. Several hits are refused, since nobody can tell which is meant.
func (c *Client) FindGuest(ctx context.Context, email string) (*contractor.Guest, error) {
	const op = "find guest"
	email = strings.TrimSpace(email)
	at := strings.LastIndexByte(email, '@')
	if at < 1 || at == len(email)-1 {
		return nil, wrong(op, "this is not an e-mail address")
	}
	var (
		found                []user
		deleted              *contractor.Guest
		foundErr, deletedErr error
		wait                 sync.WaitGroup
	)
	wait.Go(func() { found, foundErr = c.findLiving(ctx, op, email) })
	wait.Go(func() { deleted, deletedErr = c.findDeleted(ctx, email) })
	wait.Wait()
	switch {
	case foundErr != nil:
		return nil, foundErr
	case len(found) > 1:
		return nil, refused(op, "several accounts have this address; remove it from all but one")
	case len(found) == 1:
		return c.complete(ctx, &found[0])
	}
	return deleted, deletedErr
}

// findLiving looks for the address in all places at once, in one request: Microsoft's own advice for looking before inviting
// (External Identities, "B2B collaboration code and API") is such a filter. A tenant that refuses it is asked place by place
// from then on.
func (c *Client) findLiving(ctx context.Context, op, email string) ([]user, error) {
	filters := c.addressFilters(email)
	if c.filtersApart.Load() {
		return c.findApart(ctx, op, filters)
	}
	k := read(op, "/users", query("$filter", strings.Join(filters, " or "), "$select", userSelect+",proxyAddresses"), "User.Read.All")
	all, err := list[user](ctx, c, k)
	if status(err) == http.StatusBadRequest {
		apart, apartErr := c.findApart(ctx, op, filters)
		c.filtersApart.Store(apartErr == nil) // the address itself may be what Graph does not like
		return apart, apartErr
	}
	if err != nil {
		return nil, err
	}
	return likeliest(all, email), nil
}

// findApart looks place by place. The looks go out at once and share a connection (HTTP/2), which makes them as fast as a
// $batch: that would save no quota either (every item counts), and would need its own rules for throttled items.
func (c *Client) findApart(ctx context.Context, op string, filters []string) ([]user, error) {
	hits := make([][]user, len(filters))
	errs := make([]error, len(filters))
	var wait sync.WaitGroup
	for i, filter := range filters {
		wait.Go(func() {
			hits[i], errs[i] = list[user](ctx, c, read(op, "/users", query("$filter", filter, "$select", userSelect), "User.Read.All"))
		})
	}
	wait.Wait()
	for i := range filters {
		if errs[i] != nil { // a hit further down must not be taken for the only one
			return nil, errs[i]
		}
		if len(hits[i]) > 0 {
			return hits[i], nil
		}
	}
	return nil, nil
}

// likeliest keeps, of all accounts that have the address somewhere, those that have it in the likeliest place.
func likeliest(all []user, email string) []user {
	places := make([][]user, 4)
	for i := range all {
		p := all[i].place(email)
		places[p] = append(places[p], all[i])
	}
	for _, hits := range places {
		if len(hits) > 0 {
			return hits
		}
	}
	return nil
}

// place is where the account has the address: 0 mail, 1 otherMails, 2 proxyAddresses, 3 its user principal name.
func (u *user) place(email string) int {
	if strings.EqualFold(u.Mail, email) {
		return 0
	}
	for _, m := range u.OtherMails {
		if strings.EqualFold(m, email) {
			return 1
		}
	}
	for _, p := range u.ProxyAddresses {
		if strings.EqualFold(p, "smtp:"+email) {
			return 2
		}
	}
	return 3
}

// addressFilters are the ways in which an address can belong to a user, likeliest first.
func (c *Client) addressFilters(email string) []string {
	upn := guestUPN(email)
	byUPN := "startswith(userPrincipalName," + quote(upn) + ")"
	if c.initialDomain != "" {
		byUPN = "userPrincipalName eq " + quote(upn+c.initialDomain)
	}
	return []string{
		"mail eq " + quote(email),
		"otherMails/any(m:m eq " + quote(email) + ")",
		"proxyAddresses/any(p:p eq " + quote("smtp:"+email) + ")",
		"proxyAddresses/any(p:p eq " + quote("SMTP:"+email) + ")",
		byUPN,
	}
}

// guestUPN is what the UPN of a guest invited at the address begins with.
func guestUPN(email string) string { return strings.ReplaceAll(email, "@", "_") + "#EXT#@" }

// complete adds the memberships to a user that a search has found.
func (c *Client) complete(ctx context.Context, u *user) (*contractor.Guest, error) {
	g := u.guest()
	held, err := c.memberOf(ctx, u.ID)
	if err != nil {
		if status(err) == http.StatusNotFound { // the search index knows it, this replica does not: look again
			return nil, &contractor.Failure{Op: "find guest", Verdict: contractor.VerdictRetry, Message: "Entra does not agree with itself about this account yet", Cause: err}
		}
		return nil, err
	}
	g.Privileged = privileged(held)
	c.vet(g)
	return g, nil
}
