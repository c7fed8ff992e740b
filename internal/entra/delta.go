package entra

import (
	"context"
	"net/http"
	"strings"

	"scimbridge/internal/contractor"
)

// deltaUser selects what is to be reported of a user: a change of anything else stays silent.
const deltaUser = "id,accountEnabled,userType,mail,otherMails,displayName,companyName,department,jobTitle,employeeId,externalUserState"

// maxDeltaGroups is how many ids a delta filter takes.
const maxDeltaGroups = 50

// changedObject is one entry of a delta answer.
type changedObject struct {
	ID      string `json:"id"`
	Members []struct {
		ID string `json:"id"`
	} `json:"members@delta"`
}

// ChangedUsers lists the object ids of users that were changed, deleted or restored since the token was given, in no order,
// perhaps more than once, perhaps with some that were not changed at all; and the token for the next time. The token "" begins
// now: it lists nobody. Tokens live seven days; an expired one is VerdictGone: begin anew, and look at everybody once.
func (c *Client) ChangedUsers(ctx context.Context, token string) (ids []string, next string, err error) {
	k := read("read changes of users", "/users/delta", query("$select", deltaUser, "$deltatoken", "latest"), "User.Read.All")
	changed, next, err := c.changes(ctx, k, token)
	for _, o := range changed {
		ids = append(ids, strings.ToLower(o.ID))
	}
	return ids, next, err
}

// ChangedMembers lists the object ids of those who entered or left one of the groups (at most 50), as ChangedUsers does. The
// groups count when the token is "" only; a token remembers them.
func (c *Client) ChangedMembers(ctx context.Context, groupIDs []string, token string) (ids []string, next string, err error) {
	const op = "read changes of groups"
	var filter []string
	for _, id := range groupIDs {
		if !isGUID(id) {
			return nil, "", wrong(op, "a group's object id is not a GUID")
		}
		filter = append(filter, "id eq "+quote(id))
	}
	if token == "" && (len(filter) == 0 || len(filter) > maxDeltaGroups) {
		return nil, "", wrong(op, "changes can be read of one to fifty groups at once")
	}
	k := read(op, "/groups/delta", query("$select", "id,members", "$filter", strings.Join(filter, " or "), "$deltatoken", "latest"), "GroupMember.Read.All")
	changed, next, err := c.changes(ctx, k, token)
	for _, o := range changed {
		for _, m := range o.Members {
			ids = append(ids, strings.ToLower(m.ID))
		}
	}
	return ids, next, err
}

// changes follows a delta query to its end. first is sent where there is no token; a token is the deltaLink of the last time.
func (c *Client) changes(ctx context.Context, first *call, token string) (changed []changedObject, next string, err error) {
	k := *first
	if token != "" {
		k.path, k.query, k.link = "", "", token
	}
	for range maxPages {
		var page struct {
			Value     []changedObject `json:"value"`
			NextLink  string          `json:"@odata.nextLink"`
			DeltaLink string          `json:"@odata.deltaLink"`
		}
		if _, err := c.do(ctx, &k, &page); err != nil {
			return nil, "", resync(err)
		}
		changed = append(changed, page.Value...)
		switch {
		case page.DeltaLink != "":
			return changed, page.DeltaLink, nil
		case page.NextLink == "" || page.NextLink == k.link:
			return nil, "", wrong(k.op, "Graph's list of changes does not end; report this with the request-id")
		}
		k.path, k.query, k.link = "", "", page.NextLink
	}
	return nil, "", wrong(k.op, "Graph's list of changes does not end")
}

// resync recognises a token that is no longer good, in its documented forms.
func resync(err error) error {
	f, isFailure := asFailure(err)
	if !isFailure {
		return err
	}
	g := asGraph(err)
	if f.Status == http.StatusGone || g.has("syncStateNotFound") || g.has("resyncRequired") || g.has("syncStateInvalid") {
		f.Verdict, f.Message = contractor.VerdictGone, "the mark up to which changes were read is no longer good; reading anew"
		return f
	}
	return err
}
