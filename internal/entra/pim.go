package entra

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// The bodies and answers of PIM for Groups. Its enums are read as text, in any case: the documentation shows Assigned where
// the metadata says assigned.

type scheduleRequest struct {
	Action        string        `json:"action"`
	AccessID      string        `json:"accessId"`
	PrincipalID   string        `json:"principalId"`
	GroupID       string        `json:"groupId"`
	Justification string        `json:"justification,omitempty"`
	ScheduleInfo  *scheduleInfo `json:"scheduleInfo,omitempty"`
}

type scheduleInfo struct {
	StartDateTime string      `json:"startDateTime,omitempty"`
	Expiration    *expiration `json:"expiration,omitempty"`
}

type expiration struct {
	Type        string `json:"type,omitempty"`
	EndDateTime string `json:"endDateTime,omitempty"`
	Duration    string `json:"duration,omitempty"`
}

type scheduleAnswer struct {
	ID               string `json:"id"`
	Status           string `json:"status"`
	TargetScheduleID string `json:"targetScheduleId"`
}

type schedule struct {
	ID           string        `json:"id"`
	AccessID     string        `json:"accessId"`
	GroupID      string        `json:"groupId"`
	PrincipalID  string        `json:"principalId"`
	Status       string        `json:"status"`
	ScheduleInfo *scheduleInfo `json:"scheduleInfo"`
}

const (
	pimRoot  = "/identityGovernance/privilegedAccess/group"
	pimNeeds = "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup"
	// maxJustification bounds the text that goes into Entra's own log.
	maxJustification = 400
	// fiveMinutes is how long PIM refuses to end a fresh assignment.
	fiveMinutes = 5 * time.Minute
	// pendingPause is how long an open PIM request is given before the next look.
	pendingPause = 10 * time.Second
)

// until is an expiry at an instant.
func until(end time.Time) *expiration {
	return &expiration{Type: "afterDateTime", EndDateTime: graphTime(end)}
}

// end is the schedule's end; zero if it has none.
func (s *scheduleInfo) end() time.Time {
	if s == nil || s.Expiration == nil {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339Nano, s.Expiration.EndDateTime); err == nil {
		return t.UTC()
	}
	start, err := time.Parse(time.RFC3339Nano, s.StartDateTime)
	if err != nil {
		return time.Time{}
	}
	if d, ok := isoDuration(s.Expiration.Duration); ok {
		return start.Add(d).UTC()
	}
	return time.Time{}
}

// real reports whether the schedule is one, and not the shadow of a plain membership, which has neither start nor end.
func (s *schedule) real() bool {
	if !strings.EqualFold(s.AccessID, "member") && s.AccessID != "" {
		return false // ownership is not what scimbridge gives
	}
	return s.ScheduleInfo != nil && (s.ScheduleInfo.StartDateTime != "" || !s.ScheduleInfo.end().IsZero())
}

// schedules reads the PIM schedules, in force and to come, of a principal, in one group if groupID is not "".
func (c *Client) schedules(ctx context.Context, principalID, groupID string) ([]schedule, error) {
	filter := "principalId eq " + quote(principalID)
	if groupID != "" {
		filter = "groupId eq " + quote(groupID) + " and " + filter
	}
	k := read("read schedules", pimRoot+"/assignmentSchedules", query("$filter", filter), "PrivilegedAssignmentSchedule.Read.AzureADGroup")
	all, err := list[schedule](ctx, c, k)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s schedule) bool { return !s.real() }), nil
}

// AssignGroup makes a PIM for Groups schedule from now to a.End, which Entra ends by itself. Handle is the schedule's id.
func (c *Client) AssignGroup(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error) {
	const op = "assign group"
	if a.End.IsZero() {
		return contractor.Receipt{}, wrong(op, "a grant without an end is never made")
	}
	r, err := c.schedule(ctx, op, "adminAssign", a)
	if !asGraph(err).has("RoleAssignmentExists") {
		return proven(r, err)
	}
	there, readErr := c.schedules(ctx, a.GuestID, a.GroupID)
	if readErr != nil {
		return contractor.Receipt{}, readErr
	}
	if len(there) > 0 && there[0].ScheduleInfo.end().Equal(a.End.UTC().Truncate(time.Second)) {
		r.Handle = there[0].ID
		return r, nil
	}
	r, err = c.schedule(ctx, op, "adminUpdate", a)
	if len(there) > 0 || !asGraph(err).has("RoleAssignmentDoesNotExist") {
		return proven(r, err)
	}
	// A plain membership stands in the way of a schedule: it is exchanged for one.
	if _, err := c.dropMember(ctx, op, a.GroupID, a.GuestID); err != nil {
		return contractor.Receipt{}, err
	}
	return proven(c.schedule(ctx, op, "adminAssign", a))
}

// MoveGroup changes the end of the schedule there is, and makes one if there is none. Handle may be a new id.
func (c *Client) MoveGroup(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error) {
	const op = "move group"
	if a.End.IsZero() {
		return contractor.Receipt{}, wrong(op, "a grant without an end is never made")
	}
	r, err := c.schedule(ctx, op, "adminUpdate", a)
	if asGraph(err).has("RoleAssignmentDoesNotExist") {
		return proven(c.schedule(ctx, op, "adminAssign", a))
	}
	return proven(r, err)
}

// UnassignGroup ends the schedule now. In its first five minutes PIM refuses that, and the membership is removed from the
// group's members instead, which PIM allows and takes notice of.
func (c *Client) UnassignGroup(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error) {
	const op = "unassign group"
	if _, young := c.assigned.get(strings.ToLower(a.GroupID + a.GuestID)); young {
		if err := c.plain(ctx, op, a.GuestID); err != nil {
			return c.goneIsDone(nil, err, a.GuestID, true)
		}
		if r, err := c.dropMember(ctx, op, a.GroupID, a.GuestID); err != nil || !r.AlreadySo {
			return r, err
		}
		// Not a member yet: PIM is still at it, and has to be told.
	}
	r, err := c.schedule(ctx, op, "adminRemove", a)
	g := asGraph(err)
	switch {
	case err == nil:
		return r, nil
	case g.has("RoleAssignmentDoesNotExist"):
		return r, nil
	case g.has("ActiveDurationTooShort"):
		return c.dropMember(ctx, op, a.GroupID, a.GuestID)
	}
	if f, ok := asFailure(err); ok && f.Verdict == contractor.VerdictGone {
		return r, nil // no guest, no assignment
	}
	return proven(r, err)
}

// schedule sends one request to PIM. With an error, the receipt is what proves it to be so already, where the error means that.
func (c *Client) schedule(ctx context.Context, op, action string, a contractor.Assignment) (contractor.Receipt, error) {
	defer c.changed(a.GuestID)
	vet := c.ours
	if action == "adminRemove" {
		vet = c.plain
	}
	if err := c.usableGroup(ctx, op, a.GroupID); err != nil {
		if action == "adminRemove" && status(err) == http.StatusNotFound {
			return contractor.Receipt{AlreadySo: true}, nil
		}
		return contractor.Receipt{}, err
	}
	if err := vet(ctx, op, a.GuestID); err != nil {
		return contractor.Receipt{}, err
	}
	body := scheduleRequest{
		Action: action, AccessID: "member", PrincipalID: a.GuestID, GroupID: a.GroupID, Justification: short(a.Justification),
	}
	if !a.End.IsZero() && action != "adminRemove" {
		body.ScheduleInfo = &scheduleInfo{Expiration: until(a.End)}
	}
	k := &call{
		op: op, method: http.MethodPost, path: pimRoot + "/assignmentScheduleRequests", body: body, needs: pimNeeds,
		again: action != "adminAssign", timeout: governanceTimeout, cost: cost{lane: laneWrite, units: 1},
	}
	var answer scheduleAnswer
	ex, err := c.do(ctx, k, &answer)
	if err != nil {
		return soReceipt(ex), c.pimFault(err, a)
	}
	if strings.EqualFold(answer.Status, "Failed") || strings.EqualFold(answer.Status, "Denied") {
		f := refused(op, "PIM did not carry the request out (status "+answer.Status+"); look at the request in the group's PIM audit history")
		f.Status, f.RequestID, f.ClientRequestID = ex.status, ex.header.Get("request-id"), ex.id
		return contractor.Receipt{}, f
	}
	if action == "adminAssign" {
		c.assigned.put(strings.ToLower(a.GroupID+a.GuestID), time.Now(), fiveMinutes)
	}
	r := receipt(ex)
	r.Handle = answer.TargetScheduleID
	if r.Handle == "" {
		r.Handle = answer.ID
	}
	return r, nil
}

// pimFault sorts PIM's own error codes (graph.md 2.3).
func (c *Client) pimFault(err error, a contractor.Assignment) error {
	f, isFailure := asFailure(err)
	if !isFailure {
		return err
	}
	switch g := asGraph(err); {
	case g.has("PendingRoleAssignmentRequest"):
		f.Verdict, f.Message, f.RetryAfter = contractor.VerdictRetry, "PIM is still busy with an earlier request for this person and group", max(f.RetryAfter, pendingPause)
	case g.has("RoleAssignmentRequestPolicyValidationFailed"):
		c.caps.drop(strings.ToLower(a.GroupID))
		f.Verdict, f.Message = contractor.VerdictRefused, "the group's PIM policy does not allow this assignment"+rules(g)+"; shorten the grant in the mapping or change the policy"
	case g.has("SubjectNotFound"):
		f.Verdict, f.Status, f.Message = contractor.VerdictGone, http.StatusNotFound, "PIM does not know the guest"
		return c.notYet(f, a.GuestID)
	case g.has("InvalidRoleAssignmentRequest"):
		f.Verdict, f.Message, f.RetryAfter = contractor.VerdictRefused, "PIM calls the request invalid and does not say why; if it stays so, open the group's PIM page in the portal", time.Minute
	case g.has("ResourceIsLocked"):
		f.Verdict, f.Message = contractor.VerdictRefused, "the group is locked for PIM"
	case f.Status == http.StatusNotFound:
		return c.notYet(f, a.GuestID)
	}
	return f
}

// rules names the policy rules that a request broke, where PIM says which.
func rules(g *graphError) string {
	var broken []string
	for _, r := range []string{"ExpirationRule", "JustificationRule", "TicketingRule", "MfaRule", "EligibilityRule"} {
		if g.said(strings.ToLower(r)) {
			broken = append(broken, r)
		}
	}
	if len(broken) == 0 {
		return ""
	}
	return " (" + strings.Join(broken, ", ") + ")"
}

func short(s string) string {
	if r := []rune(s); len(r) > maxJustification {
		return string(r[:maxJustification])
	}
	return s
}
