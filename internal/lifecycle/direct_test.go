package lifecycle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"scimbridge/internal/entra/emulator"
)

// direct is what the bridge is measured against: the same life written straight against Graph, one function for each event, as
// one writes it with the SDK. It remembers the ids that Graph gave it, and no more.
type direct struct {
	t      *testing.T
	tenant *emulator.Emulator
	token  *token

	// careful looks an address up place by place (graph.md 1.2), reads every change back, and believes a creation after five
	// good reads and a removal after five clean ones, as Terraform's provider for Entra does.
	careful bool
	// leaveDate keeps the contract's end in the guest's employeeLeaveDateTime, as code without a database of its own must.
	leaveDate bool
	// native leaves the end of groups and package to Entra's own expiry.
	native bool

	guest, sponsor, assignment string
	groups                     []string
	end                        time.Time
}

func newDirect(t *testing.T, tenant *emulator.Emulator, d direct) *direct {
	t.Helper()
	d.t, d.tenant, d.groups = t, tenant, []string{groupBase, groupFin}
	d.token = &token{transport: tenant.Transport(), cfg: tenant.Config()}
	return &d
}

// call sends one request and fails the test unless it succeeds: nothing here is retried, since nothing here goes wrong.
func (d *direct) call(ctx context.Context, method, path string, body any) map[string]any {
	d.t.Helper()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		must(d.t, err)
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, graphURL+path, content)
	must(d.t, err)
	access, err := d.token.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	must(d.t, err)
	req.Header.Set("Authorization", "Bearer "+access.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.tenant.Transport().RoundTrip(req)
	must(d.t, err)
	defer resp.Body.Close() //nolint:errcheck // a test
	raw, err := io.ReadAll(resp.Body)
	must(d.t, err)
	if resp.StatusCode >= 400 {
		d.t.Fatalf("%s %s: HTTP %d %s", method, path, resp.StatusCode, raw)
	}
	var out map[string]any
	if len(raw) > 0 {
		must(d.t, json.Unmarshal(raw, &out))
	}
	return out
}

func (d *direct) get(ctx context.Context, path string) map[string]any {
	return d.call(ctx, http.MethodGet, path, nil)
}

// filter is a path with $filter and $select.
func filter(path, condition, fields string) string {
	return path + "?$filter=" + url.PathEscape(condition) + "&$select=" + fields
}

// settled reads five times, five seconds apart.
func (d *direct) settled(ctx context.Context, path string) {
	for range 5 {
		d.get(ctx, path)
		<-time.After(5 * time.Second) // fake time
	}
}

const emPath, pimPath = "/identityGovernance/entitlementManagement", "/identityGovernance/privilegedAccess/group"

func expiry(end time.Time) map[string]any {
	return map[string]any{"expiration": map[string]any{"type": "afterDateTime", "endDateTime": end.UTC().Format(time.RFC3339)}}
}

// expires is the end that Entra is told: the contract's, or a day more where this code takes everything away itself and the
// expiry is only its safety net.
func (d *direct) expires() map[string]any {
	if d.native {
		return expiry(d.end)
	}
	return expiry(d.end.AddDate(0, 0, 1))
}

func (d *direct) schedule(ctx context.Context, action, group string) {
	body := map[string]any{"action": action, "accessId": "member", "principalId": d.guest, "groupId": group}
	if action != "adminRemove" {
		body["justification"], body["scheduleInfo"] = "contract", d.expires()
	}
	d.call(ctx, http.MethodPost, pimPath+"/assignmentScheduleRequests", body)
	if d.careful {
		d.get(ctx, pimPath+"/assignmentSchedules?$filter="+url.PathEscape("groupId eq '"+group+"' and principalId eq '"+d.guest+"'"))
	}
}

// pack sends a request for the package and follows it.
func (d *direct) pack(ctx context.Context, body map[string]any) {
	r := d.call(ctx, http.MethodPost, emPath+"/assignmentRequests", body)
	id, _ := r["id"].(string)
	if a, ok := d.get(ctx, emPath+"/assignmentRequests/"+id+"?$expand=assignment")["assignment"].(map[string]any); ok {
		d.assignment, _ = a["id"].(string)
	}
}

func (d *direct) patch(ctx context.Context, body map[string]any) {
	d.call(ctx, http.MethodPatch, "/users/"+d.guest, body)
}

// guard is the look before a change: still a guest, and without a role?
func (d *direct) guard(ctx context.Context) {
	if d.careful {
		d.get(ctx, "/users/"+d.guest+"?$select=id,userType,accountEnabled")
		d.get(ctx, "/users/"+d.guest+"/memberOf?$select=id")
	}
}

func (d *direct) onboard(ctx context.Context, mail string, end time.Time) {
	d.end = end
	places := []string{"mail eq '" + mail + "'"}
	if d.careful {
		places = append(places, "otherMails/any(m:m eq '"+mail+"')", "proxyAddresses/any(p:p eq 'smtp:"+mail+"')", "proxyAddresses/any(p:p eq 'SMTP:"+mail+"')",
			"startswith(userPrincipalName,'ada_acme.example#EXT#@')")
		d.get(ctx, filter("/directory/deletedItems/microsoft.graph.user", places[0], "id"))
	}
	for _, p := range places {
		d.get(ctx, filter("/users", p, "id"))
	}
	found, _ := d.get(ctx, filter("/users", "userPrincipalName eq 'sponsor@contoso.example'", "id,accountEnabled"))["value"].([]any)
	sponsor, _ := found[0].(map[string]any)
	d.sponsor, _ = sponsor["id"].(string)
	r := d.call(ctx, http.MethodPost, "/invitations", map[string]any{
		"invitedUserEmailAddress": mail, "invitedUserDisplayName": "Ada Test", "inviteRedirectUrl": "https://myapps.microsoft.com", "sendInvitationMessage": true})
	invited, _ := r["invitedUser"].(map[string]any)
	d.guest, _ = invited["id"].(string)
	if d.careful {
		d.settled(ctx, "/users/"+d.guest+"?$select=id")
	}
	d.patch(ctx, map[string]any{"companyName": "ACME", "department": "Finance"})
	if d.leaveDate {
		d.patch(ctx, map[string]any{"employeeLeaveDateTime": end.UTC().Format(time.RFC3339)})
	}
	d.call(ctx, http.MethodPost, "/users/"+d.guest+"/sponsors/$ref", map[string]any{"@odata.id": graphURL + "/users/" + d.sponsor})
	if d.careful {
		d.get(ctx, "/users/"+d.guest+"?$select=companyName,department")
		d.get(ctx, "/users/"+d.guest+"/sponsors?$select=id")
	}
	for _, g := range d.groups {
		if d.careful {
			d.get(ctx, "/groups/"+g+"?$select=groupTypes,isAssignableToRole,onPremisesSyncEnabled")
		}
		d.schedule(ctx, "adminAssign", g)
	}
	d.pack(ctx, map[string]any{"requestType": "adminAdd", "schedule": d.expires(), "assignment": map[string]any{"targetId": d.guest, "assignmentPolicyId": policyDev, "accessPackageId": packDev}})
}

func (d *direct) extend(ctx context.Context, end time.Time) {
	d.end = end
	d.guard(ctx)
	if d.leaveDate {
		d.patch(ctx, map[string]any{"employeeLeaveDateTime": end.UTC().Format(time.RFC3339)})
	}
	for _, g := range d.groups {
		d.schedule(ctx, "adminUpdate", g)
	}
	d.pack(ctx, map[string]any{"requestType": "adminUpdate", "schedule": d.expires(), "assignment": map[string]any{"id": d.assignment}})
}

func (d *direct) leave(ctx context.Context) {
	d.guard(ctx)
	d.patch(ctx, map[string]any{"accountEnabled": false})
	d.call(ctx, http.MethodPost, "/users/"+d.guest+"/revokeSignInSessions", nil)
	if d.careful {
		d.get(ctx, "/users/"+d.guest+"?$select=accountEnabled")
	}
	if d.native {
		return
	}
	for _, g := range d.groups {
		d.schedule(ctx, "adminRemove", g)
	}
	d.pack(ctx, map[string]any{"requestType": "adminRemove", "assignment": map[string]any{"id": d.assignment}})
	if d.careful {
		d.settled(ctx, "/users/"+d.guest+"/memberOf?$select=id")
	}
}

func (d *direct) remove(ctx context.Context) {
	d.guard(ctx)
	d.call(ctx, http.MethodDelete, "/users/"+d.guest, nil)
	if d.careful {
		d.get(ctx, "/directory/deletedItems/"+d.guest)
	}
}
