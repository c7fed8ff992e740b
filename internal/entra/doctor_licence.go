package entra

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// licences tells which features in use want which licence, and asks the tenant for one thing of each, which it refuses where it
// has not bought it. Guests count like everybody else.
func (x *examination) licences(ctx context.Context) {
	used := x.features()
	if used[FeatureSchedules] {
		x.licence("memberships that Entra ends by itself", "Entra ID P2 or ID Governance", x.probe(ctx, "read schedules", pimRoot+"/assignmentSchedules", query("$filter", "groupId eq "+quote(x.firstSchedule()))),
			"buy it, or set expiry: bridge for the groups, whose memberships then depend on scimbridge to end")
	}
	if used[FeaturePackages] {
		x.licence("access packages", "Entra ID P2 or ID Governance", x.probe(ctx, "read packages", emRoot+"/accessPackages", query("$top", "1", "$select", "id")),
			"buy it, or grant groups instead of packages")
	}
	if used[FeatureActivity] {
		x.licence("the sign-in log", "Entra ID P1", x.probe(ctx, "read sign-ins", "/auditLogs/signIns", query("$top", "1")),
			"buy it, or take the section watch out of the configuration")
	}
	if x.d.Policies {
		x.licence("conditional access", "Entra ID P1 (P2 for conditions on risk)", x.probe(ctx, "read policies", caRoot+"/policies", query("$top", "1")),
			"buy it, or take conditional_access out of the mapping")
	}
	if used[FeatureLeaveDate] {
		x.add(CheckOK, "licence", "employeeLeaveDateTime", "written for nothing; only a lifecycle workflow acts on it, which wants ID Governance and is billed for each guest and month in which one runs", "")
	}
	billed := slices.ContainsFunc(x.found, func(c Check) bool { return c.Area == "billing" })
	if used[FeaturePackages] && !billed {
		x.add(CheckOK, "billing", "", "nothing that the mapping grants is billed per guest: no package holds a group of PIM or a role, and no policy uses sponsors as approvers, extensions, verified IDs or automatic assignment", "")
	}
}

func (x *examination) firstSchedule() string {
	for _, e := range x.d.Catalog {
		if e.Kind == contractor.KindGroup && e.Expiry != contractor.ExpiryBridge {
			return e.ID
		}
	}
	return ""
}

func (x *examination) probe(ctx context.Context, op, path, options string) error {
	k := read(op, path, options, "")
	switch {
	case strings.HasPrefix(path, "/auditLogs"):
		k.cost = cost{lane: laneReports}
	case strings.HasPrefix(path, caRoot):
		k.cost = cost{lane: lanePolicies}
	case strings.HasPrefix(path, emRoot):
		k.cost = cost{lane: laneGovernance}
	}
	var answer json.RawMessage
	_, err := x.c.do(ctx, k, &answer)
	return err
}

func (x *examination) licence(name, wants string, err error, action string) {
	switch {
	case err == nil:
		x.add(CheckOK, "licence", name, "in use; wants "+wants+" for the guests who have it, and the tenant answers for it", "")
	case status(err) == http.StatusForbidden && asGraph(err).aboutLicence():
		x.add(CheckFail, "licence", name, "in use, and the tenant has no licence for it: "+wants, action)
	case status(err) == http.StatusForbidden:
		x.add(CheckWarn, "licence", name, "in use; wants "+wants+"; whether the tenant has it cannot be seen, since the permission is missing", "grant the permission named above")
	default:
		x.fail("licence", name, "in use; wants "+wants+"; the tenant did not answer", err)
	}
}

// packagePolicy is what matters of an assignment policy.
type packagePolicy struct {
	ID                string `json:"id"`
	DisplayName       string `json:"displayName"`
	RequestorSettings *struct {
		AllowCustomAssignmentSchedule *bool `json:"allowCustomAssignmentSchedule"`
	} `json:"requestorSettings"`
	RequestApprovalSettings *struct {
		IsApprovalRequiredForAdd *bool `json:"isApprovalRequiredForAdd"`
		Stages                   []struct {
			Primary  []odataTyped `json:"primaryApprovers"`
			Escalate []odataTyped `json:"escalationApprovers"`
		} `json:"stages"`
	} `json:"requestApprovalSettings"`
	Expiration *expiration `json:"expiration"`
	Automatic  *struct {
		Request *bool `json:"requestAccessForAllowedTargets"`
	} `json:"automaticRequestSettings"`
	Extensions []json.RawMessage `json:"customExtensionStageSettings"`
	Verifiable *struct {
		Credentials []json.RawMessage `json:"credentialTypes"`
	} `json:"verifiableCredentialSettings"`
}

// pack checks that a package and its policy exist, belong together and let the bridge set an end.
func (x *examination) pack(ctx context.Context, e contractor.Entitlement) {
	if !isGUID(e.ID) || !isGUID(e.Policy) {
		x.add(CheckFail, "package", e.Name, "its id or policy is not a GUID", "correct the mapping's catalog")
		return
	}
	k := governance("read package policies", http.MethodGet, "/assignmentPolicies", query("$filter", "accessPackage/id eq "+quote(e.ID), "$expand", "customExtensionStageSettings"), nil)
	k.needs = "EntitlementManagement.Read.All"
	policies, err := list[packagePolicy](ctx, x.c, k)
	if err != nil {
		x.fail("package", e.Name, "its policies cannot be read", err)
		return
	}
	i := slices.IndexFunc(policies, func(p packagePolicy) bool { return strings.EqualFold(p.ID, e.Policy) })
	if i < 0 {
		x.add(CheckFail, "package", e.Name, "the package has no such policy, or does not exist", "correct id and policy in the mapping's catalog")
		return
	}
	p := policies[i]
	content, err := x.c.packageContent(ctx, e.ID)
	if err != nil {
		x.fail("package", e.Name, "what it holds cannot be read", err)
		return
	}
	switch {
	case slices.ContainsFunc(content.Scopes, func(s packageRole) bool { return s.Scope.role() }):
		x.add(CheckFail, "package", e.Name, "it holds an Entra role, and whoever holds one is not touched by scimbridge any more, not even at the end", "take the role out of the package")
	case content.Catalog.External != nil && !*content.Catalog.External:
		x.add(CheckFail, "package", e.Name, "its catalog is not enabled for external users, so no guest can have it", "enable it: Entitlement management, Catalogs, the catalog, Enabled for external users")
	case p.RequestorSettings != nil && p.RequestorSettings.AllowCustomAssignmentSchedule != nil && !*p.RequestorSettings.AllowCustomAssignmentSchedule:
		x.add(CheckFail, "package", e.Name, "its policy takes no schedule of ours, so assignments would not end with the contract", "allow custom assignment schedules in the policy")
	case p.RequestApprovalSettings != nil && isTrue(p.RequestApprovalSettings.IsApprovalRequiredForAdd):
		x.add(CheckWarn, "package", e.Name, "its policy wants each assignment approved by a person", "use a policy for direct assignment without approval")
	default:
		x.packageEnd(e, p.Expiration)
	}
	x.billing(ctx, e, &p, content)
}

// packageEnd says how long the package's policy lets an assignment last.
func (x *examination) packageEnd(e contractor.Entitlement, ends *expiration) {
	if ends != nil && ends.EndDateTime != "" {
		if at, err := time.Parse(time.RFC3339Nano, ends.EndDateTime); err == nil {
			left := time.Until(at)
			if left <= 0 {
				x.add(CheckFail, "package", e.Name, "its policy ended every assignment on "+at.UTC().Format(time.DateOnly), "set another lifecycle in the policy")
				return
			}
			x.add(CheckWarn, "package", e.Name, "can be assigned; its policy ends every assignment on "+at.UTC().Format(time.DateOnly), "set a number of days in the policy's lifecycle instead of a date")
			x.found[len(x.found)-1].Longest = left
			return
		}
	}
	d, ok := isoDuration(expirationText(ends))
	if !ok || d <= 0 {
		x.add(CheckOK, "package", e.Name, "can be assigned", "")
		return
	}
	x.add(CheckOK, "package", e.Name, "can be assigned; its policy allows "+days(d)+" at a time", "")
	x.found[len(x.found)-1].Longest = d
}

func expirationText(e *expiration) string {
	if e == nil {
		return ""
	}
	return e.Duration
}

type odataTyped struct {
	Type string `json:"@odata.type"`
}

// billing tells what of a package costs money for each guest and month, besides the licence (graph.md 3.8).
func (x *examination) billing(ctx context.Context, e contractor.Entitlement, p *packagePolicy, content *packageContent) {
	var why []string
	if r := p.RequestApprovalSettings; r != nil {
		for _, s := range r.Stages {
			if slices.ContainsFunc(append(s.Primary, s.Escalate...), func(a odataTyped) bool { return strings.HasSuffix(strings.ToLower(a.Type), "sponsors") }) {
				why = append(why, "its policy has sponsors as approvers")
			}
		}
	}
	if p.Automatic != nil && isTrue(p.Automatic.Request) {
		why = append(why, "its policy assigns automatically")
	}
	if len(p.Extensions) > 0 {
		why = append(why, "its policy calls a custom extension")
	}
	if p.Verifiable != nil && len(p.Verifiable.Credentials) > 0 {
		why = append(why, "its policy wants a verified ID")
	}
	for _, s := range content.Scopes {
		switch {
		case s.Scope.role():
			why = append(why, "it holds an Entra role")
		case x.managedByPIM(ctx, &s.Scope):
			why = append(why, "it holds group "+s.Scope.OriginID+", which PIM manages")
		}
	}
	if len(why) > 0 {
		slices.Sort(why)
		x.add(CheckWarn, "billing", e.Name, "each guest who has it is billed, once a month: "+strings.Join(slices.Compact(why), "; "), "use a package of ordinary groups with a policy for direct assignment, or plan for the cost (Entra ID Governance for guests)")
	}
}

// managedByPIM reports whether a package's group is one that PIM keeps: we use it so, or somebody has. Nothing in Graph v1.0
// says that a group was onboarded, but each request leaves its trace for a month and a half.
func (x *examination) managedByPIM(ctx context.Context, s *packageScope) bool {
	if !s.group() {
		return false
	}
	for _, e := range x.d.Catalog {
		if e.Kind == contractor.KindGroup && strings.EqualFold(e.ID, s.OriginID) && e.Expiry != contractor.ExpiryBridge {
			return true
		}
	}
	k := read("read PIM requests", pimRoot+"/assignmentScheduleRequests", query("$filter", "groupId eq "+quote(s.OriginID), "$top", "1"), pimNeeds)
	var page struct {
		Value []objectID `json:"value"`
	}
	_, err := x.c.do(ctx, k, &page)
	return err == nil && len(page.Value) > 0
}
