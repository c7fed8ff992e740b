package entra

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// groupFacts decide whether membership of a group can be given and taken.
type groupFacts struct {
	ID                   string   `json:"id"`
	DisplayName          string   `json:"displayName"`
	GroupTypes           []string `json:"groupTypes"`
	SecurityEnabled      bool     `json:"securityEnabled"`
	MailEnabled          bool     `json:"mailEnabled"`
	OnPremisesSync       *bool    `json:"onPremisesSyncEnabled"`
	RoleAssignable       *bool    `json:"isAssignableToRole"`
	ManagementRestricted *bool    `json:"isManagementRestricted"`
}

const groupSelect = "id,displayName,groupTypes,securityEnabled,mailEnabled,onPremisesSyncEnabled,isAssignableToRole,isManagementRestricted"

func isTrue(b *bool) bool { return b != nil && *b }

// obstacle is why scimbridge cannot, or must not, change the group's members; "" if nothing stands in the way.
func (g *groupFacts) obstacle() string {
	switch {
	case slices.ContainsFunc(g.GroupTypes, func(t string) bool { return strings.EqualFold(t, "DynamicMembership") }):
		return "its membership is dynamic: Entra fills it by a rule, and members cannot be added or removed"
	case isTrue(g.OnPremisesSync):
		return "it is mastered on-premises: guests cannot be its members"
	case isTrue(g.RoleAssignable):
		return "it is role-assignable: its members may hold directory roles, which scimbridge never gives"
	case isTrue(g.ManagementRestricted):
		return "it lies in a restricted management administrative unit, where the application has no rights"
	case g.MailEnabled && !slices.ContainsFunc(g.GroupTypes, func(t string) bool { return strings.EqualFold(t, "Unified") }):
		return "it is a distribution list or mail-enabled security group, which Graph cannot change"
	}
	return ""
}

// CheckGroup reports whether the group's members can be managed: its name, and an error with the reason if not.
func (c *Client) CheckGroup(ctx context.Context, groupID string) (name string, err error) {
	g, err := c.group(ctx, "check group", groupID)
	if err != nil {
		return "", err
	}
	return g.DisplayName, refuseGroup("check group", g)
}

func refuseGroup(op string, g *groupFacts) error {
	if why := g.obstacle(); why != "" {
		return refused(op, "group "+g.DisplayName+" ("+g.ID+") cannot be used: "+why+"; take it out of the mapping's catalog")
	}
	return nil
}

// group reads the group's facts, or recalls them.
func (c *Client) group(ctx context.Context, op, groupID string) (*groupFacts, error) {
	if !isGUID(groupID) {
		return nil, wrong(op, "the group's object id is not a GUID; correct the mapping's catalog")
	}
	key := strings.ToLower(groupID)
	if g, known := c.groups.get(key); known {
		return g, nil
	}
	g := &groupFacts{}
	_, err := c.do(ctx, read("read group", "/groups/"+seg(groupID), query("$select", groupSelect), "GroupMember.ReadWrite.All"), g)
	if f, isFailure := asFailure(err); isFailure && f.Status == http.StatusNotFound {
		f.Verdict, f.Message = contractor.VerdictRefused, "group "+groupID+" is not in the tenant; correct the mapping's catalog"
		return nil, f
	}
	if err != nil {
		return nil, err
	}
	ttl := factTTL
	if g.obstacle() != "" {
		ttl = absentTTL // somebody may be mending it
	}
	c.groups.put(key, g, ttl)
	return g, nil
}

// usableGroup is the preflight of every change of a group's members.
func (c *Client) usableGroup(ctx context.Context, op, groupID string) error {
	g, err := c.group(ctx, op, groupID)
	if err != nil {
		return err
	}
	return refuseGroup(op, g)
}

// AddMember makes the guest a plain member of the group, which only scimbridge will end.
func (c *Client) AddMember(ctx context.Context, groupID, guestID string) (contractor.Receipt, error) {
	const op = "add member"
	defer c.changed(guestID)
	if err := c.usableGroup(ctx, op, groupID); err != nil {
		return contractor.Receipt{}, err
	}
	if err := c.ours(ctx, op, guestID); err != nil {
		return contractor.Receipt{}, err
	}
	k := write(op, http.MethodPost, "/groups/"+seg(groupID)+"/members/$ref", reference{c.graphURL + "/directoryObjects/" + seg(guestID)}, "GroupMember.ReadWrite.All")
	ex, err := c.soon(ctx, guestID, k, nil)
	switch {
	case err == nil:
		return receipt(ex), nil
	case status(err) == http.StatusBadRequest && asGraph(err).alreadyExists():
		return soReceipt(ex), nil
	}
	return contractor.Receipt{}, c.groupFault(ctx, op, groupID, guestID, err)
}

// RemoveMember takes a plain membership away. The address always ends in /$ref: without it, Graph deletes the user.
func (c *Client) RemoveMember(ctx context.Context, groupID, guestID string) (contractor.Receipt, error) {
	const op = "remove member"
	if err := c.usableGroup(ctx, op, groupID); err != nil {
		if status(err) == http.StatusNotFound { // no group, no membership
			return contractor.Receipt{AlreadySo: true}, nil
		}
		return contractor.Receipt{}, err
	}
	if err := c.plain(ctx, op, guestID); err != nil {
		return c.goneIsDone(nil, err, guestID, true)
	}
	return c.dropMember(ctx, op, groupID, guestID)
}

func (c *Client) dropMember(ctx context.Context, op, groupID, guestID string) (contractor.Receipt, error) {
	defer c.changed(guestID)
	k := write(op, http.MethodDelete, "/groups/"+seg(groupID)+"/members/"+seg(guestID)+"/$ref", nil, "GroupMember.ReadWrite.All")
	ex, err := c.do(ctx, k, nil)
	if err == nil {
		return receipt(ex), nil
	}
	if status(err) == http.StatusNotFound || status(err) == http.StatusBadRequest && asGraph(err).noReference() {
		// No such member, if the group itself is there; if it is not, neither is the membership.
		return soReceipt(ex), nil
	}
	return contractor.Receipt{}, c.groupFault(ctx, op, groupID, guestID, err)
}

// groupFault finds out what a refusal about group and guest means: the group may have changed since the preflight.
func (c *Client) groupFault(ctx context.Context, op, groupID, guestID string, err error) error {
	s := status(err)
	if s != http.StatusNotFound && s != http.StatusBadRequest && s != http.StatusForbidden {
		return err
	}
	c.groups.drop(strings.ToLower(groupID))
	if groupErr := c.usableGroup(ctx, op, groupID); groupErr != nil {
		return groupErr
	}
	return c.notYet(err, guestID)
}

// membership is one object of memberOf: a group, a directory role, an administrative unit.
type membership struct {
	Type           string   `json:"@odata.type"`
	ID             string   `json:"id"`
	DisplayName    string   `json:"displayName"`
	GroupTypes     []string `json:"groupTypes"`
	OnPremisesSync bool     `json:"onPremisesSyncEnabled"`
	RoleAssignable bool     `json:"isAssignableToRole"`
}

func (m *membership) is(kind string) bool {
	return strings.EqualFold(strings.TrimPrefix(m.Type, "#"), "microsoft.graph."+kind)
}

// memberOf reads the direct memberships of a user. It uses no cast: casts read an index that lags.
func (c *Client) memberOf(ctx context.Context, id string) ([]membership, error) {
	k := read("read memberships", "/users/"+seg(id)+"/memberOf",
		query("$select", "id,displayName,groupTypes,onPremisesSyncEnabled,isAssignableToRole", "$top", "999"), "User.Read.All and GroupMember.Read.All")
	return list[membership](ctx, c, k)
}

// GroupCap is the longest active assignment that the group's PIM policy allows; 0: no bound, or the policy cannot be read.
func (c *Client) GroupCap(ctx context.Context, groupID string) (time.Duration, error) {
	const op = "read PIM policy"
	if !isGUID(groupID) {
		return 0, wrong(op, "the group's object id is not a GUID; correct the mapping's catalog")
	}
	key := strings.ToLower(groupID)
	if d, known := c.caps.get(key); known {
		return d, nil
	}
	rules, err := c.policyRules(ctx, groupID)
	switch s := status(err); {
	case s == http.StatusForbidden || s == http.StatusNotFound || s == http.StatusBadRequest:
		// The read is optional: without it, a schedule that is too long is refused and told.
		c.log.Debug("the group's PIM policy cannot be read", "group", groupID, "error", err)
	case err != nil:
		return 0, err
	}
	limit := capOf(rules)
	c.caps.put(key, limit, factTTL)
	return limit, nil
}

// policyRules reads the rules of the group's PIM policy for members.
func (c *Client) policyRules(ctx context.Context, groupID string) ([]policyRule, error) {
	filter := "scopeId eq " + quote(groupID) + " and scopeType eq 'Group' and roleDefinitionId eq 'member'"
	k := read("read PIM policy", "/policies/roleManagementPolicyAssignments", query("$filter", filter, "$expand", "policy($expand=rules)"), "RoleManagementPolicy.Read.AzureADGroup")
	assignments, err := list[policyAssignment](ctx, c, k)
	var rules []policyRule
	for _, a := range assignments {
		rules = append(rules, a.Policy.Rules...)
	}
	return rules, err
}

type policyAssignment struct {
	Policy struct {
		Rules []policyRule `json:"rules"`
	} `json:"policy"`
}

type policyRule struct {
	ID                   string   `json:"id"`
	IsExpirationRequired *bool    `json:"isExpirationRequired"`
	MaximumDuration      string   `json:"maximumDuration"`
	EnabledRules         []string `json:"enabledRules"`
}

func capOf(rules []policyRule) time.Duration {
	for _, r := range rules {
		if strings.EqualFold(r.ID, "Expiration_Admin_Assignment") && (r.IsExpirationRequired == nil || *r.IsExpirationRequired) {
			if d, ok := isoDuration(r.MaximumDuration); ok {
				return d
			}
		}
	}
	return 0
}
