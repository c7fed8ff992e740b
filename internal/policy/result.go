package policy

import (
	"time"

	"scimbridge/internal/contractor"
)

// Action is what is done to an object.
type Action string

// The actions, in the order in which they are harmless.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Kind of an object.
type Kind string

// The kinds: a conditional access policy, a named location, the trust in another tenant's multifactor authentication.
const (
	KindPolicy   Kind = "policy"
	KindLocation Kind = "location"
	KindTrust    Kind = "trust"
)

// Change is one thing to do in the tenant.
type Change struct {
	Action Action  `json:"action"`
	Kind   Kind    `json:"kind"`
	Name   string  `json:"name"` // as declared
	ID     string  `json:"id,omitempty"`
	Line   int     `json:"line,omitempty"`
	Words  string  `json:"words"`            // for people: what will be so, or will no longer be
	Drift  string  `json:"drift,omitempty"`  // what somebody else did, which this undoes; "" if nobody
	Fields []Field `json:"fields,omitempty"` // of an update
	// Stricter says that sign-ins may be hit that were not hit before.
	Stricter bool `json:"stricter,omitempty"`
	// Watched is since when the policy counts as watched once this is done; zero: from then on.
	Watched time.Time `json:"-"`

	Policy   *contractor.CAPolicy      `json:"policy,omitempty"` // as it is to stand; see Resolve
	Location *contractor.NamedLocation `json:"location,omitempty"`
	Trust    *contractor.TenantTrust   `json:"trust,omitempty"`
	Adopt    bool                      `json:"adopt,omitempty"` // found by its name: taken over
	// Clear are parts that somebody else set and that are to go: CAPolicy.Other of the tenant's policy.
	Clear []string `json:"clear,omitempty"`
	// Restarts names the policies whose watch begins anew, since this location makes them hit more. Of locations only.
	Restarts []string `json:"restarts,omitempty"`
}

// Standing is how one declared policy stands.
type Standing struct {
	Name     string              `json:"name"`
	Line     int                 `json:"line,omitempty"`
	ID       string              `json:"id,omitempty"`
	Words    string              `json:"words"`
	Declared contractor.CAState  `json:"declared"`
	State    contractor.CAState  `json:"state,omitempty"`    // in the tenant; "" if it is not there
	Waits    time.Time           `json:"waits,omitzero"`     // declared on; not before this instant
	Watched  time.Time           `json:"watched,omitzero"`   // since when it has been watched
	Drift    string              `json:"drift,omitempty"`    // what somebody else did
	Planned  contractor.CAState  `json:"planned,omitempty"`  // after the plan
	Resolved contractor.CAPolicy `json:"-"`                  // as it is to stand
	Warnings []string            `json:"warnings,omitempty"` // what an admin should know
}

// Trust is what counts here of a vendor's own multifactor authentication.
type Trust struct {
	Name      string `json:"name"`
	Tenant    string `json:"tenant"`
	MFA       bool   `json:"mfa"`
	Inherited bool   `json:"inherited"` // from the default
	Declared  *bool  `json:"declared,omitempty"`
	Words     string `json:"words"`
}

// Result is a plan.
type Result struct {
	Changes  []Change   `json:"changes"`            // in the order in which they are to be made
	Refusals []Refusal  `json:"refusals,omitempty"` // with any of these, nothing is to be done
	Left     []Refusal  `json:"left,omitempty"`     // what is left alone, and why
	Policies []Standing `json:"policies"`           // every declared policy
	Trusts   []Trust    `json:"trusts,omitempty"`
	// Forget are rows of the store whose objects are neither declared nor in the tenant.
	Forget []contractor.CAManaged `json:"-"`
}

// Empty reports whether there is nothing to do and nothing refused.
func (r *Result) Empty() bool { return len(r.Changes) == 0 && len(r.Refusals) == 0 }
