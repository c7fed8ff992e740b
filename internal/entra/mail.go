package entra

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// maxGroupMails bounds how many members of a group without a mailbox are written to.
const maxGroupMails = 20

type account struct {
	ID       string `json:"id"`
	Type     string `json:"@odata.type"`
	Name     string `json:"displayName"`
	Mail     string `json:"mail"`
	UPN      string `json:"userPrincipalName"`
	UserType string `json:"userType"`
	Enabled  *bool  `json:"accountEnabled"`
	Language string `json:"preferredLanguage"`
}

const accountSelect = "id,displayName,mail,userPrincipalName,userType,accountEnabled,preferredLanguage"

// Sponsor reads who answers for a guest: a user with its manager, or a group. Exists is false if there is neither. A group
// without a mailbox is reached at its members' addresses, twenty at most.
func (c *Client) Sponsor(ctx context.Context, id string) (contractor.Sponsor, error) {
	const op = "read sponsor"
	s := contractor.Sponsor{ID: id}
	if !isGUID(id) {
		return s, wrong(op, "the sponsor's object id is not a GUID")
	}
	var u account
	_, err := c.do(ctx, read(op, "/users/"+seg(id), query("$select", accountSelect), "User.Read.All"), &u)
	if status(err) == http.StatusNotFound {
		return c.groupSponsor(ctx, s)
	}
	if err != nil {
		return s, err
	}
	s.Exists, s.Name, s.Language = true, u.Name, u.Language
	s.Enabled = u.UserType != "Guest" && u.Enabled != nil && *u.Enabled
	if u.Mail != "" {
		s.Mails = []string{u.Mail}
	}
	var m objectID
	_, err = c.do(ctx, read("read manager", "/users/"+seg(id)+"/manager", query("$select", "id"), "User.Read.All"), &m)
	if err != nil && status(err) != http.StatusNotFound {
		return s, err
	}
	s.Manager = m.ID
	return s, nil
}

func (c *Client) groupSponsor(ctx context.Context, s contractor.Sponsor) (contractor.Sponsor, error) {
	const op = "read sponsor group"
	var g account
	_, err := c.do(ctx, read(op, "/groups/"+seg(s.ID), query("$select", "id,displayName,mail"), "GroupMember.Read.All"), &g)
	if status(err) == http.StatusNotFound {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Group, s.Exists, s.Enabled, s.Name = true, true, true, g.Name
	if g.Mail != "" {
		s.Mails = []string{g.Mail}
		return s, nil
	}
	members, err := list[account](ctx, c, read(op, "/groups/"+seg(s.ID)+"/members", query("$select", accountSelect, "$top", "100"), "GroupMember.Read.All"))
	if err != nil {
		return s, err
	}
	for _, m := range members {
		if m.Mail != "" && m.Enabled != nil && *m.Enabled && m.UserType != "Guest" && len(s.Mails) < maxGroupMails {
			s.Mails = append(s.Mails, m.Mail)
		}
	}
	slices.Sort(s.Mails)
	return s, nil
}

type mailAddress struct {
	EmailAddress struct {
		Address string `json:"address"`
	} `json:"emailAddress"`
}

type mailHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type mailMessage struct {
	Subject string `json:"subject"`
	Body    struct {
		ContentType string `json:"contentType"`
		Content     string `json:"content"`
	} `json:"body"`
	To      []mailAddress `json:"toRecipients"`
	Headers []mailHeader  `json:"internetMessageHeaders"`
}

// SendMail sends an HTML mail from a mailbox of the tenant (its UPN, address or object id); Exchange adds the plain text. id is
// ours and stands in the header X-Scimbridge-Mail. It is sent once at most: an unknown outcome is a *contractor.Failure of
// VerdictUnknown and is not repeated here.
func (c *Client) SendMail(ctx context.Context, mailbox, id, subject, html string, to []string) (contractor.Receipt, error) {
	const op = "send mail"
	if mailbox == "" || len(to) == 0 || strings.ContainsAny(mailbox, "/?#") {
		return contractor.Receipt{}, wrong(op, "a mail needs the mailbox it is sent from and a receiver")
	}
	var m mailMessage
	m.Subject, m.Body.ContentType, m.Body.Content = subject, "HTML", html
	m.Headers = []mailHeader{{"X-Scimbridge-Mail", id}, {"X-Auto-Response-Suppress", "All"}}
	for _, address := range to {
		var a mailAddress
		a.EmailAddress.Address = address
		m.To = append(m.To, a)
	}
	k := write(op, http.MethodPost, "/users/"+seg(mailbox)+"/sendMail", map[string]any{"message": m, "saveToSentItems": true}, "Mail.Send")
	k.again = false                     // a second try may be a second mail
	k.cost = cost{lane: laneGovernance} // Exchange counts its own requests, and none of the directory's
	ex, err := c.do(ctx, k, nil)
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), nil
}
