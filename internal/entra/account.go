package entra

import (
	"context"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// SetEnabled opens or shuts the guest's sign-in. Shutting goes before every other call and may be the only thing that a person
// whose contract has ended still needs; a guest that is deleted or nowhere has no door left to shut.
func (c *Client) SetEnabled(ctx context.Context, id string, enabled bool) (contractor.Receipt, error) {
	op := "enable"
	if !enabled {
		op = "disable"
	}
	vet := c.ours
	if !enabled {
		vet = c.plain // no waiting for a new guest's replicas: a 404 costs less than an open door
	}
	if err := vet(ctx, op, id); err != nil {
		return c.goneIsDone(nil, err, id, !enabled)
	}
	k := write(op, http.MethodPatch, "/users/"+seg(id), map[string]any{"accountEnabled": enabled}, "User.EnableDisableAccount.All and User.Read.All")
	if !enabled {
		k.timeout, k.cost.shut = closeTimeout, true
	}
	ex, err := c.soon(ctx, id, k, nil)
	if err != nil {
		return c.goneIsDone(ex, err, id, !enabled)
	}
	return receipt(ex), nil
}

// RevokeSessions ends the sessions that Entra itself holds for the guest. Sessions of people who sign in through their home
// tenant are not touched by it (graph.md 0.1): it is sent for those who sign in here, and never counted on.
func (c *Client) RevokeSessions(ctx context.Context, id string) (contractor.Receipt, error) {
	const op = "revoke sessions"
	if err := c.ours(ctx, op, id); err != nil {
		return c.goneIsDone(nil, err, id, true)
	}
	k := write(op, http.MethodPost, "/users/"+seg(id)+"/revokeSignInSessions", nil, "User.RevokeSessions.All")
	k.timeout = closeTimeout
	ex, err := c.soon(ctx, id, k, nil) // 200 {"value": true} and 204 are both documented
	if err != nil {
		return c.goneIsDone(ex, err, id, true)
	}
	return receipt(ex), nil
}

// DeleteGuest deletes softly: for 30 days RestoreGuest can undo it.
func (c *Client) DeleteGuest(ctx context.Context, id string) (contractor.Receipt, error) {
	const op = "delete guest"
	if err := c.ours(ctx, op, id); err != nil {
		return c.goneIsDone(nil, err, id, true)
	}
	ex, err := c.soon(ctx, id, write(op, http.MethodDelete, "/users/"+seg(id), nil, "User.DeleteRestore.All or User.ReadWrite.All"), nil)
	if err != nil {
		return c.goneIsDone(ex, err, id, true)
	}
	key := strings.ToLower(id)
	c.vetted.drop(key)
	c.born.drop(key) // from now on, not found means gone
	c.buried.put(key, time.Now(), vetTTL)
	return receipt(ex), nil
}

// RestoreGuest brings a deleted guest back, and with it all its memberships of old.
func (c *Client) RestoreGuest(ctx context.Context, id string) (contractor.Receipt, error) {
	const op = "restore guest"
	defer c.changed(id)
	if err := c.guard(op, id); err != nil {
		return contractor.Receipt{}, err
	}
	g, err := c.Guest(ctx, id)
	switch {
	case err != nil:
		return contractor.Receipt{}, err
	case g == nil:
		return contractor.Receipt{}, &contractor.Failure{Op: op, Verdict: contractor.VerdictGone, Status: http.StatusNotFound, Message: "the guest is neither in the tenant nor among the deleted"}
	case !g.Deleted:
		return contractor.Receipt{AlreadySo: true, Handle: id}, nil
	case g.Type != "" && g.Type != "Guest":
		return contractor.Receipt{}, refused(op, "the deleted account is a member, not a guest; scimbridge does not touch members")
	case g.Type == "" && !strings.Contains(strings.ToUpper(g.UserPrincipalName), "#EXT#"):
		return contractor.Receipt{}, refused(op, "the deleted account cannot be told to be a guest; restore it by hand if it is one")
	}
	k := write(op, http.MethodPost, "/directory/deletedItems/"+seg(id)+"/restore", nil, "User.DeleteRestore.All")
	k.again = false // it is repeated by way of a look: a second restore of a live guest is a 404
	ex, err := c.do(ctx, k, nil)
	if status(err) == http.StatusNotFound { // restored meanwhile, or purged
		if now, readErr := c.Guest(ctx, id); readErr == nil && now != nil && !now.Deleted {
			r := soReceipt(ex)
			r.Handle = id
			return r, nil
		}
	}
	if err != nil {
		return contractor.Receipt{}, err
	}
	c.buried.drop(strings.ToLower(id))
	c.born.put(strings.ToLower(id), time.Now(), c.inviteWindow)
	r := receipt(ex)
	r.Handle = id
	return r, nil
}

// goneIsDone turns "not found" into success where that is what was wanted. A guest that is too new to be found is not gone.
// ex is the call that found nothing, nil if a look before it did.
func (c *Client) goneIsDone(ex *exchange, err error, id string, wanted bool) (contractor.Receipt, error) {
	err = c.notYet(err, id)
	f, isFailure := asFailure(err)
	switch {
	case !wanted || !isFailure || f.Verdict != contractor.VerdictGone || f.Status != http.StatusNotFound:
		return contractor.Receipt{}, err
	case ex == nil:
		return contractor.Receipt{RequestID: f.RequestID, ClientRequestID: f.ClientRequestID, AlreadySo: true}, nil
	}
	return soReceipt(ex), nil
}
