package entra

import (
	"context"
	"net/http"
	"strings"

	"scimbridge/internal/contractor"
)

// Readdress gives a guest another address, and with reset makes it redeem its invitation anew with that address: object id,
// groups and packages stay, the user principal name does, too (graph.md 1.1). Both calls may be repeated.
func (c *Client) Readdress(ctx context.Context, id, email string, reset bool) (contractor.Receipt, error) {
	const op = "change address"
	in := contractor.Invitation{Email: strings.TrimSpace(email)}
	if err := checkInvitation(op, in); err != nil {
		return contractor.Receipt{}, err
	}
	if err := c.ours(ctx, op, id); err != nil {
		return contractor.Receipt{}, err
	}
	r, err := c.patchUser(ctx, op, id, map[string]any{"mail": in.Email, "otherMails": []string{in.Email}}, "User.ReadWrite.All", writeTimeout)
	if err != nil || !reset {
		return r, err
	}
	body := struct {
		invitationBody
		Reset bool     `json:"resetRedemption"`
		User  objectID `json:"invitedUser"`
	}{invitationBody{Email: in.Email, RedirectURL: defaultRedirect, UserType: "Guest"}, true, objectID{id}}
	k := &call{
		op: "reset redemption", method: http.MethodPost, path: "/invitations", body: body, needs: "User.Invite.All", timeout: inviteTimeout,
		cost: cost{lane: laneWrite, units: 1},
	}
	ex, err := c.do(ctx, k, nil)
	if err != nil {
		return contractor.Receipt{}, err
	}
	r = receipt(ex)
	r.Handle = id
	return r, nil
}
