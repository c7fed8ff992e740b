package entra

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

const (
	sponsorTTL = 5 * time.Minute // a sponsor who leaves is noticed after this
	absentTTL  = time.Minute     // one who was not found may be created at any time
)

type reference struct {
	ID string `json:"@odata.id"`
}

// SetSponsors makes exactly these object ids (users or groups, at most five) the guest's sponsors: it reads those there are,
// adds what is missing and removes what is too much.
func (c *Client) SetSponsors(ctx context.Context, id string, sponsorIDs []string) (contractor.Receipt, error) {
	const op = "set sponsors"
	want := map[string]bool{}
	for _, s := range sponsorIDs {
		if !isGUID(s) {
			return contractor.Receipt{}, wrong(op, "a sponsor's object id is not a GUID")
		}
		want[strings.ToLower(s)] = true
	}
	if len(want) > maxSponsors {
		return contractor.Receipt{}, wrong(op, "a guest has at most five sponsors")
	}
	if err := c.ours(ctx, op, id); err != nil {
		return contractor.Receipt{}, err
	}
	have, err := list[objectID](ctx, c, read(op, "/users/"+seg(id)+"/sponsors", query("$select", "id"), "User.Read.All"))
	if err != nil {
		return contractor.Receipt{}, c.notYet(err, id)
	}
	var surplus []string
	for _, h := range have {
		key := strings.ToLower(h.ID)
		if want[key] {
			delete(want, key)
		} else {
			surplus = append(surplus, h.ID)
		}
	}
	missing := make([]string, 0, len(want))
	for s := range want {
		missing = append(missing, s)
	}
	slices.Sort(missing)
	r := contractor.Receipt{AlreadySo: true}
	// Add first, so that the guest is never without a sponsor; but make room where all five places are taken.
	for len(surplus) > 0 && len(have)+len(missing) > maxSponsors {
		if r, err = c.removeSponsor(ctx, id, surplus[0]); err != nil {
			return r, err
		}
		surplus, have = surplus[1:], have[1:]
	}
	for _, s := range missing {
		if r, err = c.addSponsor(ctx, id, s); err != nil {
			return r, err
		}
	}
	for _, s := range surplus {
		if r, err = c.removeSponsor(ctx, id, s); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (c *Client) addSponsor(ctx context.Context, id, sponsor string) (contractor.Receipt, error) {
	kind, known := c.kinds.get(strings.ToLower(sponsor))
	if !known {
		kind = "users"
	}
	body := reference{c.graphURL + "/" + kind + "/" + seg(sponsor)}
	k := write("add sponsor", http.MethodPost, "/users/"+seg(id)+"/sponsors/$ref", body, "User.ReadWrite.All")
	ex, err := c.soon(ctx, id, k, nil)
	if status(err) == http.StatusBadRequest && asGraph(err).alreadyExists() {
		return soReceipt(ex), nil
	}
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), nil
}

func (c *Client) removeSponsor(ctx context.Context, id, sponsor string) (contractor.Receipt, error) {
	k := write("remove sponsor", http.MethodDelete, "/users/"+seg(id)+"/sponsors/"+seg(sponsor)+"/$ref", nil, "User.ReadWrite.All")
	ex, err := c.do(ctx, k, nil)
	if status(err) == http.StatusNotFound {
		return soReceipt(ex), nil
	}
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), nil
}

// SetManager makes a user the guest's manager; "" takes the manager away.
func (c *Client) SetManager(ctx context.Context, id, managerID string) (contractor.Receipt, error) {
	const op = "set manager"
	if managerID != "" && !isGUID(managerID) {
		return contractor.Receipt{}, wrong(op, "the manager's object id is not a GUID")
	}
	if err := c.ours(ctx, op, id); err != nil {
		return contractor.Receipt{}, err
	}
	path := "/users/" + seg(id) + "/manager/$ref"
	k := write(op, http.MethodPut, path, reference{c.graphURL + "/users/" + seg(managerID)}, "User.ReadWrite.All")
	if managerID == "" {
		k = write("remove manager", http.MethodDelete, path, nil, "User.ReadWrite.All")
	}
	ex, err := c.soon(ctx, id, k, nil)
	if managerID == "" && status(err) == http.StatusNotFound {
		return soReceipt(ex), nil
	}
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), nil
}

// FindSponsor resolves a mail address, UPN, object id or "group:<object id>" to the object id of an enabled internal user, or
// a group; "" if there is none.
func (c *Client) FindSponsor(ctx context.Context, ref string) (string, error) {
	ref = strings.TrimSpace(ref)
	if ref == "" {
		return "", nil
	}
	key := strings.ToLower(ref)
	if id, known := c.sponsors.get(key); known {
		return id, nil
	}
	id, err := c.lookUpSponsor(ctx, ref)
	if err != nil {
		return "", err
	}
	ttl := sponsorTTL
	if id == "" {
		ttl = absentTTL
	}
	c.sponsors.put(key, id, ttl)
	return id, nil
}

const sponsorSelect = "id,userPrincipalName,mail,userType,accountEnabled"

func (c *Client) lookUpSponsor(ctx context.Context, ref string) (string, error) {
	const op = "find sponsor"
	if group, isGroup := strings.CutPrefix(ref, "group:"); isGroup {
		return c.sponsorGroup(ctx, strings.TrimSpace(group))
	}
	if isGUID(ref) {
		var u user
		_, err := c.do(ctx, read(op, "/users/"+seg(ref), query("$select", sponsorSelect), "User.Read.All"), &u)
		if status(err) == http.StatusNotFound {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return c.internal(op, []user{u}, "")
	}
	if !strings.Contains(ref, "@") {
		return "", nil
	}
	for _, filter := range []string{"mail eq " + quote(ref), "userPrincipalName eq " + quote(ref)} {
		users, err := list[user](ctx, c, read(op, "/users", query("$filter", filter, "$select", sponsorSelect), "User.Read.All"))
		if err != nil {
			return "", err
		}
		if id, err := c.internal(op, users, ref); id != "" || err != nil {
			return id, err
		}
	}
	return "", nil
}

// internal picks the one enabled internal user. Two that share an address are told apart by their UPN, or refused.
func (c *Client) internal(op string, users []user, ref string) (string, error) {
	var found []user
	for _, u := range users {
		if u.UserType != "Guest" && u.AccountEnabled != nil && *u.AccountEnabled {
			if strings.EqualFold(u.UserPrincipalName, ref) {
				found = []user{u}
				break
			}
			found = append(found, u)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		c.kinds.put(strings.ToLower(found[0].ID), "users", vetTTL)
		return found[0].ID, nil
	}
	return "", refused(op, "several internal accounts have the sponsor's address; send the sponsor's user principal name instead")
}

func (c *Client) sponsorGroup(ctx context.Context, id string) (string, error) {
	if !isGUID(id) {
		return "", wrong("find sponsor", "a sponsor group must be named by its object id: group:<object id>")
	}
	var g objectID
	_, err := c.do(ctx, read("find sponsor", "/groups/"+seg(id), query("$select", "id"), "GroupMember.Read.All"), &g)
	if status(err) == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	c.kinds.put(strings.ToLower(id), "groups", vetTTL)
	return g.ID, nil
}
