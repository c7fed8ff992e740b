package entra

import (
	"context"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

type invitationBody struct {
	Email       string       `json:"invitedUserEmailAddress"`
	DisplayName string       `json:"invitedUserDisplayName,omitempty"`
	RedirectURL string       `json:"inviteRedirectUrl"`
	UserType    string       `json:"invitedUserType"`
	SendMail    bool         `json:"sendInvitationMessage"`
	Message     *messageInfo `json:"invitedUserMessageInfo,omitempty"`
	Sponsors    []objectID   `json:"invitedUserSponsors,omitempty"`
}

type messageInfo struct {
	Language string `json:"messageLanguage,omitempty"`
}

type objectID struct {
	ID string `json:"id"`
}

const (
	defaultRedirect = "https://myapps.microsoft.com"
	maxSponsors     = 5
	maxDisplayName  = 256
	// badAddress are the characters that an invited address must not hold (graph.md 1.1).
	badAddress = "~!#$%^&*()+=[]{}\\/|;:\"'<>?, \t"
)

// Invite makes a guest with its display name and sponsors in one call. Handle is its object id; AlreadySo says that the
// address may have been in the directory before: look at the account's age. VerdictUnknown: the guest may have been made, so look before inviting again.
func (c *Client) Invite(ctx context.Context, in contractor.Invitation) (contractor.Receipt, error) {
	const op = "invite"
	if err := checkInvitation(op, in); err != nil {
		return contractor.Receipt{}, err
	}
	body := invitationBody{
		Email: in.Email, DisplayName: in.DisplayName, RedirectURL: in.RedirectURL, UserType: "Guest", SendMail: in.SendMail,
	}
	if body.RedirectURL == "" {
		body.RedirectURL = defaultRedirect
	}
	if in.SendMail && in.Language != "" {
		body.Message = &messageInfo{Language: in.Language}
	}
	for _, id := range in.SponsorIDs {
		body.Sponsors = append(body.Sponsors, objectID{id})
	}
	r, err := c.invite(ctx, body)
	if len(body.Sponsors) > 0 && status(err) == http.StatusBadRequest && asGraph(err).aboutSponsors() {
		// The inline form is not documented everywhere: without it, the sponsors come in a call of their own.
		body.Sponsors = nil
		if r, err = c.invite(ctx, body); err == nil && !r.AlreadySo {
			if _, err := c.SetSponsors(ctx, r.Handle, in.SponsorIDs); err != nil {
				c.log.WarnContext(ctx, "the guest was invited, but its sponsors were not set", "guest", r.Handle, "error", err)
			}
		}
	}
	return r, err
}

func (c *Client) invite(ctx context.Context, body invitationBody) (contractor.Receipt, error) {
	const op = "invite"
	k := &call{
		op: op, method: http.MethodPost, path: "/invitations", body: body, needs: "User.Invite.All", timeout: inviteTimeout,
		cost: cost{lane: laneWrite, units: 1},
	}
	began := c.serverNow()
	var answer struct {
		InvitedUser objectID `json:"invitedUser"`
		Status      string   `json:"status"`
	}
	ex, err := c.do(ctx, k, &answer)
	if err != nil {
		return c.notInvited(ctx, ex, err)
	}
	if !isGUID(answer.InvitedUser.ID) {
		return contractor.Receipt{}, &contractor.Failure{
			Op: op, Verdict: contractor.VerdictUnknown, Status: ex.status, RequestID: ex.header.Get("request-id"), ClientRequestID: ex.id,
			Message: "Graph took the invitation but did not name the guest; looking for it",
		}
	}
	r := receipt(ex)
	r.Handle = answer.InvitedUser.ID
	older, err := c.olderThan(ctx, answer.InvitedUser.ID, began.Add(-createdSlack))
	if err != nil {
		if _, isFailure := asFailure(err); !isFailure {
			return contractor.Receipt{}, err
		}
		c.log.DebugContext(ctx, "it could not be seen whether an invited guest is new", "guest", r.Handle, "error", err)
		older = true // as far as is known: the caller looks
	}
	if older {
		r.AlreadySo = true
		return r, nil
	}
	id := strings.ToLower(answer.InvitedUser.ID)
	c.born.put(id, time.Now(), c.inviteWindow)
	c.vetted.put(id, true, c.inviteWindow) // a guest by its type, and too young for a role
	return r, nil
}

// createdSlack is how much the clocks of Graph's own machines may differ.
const createdSlack = 5 * time.Minute

// olderThan reports whether the account that an invitation was answered with was there before: Graph may answer so for an
// address that it knows by a way no look-up of ours goes. An account that cannot be found yet is a new one. The search by id
// answers with an empty list where a read would answer 404.
func (c *Client) olderThan(ctx context.Context, id string, at time.Time) (bool, error) {
	k := read("check new guest", "/users", query("$filter", "id eq "+quote(id), "$select", "id,createdDateTime"), "User.Read.All")
	users, err := list[user](ctx, c, k)
	if err != nil {
		return false, err
	}
	return len(users) == 1 && !users[0].Created.IsZero() && users[0].Created.Before(at), nil
}

// notInvited makes the best of a refusal: an address that is in the directory already names its object, which is confirmed by
// a read before it is believed.
func (c *Client) notInvited(ctx context.Context, ex *exchange, err error) (contractor.Receipt, error) {
	g := asGraph(err)
	s := status(err)
	if g == nil || s < 400 || s >= 500 {
		return contractor.Receipt{}, err
	}
	f, isFailure := asFailure(err)
	if !isFailure {
		return contractor.Receipt{}, err
	}
	if g.userExists() {
		if id := g.hintedID(); id != "" {
			found, err := c.Guest(ctx, id)
			if err != nil {
				return contractor.Receipt{}, err
			}
			if found != nil && !found.Deleted {
				r := soReceipt(ex)
				r.Handle = found.ID
				return r, nil
			}
		}
		f.Verdict, f.Message = contractor.VerdictUnknown, "the address is in the directory already; looking for it"
		return contractor.Receipt{}, f
	}
	if why := g.blockedAddress(); why != "" {
		f.Verdict, f.Message = contractor.VerdictRefused, why
	}
	return contractor.Receipt{}, f
}

func checkInvitation(op string, in contractor.Invitation) error {
	at := strings.LastIndexByte(in.Email, '@')
	switch {
	case at < 1 || at == len(in.Email)-1:
		return wrong(op, "this is not an e-mail address")
	case strings.ContainsAny(in.Email, badAddress):
		return wrong(op, "the address holds a character that Entra does not take in an invitation (such as + or '); have another address sent")
	case strings.HasPrefix(in.Email, "."), strings.HasPrefix(in.Email, "-"), in.Email[at-1] == '.', in.Email[at-1] == '-':
		return wrong(op, "the local part of the address begins or ends with a dot or a dash, which Entra does not take")
	case len(in.SponsorIDs) > maxSponsors:
		return wrong(op, "a guest has at most five sponsors")
	case len([]rune(in.DisplayName)) > maxDisplayName:
		return wrong(op, "the display name is longer than 256 characters")
	}
	for _, id := range in.SponsorIDs {
		if !isGUID(id) {
			return wrong(op, "a sponsor's object id is not a GUID")
		}
	}
	return nil
}
