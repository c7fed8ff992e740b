package entra

import (
	"context"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

type assignmentRequest struct {
	RequestType   string           `json:"requestType"`
	Justification string           `json:"justification,omitempty"`
	Schedule      *scheduleInfo    `json:"schedule,omitempty"`
	Assignment    assignmentTarget `json:"assignment"`
}

// assignmentTarget names an assignment by its id, or one to be made by guest, policy and package. The latter three are not in
// Graph's metadata, but are the documented form.
type assignmentTarget struct {
	ID        string `json:"id,omitempty"`
	TargetID  string `json:"targetId,omitempty"`
	PolicyID  string `json:"assignmentPolicyId,omitempty"`
	PackageID string `json:"accessPackageId,omitempty"`
}

// packageAssignment is read both as an assignment and as a request for one.
type packageAssignment struct {
	ID               string        `json:"id"`
	State            string        `json:"state"`
	Status           string        `json:"status"`
	RequestType      string        `json:"requestType"`
	Schedule         *scheduleInfo `json:"schedule"`
	ExpiredDateTime  string        `json:"expiredDateTime"`
	AccessPackage    objectID      `json:"accessPackage"`
	AssignmentPolicy objectID      `json:"assignmentPolicy"`
	Assignment       *struct {
		ID string `json:"id"`
	} `json:"assignment"`
}

const (
	emRoot  = "/identityGovernance/entitlementManagement"
	emNeeds = "EntitlementManagement.ReadWrite.All"
	// undelivered is how long to wait for a request that cannot be cancelled (only people can) to become an assignment that
	// can be removed.
	undelivered = 30 * time.Second
	// askedTTL is how long a request of ours may stay unseen by reads.
	askedTTL = 2 * time.Minute
)

func governance(op, method, path, query string, body any) *call {
	return &call{op: op, method: method, path: emRoot + path, query: query, body: body, again: method == http.MethodGet, needs: emNeeds, timeout: governanceTimeout, cost: cost{lane: laneGovernance}}
}

// AssignPackage asks for an access package from now to a.End for a guest that is in the directory (never by e-mail, which is
// billed). Handle is the request's id; the delivery follows, and Access shows it.
func (c *Client) AssignPackage(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error) {
	const op = "assign package"
	defer c.changed(a.GuestID)
	switch {
	case a.End.IsZero():
		return contractor.Receipt{}, wrong(op, "a grant without an end is never made")
	case !isGUID(a.PackageID) || !isGUID(a.PolicyID):
		return contractor.Receipt{}, wrong(op, "the id of the access package or of its policy is not a GUID; correct the mapping's catalog")
	}
	if err := c.ours(ctx, op, a.GuestID); err != nil {
		return contractor.Receipt{}, err
	}
	key := strings.ToLower(a.GuestID + a.PackageID)
	_, before := c.asked.get(key)
	r, err := c.request(ctx, op, assignmentRequest{
		RequestType: "adminAdd", Justification: short(a.Justification),
		Schedule:   &scheduleInfo{StartDateTime: graphTime(c.serverNow()), Expiration: until(a.End)},
		Assignment: assignmentTarget{TargetID: a.GuestID, PolicyID: a.PolicyID, PackageID: a.PackageID},
	})
	if f, failed := asFailure(err); !failed || f.Verdict == contractor.VerdictUnknown {
		c.asked.put(key, time.Now(), askedTTL)
	}
	if s := status(err); s != http.StatusBadRequest && s != http.StatusConflict {
		if s == http.StatusNotFound {
			err = c.notYet(err, a.GuestID)
		}
		return proven(r, err)
	}
	// What a second adminAdd answers is not documented: look whether there is one already, or a request for one.
	there, readErr := c.packages(ctx, a.GuestID)
	if readErr != nil {
		return contractor.Receipt{}, readErr
	}
	for _, p := range there {
		if !strings.EqualFold(p.PackageID, a.PackageID) {
			continue
		}
		if p.AssignmentID != "" && !p.End.Equal(a.End.UTC().Truncate(time.Second)) {
			a.AssignmentID = p.AssignmentID
			return c.MovePackage(ctx, a)
		}
		handle := p.RequestID
		if handle == "" {
			handle = p.AssignmentID
		}
		r.Handle = handle
		return r, nil
	}
	f, _ := asFailure(err)
	switch {
	case f.Verdict == contractor.VerdictRetry:
		return contractor.Receipt{}, f
	case before, strings.Contains(strings.ToLower(f.Code), "existing"):
		// There is one, or we asked for it a moment ago, and this replica does not show it yet.
		f.Verdict, f.RetryAfter = contractor.VerdictRetry, max(f.RetryAfter, pendingPause)
		f.Message = "entitlement management has a request for this person and package that it does not show yet"
		return contractor.Receipt{}, f
	}
	f.Verdict = contractor.VerdictRefused
	f.Message = "entitlement management refused the assignment; check that package and policy of the mapping's catalog belong together, that the policy allows direct assignment, custom schedules and this length, and that the catalog is enabled for external users"
	return contractor.Receipt{}, f
}

// MovePackage changes the end of an assignment.
func (c *Client) MovePackage(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error) {
	const op = "move package"
	defer c.changed(a.GuestID)
	if a.End.IsZero() {
		return contractor.Receipt{}, wrong(op, "a grant without an end is never made")
	}
	id, err := c.assignmentID(ctx, op, a)
	if err != nil {
		return contractor.Receipt{}, err
	}
	if id == "" {
		return contractor.Receipt{}, &contractor.Failure{Op: op, Verdict: contractor.VerdictGone, Message: "the guest has no such assignment"}
	}
	if err := c.ours(ctx, op, a.GuestID); err != nil {
		return contractor.Receipt{}, err
	}
	return proven(c.request(ctx, op, assignmentRequest{
		RequestType: "adminUpdate", Schedule: &scheduleInfo{Expiration: until(a.End)}, Assignment: assignmentTarget{ID: id},
		Justification: short(a.Justification),
	}))
}

// UnassignPackage ends an assignment. A request that is not delivered yet cannot be cancelled by an application: that is a
// VerdictRetry, until there is an assignment to remove.
func (c *Client) UnassignPackage(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error) {
	const op = "unassign package"
	defer c.changed(a.GuestID)
	id, err := c.assignmentID(ctx, op, a)
	if err != nil {
		return contractor.Receipt{}, err
	}
	if id == "" {
		return contractor.Receipt{AlreadySo: true}, nil
	}
	if err := c.plain(ctx, op, a.GuestID); err != nil {
		return c.goneIsDone(nil, err, a.GuestID, true)
	}
	r, err := c.request(ctx, op, assignmentRequest{RequestType: "adminRemove", Assignment: assignmentTarget{ID: id}})
	if s := status(err); s != http.StatusBadRequest && s != http.StatusNotFound && s != http.StatusConflict {
		return proven(r, err)
	}
	there, readErr := c.packages(ctx, a.GuestID)
	if readErr != nil {
		return contractor.Receipt{}, readErr
	}
	for _, p := range there {
		if strings.EqualFold(p.AssignmentID, id) {
			return contractor.Receipt{}, err
		}
	}
	return r, nil // expired or removed meanwhile
}

// assignmentID is the assignment that a names, looked up where a has no id; "" if there is none. A request that is still being
// delivered is a VerdictRetry.
func (c *Client) assignmentID(ctx context.Context, op string, a contractor.Assignment) (string, error) {
	if isGUID(a.AssignmentID) {
		return a.AssignmentID, nil
	}
	if !isGUID(a.GuestID) || !isGUID(a.PackageID) {
		return "", wrong(op, "the guest's or the access package's id is not a GUID")
	}
	there, err := c.packages(ctx, a.GuestID)
	if err != nil {
		return "", err
	}
	for _, p := range there {
		if !strings.EqualFold(p.PackageID, a.PackageID) {
			continue
		}
		if p.AssignmentID == "" {
			return "", &contractor.Failure{Op: op, Verdict: contractor.VerdictRetry, RetryAfter: undelivered, Message: "the access package is still being delivered, and an application cannot cancel that; waiting"}
		}
		return p.AssignmentID, nil
	}
	return "", nil
}

// request sends one request to entitlement management. With an error, the receipt is what proves it to be so already, where the
// error turns out to mean that.
func (c *Client) request(ctx context.Context, op string, body assignmentRequest) (contractor.Receipt, error) {
	var answer packageAssignment
	ex, err := c.do(ctx, governance(op, http.MethodPost, "/assignmentRequests", "", body), &answer)
	if f, isFailure := asFailure(err); isFailure && asGraph(err).has("ExistingOpenRequest") {
		f.Verdict, f.RetryAfter = contractor.VerdictRetry, max(f.RetryAfter, pendingPause)
		f.Message = "entitlement management is still busy with an earlier request for this person and package"
		err = f
	}
	if err != nil {
		return soReceipt(ex), err
	}
	r := receipt(ex)
	r.Handle = answer.ID
	return r, nil
}

// PackageRequest follows one request: its state is submitted, pendingApproval, delivering, delivered, partiallyDelivered,
// deliveryFailed, denied, scheduled or canceled. The zero value if the request is not known (any more).
func (c *Client) PackageRequest(ctx context.Context, requestID string) (contractor.PackageAssignment, error) {
	const op = "follow package request"
	if !isGUID(requestID) {
		return contractor.PackageAssignment{}, wrong(op, "the request's id is not a GUID")
	}
	var p packageAssignment
	_, err := c.do(ctx, governance(op, http.MethodGet, "/assignmentRequests/"+seg(requestID), query("$expand", "accessPackage,assignment"), nil), &p)
	if status(err) == http.StatusNotFound {
		return contractor.PackageAssignment{}, nil
	}
	if err != nil {
		return contractor.PackageAssignment{}, err
	}
	out := contractor.PackageAssignment{PackageID: p.AccessPackage.ID, RequestID: p.ID, State: p.State, End: p.Schedule.end()}
	if p.Assignment != nil {
		out.AssignmentID = p.Assignment.ID
	}
	return out, nil
}

// ReprocessPackage asks entitlement management to try a request in deliveryFailed or partiallyDelivered again; it takes that
// for 14 days.
func (c *Client) ReprocessPackage(ctx context.Context, requestID string) (contractor.Receipt, error) {
	const op = "reprocess package"
	if !isGUID(requestID) {
		return contractor.Receipt{}, wrong(op, "the request's id is not a GUID")
	}
	k := governance(op, http.MethodPost, "/assignmentRequests/"+seg(requestID)+"/reprocess", "", nil)
	k.again = true
	ex, err := c.do(ctx, k, nil)
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), nil
}

// packages reads the assignments of a guest that have not expired, and the open requests that have no assignment yet.
func (c *Client) packages(ctx context.Context, guestID string) ([]contractor.PackageAssignment, error) {
	// Requests first: one that is delivered between the two reads is seen as an assignment then, not overlooked.
	requests, err := c.openRequests(ctx, guestID)
	if err != nil {
		return nil, err
	}
	k := governance("read assignments", http.MethodGet, "/assignments", query("$filter", "target/objectId eq "+quote(guestID), "$expand", "target,accessPackage,assignmentPolicy"), nil)
	k.needs = "EntitlementManagement.Read.All"
	assigned, err := list[packageAssignment](ctx, c, k)
	if err != nil {
		return nil, err
	}
	var out []contractor.PackageAssignment
	known := map[string]bool{}
	for _, p := range assigned {
		if strings.EqualFold(p.State, "expired") {
			continue
		}
		known[strings.ToLower(p.AccessPackage.ID)] = true
		out = append(out, contractor.PackageAssignment{
			PackageID: p.AccessPackage.ID, PolicyID: p.AssignmentPolicy.ID, AssignmentID: p.ID, State: p.State, End: p.Schedule.end(),
		})
	}
	for _, q := range requests {
		if end := q.Schedule.end(); !end.IsZero() && time.Since(end) > overdueRequest {
			continue // its own schedule is over: nothing can come of it, and Graph may call it delivering for ever
		}
		if key := strings.ToLower(q.AccessPackage.ID); !known[key] {
			known[key] = true
			out = append(out, contractor.PackageAssignment{PackageID: q.AccessPackage.ID, RequestID: q.ID, State: q.State, End: q.Schedule.end()})
		}
	}
	return out, nil
}

// overdueRequest is how long after the end of its schedule an open request is still taken seriously: clocks differ.
const overdueRequest = time.Minute

// openRequests reads the guest's requests for packages that are neither finished nor refused. By which property they can be
// found is not documented for certain: the requestor of a direct assignment is the person assigned, says the reference, but
// the target of the assignment is what clients in the field ask for. Both are asked, until the latter has found a direct
// assignment and so is known to work; one that Graph refuses is asked no more.
func (c *Client) openRequests(ctx context.Context, guestID string) ([]packageAssignment, error) {
	var (
		open    []packageAssignment
		seen    = map[string]bool{}
		last    error
		answers int
	)
	for i, property := range []string{"assignment/target/objectId", "requestor/objectId"} {
		if c.badRequestFilter[i].Load() {
			continue
		}
		if i > 0 && c.targetFilter.Load() {
			break
		}
		k := governance("read package requests", http.MethodGet, "/assignmentRequests", query("$filter", property+" eq "+quote(guestID), "$expand", "accessPackage"), nil)
		k.needs = "EntitlementManagement.Read.All"
		all, err := list[packageAssignment](ctx, c, k)
		if status(err) == http.StatusBadRequest {
			c.badRequestFilter[i].Store(true)
			last = err
			continue
		}
		if err != nil {
			return nil, err
		}
		answers++
		for _, q := range all {
			if i == 0 && strings.EqualFold(q.RequestType, "adminAdd") {
				c.targetFilter.Store(true)
			}
			if q.openAdd() && !seen[q.ID] {
				seen[q.ID] = true
				open = append(open, q)
			}
		}
	}
	if answers == 0 && last != nil {
		for i := range c.badRequestFilter {
			c.badRequestFilter[i].Store(false)
		}
		return nil, last
	}
	return open, nil
}

// openAdd reports whether this is a request for an assignment that is still on its way.
func (p *packageAssignment) openAdd() bool {
	switch strings.ToLower(p.State) {
	case "submitted", "pendingapproval", "delivering", "scheduled":
		return strings.HasSuffix(strings.ToLower(p.RequestType), "add")
	}
	return false
}

// contentTTL is how long the content of a package is believed: what is looked at twice, a minute apart, is read anew.
const contentTTL = 45 * time.Second

// PackageGroups lists the object ids of the groups that an access package holds, in small letters.
func (c *Client) PackageGroups(ctx context.Context, packageID string) ([]string, error) {
	if !isGUID(packageID) {
		return nil, wrong("read package", "the id of the access package is not a GUID")
	}
	key := strings.ToLower(packageID)
	if groups, known := c.contents.get(key); known {
		return groups, nil
	}
	content, err := c.packageContent(ctx, packageID)
	if err != nil {
		return nil, err
	}
	groups := []string{}
	for _, s := range content.Scopes {
		if s.Scope.group() {
			groups = append(groups, strings.ToLower(s.Scope.OriginID))
		}
	}
	c.contents.put(key, groups, contentTTL)
	return groups, nil
}

// packageContent is what matters of a package itself.
type packageContent struct {
	Catalog struct {
		External *bool `json:"isExternallyVisible"`
	} `json:"catalog"`
	Scopes []packageRole `json:"resourceRoleScopes"`
}

type packageRole struct {
	Scope packageScope `json:"scope"`
}

type packageScope struct {
	OriginID     string `json:"originId"`
	OriginSystem string `json:"originSystem"`
}

func (s *packageScope) role() bool { return strings.EqualFold(s.OriginSystem, "DirectoryRole") }

func (s *packageScope) group() bool {
	return strings.EqualFold(s.OriginSystem, "AadGroup") && isGUID(s.OriginID)
}

func (c *Client) packageContent(ctx context.Context, id string) (*packageContent, error) {
	k := governance("read package", http.MethodGet, "/accessPackages/"+seg(id), query("$expand", "catalog,resourceRoleScopes($expand=role,scope)"), nil)
	k.needs = "EntitlementManagement.Read.All"
	content := &packageContent{}
	_, err := c.do(ctx, k, content)
	return content, err
}
