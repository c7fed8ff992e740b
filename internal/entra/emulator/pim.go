package emulator

import (
	"net/http"
	"slices"
	"time"
)

// schedule is a PIM for Groups assignment (or eligibility) from a start to an end.
type schedule struct {
	id                string // {groupId}_{accessId}_{guid}
	group, principal  string
	access            string // member or owner
	eligible          bool
	start, end        time.Time // end zero: permanent
	created, modified time.Time
	status            string // ScheduleCreated, Provisioned, then Expired or Revoked
	active            bool   // it holds the membership now
	activated         time.Time
	visible           time.Time // reads may miss it until then
	request           string
	ended             time.Time
}

func (s *schedule) over() bool { return s.status == "Expired" || s.status == "Revoked" }

// pimRequest is one assignmentScheduleRequest.
type pimRequest struct {
	id        string
	action    string
	schedule  string
	body      map[string]any
	status    string
	created   time.Time
	completed time.Time
	visible   time.Time
	eligible  bool
	group     string
	principal string
	access    string
	by        *token
}

type pimStore struct {
	schedules   []*schedule
	requests    []*pimRequest
	byPrincipal map[string][]*schedule
	byGroup     map[string][]*schedule
	byID        map[string]*schedule
	reqByID     map[string]*pimRequest
	reqByPrinc  map[string][]*pimRequest
	policies    map[string]*groupPolicy // by group id
}

func (p *pimStore) init() {
	p.byPrincipal, p.byGroup, p.byID = map[string][]*schedule{}, map[string][]*schedule{}, map[string]*schedule{}
	p.reqByID, p.reqByPrinc = map[string]*pimRequest{}, map[string][]*pimRequest{}
	p.policies = map[string]*groupPolicy{}
}

// standing returns the assignment of a principal that is not over.
func (p *pimStore) standing(group, principal, access string, eligible bool) *schedule {
	for _, s := range p.byPrincipal[principal] {
		if s.group == group && s.access == access && s.eligible == eligible && !s.over() {
			return s
		}
	}
	return nil
}

func createAssignmentRequest(c *call) (answer, error)  { return c.pimRequest(false) }
func createEligibilityRequest(c *call) (answer, error) { return c.pimRequest(true) }

// pimRequest takes a request for an assignment or an eligibility.
func (c *call) pimRequest(eligible bool) (answer, error) {
	r := &pimRequest{
		action: text(c.body, "action"), body: c.body, created: c.now, eligible: eligible, by: c.token,
		group: canonical(text(c.body, "groupId")), principal: canonical(text(c.body, "principalId")), access: text(c.body, "accessId"),
	}
	g, u, err := c.pimTargets(r)
	if err != nil {
		return answer{}, err
	}
	if c.pimPending(r) {
		return answer{}, refuse(http.StatusBadRequest, "PendingRoleAssignmentRequest", "There is an existing pending Role assignment request.")
	}
	var apply func() *schedule
	switch r.action {
	case "adminAssign":
		apply, err = c.pimAssign(r, g)
	case "adminUpdate", "adminExtend":
		apply, err = c.pimUpdate(r, g)
	case "adminRenew":
		apply, err = c.pimRenew(r, g)
	case "adminRemove":
		if !c.allowed(pimRemovers()...) {
			return answer{}, denied()
		}
		apply, err = c.pimRemove(r, g, u)
	case "selfActivate", "selfDeactivate", "selfExtend", "selfRenew":
		return answer{}, denied() // a person does that for themselves
	default:
		err = pimInvalid()
	}
	if err != nil {
		return answer{}, err
	}
	if r.action != "adminRemove" && !c.allowed(pimWriters(eligible)...) {
		return answer{}, denied()
	}
	if flag(c.body, "isValidationOnly") {
		r.id, r.status = c.t.dice.newID("pim validation", r.group+r.principal), "Granted"
		return created(c.with("identityGovernance/privilegedAccess/group/assignmentScheduleRequests/$entity", r.view()))
	}
	c.t.pim.onboarded(g)
	c.t.acceptPIM(r, apply)
	return created(c.with("identityGovernance/privilegedAccess/group/assignmentScheduleRequests/$entity", r.view()))
}

func pimWriters(eligible bool) []string {
	if eligible {
		return []string{"PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup"}
	}
	return []string{"PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup"}
}

func pimRemovers() []string {
	return []string{
		"PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup", "PrivilegedAssignmentSchedule.Remove.AzureADGroup",
		"PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup", "PrivilegedEligibilitySchedule.Remove.AzureADGroup",
	}
}

func pimInvalid() error {
	return refuse(http.StatusBadRequest, "InvalidRoleAssignmentRequest", "The role assignment request is invalid.")
}

// pimTargets checks group and principal.
func (c *call) pimTargets(r *pimRequest) (*group, *user, error) {
	g := c.t.groups.byID[r.group]
	switch {
	case r.access != "member" && r.access != "owner" || r.group == "" || r.principal == "":
		return nil, nil, pimInvalid()
	case g == nil:
		return nil, nil, itemNotFound("The resource '%s' is not found.", r.group)
	case g.dynamic() || g.is("onPremisesSyncEnabled"):
		return nil, nil, refuse(http.StatusBadRequest, "ResourceTypeNotSupported", "Groups with dynamic membership and groups synchronised from on-premises cannot be managed in PIM.")
	case g.roleAssignable() || g.is("isManagementRestricted"):
		return nil, nil, denied()
	}
	u, live := c.t.live(r.principal)
	if !live || c.now.Before(u.ready) && c.t.dice.chance(0.5, "pim subject", r.principal) {
		return nil, nil, refuse(http.StatusBadRequest, "SubjectNotFound", "The subject is not found.")
	}
	return g, u, nil
}

// pimPending reports whether an earlier request for the same assignment is still open.
func (c *call) pimPending(r *pimRequest) bool {
	return slices.ContainsFunc(c.t.pim.reqByPrinc[r.principal], func(o *pimRequest) bool {
		return o.group == r.group && o.access == r.access && o.eligible == r.eligible && o.status == "PendingProvisioning"
	})
}

func (c *call) pimAssign(r *pimRequest, g *group) (func() *schedule, error) {
	if c.t.pim.standing(r.group, r.principal, r.access, r.eligible) != nil {
		return nil, refuse(http.StatusBadRequest, "RoleAssignmentExists", "The Role assignment already exists.")
	}
	if !r.eligible && r.access == "member" && g.has(r.principal) && c.t.cfg.Unknowns.PIMTakesOverMember == No {
		return nil, refuse(http.StatusBadRequest, "RoleAssignmentExists", "The Role assignment already exists.")
	}
	start, end, err := c.pimSpan(g)
	if err != nil {
		return nil, err
	}
	return func() *schedule { return c.t.addSchedule(r, start, end) }, nil
}

// extendWindow is how long before its end an assignment can be extended.
const extendWindow = 14 * 24 * time.Hour

func (c *call) pimUpdate(r *pimRequest, g *group) (func() *schedule, error) {
	old := c.t.pim.standing(r.group, r.principal, r.access, r.eligible)
	if old == nil {
		return nil, refuse(http.StatusBadRequest, "RoleAssignmentDoesNotExist", "The Role assignment does not exist.")
	}
	if r.action == "adminExtend" && c.t.cfg.Unknowns.ExtendOnlyLate == Yes && (old.end.IsZero() || old.end.Sub(c.now) > extendWindow) {
		return nil, refuse(http.StatusBadRequest, "RoleAssignmentRequestPolicyValidationFailed", "The assignment is not about to expire and cannot be extended yet.")
	}
	start, end, err := c.pimSpan(g)
	if err != nil {
		return nil, err
	}
	if old.active && start.After(c.now) {
		return nil, pimInvalid() // a running assignment cannot begin in the future
	}
	return func() *schedule {
		active, since := old.active, old.activated
		c.t.endSchedule(old, "Revoked", true)
		s := c.t.addSchedule(r, start, end)
		if active && s.active {
			s.activated = since
		}
		return s
	}, nil
}

// renewWindow is how long an expired assignment stays visible.
const renewWindow = 30 * 24 * time.Hour

func (c *call) pimRenew(r *pimRequest, g *group) (func() *schedule, error) {
	expired := slices.ContainsFunc(c.t.pim.byPrincipal[r.principal], func(s *schedule) bool {
		return s.group == r.group && s.access == r.access && s.eligible == r.eligible && s.status == "Expired" && c.now.Sub(s.ended) <= renewWindow
	})
	if !expired || c.t.pim.standing(r.group, r.principal, r.access, r.eligible) != nil {
		return nil, refuse(http.StatusBadRequest, "RoleAssignmentDoesNotExist", "The Role assignment does not exist.")
	}
	return c.pimAssign(r, g)
}

func (c *call) pimRemove(r *pimRequest, g *group, u *user) (func() *schedule, error) {
	if c.body["scheduleInfo"] != nil {
		return nil, pimInvalid()
	}
	s := c.t.pim.standing(r.group, r.principal, r.access, r.eligible)
	if s == nil {
		// A permanent direct member is shown as an assignment, and can be removed as one.
		if r.eligible || r.access != "member" || !g.has(u.id) {
			return nil, refuse(http.StatusBadRequest, "RoleAssignmentDoesNotExist", "The Role assignment does not exist.")
		}
		return func() *schedule { c.t.leave(g, u.id); return nil }, nil
	}
	if s.active && !s.eligible && c.now.Sub(s.activated) < c.t.cfg.FiveMinutes {
		return nil, refuse(http.StatusBadRequest, "ActiveDurationTooShort", "The active duration is too short. Miniumum Required is 5 minutes.")
	}
	return func() *schedule { c.t.endSchedule(s, "Revoked", false); return s }, nil
}

// acceptPIM records a request and provisions it, at once or a little later.
func (t *tenant) acceptPIM(r *pimRequest, apply func() *schedule) {
	p := &t.pim
	key := r.group + r.principal
	r.id = t.dice.newID("pim request", key)
	p.requests = append(p.requests, r)
	p.reqByID[r.id] = r
	p.reqByPrinc[r.principal] = append(p.reqByPrinc[r.principal], r)
	r.visible = t.present.Add(t.lag("pim request", key))
	finish := func() {
		r.completed = t.present
		r.status = "Provisioned"
		if r.action == "adminRemove" {
			r.status = "Revoked"
		}
		if s := apply(); s != nil {
			r.schedule = s.id
			if !s.active && !s.over() && !s.eligible {
				r.status = "ScheduleCreated"
			}
		}
		t.auditBy("Privileged Identity Management", pimActivity(r), "GroupManagement", r.by, nil, t.targetOf(r.principal), t.targetOf(r.group))
	}
	// The answer names the schedule even while provisioning is pending.
	wait := time.Duration(0)
	if t.dice.chance(0.3, "pim pending", key) {
		wait = t.dice.upTo(t.cfg.ProvisioningDelay, "pim pending", key)
	}
	if wait == 0 || r.action == "adminRemove" {
		finish()
		return
	}
	r.status = "PendingProvisioning"
	r.schedule = r.group + "_" + r.access + "_" + t.dice.newID("pim schedule", key)
	t.later(t.present.Add(wait), func() {
		if r.status == "PendingProvisioning" {
			id := r.schedule
			finish()
			t.renameSchedule(r, id)
		}
	})
}

func pimActivity(r *pimRequest) string {
	switch r.action {
	case "adminRemove":
		return "Remove member from group (PIM)"
	case "adminAssign", "adminRenew":
		return "Add member to group in PIM requested (timebound)"
	}
	return "Update member of group in PIM requested (timebound)"
}

// renameSchedule keeps the id that the pending answer announced.
func (t *tenant) renameSchedule(r *pimRequest, id string) {
	for _, s := range t.pim.byPrincipal[r.principal] {
		if s.id == r.schedule && !s.over() {
			delete(t.pim.byID, s.id)
			s.id, r.schedule = id, id
			t.pim.byID[id] = s
		}
	}
}

// addSchedule creates the assignment of a request and activates it when its time has come.
func (t *tenant) addSchedule(r *pimRequest, start, end time.Time) *schedule {
	p := &t.pim
	s := &schedule{
		id:    r.group + "_" + r.access + "_" + t.dice.newID("pim schedule", r.group+r.principal),
		group: r.group, principal: r.principal, access: r.access, eligible: r.eligible,
		start: start, end: end, created: t.present, modified: t.present, status: "Provisioned", request: r.id,
		visible: t.present.Add(t.lag("pim schedule", r.group+r.principal)),
	}
	p.schedules = append(p.schedules, s)
	p.byID[s.id] = s
	p.byPrincipal[s.principal] = append(p.byPrincipal[s.principal], s)
	p.byGroup[s.group] = append(p.byGroup[s.group], s)
	if start.After(t.present) {
		s.status = "ScheduleCreated"
		t.later(start, func() {
			if !s.over() {
				t.activate(s)
			}
		})
	} else {
		t.activate(s)
	}
	if !end.IsZero() {
		t.later(end, func() {
			if !s.over() {
				t.endSchedule(s, "Expired", false)
			}
		})
	}
	return s
}

func (t *tenant) activate(s *schedule) {
	s.status, s.activated = "Provisioned", t.present
	if r := t.pim.reqByID[s.request]; r != nil && r.status == "ScheduleCreated" {
		r.status = "Provisioned"
	}
	if s.eligible {
		return
	}
	s.active = true
	g := t.groups.byID[s.group]
	if g == nil || t.users.byID[s.principal] == nil {
		return
	}
	if s.access == "owner" {
		if !slices.Contains(g.owners, s.principal) {
			g.owners = append(g.owners, s.principal)
		}
		return
	}
	t.join(g, s.principal)
	t.audit("Add member to group", "GroupManagement", nil, nil, t.targetOf(s.principal), g.target())
}

// endSchedule ends an assignment. With replaced the membership stays, for the schedule
// that takes over.
func (t *tenant) endSchedule(s *schedule, status string, replaced bool) {
	wasActive := s.active
	s.status, s.active, s.ended, s.modified = status, false, t.present, t.present
	g := t.groups.byID[s.group]
	if !wasActive || replaced || g == nil {
		return
	}
	if s.access == "owner" {
		g.owners = slices.DeleteFunc(slices.Clone(g.owners), func(id string) bool { return id == s.principal })
		return
	}
	if t.ent.grants(s.principal, s.group) {
		return
	}
	t.leave(g, s.principal)
	t.audit("Remove member from group", "GroupManagement", nil, nil, t.targetOf(s.principal), g.target())
}

// memberRemoved follows a removal through the groups API: PIM drops the assignment.
func (p *pimStore) memberRemoved(t *tenant, group, principal string) {
	if s := p.standing(group, principal, "member", false); s != nil && s.active {
		t.endSchedule(s, "Revoked", true)
	}
}

// forget drops the assignments of a user that is gone for good.
func (p *pimStore) forget(principal string) {
	for _, s := range p.byPrincipal[principal] {
		if !s.over() {
			s.status, s.active = "Revoked", false
		}
	}
}
