package emulator

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func createPackageRequest(c *call) (answer, error) {
	r := &packageRequest{kind: text(c.body, "requestType"), body: c.body, created: c.now, state: "submitted", status: "Accepted", by: c.token}
	asg := object(c.body, "assignment")
	if asg == nil {
		return answer{}, emInvalid("The request is not valid: 'assignment' is missing.")
	}
	if err := checkAssignmentBody(asg); err != nil {
		return answer{}, err
	}
	var err error
	switch r.kind {
	case "adminAdd":
		err = c.packageAdd(r, asg)
	case "adminUpdate":
		err = c.packageUpdate(r, asg)
	case "adminRemove":
		err = c.packageRemove(r, asg)
	case "userAdd", "userUpdate", "userRemove", "onBehalfAdd", "approverRemove", "systemAdd", "systemUpdate", "systemRemove":
		err = denied()
	default:
		err = emInvalid("The request type '%s' is not valid.", r.kind)
	}
	if err != nil {
		return answer{}, err
	}
	return created(c.with("identityGovernance/entitlementManagement/assignmentRequests/$entity", r.view()))
}

func emInvalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "InvalidModel", format, args...)
}

// checkAssignmentBody lets pass what the documentation uses: ids that the metadata does
// not declare (targetId, assignmentPolicyId, accessPackageId), id, or target by e-mail.
func checkAssignmentBody(asg map[string]any) error {
	for name, v := range asg {
		switch name {
		case "id", "targetId", "assignmentPolicyId", "accessPackageId":
			if _, isText := v.(string); !isText {
				return emInvalid("The property '%s' is not text.", name)
			}
		case "target":
			if _, isObject := v.(map[string]any); !isObject {
				return emInvalid("The property 'target' is not an object.")
			}
		case "@odata.type":
		default:
			return emInvalid("The property '%s' cannot be set on the assignment of a request.", name)
		}
	}
	return nil
}

func (c *call) packageAdd(r *packageRequest, asg map[string]any) error {
	pkg := c.t.ent.pkg(canonical(text(asg, "accessPackageId")))
	policy := c.t.ent.policy(canonical(text(asg, "assignmentPolicyId")))
	if pkg == nil || policy == nil || policy.pkg != pkg || text(asg, "id") != "" {
		return itemNotFound("The access package or the assignment policy is not found.")
	}
	start, end, err := c.packageSpan(policy)
	if err != nil {
		return err
	}
	u, email, err := c.packageTarget(asg, policy)
	if err != nil {
		return err
	}
	a := &assignment{pkg: pkg, policy: policy, start: start, end: end, state: "delivering", email: email}
	if u != nil {
		a.user = u.id
		if err := c.t.eligibleFor(pkg, u); err != nil {
			return err
		}
		c.t.meter(pkg, u)
		if c.t.ent.standing(u.id, pkg) != nil {
			if c.t.cfg.Unknowns.SecondPackageRefused == Yes {
				return refuse(http.StatusBadRequest, "ExistingGrant", "The subject already has an assignment or an open request for this access package.")
			}
			c.t.record(r, nil)
			c.t.later(c.now.Add(c.t.stage(r.id)), func() {
				r.state, r.status, r.completed = "denied", "Denied: the subject already has the access package", c.t.present
			})
			return nil
		}
	}
	c.t.record(r, a)
	if policy.needsApproval() {
		r.state, r.status = "pendingApproval", "PendingApproval"
		return nil
	}
	c.t.startDelivery(r)
	return nil
}

// record stores a request and, for a new assignment, the assignment.
func (t *tenant) record(r *packageRequest, a *assignment) {
	s := &t.ent
	r.id = t.dice.newID("package request", r.kind)
	r.visible = t.present.Add(t.lag("package request", r.id))
	s.requests = append(s.requests, r)
	s.reqByID[r.id] = r
	t.auditBy("Entitlement Management", "Request access package assignment ("+r.kind+")", "EntitlementManagement", r.by, nil)
	if a == nil {
		return
	}
	r.target = a
	a.requests = append(a.requests, r)
	a.id = t.dice.newID("package assignment", a.pkg.id+a.user+a.email)
	a.visible = t.present.Add(t.lag("package assignment", a.id))
	s.assignments = append(s.assignments, a)
	s.byUser[a.user] = append(s.byUser[a.user], a)
	s.byID[a.id] = a
}

// packageSpan reads the request's schedule; without an end the policy's expiration applies.
func (c *call) packageSpan(p *packagePolicy) (start, end time.Time, err error) {
	sched := object(c.body, "schedule")
	start = c.now
	if at, given := instant(sched["startDateTime"]); given && at.After(c.now) {
		start = at
	}
	if sched != nil && !p.customSchedule() {
		return start, end, emInvalid("The policy does not allow a custom assignment schedule.")
	}
	if sched["recurrence"] != nil {
		return start, end, emInvalid("A recurrence is not supported.")
	}
	exp := object(sched, "expiration")
	if exp == nil || text(exp, "type") == "notSpecified" {
		exp = object(p.body, "expiration")
	}
	if exp == nil || text(exp, "type") == "notSpecified" {
		return start, time.Time{}, nil
	}
	if end, err = expirationEnd(exp, start); err != nil {
		return start, end, emInvalid("The expiration of the schedule is not valid.")
	}
	if !end.IsZero() && !end.After(start) {
		return start, end, emInvalid("The end of the schedule is not after its start.")
	}
	return start, end, nil
}

// packageTarget finds the subject: a user by id, or an address that is invited.
func (c *call) packageTarget(asg map[string]any, p *packagePolicy) (*user, string, error) {
	email := text(object(asg, "target"), "email")
	id := or(text(asg, "targetId"), text(object(asg, "target"), "objectId"))
	switch {
	case id != "" && email != "" || id == "" && email == "":
		return nil, "", emInvalid("The assignment needs either a targetId or a target with an e-mail address.")
	case id != "":
		u, live := c.t.live(id)
		if !live || c.now.Before(u.ready) && c.t.dice.chance(0.5, "package subject", id) {
			return nil, "", itemNotFound("The subject '%s' is not found.", id)
		}
		if !c.t.fits(p, u) {
			return nil, "", refuse(http.StatusBadRequest, "PolicyNotMet", "You don't meet policy requirements to request this entitlement.")
		}
		return u, "", nil
	}
	return c.inviteBySubject(email, p)
}

// inviteBySubject is adminAdd by e-mail: entitlement management invites the guest
// itself, without a mail, and bills for it.
func (c *call) inviteBySubject(email string, p *packagePolicy) (*user, string, error) {
	_, domain, ok := strings.Cut(lower(email), "@")
	reach := p.scope() == "allExternalUsers" ||
		strings.Contains(p.scope(), "onnectedOrganizationUsers") && c.t.connected(email)
	if !ok || !reach || slices.Contains(c.t.cfg.BlockedDomains, domain) {
		return nil, "", refuse(http.StatusBadRequest, "PolicyNotMet", "You don't meet policy requirements to request this entitlement.")
	}
	c.t.ent.metered = append(c.t.ent.metered, "adminAdd by e-mail: "+lower(email))
	c.t.auditBy("Entitlement Management", "GovernanceLicenseFeatureUsed", "EntitlementManagement", nil, nil)
	for _, u := range c.t.users.find("mail", email) {
		return u, email, nil
	}
	u := c.t.addUser(c.t.dice.newID("guest", lower(email)), c.t.guestProps(email, email))
	u.governed = true
	c.t.audit("Invite external user", "UserManagement", nil, nil, u.target())
	return u, email, nil
}

// meter records what is billed although nobody sees it at the time: a package with a
// group that PIM manages or an Entra role, given to a guest.
func (t *tenant) meter(pkg *accessPackage, u *user) {
	pim := func(id string) bool { g := t.groups.byID[id]; return g != nil && g.onboard > 0 }
	if text(u.props, "userType") == "Guest" && slices.ContainsFunc(pkg.groups, pim) {
		t.ent.metered = append(t.ent.metered, "package with a PIM-managed group: "+u.id)
		t.auditBy("Entitlement Management", "GovernanceLicenseFeatureUsed", "EntitlementManagement", nil, nil, u.target())
	}
	if text(u.props, "userType") == "Guest" && len(pkg.roles) > 0 {
		t.ent.metered = append(t.ent.metered, "package with an Entra role: "+u.id)
		t.auditBy("Entitlement Management", "GovernanceLicenseFeatureUsed", "EntitlementManagement", nil, nil, u.target())
	}
}

// eligibleFor holds the catalog and the incompatibilities against the user.
func (t *tenant) eligibleFor(pkg *accessPackage, u *user) error {
	if text(u.props, "userType") == "Guest" && !pkg.catalog.external {
		return refuse(http.StatusBadRequest, "PolicyNotMet", "The catalog is not enabled for external users.")
	}
	for _, id := range pkg.incompatiblePackages {
		if other := t.ent.pkg(id); other != nil && t.ent.standing(u.id, other) != nil {
			return refuse(http.StatusBadRequest, "IncompatibleAccess", "The subject has the incompatible access package '%s'.", other.name)
		}
	}
	for _, id := range pkg.incompatibleGroups {
		if g := t.groups.byID[id]; g != nil && g.has(u.id) {
			return refuse(http.StatusBadRequest, "IncompatibleAccess", "The subject is a member of an incompatible group.")
		}
	}
	return nil
}

// packageUpdate moves the end of an assignment that is delivered.
func (c *call) packageUpdate(r *packageRequest, asg map[string]any) error {
	a, err := c.assignmentOf(asg)
	if err != nil {
		return err
	}
	sched := object(c.body, "schedule")
	if sched == nil {
		return emInvalid("An update needs a schedule or answers.")
	}
	_, end, err := c.packageSpan(a.policy)
	if err != nil {
		return err
	}
	c.t.record(r, nil)
	r.target = a
	a.requests = append(a.requests, r)
	c.t.later(c.now.Add(c.t.stage(a.id)), func() {
		r.completed = c.t.present
		if !a.holding() {
			r.state, r.status = "denied", "Denied: the assignment has ended"
			return
		}
		a.end = end
		c.t.expireAt(a)
		r.state, r.status = "delivered", "Fulfilled"
		if !end.IsZero() && !end.After(c.t.present) {
			c.t.endAssignment(a)
		}
	})
	return nil
}

// packageRemove ends an assignment.
func (c *call) packageRemove(r *packageRequest, asg map[string]any) error {
	a, err := c.assignmentOf(asg)
	if err != nil {
		return err
	}
	if c.body["schedule"] != nil {
		return emInvalid("A removal takes no schedule.")
	}
	c.t.record(r, nil)
	r.target = a
	a.requests = append(a.requests, r)
	c.t.later(c.now.Add(c.t.stage(a.id)), func() {
		if r.state == "submitted" {
			r.state, r.status = "delivering", "Delivering"
		}
	})
	c.t.later(c.now.Add(c.t.stage(a.id)+c.t.stage(a.id)), func() {
		if a.holding() {
			c.t.endAssignment(a)
		}
		r.state, r.status, r.completed = "delivered", "Fulfilled", c.t.present
	})
	return nil
}

// assignmentOf finds the assignment that an update or removal names by id alone.
func (c *call) assignmentOf(asg map[string]any) (*assignment, error) {
	a := c.t.ent.byID[canonical(text(asg, "id"))]
	switch {
	case text(asg, "id") == "" || asg["targetId"] != nil || asg["target"] != nil:
		return nil, emInvalid("The assignment of the request is named by its id.")
	case a == nil:
		return nil, itemNotFound("The assignment '%s' is not found.", text(asg, "id"))
	case a.state == "expired":
		return nil, refuse(http.StatusBadRequest, "AssignmentExpired", "The assignment '%s' has expired.", a.id)
	case slices.ContainsFunc(a.requests, (*packageRequest).open):
		return nil, refuse(http.StatusBadRequest, "ExistingOpenRequest", "There is an open request for the assignment '%s'.", a.id)
	}
	return a, nil
}

// open reports whether a request still works on its assignment.
func (r *packageRequest) open() bool {
	switch r.state {
	case "submitted", "pendingApproval", "scheduled":
		return true
	}
	return r.state == "delivering" && !strings.Contains(r.status, "waiting")
}
