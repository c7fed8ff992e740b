package policy_test

import (
	"encoding/json"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/policy"
)

const (
	groupBase  = "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"
	breakGlass = "c0ffee00-1111-4222-8333-444455556666"
	acme       = "aaaaaaaa-0000-4000-8000-000000000001"
	kforce     = "aaaaaaaa-0000-4000-8000-000000000002"
	strengthID = "00000000-0000-0000-0000-000000000004"
	countries  = "10ca1105-0000-4000-8000-000000000001"
	egress     = "10ca1105-0000-4000-8000-000000000002"
	polCountry = "90110000-0000-4000-8000-000000000001"
	polMFA     = "90110000-0000-4000-8000-000000000002"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func guests() contractor.CAUsers {
	return contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest", "otherExternalUser"}}}
}

func byCountry() contractor.CAPolicy {
	return contractor.CAPolicy{
		Name: "countries", State: contractor.CAReportOnly, Users: guests(), Apps: contractor.CAApps{Include: []string{"All"}}, Line: 40,
		Locations: contractor.CAIncludes{Include: []string{"All"}, Exclude: []string{"work-countries"}},
		Grant:     contractor.CAGrant{Controls: []string{"block"}},
	}
}

func byMFA() contractor.CAPolicy {
	return contractor.CAPolicy{
		Name: "mfa", State: contractor.CAReportOnly, Users: guests(), Apps: contractor.CAApps{Include: []string{"All"}}, Line: 50,
		Grant:   contractor.CAGrant{Controls: []string{"mfa"}},
		Session: contractor.CASession{Frequency: 12 * time.Hour, PersistentBrowser: "never"},
	}
}

// declared is a small, good set.
func declared() *contractor.ConditionalAccess {
	return &contractor.ConditionalAccess{
		BreakGlassGroups: []string{breakGlass}, ReportOnlyFor: 7 * 24 * time.Hour,
		Locations: []contractor.NamedLocation{
			{Name: "work-countries", Kind: contractor.LocationCountries, Countries: []string{"DE", "AT", "CH"}, Line: 30},
		},
		Policies:   []contractor.CAPolicy{byCountry(), byMFA()},
		KeptGroups: map[string]string{groupBase: "ext-base"},
	}
}

// bare is a tenant without any policy.
func bare() policy.Tenant {
	no := false
	return policy.Tenant{
		Strengths: []contractor.AuthenticationStrength{{ID: strengthID, Name: "Phishing-resistant MFA"}},
		Trusts:    []contractor.TenantTrust{{MFA: &no, CompliantDevice: &no, HybridDevice: &no}},
		Groups: map[string]contractor.CAGroup{
			breakGlass: {ID: breakGlass, Name: "emergency", Found: true, Members: 2, Enabled: 2},
			groupBase:  {ID: groupBase, Name: "ext-base", Found: true, Guests: 12, Enabled: 11},
		},
		Users: map[string]bool{},
	}
}

// applied is the tenant and the store's memory after a plan was carried out at an instant.
func carryOut(t *testing.T, want *contractor.ConditionalAccess, have policy.Tenant, opts policy.Options) (policy.Tenant, []contractor.CAManaged) {
	t.Helper()
	r := policy.Plan(want, have, opts)
	if len(r.Refusals) > 0 {
		t.Fatalf("refused: %+v", r.Refusals)
	}
	ids := map[string]string{"work-countries": countries, "egress": egress, "countries": polCountry, "mfa": polMFA}
	memory := opts.Managed
	put := func(m contractor.CAManaged, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		m.Written, m.Changed = b, opts.Now
		for i, old := range memory {
			if old.Kind == m.Kind && old.Name == m.Name {
				m.Mine = old.Mine
				memory[i] = m
				return
			}
		}
		memory = append(memory, m)
	}
	for _, c := range r.Changes {
		id := c.ID
		if id == "" {
			id = ids[c.Name]
		}
		m := contractor.CAManaged{Kind: string(c.Kind), Name: c.Name, ID: id, Mine: c.Action == policy.Create, Watched: c.Watched}
		if m.Watched.IsZero() {
			m.Watched = opts.Now
		}
		switch {
		case c.Kind == policy.KindLocation && c.Action != policy.Delete:
			l := *c.Location
			l.ID = id
			have.Locations = replaceLocation(have.Locations, l)
			put(m, l)
		case c.Kind == policy.KindPolicy && c.Action != policy.Delete:
			p, ok := policy.Resolve(*c.Policy, ids)
			if !ok {
				t.Fatalf("%s: a location has no id", c.Name)
			}
			p.ID = id
			have.Policies = replacePolicy(have.Policies, p)
			put(m, p)
		}
	}
	if again := policy.Plan(want, have, policy.Options{Managed: memory, Now: opts.Now, EnforceNow: opts.EnforceNow}); !again.Empty() {
		t.Fatalf("a second plan is not empty: %+v", again)
	}
	return have, memory
}

func replaceLocation(list []contractor.NamedLocation, l contractor.NamedLocation) []contractor.NamedLocation {
	for i := range list {
		if list[i].ID == l.ID {
			list[i] = l
			return list
		}
	}
	return append(list, l)
}

func replacePolicy(list []contractor.CAPolicy, p contractor.CAPolicy) []contractor.CAPolicy {
	for i := range list {
		if list[i].ID == p.ID {
			list[i] = p
			return list
		}
	}
	return append(list, p)
}

func edit(list []contractor.CAPolicy, id string, how func(*contractor.CAPolicy)) {
	for i := range list {
		if list[i].ID == id {
			how(&list[i])
		}
	}
}
