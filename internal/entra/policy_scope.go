package entra

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// maxScopePages bounds the look through a group for internal users: at 999 a page, twenty thousand people.
const maxScopePages = 20

// CAGroup reads what has to be known of a group before a policy may name it: whether it is there, how it is filled, and how
// many internal users, guests and enabled accounts are in it, nested groups included.
func (c *Client) CAGroup(ctx context.Context, id string) (contractor.CAGroup, error) {
	const op = "read group of policy"
	g := contractor.CAGroup{ID: strings.ToLower(id)}
	if !isGUID(id) {
		return g, wrong(op, "the group's object id is not a GUID")
	}
	var facts struct {
		DisplayName string   `json:"displayName"`
		GroupTypes  []string `json:"groupTypes"`
		Rule        string   `json:"membershipRule"`
	}
	_, err := c.do(ctx, read(op, "/groups/"+seg(id), query("$select", "id,displayName,groupTypes,membershipRule"), "GroupMember.ReadWrite.All"), &facts)
	if status(err) == http.StatusNotFound {
		return g, nil
	}
	if err != nil {
		return g, err
	}
	g.Found, g.Name = true, facts.DisplayName
	if slices.ContainsFunc(facts.GroupTypes, func(t string) bool { return strings.EqualFold(t, "DynamicMembership") }) {
		g.Rule = facts.Rule
		if g.Rule == "" {
			g.Rule = "(a rule that cannot be read)"
		}
	}
	k := read(op, "/groups/"+seg(id)+"/transitiveMembers/microsoft.graph.user", query("$select", "id,userType,accountEnabled", "$top", "999"), "GroupMember.ReadWrite.All and User.Read.All")
	k.cost.units = 5
	for range maxScopePages {
		var page struct {
			Value    []scopeUser `json:"value"`
			NextLink string      `json:"@odata.nextLink"`
		}
		if _, err := c.do(ctx, k, &page); err != nil {
			return g, err
		}
		for _, u := range page.Value {
			switch {
			case strings.EqualFold(u.Type, "Guest"):
				g.Guests++
			default: // members, and what cannot be told
				g.Members++
			}
			if u.Enabled {
				g.Enabled++
			}
		}
		if page.NextLink == "" {
			return g, nil
		}
		follow := *k
		follow.path, follow.query, follow.link = "", "", page.NextLink
		k = &follow
	}
	g.Capped = true
	return g, nil
}

type scopeUser struct {
	Type    string `json:"userType"`
	Enabled bool   `json:"accountEnabled"`
}

// CanSignIn reports whether a user is there, and whether sign-in is enabled.
func (c *Client) CanSignIn(ctx context.Context, id string) (enabled, found bool, err error) {
	const op = "read user of policy"
	if !isGUID(id) {
		return false, false, wrong(op, "the user's object id is not a GUID")
	}
	var u scopeUser
	_, err = c.do(ctx, read(op, "/users/"+seg(id), query("$select", "id,accountEnabled"), "User.Read.All"), &u)
	if status(err) == http.StatusNotFound {
		return false, false, nil
	}
	return u.Enabled, err == nil, err
}

// LastSuccess reads when the guest last got in, interactively or by renewing a token (signInActivity); zero if never, or if the
// guest is not there. The sign-in log of Graph v1.0 does not tell of renewed tokens; this does.
func (c *Client) LastSuccess(ctx context.Context, guestID string) (time.Time, error) {
	const op = "read sign-in activity"
	if !isGUID(guestID) {
		return time.Time{}, wrong(op, "the guest's object id is not a GUID")
	}
	var u struct {
		Activity struct {
			LastSuccess time.Time `json:"lastSuccessfulSignInDateTime"`
		} `json:"signInActivity"`
	}
	_, err := c.do(ctx, read(op, "/users/"+seg(guestID), query("$select", "id,signInActivity"), "AuditLog.Read.All and User.Read.All"), &u)
	if status(err) == http.StatusNotFound {
		return time.Time{}, nil
	}
	return u.Activity.LastSuccess.UTC(), err
}
