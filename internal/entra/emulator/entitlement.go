package emulator

import (
	"slices"
	"strings"
	"time"
)

// accessPackage is a bundle of group memberships in a catalog.
type accessPackage struct {
	id, name, description string
	catalog               *catalog
	groups                []string
	roles                 []string // names of Entra roles
	hidden                bool
	incompatiblePackages  []string
	incompatibleGroups    []string
	created               time.Time
	// fail says how the next deliveries go wrong, first to last.
	fail []DeliveryFailure
}

// DeliveryFailure is how a delivery of an access package goes wrong.
type DeliveryFailure string

// The ways in which a delivery goes wrong.
const (
	DeliveryFails   DeliveryFailure = "deliveryFailed"     // nothing is granted
	DeliveryPartial DeliveryFailure = "partiallyDelivered" // only the first group is granted
	DeliveryHangs   DeliveryFailure = "delivering"         // nothing happens until it is reprocessed
)

type catalog struct {
	id, name string
	external bool // isExternallyVisible
	created  time.Time
}

// packagePolicy is an assignment policy.
type packagePolicy struct {
	id      string
	pkg     *accessPackage
	body    map[string]any // as created
	created time.Time
}

func (p *packagePolicy) scope() string { return or(text(p.body, "allowedTargetScope"), "notSpecified") }

// customSchedule: a missing setting allows a schedule, as the portal's policies do.
func (p *packagePolicy) customSchedule() bool {
	v, has := object(p.body, "requestorSettings")["allowCustomAssignmentSchedule"].(bool)
	return !has || v
}

func (p *packagePolicy) needsApproval() bool {
	return flag(object(p.body, "requestApprovalSettings"), "isApprovalRequiredForAdd")
}

// assignment is an access package assignment.
type assignment struct {
	id         string
	pkg        *accessPackage
	policy     *packagePolicy
	user       string // object id; empty while an invited address has no object
	email      string
	state      string // delivering, partiallyDelivered, delivered, expired, deliveryFailed
	start, end time.Time
	expired    time.Time
	visible    time.Time
	granted    []string // groups that it holds
	version    int      // changes of the end make older timers void
	requests   []*packageRequest
}

func (a *assignment) holding() bool {
	return a.state == "delivered" || a.state == "partiallyDelivered" || a.state == "delivering"
}

// packageRequest is an assignment request.
type packageRequest struct {
	id        string
	kind      string // requestType
	body      map[string]any
	state     string
	status    string
	created   time.Time
	completed time.Time
	visible   time.Time
	target    *assignment
	by        *token
}

type entitlementStore struct {
	catalogs    []*catalog
	packages    []*accessPackage
	policies    []*packagePolicy
	assignments []*assignment
	requests    []*packageRequest
	byUser      map[string][]*assignment
	byID        map[string]*assignment
	reqByID     map[string]*packageRequest
	settings    map[string]any
	orgs        []map[string]any
	metered     []string // features used that are billed, with the user
}

func (s *entitlementStore) init() {
	s.byUser, s.byID, s.reqByID = map[string][]*assignment{}, map[string]*assignment{}, map[string]*packageRequest{}
	s.settings = map[string]any{"externalUserLifecycleAction": "blockSignInAndDelete", "durationUntilExternalUserDeletedAfterBlocked": "P30D"}
}

func (s *entitlementStore) pkg(id string) *accessPackage {
	for _, p := range s.packages {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (s *entitlementStore) policy(id string) *packagePolicy {
	for _, p := range s.policies {
		if p.id == id {
			return p
		}
	}
	return nil
}

// standing returns the assignment of a user to a package that is not over.
func (s *entitlementStore) standing(user string, pkg *accessPackage) *assignment {
	for _, a := range s.byUser[user] {
		if a.pkg == pkg && a.holding() {
			return a
		}
	}
	return nil
}

// grants reports whether some package gives the user this group now.
func (s *entitlementStore) grants(user, group string) bool {
	return slices.ContainsFunc(s.byUser[user], func(a *assignment) bool { return slices.Contains(a.granted, group) })
}

// forget ends the assignments of a user that is gone for good.
func (s *entitlementStore) forget(t *tenant, user string) {
	for _, a := range s.byUser[user] {
		if a.holding() {
			a.state, a.expired, a.granted = "expired", t.present, nil
			a.version++
		}
	}
}

// stage draws how long one stage of a delivery takes.
func (t *tenant) stage(key string) time.Duration {
	return t.dice.upTo(t.cfg.EntitlementDelay, "entitlement", key)
}

// startDelivery starts a new assignment of a request: after a while, or at its start.
func (t *tenant) startDelivery(r *packageRequest) {
	a := r.target
	now := t.present
	if a.start.After(now) {
		r.state, r.status = "scheduled", "Scheduled"
		t.later(a.start, func() {
			if r.state == "scheduled" {
				t.deliver(r)
			}
		})
		return
	}
	t.later(now.Add(t.stage(a.id)), func() {
		if r.state == "submitted" {
			t.deliver(r)
		}
	})
}

// deliver moves a request to delivering and, after another while, grants.
func (t *tenant) deliver(r *packageRequest) {
	a := r.target
	r.state, r.status = "delivering", "Delivering"
	a.state = "delivering"
	t.expireAt(a)
	version := a.version
	t.later(t.present.Add(t.stage(a.id)), func() {
		if r.state == "delivering" && a.version == version {
			t.grant(r)
		}
	})
}

// grant adds the memberships of the package.
func (t *tenant) grant(r *packageRequest) {
	a := r.target
	how := DeliveryFailure("")
	if len(a.pkg.fail) > 0 {
		how, a.pkg.fail = a.pkg.fail[0], a.pkg.fail[1:]
	}
	if u := t.users.byID[a.user]; u == nil || !u.deleted.IsZero() {
		how = DeliveryFails
	}
	if how == DeliveryHangs {
		r.status = "Delivering: waiting for the user"
		return
	}
	failed := ""
	for i, id := range a.pkg.groups {
		g := t.groups.byID[id]
		if how == DeliveryFails || how == DeliveryPartial && i > 0 || g == nil || g.dynamic() || g.is("onPremisesSyncEnabled") {
			failed = id
			continue
		}
		if !slices.Contains(a.granted, id) {
			a.granted = append(a.granted, id)
		}
		t.join(g, a.user)
		t.audit("Add member to group", "GroupManagement", nil, nil, t.targetOf(a.user), g.target())
	}
	r.completed = t.present
	switch {
	case failed == "":
		a.state, r.state, r.status = "delivered", "delivered", "Fulfilled"
	case len(a.granted) > 0:
		a.state, r.state, r.status = "partiallyDelivered", "partiallyDelivered", "PartiallyFulfilled"
	default:
		a.state, r.state, r.status = "deliveryFailed", "deliveryFailed", "FulfillmentFailed"
	}
	t.auditBy("Entitlement Management", "Fulfill access package assignment request", "EntitlementManagement", r.by, nil, t.targetOf(a.user))
}

// expireAt arranges the end of an assignment.
func (t *tenant) expireAt(a *assignment) {
	a.version++
	version := a.version
	if a.end.IsZero() {
		return
	}
	t.later(a.end, func() {
		if a.version == version && a.holding() {
			t.endAssignment(a)
		}
	})
}

// endAssignment takes away what nothing else grants.
func (t *tenant) endAssignment(a *assignment) {
	a.state, a.expired = "expired", t.present
	a.version++
	had := a.granted
	a.granted = nil
	for _, id := range had {
		g := t.groups.byID[id]
		s := t.pim.standing(id, a.user, "member", false)
		if g == nil || t.ent.grants(a.user, id) || s != nil && s.active {
			continue
		}
		t.leave(g, a.user)
		t.audit("Remove member from group", "GroupManagement", nil, nil, t.targetOf(a.user), g.target())
	}
	t.auditBy("Entitlement Management", "Remove access package assignment", "EntitlementManagement", nil, nil, t.targetOf(a.user))
	t.governedEnd(a.user)
}

// governedEnd blocks and later deletes a guest that entitlement management owns, once
// its last assignment has ended. Guests that somebody else invited are left alone.
func (t *tenant) governedEnd(id string) {
	u := t.users.byID[id]
	if u == nil || !u.governed || slices.ContainsFunc(t.ent.byUser[id], (*assignment).holding) {
		return
	}
	action := text(t.ent.settings, "externalUserLifecycleAction")
	if action == "none" {
		return
	}
	t.disable(u)
	wait, err := parseDuration(text(t.ent.settings, "durationUntilExternalUserDeletedAfterBlocked"))
	if action != "blockSignInAndDelete" || err != nil {
		return
	}
	t.later(t.present.Add(wait), func() {
		if t.users.byID[id] == u && u.deleted.IsZero() && u.governed && !slices.ContainsFunc(t.ent.byUser[id], (*assignment).holding) {
			t.softDelete(u)
		}
	})
}

// fits reports whether a policy's scope lets this user have the package.
func (t *tenant) fits(p *packagePolicy, u *user) bool {
	guest := text(u.props, "userType") == "Guest"
	switch p.scope() {
	case "notSpecified", "allDirectoryUsers", "allExternalUsers":
		return p.scope() != "allExternalUsers" || guest
	case "allMemberUsers":
		return !guest
	case "specificDirectoryUsers":
		return t.namedTarget(p, u)
	case "allConfiguredConnectedOrganizationUsers", "specificConnectedOrganizationUsers":
		return guest && t.connected(text(u.props, "mail"))
	}
	return false
}

func (t *tenant) namedTarget(p *packagePolicy, u *user) bool {
	return slices.ContainsFunc(anyObjects(p.body["specificAllowedTargets"]), func(s map[string]any) bool {
		g := t.groups.byID[text(s, "groupId")]
		return text(s, "userId") == u.id || g != nil && g.has(u.id)
	})
}

// connected reports whether an address belongs to a connected organization.
func (t *tenant) connected(address string) bool {
	_, domain, _ := strings.Cut(lower(address), "@")
	return slices.ContainsFunc(t.ent.orgs, func(o map[string]any) bool {
		return slices.ContainsFunc(anyObjects(o["identitySources"]), func(s map[string]any) bool { return lower(text(s, "domainName")) == domain })
	})
}
