package entra

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// Conditional access takes one request a second, of all applications of the tenant together, and its 429 has no Retry-After
// (graph.md 4.1, 6.1): the budget has a lane of its own for it, with one call under way.

const (
	caRoot  = "/identity/conditionalAccess"
	caNeeds = "Policy.Read.All and Policy.ReadWrite.ConditionalAccess"
	// policyTimeout bounds one call; the service is slow when it checks what a policy refers to.
	policyTimeout = 30 * time.Second

	// goodReads is how often a change must be read back as it was written before it is believed: one read may meet the one
	// replica that has heard of it. Terraform wants five, in a service that lets it ask more often.
	goodReads = 2
	// maxReads bounds the wait for them, a good minute at the pace of the lane.
	maxReads = 40
)

func policyCall(op, method, path string, body any) *call {
	return &call{op: op, method: method, path: caRoot + path, body: body, again: method != http.MethodPost, needs: caNeeds, timeout: policyTimeout, cost: cost{lane: lanePolicies}}
}

// CAPolicies reads all conditional access policies of the tenant, ours or not.
func (c *Client) CAPolicies(ctx context.Context) ([]contractor.CAPolicy, error) {
	const op = "read policies"
	raw, err := list[json.RawMessage](ctx, c, policyCall(op, http.MethodGet, "/policies", nil))
	if err != nil {
		return nil, err
	}
	out := make([]contractor.CAPolicy, 0, len(raw))
	for _, r := range raw {
		p, err := readPolicy(r)
		if err != nil {
			return nil, unreadable(op, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// unreadable is an answer of the right status and the wrong form.
func unreadable(op string, err error) *contractor.Failure {
	return &contractor.Failure{Op: op, Verdict: contractor.VerdictPermanent, Message: "Graph answered in a form that this program does not know", Cause: err}
}

// policy reads one policy; nil if it is not there.
func (c *Client) policy(ctx context.Context, op, id string) (*contractor.CAPolicy, error) {
	var raw json.RawMessage
	_, err := c.do(ctx, policyCall(op, http.MethodGet, "/policies/"+seg(id), nil), &raw)
	if status(err) == http.StatusNotFound {
		return nil, nil //nolint:nilnil // absent is an answer
	}
	if err != nil {
		return nil, err
	}
	p, err := readPolicy(raw)
	if err != nil {
		return nil, unreadable(op, err)
	}
	return &p, nil
}

// CreatePolicy makes a policy and reads it back; Handle is its id, also beside an error where the policy was made and only not
// yet seen. It is not idempotent, and names are not unique: after VerdictUnknown look for the name before it is made again.
func (c *Client) CreatePolicy(ctx context.Context, p contractor.CAPolicy) (contractor.Receipt, error) {
	const op = "create policy"
	if err := checkPolicy(op, p); err != nil {
		return contractor.Receipt{}, err
	}
	var made objectID
	ex, err := c.do(ctx, policyCall(op, http.MethodPost, "/policies", policyBody(p, false, nil)), &made)
	if err != nil {
		return contractor.Receipt{}, err
	}
	r := receipt(ex)
	r.Handle = strings.ToLower(made.ID)
	return r, c.policyStands(ctx, op, made.ID, p)
}

// UpdatePolicy writes a policy whole, and reads it back. clear are parts that this program does not declare and that somebody
// else set (CAPolicy.Other): they are taken away.
func (c *Client) UpdatePolicy(ctx context.Context, p contractor.CAPolicy, clear []string) (contractor.Receipt, error) {
	const op = "update policy"
	if !isGUID(p.ID) {
		return contractor.Receipt{}, wrong(op, "the policy's id is not a GUID")
	}
	if err := checkPolicy(op, p); err != nil {
		return contractor.Receipt{}, err
	}
	ex, err := c.do(ctx, policyCall(op, http.MethodPatch, "/policies/"+seg(p.ID), policyBody(p, true, clear)), nil)
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), c.policyStands(ctx, op, p.ID, p)
}

// checkPolicy refuses what must never leave this program, whoever asks: the plan refuses it too, in more words.
func checkPolicy(op string, p contractor.CAPolicy) error {
	u := p.Users
	switch {
	case p.Name == "":
		return wrong(op, "a policy needs a name")
	case len(u.IncludeUsers) > 0 || len(u.IncludeRoles) > 0:
		return refused(op, "a policy for users or roles could reach internal users; scimbridge makes policies for guests and for groups that it keeps")
	case len(u.ExcludeGroups)+len(u.ExcludeUsers) == 0:
		return refused(op, "a policy without an exclusion for the emergency accounts is never made")
	}
	return nil
}

// policyStands waits until the policy reads as it was written.
func (c *Client) policyStands(ctx context.Context, op, id string, want contractor.CAPolicy) error {
	written := canonicalPolicy(want)
	return c.stands(ctx, op, func() (bool, error) {
		have, err := c.policy(ctx, op, id)
		return have != nil && canonicalPolicy(*have) == written, err
	})
}

// stands reads until the answer was right goodReads times in a row.
func (c *Client) stands(ctx context.Context, op string, right func() (bool, error)) error {
	good := 0
	for range maxReads {
		ok, err := right()
		if err != nil {
			return err
		}
		if !ok {
			good = 0
			continue
		}
		if good++; good == goodReads {
			return nil
		}
	}
	return &contractor.Failure{
		Op: op, Verdict: contractor.VerdictUnknown,
		Message: "the change was sent, but Entra does not show it as it was written; look at it in the Entra admin center, then run the command again",
	}
}

// DeletePolicy deletes a policy and sees it gone.
func (c *Client) DeletePolicy(ctx context.Context, id string) (contractor.Receipt, error) {
	const op = "delete policy"
	if !isGUID(id) {
		return contractor.Receipt{}, wrong(op, "the policy's id is not a GUID")
	}
	r, err := c.delete(ctx, op, "/policies/"+seg(id))
	if err != nil {
		return r, err
	}
	return r, c.stands(ctx, op, func() (bool, error) {
		have, err := c.policy(ctx, op, id)
		return have == nil, err
	})
}

// delete sends a DELETE; what is not there is deleted.
func (c *Client) delete(ctx context.Context, op, path string) (contractor.Receipt, error) {
	ex, err := c.do(ctx, policyCall(op, http.MethodDelete, path, nil), nil)
	if status(err) == http.StatusNotFound {
		return soReceipt(ex), nil
	}
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), nil
}

// Strengths reads the tenant's authentication strengths, built-in and custom.
func (c *Client) Strengths(ctx context.Context) ([]contractor.AuthenticationStrength, error) {
	k := read("read authentication strengths", "/policies/authenticationStrengthPolicies", "", "Policy.Read.All")
	k.cost = cost{lane: laneGovernance}
	all, err := list[struct {
		ID         string `json:"id"`
		Name       string `json:"displayName"`
		PolicyType string `json:"policyType"`
	}](ctx, c, k)
	if err != nil {
		return nil, err
	}
	out := make([]contractor.AuthenticationStrength, len(all))
	for i, s := range all {
		out[i] = contractor.AuthenticationStrength{ID: strings.ToLower(s.ID), Name: s.Name, Custom: strings.EqualFold(s.PolicyType, "custom")}
	}
	return out, nil
}

const (
	trustRoot  = "/policies/crossTenantAccessPolicy"
	trustNeeds = "Policy.ReadWrite.CrossTenantAccess"
)

// inboundTrust is sent and read; a nil value is inherited from the default.
type inboundTrust struct {
	MFA       *bool `json:"isMfaAccepted"`
	Compliant *bool `json:"isCompliantDeviceAccepted"`
	Hybrid    *bool `json:"isHybridAzureADJoinedDeviceAccepted"`
}

type crossTenant struct {
	TenantID string        `json:"tenantId,omitempty"`
	Inbound  *inboundTrust `json:"inboundTrust"`
}

func (x *crossTenant) trust(partner bool) contractor.TenantTrust {
	t := contractor.TenantTrust{Tenant: strings.ToLower(x.TenantID), Partner: partner}
	if x.Inbound != nil {
		t.MFA, t.CompliantDevice, t.HybridDevice = x.Inbound.MFA, x.Inbound.Compliant, x.Inbound.Hybrid
	}
	return t
}

// TenantTrusts reads what the tenant takes over from other tenants at a sign-in: the default first (Tenant ""), then every
// tenant with settings of its own.
func (c *Client) TenantTrusts(ctx context.Context) ([]contractor.TenantTrust, error) {
	k := read("read cross-tenant access", trustRoot+"/default", "", "Policy.Read.All")
	k.cost = cost{lane: laneGovernance}
	var byDefault crossTenant
	if _, err := c.do(ctx, k, &byDefault); err != nil {
		return nil, err
	}
	byDefault.TenantID = ""
	out := []contractor.TenantTrust{byDefault.trust(false)}
	k = read("read cross-tenant access", trustRoot+"/partners", "", "Policy.Read.All")
	k.cost = cost{lane: laneGovernance}
	partners, err := list[crossTenant](ctx, c, k)
	if err != nil {
		return nil, err
	}
	for i := range partners {
		out = append(out, partners[i].trust(true))
	}
	return out, nil
}

// SetTrust writes the inbound trust in one tenant, and reads it back. A tenant without settings of its own gets them, with
// nothing but the trust: the rest is inherited.
func (c *Client) SetTrust(ctx context.Context, t contractor.TenantTrust) (contractor.Receipt, error) {
	const op = "set trust"
	if !isGUID(t.Tenant) {
		return contractor.Receipt{}, wrong(op, "the tenant's id is not a GUID; the default for all tenants is never changed")
	}
	body := crossTenant{Inbound: &inboundTrust{MFA: t.MFA, Compliant: t.CompliantDevice, Hybrid: t.HybridDevice}}
	k := write(op, http.MethodPatch, trustRoot+"/partners/"+seg(t.Tenant), body, trustNeeds)
	k.cost = cost{lane: laneGovernance}
	ex, err := c.do(ctx, k, nil)
	if status(err) == http.StatusNotFound {
		body.TenantID = t.Tenant
		k = &call{op: op, method: http.MethodPost, path: trustRoot + "/partners", body: body, needs: trustNeeds, timeout: writeTimeout, cost: cost{lane: laneGovernance}}
		ex, err = c.do(ctx, k, nil)
		if status(err) == http.StatusConflict {
			f, _ := asFailure(err)
			f.Verdict, f.Message = contractor.VerdictRetry, "somebody else made settings for the tenant at the same time; trying again"
			err = f
		}
	}
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), c.stands(ctx, op, func() (bool, error) {
		var have crossTenant
		k := read(op, trustRoot+"/partners/"+seg(t.Tenant), "", "Policy.Read.All")
		k.cost = cost{lane: laneGovernance}
		_, err := c.do(ctx, k, &have)
		if status(err) == http.StatusNotFound {
			return false, nil
		}
		return have.Inbound != nil && same(have.Inbound.MFA, t.MFA) && same(have.Inbound.Compliant, t.CompliantDevice) && same(have.Inbound.Hybrid, t.HybridDevice), err
	})
}

func same(a, b *bool) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
