package emulator

import (
	"iter"
	"net/http"
	"slices"
	"time"
)

func (r *pimRequest) view() map[string]any {
	app := map[string]any{"displayName": appDisplayName, "id": ""}
	if r.by != nil {
		app["id"] = r.by.AppID
	}
	return map[string]any{
		"id": r.id, "status": r.status, "action": r.action, "accessId": r.access, "principalId": r.principal, "groupId": r.group,
		"targetScheduleId": nilIfEmpty(r.schedule), "createdDateTime": stamp(r.created), "completedDateTime": stampOrNil(r.completed),
		"approvalId": nil, "customData": nil, "isValidationOnly": flag(r.body, "isValidationOnly"),
		"justification": r.body["justification"], "scheduleInfo": r.body["scheduleInfo"], "ticketInfo": r.body["ticketInfo"],
		"createdBy": map[string]any{"user": nil, "device": nil, "application": app},
	}
}

// casing writes enumeration members of PIM answers as the documentation shows them or
// as the metadata declares them.
func (t *tenant) casing(documented, declared string) string {
	if t.cfg.Unknowns.PIMCapitalised == Yes {
		return documented
	}
	return declared
}

func (t *tenant) scheduleView(s *schedule) map[string]any {
	exp := map[string]any{"type": "noExpiration", "endDateTime": nil, "duration": nil}
	if !s.end.IsZero() {
		exp = map[string]any{"type": "afterDateTime", "endDateTime": stamp(s.end), "duration": nil}
	}
	out := map[string]any{
		"id": s.id, "accessId": s.access, "groupId": s.group, "principalId": s.principal, "memberType": t.casing("Direct", "direct"),
		"createdDateTime": stamp(s.created), "modifiedDateTime": stamp(s.modified), "createdUsing": s.request, "status": s.status,
		"scheduleInfo": map[string]any{"startDateTime": stamp(s.start), "recurrence": nil, "expiration": exp},
	}
	if !s.eligible {
		out["assignmentType"] = t.casing("Assigned", "assigned")
	}
	return out
}

func (t *tenant) instanceView(s *schedule) map[string]any {
	out := map[string]any{
		"id": s.id, "accessId": s.access, "groupId": s.group, "principalId": s.principal, "memberType": t.casing("Direct", "direct"),
		"startDateTime": stamp(s.start), "endDateTime": stampOrNil(s.end),
	}
	if s.eligible {
		out["eligibilityScheduleId"] = s.id
	} else {
		out["assignmentScheduleId"] = s.id
		out["assignmentType"] = t.casing("Assigned", "assigned")
	}
	return out
}

// standingMember shows a member who was added through the groups API: a permanent
// assignment without dates.
func (t *tenant) standingMember(m *membership) map[string]any {
	id := m.group.id + "_member_" + t.stableID(m)
	return map[string]any{
		"id": id, "assignmentScheduleId": id, "accessId": "member", "groupId": m.group.id, "principalId": m.member,
		"memberType": t.casing("Direct", "direct"), "assignmentType": t.casing("Assigned", "assigned"),
		"startDateTime": nil, "endDateTime": nil,
	}
}

func (t *tenant) stableID(m *membership) string {
	return newDice(t.cfg.Seed).newID("standing member", m.group.id+m.member)
}

// readable says whether a read meets a fresh schedule: not always within the delay.
func (t *tenant) readable(visible time.Time, id string) bool {
	return !t.present.Before(visible) || t.dice.chance(flap, "pim read", id)
}

func listAssignmentSchedules(c *call) (answer, error)  { return c.schedules(false) }
func listEligibilitySchedules(c *call) (answer, error) { return c.schedules(true) }
func listAssignmentInstances(c *call) (answer, error)  { return c.instances(false) }
func listEligibilityInstances(c *call) (answer, error) { return c.instances(true) }

func pimType(eligible bool, suffix string) string {
	if eligible {
		return "privilegedAccessGroupEligibilitySchedule" + suffix
	}
	return "privilegedAccessGroupAssignmentSchedule" + suffix
}

// narrowed returns the schedules that the filter can match, by principal or by group.
func (c *call) narrowed() ([]*schedule, error) {
	if err := requireFilter(c.query.filter, "groupId", "principalId"); err != nil {
		return nil, err
	}
	p := &c.t.pim
	if id, ok := equality(c.query.filter, "principalId"); ok {
		return p.byPrincipal[canonical(id)], nil
	}
	if id, ok := equality(c.query.filter, "groupId"); ok {
		return p.byGroup[canonical(id)], nil
	}
	return p.schedules, nil
}

// equality finds "property eq 'value'" that every match must satisfy.
func equality(f filterExpr, property string) (string, bool) {
	switch f := f.(type) {
	case compareExpr:
		return f.lit.text, f.path == property && f.op == "eq" && f.lit.kind == litText
	case boolExpr:
		if !f.or {
			if v, ok := equality(f.left, property); ok {
				return v, true
			}
			return equality(f.right, property)
		}
	}
	return "", false
}

func (c *call) schedules(eligible bool) (answer, error) {
	found, err := c.narrowed()
	if err != nil {
		return answer{}, err
	}
	return c.listPIM(pimType(eligible, ""), func(yield func(map[string]any) bool) {
		for _, s := range found {
			if s.eligible == eligible && !s.over() && c.t.readable(s.visible, s.id) && !yield(c.t.scheduleView(s)) {
				return
			}
		}
	})
}

func (c *call) instances(eligible bool) (answer, error) {
	found, err := c.narrowed()
	if err != nil {
		return answer{}, err
	}
	return c.listPIM(pimType(eligible, "Instance"), func(yield func(map[string]any) bool) {
		for _, s := range found {
			running := s.active || s.eligible && !s.over() && !s.start.After(c.now)
			if s.eligible == eligible && running && c.t.readable(s.visible, s.id) && !yield(c.t.instanceView(s)) {
				return
			}
		}
		if eligible {
			return
		}
		for _, m := range c.standingMembers() {
			if c.t.pim.standing(m.group.id, m.member, "member", false) == nil && !yield(c.t.standingMember(m)) {
				return
			}
		}
	})
}

// standingMembers are the memberships that the filter can match.
func (c *call) standingMembers() []*membership {
	var out []*membership
	if id, ok := equality(c.query.filter, "principalId"); ok {
		out = c.t.groups.of[canonical(id)]
	} else if id, ok := equality(c.query.filter, "groupId"); ok {
		if g := c.t.groups.byID[canonical(id)]; g != nil && g.onboard > 0 {
			out = g.members
		}
	}
	return slices.DeleteFunc(slices.Clone(out), func(m *membership) bool {
		return m.member == "" || !c.t.visible(m) || c.t.groups.byID[m.member] != nil
	})
}

func (c *call) listPIM(typ string, all iter.Seq[map[string]any]) (answer, error) {
	rows := slices.Collect(all)
	return c.list(listing{
		context: "identityGovernance/privilegedAccess/group/" + typ, typ: typ, rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) { return c.pimView(o) },
	})
}

// pimView expands principal and group.
func (c *call) pimView(o map[string]any) (map[string]any, error) {
	out := c.selected(o, nil)
	for _, ex := range c.query.expand {
		switch ex.name {
		case "principal", "group":
			if target := c.t.object(text(o, ex.name+"Id")); target != nil {
				out[ex.name] = c.objectView(target)
			}
		case "targetSchedule", "activatedUsing":
		default:
			return nil, badRequest("Could not find a property named '%s'.", ex.name)
		}
	}
	return out, nil
}

func getSchedule(c *call) (answer, error) {
	s := c.t.pim.byID[c.params["id"]]
	if s != nil && !s.over() && c.t.readable(s.visible, s.id) {
		return ok(c.with("identityGovernance/privilegedAccess/group/assignmentSchedules/$entity", c.t.scheduleView(s)))
	}
	return answer{}, itemNotFound("The schedule '%s' is not found.", c.params["id"])
}

func listAssignmentRequests(c *call) (answer, error)  { return c.pimRequests(false) }
func listEligibilityRequests(c *call) (answer, error) { return c.pimRequests(true) }

func (c *call) pimRequests(eligible bool) (answer, error) {
	if err := requireFilter(c.query.filter, "groupId", "principalId"); err != nil {
		return answer{}, err
	}
	return c.listPIM(pimType(eligible, "Request"), func(yield func(map[string]any) bool) {
		found := c.t.pim.requests
		if id, ok := equality(c.query.filter, "principalId"); ok {
			found = c.t.pim.reqByPrinc[canonical(id)]
		}
		for _, r := range found {
			if r.eligible == eligible && c.kept(r) && c.t.readable(r.visible, r.id) && !yield(r.view()) {
				return
			}
		}
	})
}

// requestLife is how long the service keeps requests, as seen with directory roles.
const requestLife = 45 * 24 * time.Hour

func (c *call) kept(r *pimRequest) bool { return c.now.Sub(r.created) < requestLife }

func getPIMRequest(c *call) (answer, error) {
	r := c.t.pim.reqByID[c.params["id"]]
	if r == nil || !c.kept(r) || !c.t.readable(r.visible, r.id) {
		return answer{}, itemNotFound("The request '%s' is not found.", c.params["id"])
	}
	return ok(c.with("identityGovernance/privilegedAccess/group/assignmentScheduleRequests/$entity", r.view()))
}

// cancelPIMRequest takes back a request that has not begun to act.
func cancelPIMRequest(c *call) (answer, error) {
	r := c.t.pim.reqByID[c.params["id"]]
	if r == nil {
		return answer{}, itemNotFound("The request '%s' is not found.", c.params["id"])
	}
	switch r.status {
	case "PendingProvisioning", "ScheduleCreated":
	default:
		return answer{}, refuse(http.StatusBadRequest, "InvalidRoleAssignmentRequest", "A request in status %s cannot be canceled.", r.status)
	}
	for _, s := range c.t.pim.byPrincipal[r.principal] {
		if s.id == r.schedule && !s.over() {
			c.t.endSchedule(s, "Revoked", false)
		}
	}
	r.status, r.completed = "Canceled", c.now
	return noContent()
}
