package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

func scheduleOf(start, end time.Time) map[string]any {
	exp := map[string]any{"type": "noExpiration", "endDateTime": nil, "duration": nil}
	if !end.IsZero() {
		exp = map[string]any{"type": "afterDateTime", "endDateTime": stamp(end), "duration": nil}
	}
	return map[string]any{"startDateTime": stamp(start), "recurrence": nil, "expiration": exp}
}

// view of a request: its schedule is what was asked for and never changes.
func (r *packageRequest) view() map[string]any {
	return map[string]any{
		"id": r.id, "requestType": r.kind, "state": r.state, "status": r.status, "createdDateTime": stamp(r.created),
		"completedDateTime": stampOrNil(r.completed), "justification": r.body["justification"], "schedule": r.body["schedule"],
		"answers": []any{}, "customExtensionCalloutInstances": []any{},
	}
}

// requestView expands what the caller asked for.
func (c *call) requestView(r *packageRequest) (map[string]any, error) {
	full := r.view()
	out := c.selected(full, nil)
	for _, ex := range c.query.expand {
		switch ex.name {
		case "requestor":
			out["requestor"] = map[string]any{"id": r.by.ObjectID, "objectId": r.by.ObjectID, "subjectType": "servicePrincipal", "displayName": appDisplayName, "subjectLifecycle": "notDefined"}
		case "assignment":
			if r.target != nil {
				out["assignment"] = c.t.assignmentView(r.target, ex.expand)
			}
		case "accessPackage":
			if r.target != nil {
				out["accessPackage"] = r.target.pkg.view()
			}
		default:
			return nil, badRequest("Could not find a property named '%s' on type 'microsoft.graph.accessPackageAssignmentRequest'.", ex.name)
		}
	}
	return out, nil
}

func (t *tenant) assignmentView(a *assignment, expand []expansion) map[string]any {
	out := map[string]any{
		"id": a.id, "state": a.state, "status": statusWord(a.state), "expiredDateTime": stampOrNil(a.expired),
		"schedule": scheduleOf(a.start, a.end), "customExtensionCalloutInstances": []any{},
	}
	for _, ex := range expand {
		switch ex.name {
		case "target":
			out["target"] = t.subject(a)
		case "accessPackage":
			out["accessPackage"] = a.pkg.view()
		case "assignmentPolicy":
			out["assignmentPolicy"] = a.policy.view()
		}
	}
	return out
}

func statusWord(state string) string {
	if state == "" {
		return ""
	}
	return strings.ToUpper(state[:1]) + state[1:]
}

func (t *tenant) subject(a *assignment) map[string]any {
	out := map[string]any{
		"id": a.user, "objectId": nilIfEmpty(a.user), "email": nilIfEmpty(a.email), "displayName": nil, "principalName": nil,
		"subjectType": "user", "subjectLifecycle": "notGoverned", "onPremisesSecurityIdentifier": nil,
	}
	if u := t.users.byID[a.user]; u != nil {
		out["displayName"], out["email"], out["principalName"] = u.props["displayName"], u.props["mail"], u.props["userPrincipalName"]
		if u.governed {
			out["subjectLifecycle"] = "governed"
		}
	}
	return out
}

func (p *accessPackage) view() map[string]any {
	return map[string]any{
		"id": p.id, "displayName": p.name, "description": nilIfEmpty(p.description), "isHidden": p.hidden,
		"createdDateTime": stamp(p.created), "modifiedDateTime": stamp(p.created),
	}
}

func (p *packagePolicy) view() map[string]any {
	out := map[string]any{"id": p.id, "createdDateTime": stamp(p.created), "modifiedDateTime": stamp(p.created)}
	for k, v := range p.body {
		if k != "accessPackage" && !strings.HasPrefix(k, "@") {
			out[k] = v
		}
	}
	out["allowedTargetScope"] = p.scope()
	return out
}

func (cat *catalog) view() map[string]any {
	return map[string]any{
		"id": cat.id, "displayName": cat.name, "description": nil, "catalogType": "userManaged", "state": "published",
		"isExternallyVisible": cat.external, "createdDateTime": stamp(cat.created), "modifiedDateTime": stamp(cat.created),
	}
}

// listAssignments filters on target/objectId, accessPackage/id and state, expired ones included.
func listAssignments(c *call) (answer, error) {
	found := c.t.ent.assignments
	if id, ok := equality(c.query.filter, "target/objectId"); ok {
		found = c.t.ent.byUser[canonical(id)]
	}
	all := []expansion{{name: "target"}, {name: "accessPackage"}, {name: "assignmentPolicy"}}
	var rows []map[string]any
	for _, a := range found {
		if a.pendingStart() || !c.t.readable(a.visible, a.id) {
			continue
		}
		rows = append(rows, c.t.assignmentView(a, all))
	}
	return c.list(listing{
		context: "identityGovernance/entitlementManagement/assignments", typ: "accessPackageAssignment", rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) {
			return c.unexpanded(o, "target", "accessPackage", "assignmentPolicy")
		},
	})
}

// pendingStart hides assignments whose request has not begun to deliver.
func (a *assignment) pendingStart() bool {
	return slices.ContainsFunc(a.requests, func(r *packageRequest) bool {
		return r.kind == "adminAdd" && r.state != "delivering" && r.state != "delivered" && r.state != "partiallyDelivered" && r.state != "deliveryFailed"
	})
}

// unexpanded drops the navigation properties that were not asked for.
func (c *call) unexpanded(o map[string]any, nav ...string) (map[string]any, error) {
	out := maps.Clone(c.selected(o, nil))
	asked := map[string]bool{}
	for _, ex := range c.query.expand {
		if !slices.Contains(nav, ex.name) {
			return nil, badRequest("Could not find a property named '%s'.", ex.name)
		}
		asked[ex.name] = true
		out[ex.name] = o[ex.name]
	}
	for _, n := range nav {
		if !asked[n] {
			delete(out, n)
		}
	}
	return out, nil
}

func getAssignment(c *call) (answer, error) {
	a := c.t.ent.byID[c.params["id"]]
	if a == nil || a.pendingStart() || !c.t.readable(a.visible, a.id) {
		return answer{}, itemNotFound("The assignment '%s' is not found.", c.params["id"])
	}
	return ok(c.with("identityGovernance/entitlementManagement/assignments/$entity", c.selected(c.t.assignmentView(a, c.query.expand), nil)))
}

func listPackageRequests(c *call) (answer, error) {
	var rows []map[string]any
	for _, r := range c.t.ent.requests {
		if !c.t.readable(r.visible, r.id) {
			continue
		}
		o := r.view()
		if r.target != nil {
			o["assignment"] = c.t.assignmentView(r.target, []expansion{{name: "target"}, {name: "accessPackage"}})
			o["accessPackage"] = r.target.pkg.view()
		}
		o["requestor"] = map[string]any{"objectId": r.by.ObjectID, "subjectType": "servicePrincipal"}
		rows = append(rows, o)
	}
	return c.list(listing{
		context: "identityGovernance/entitlementManagement/assignmentRequests", typ: "accessPackageAssignmentRequest", rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) {
			return c.requestView(c.t.ent.reqByID[text(o, "id")])
		},
	})
}

func (c *call) packageRequest() (*packageRequest, error) {
	r := c.t.ent.reqByID[c.params["id"]]
	if r == nil || c.method == http.MethodGet && !c.t.readable(r.visible, r.id) {
		return nil, itemNotFound("The request '%s' is not found.", c.params["id"])
	}
	return r, nil
}

func getPackageRequest(c *call) (answer, error) {
	r, err := c.packageRequest()
	if err != nil {
		return answer{}, err
	}
	obj, err := c.requestView(r)
	if err != nil {
		return answer{}, err
	}
	return ok(c.with("identityGovernance/entitlementManagement/assignmentRequests/$entity", obj))
}

// reprocessWindow is how long a failed delivery can be tried again.
const reprocessWindow = 14 * 24 * time.Hour

func reprocessPackageRequest(c *call) (answer, error) {
	r, err := c.packageRequest()
	if err != nil {
		return answer{}, err
	}
	hangs := r.state == "delivering" && strings.Contains(r.status, "waiting")
	if r.state != "deliveryFailed" && r.state != "partiallyDelivered" && !hangs || c.now.Sub(r.created) > reprocessWindow {
		return answer{}, refuse(http.StatusBadRequest, "InvalidRequestState", "A request in state %s cannot be reprocessed.", r.state)
	}
	c.t.deliver(r)
	return answer{status: http.StatusAccepted}, nil
}

func deletePackageRequest(c *call) (answer, error) {
	r, err := c.packageRequest()
	if err != nil {
		return answer{}, err
	}
	if r.state != "denied" && (r.state != "delivered" || r.target != nil && r.target.holding()) {
		return answer{}, refuse(http.StatusBadRequest, "InvalidRequestState", "Only denied requests and completed ones without an assignment can be deleted.")
	}
	delete(c.t.ent.reqByID, r.id)
	c.t.ent.requests = slices.DeleteFunc(c.t.ent.requests, func(o *packageRequest) bool { return o == r })
	return noContent()
}

// cancelPackageRequest is there to be refused: only a person may cancel.
func cancelPackageRequest(*call) (answer, error) { return answer{}, denied() }
