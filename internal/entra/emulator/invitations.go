package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Mail is a message that the tenant sent.
type Mail struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"` // invitation, or sent by an application through sendMail
	From    string    `json:"from"`
	To      []string  `json:"to"`
	Cc      []string  `json:"cc,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Body    string    `json:"body,omitempty"`
	UserID  string    `json:"userId,omitempty"`
}

// InvitationState is one invitation that was made.
type InvitationState struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Address   string    `json:"address"`
	UserID    string    `json:"userId"`
	Mailed    bool      `json:"mailed"`
	Again     bool      `json:"again"` // the guest existed already
	RedeemURL string    `json:"redeemUrl"`
}

// forbiddenInAddress are characters that invitedUserEmailAddress does not take
// (documentation of the property).
const forbiddenInAddress = "~!#$%^&*()+=[]{}\\/|;:\"'<>?, "

func invite(c *call) (answer, error) {
	if err := c.mayInvite(); err != nil {
		return answer{}, err
	}
	address := strings.TrimSpace(text(c.body, "invitedUserEmailAddress"))
	if err := c.checkInvitation(address); err != nil {
		return answer{}, err
	}
	sponsors, err := c.inlineSponsors()
	if err != nil {
		return answer{}, err
	}
	if flag(c.body, "resetRedemption") {
		u, err := c.resetTarget(address)
		if err != nil {
			return answer{}, err
		}
		c.t.redemption(u, "PendingAcceptance")
		return c.sendInvitation(u, address, true)
	}
	u, again, err := c.invitee(address, sponsors)
	if err != nil {
		return answer{}, err
	}
	return c.sendInvitation(u, address, again)
}

// mayInvite holds the external collaboration settings against the application.
func (c *call) mayInvite() error {
	switch from := c.t.policy.allowInvitesFrom(); from {
	case "none", "adminsAndGuestInviters":
		return refuse(http.StatusForbidden, "Authorization_RequestDenied", "Guest invitations not allowed for your company. Contact your company administrator for more details.")
	}
	return nil
}

// checkInvitation refuses addresses and options that the service refuses.
func (c *call) checkInvitation(address string) error {
	local, domain, has := strings.Cut(address, "@")
	redirect := text(c.body, "inviteRedirectUrl")
	edge := strings.Trim(local, ".-") != local
	switch {
	case address == "":
		return badRequest("The property 'invitedUserEmailAddress' is required.")
	case redirect == "":
		return badRequest("The property 'inviteRedirectUrl' is required.")
	case !strings.HasPrefix(redirect, "https://") && !strings.HasPrefix(redirect, "http://"):
		return badRequest("The property 'inviteRedirectUrl' is not a URL.")
	case !has || local == "" || !strings.Contains(domain, ".") || edge || strings.ContainsAny(local, forbiddenInAddress) || strings.ContainsAny(domain, forbiddenInAddress+"@_"):
		return badRequest("The invited user's email address '%s' is invalid.", address)
	case slices.Contains(c.t.cfg.VerifiedDomains, lower(domain)):
		return badRequest("The invited user's email address is a verified domain of this directory.")
	case slices.Contains(c.t.cfg.BlockedDomains, lower(domain)):
		return badRequest("This invitation is blocked by cross-tenant access settings. Admins in both your organization and the invited user's organization must configure cross-tenant access settings to allow the invitation.")
	}
	switch text(c.body, "invitedUserType") {
	case "", "Guest":
	case "Member":
		return denied()
	default:
		return badRequest("The property 'invitedUserType' is Guest or Member.")
	}
	info := object(c.body, "invitedUserMessageInfo")
	if cc, _ := info["ccRecipients"].([]any); len(cc) > 1 {
		return badRequest("Only one recipient is supported in 'ccRecipients'.")
	}
	return nil
}

func (c *call) inlineSponsors() ([]string, error) {
	list, _ := c.body["invitedUserSponsors"].([]any)
	if len(list) > maxSponsors {
		return nil, badRequest("A user can have at most %d sponsors.", maxSponsors)
	}
	var out []string
	for _, s := range list {
		ref, _ := s.(map[string]any)
		id, err := c.t.sponsor(canonical(text(ref, "id")))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out, nil
}

// resetTarget finds the guest whose redemption is reset (entra/external-id/reset-redemption-status).
func (c *call) resetTarget(address string) (*user, error) {
	id := text(object(c.body, "invitedUser"), "id")
	u, err := c.writeUser(canonical(id))
	if err != nil {
		return nil, err
	}
	known := append(texts(u.props["otherMails"]), text(u.props, "mail"))
	switch {
	case c.t.privileged(u.id):
		return nil, denied()
	case text(u.props, "userType") != "Guest":
		return nil, badRequest("The redemption of user '%s' cannot be reset: it is no guest.", u.id)
	case !slices.ContainsFunc(known, func(m string) bool { return strings.EqualFold(m, address) }):
		return nil, badRequest("The address is neither mail nor one of otherMails of the user.")
	}
	return u, nil
}

// invitee returns the user for an address: a new guest, or the one that exists.
func (c *call) invitee(address string, sponsors []string) (*user, bool, error) {
	for _, key := range []string{"mail", "proxyAddresses", "otherMails"} {
		value := address
		if key == "proxyAddresses" {
			value = "smtp:" + address
		}
		for _, u := range c.t.users.find(key, value) {
			return c.existing(u)
		}
	}
	props := c.guestProps(address)
	u := c.t.addUser(c.t.dice.newID("guest", lower(address)), props)
	u.sponsors = sponsors
	if len(sponsors) == 0 && c.t.cfg.Unknowns.SponsorOfAppIsNobody == No {
		u.sponsors = []string{c.token.ObjectID}
	}
	c.t.audit("Invite external user", "UserManagement", c.token, nil, u.target())
	c.t.audit("Add user", "UserManagement", c.token, nil, u.target())
	return u, false, nil
}

func (c *call) existing(u *user) (*user, bool, error) {
	switch {
	case u.props["accountEnabled"] == false:
		return nil, false, badRequest("The invited user already exists in the directory as object ID: %s, but the account is blocked from signing in. Please unblock the account and try again.", u.id)
	case text(u.props, "userType") != "Guest" || c.t.cfg.Unknowns.ReinviteRefused == Yes:
		return nil, false, badRequest("The invited user already exists in the directory as object ID: %s. They can use that account to sign in to shared apps and resources.", u.id)
	}
	return u, true, nil
}

// guestProps are the properties of a fresh guest.
func (c *call) guestProps(address string) map[string]any {
	return c.t.guestProps(address, or(text(c.body, "invitedUserDisplayName"), address))
}

func (t *tenant) guestProps(address, displayName string) map[string]any {
	local, domain, _ := strings.Cut(address, "@")
	nick := local + "_" + domain + "#EXT#"
	upn := nick + "@" + t.cfg.InitialDomain
	for n := 1; len(t.users.find("userPrincipalName", upn)) > 0; n++ {
		upn = local + "_" + domain + itoa(n) + "#EXT#@" + t.cfg.InitialDomain
	}
	props := map[string]any{
		"displayName": displayName, "mail": address, "userPrincipalName": upn, "mailNickname": nick,
		"userType": "Guest", "creationType": "Invitation", "externalUserState": "PendingAcceptance",
		"externalUserStateChangeDateTime": stamp(t.present),
		"identities": []any{map[string]any{
			"signInType": "userPrincipalName", "issuer": t.cfg.InitialDomain, "issuerAssignedId": upn,
		}},
	}
	if !t.contacts[lower(address)] {
		props["proxyAddresses"] = []any{"SMTP:" + address}
	}
	return props
}

// redemption moves externalUserState.
func (t *tenant) redemption(u *user, state string) {
	props := maps.Clone(u.props)
	props["externalUserState"] = state
	props["externalUserStateChangeDateTime"] = stamp(t.present)
	if state == "Accepted" {
		props["identities"] = []any{map[string]any{"signInType": "federated", "issuer": "ExternalAzureAD", "issuerAssignedId": nil}}
	}
	t.set(u, props, 0)
}

// sendInvitation records the invitation, mails it if asked to, and answers with the
// bare id of the user, as the service does.
func (c *call) sendInvitation(u *user, address string, again bool) (answer, error) {
	id := c.t.dice.newID("invitation", lower(address))
	inv := InvitationState{
		ID: id, Time: c.now, Address: address, UserID: u.id, Again: again, Mailed: flag(c.body, "sendInvitationMessage"),
		RedeemURL: "https://login.microsoftonline.com/redeem?rd=https%3a%2f%2finvitations.microsoft.com%2fredeem%2f%3ftenant%3d" +
			c.t.cfg.TenantID + "%26user%3d" + u.id + "%26ticket%3d" + id,
	}
	c.t.invits = append(c.t.invits, inv)
	info := object(c.body, "invitedUserMessageInfo")
	if inv.Mailed {
		m := Mail{Time: c.now, Kind: "invitation", From: "Invites@microsoft.com", To: []string{address}, UserID: u.id, Subject: "Invitation"}
		for _, cc := range anyObjects(info["ccRecipients"]) {
			m.Cc = append(m.Cc, text(object(cc, "emailAddress"), "address"))
		}
		c.t.mails = append(c.t.mails, m)
	}
	body := map[string]any{
		"@odata.context": c.context("invitations/$entity"), "id": id,
		"invitedUserDisplayName": c.body["invitedUserDisplayName"], "invitedUserEmailAddress": address,
		"invitedUserType": "Guest", "inviteRedeemUrl": inv.RedeemURL, "inviteRedirectUrl": c.body["inviteRedirectUrl"],
		"resetRedemption": flag(c.body, "resetRedemption"), "sendInvitationMessage": inv.Mailed,
		"status": text(u.props, "externalUserState"),
		"invitedUserMessageInfo": map[string]any{
			"messageLanguage": info["messageLanguage"], "customizedMessageBody": nil, "ccRecipients": valueOr(info["ccRecipients"], []any{}),
		},
		"invitedUser": map[string]any{"id": u.id},
	}
	if body["status"] == "Accepted" {
		body["status"] = "Completed"
	}
	return created(body)
}

func anyObjects(v any) []map[string]any {
	list, _ := v.([]any)
	var out []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// valueOr returns v, or def for null.
func valueOr(v, def any) any {
	if v == nil {
		return def
	}
	return v
}
