package policy_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/policy"
)

// lines says a plan shortly: action kind name state.
func lines(r policy.Result) []string {
	list := []string{}
	for _, c := range r.Changes {
		s := string(c.Action) + " " + string(c.Kind) + " " + c.Name
		if c.Policy != nil && c.Action != policy.Delete {
			s += " " + string(c.Policy.State)
		}
		list = append(list, s)
	}
	return list
}

func codes(list []policy.Refusal) []policy.Code {
	out := []policy.Code{}
	for _, r := range list {
		out = append(out, r.Code)
	}
	return out
}

func TestPlanOfABareTenant(t *testing.T) {
	r := policy.Plan(declared(), bare(), policy.Options{Now: noon})
	if diff := cmp.Diff([]string{"create location work-countries", "create policy countries report-only", "create policy mfa report-only"}, lines(r)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	words := []string{}
	for _, c := range r.Changes {
		words = append(words, c.Words)
	}
	want := []string{
		"new location work-countries: AT, CH, DE",
		"contractors outside DE, AT, CH: blocked (report-only)",
		"contractors: need multifactor authentication; sign in again every 12h; no browser stays signed in (report-only)",
	}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
	if got := r.Changes[1].Policy; !slices.Equal(got.Users.ExcludeGroups, []string{breakGlass}) || got.Name != "scimbridge: countries" {
		t.Errorf("the policy excludes %v and is called %q", got.Users.ExcludeGroups, got.Name)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// What every state in the tenant leads to when the mapping says on.
func TestPlanTowardsOn(t *testing.T) {
	on := func() *contractor.ConditionalAccess {
		want := declared()
		want.Policies[0].State = contractor.CAOn
		return want
	}
	week := 7 * 24 * time.Hour
	t.Run("NewIsReportOnlyFirst", func(t *testing.T) {
		r := policy.Plan(on(), bare(), policy.Options{Now: noon})
		if got := lines(r)[1]; got != "create policy countries report-only" {
			t.Errorf("planned %s", got)
		}
		if !r.Policies[0].Waits.Equal(noon.Add(week)) {
			t.Errorf("waits until %s", r.Policies[0].Waits)
		}
		if !strings.Contains(r.Changes[1].Words, "declared on, which it may be from 2026-12-01") {
			t.Errorf("words: %s", r.Changes[1].Words)
		}
	})
	have, memory := carryOut(t, on(), bare(), policy.Options{Now: noon})
	t.Run("WaitsUntilWatched", func(t *testing.T) {
		r := policy.Plan(on(), have, policy.Options{Managed: memory, Now: noon.Add(week - time.Second)})
		if !r.Empty() || !r.Policies[0].Waits.Equal(noon.Add(week)) {
			t.Errorf("changes %v, waits until %s", lines(r), r.Policies[0].Waits)
		}
	})
	t.Run("OnOnceWatched", func(t *testing.T) {
		r := policy.Plan(on(), have, policy.Options{Managed: memory, Now: noon.Add(week)})
		if diff := cmp.Diff([]string{"update policy countries on"}, lines(r)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if !r.Changes[0].Stricter {
			t.Error("switching on is not told as stricter")
		}
	})
	t.Run("OnNowWithAReason", func(t *testing.T) {
		r := policy.Plan(on(), bare(), policy.Options{Now: noon, EnforceNow: "incident 4711, leaked credentials"})
		if got := lines(r)[1]; got != "create policy countries on" {
			t.Errorf("planned %s", got)
		}
	})
	t.Run("AReasonThatSaysNothing", func(t *testing.T) {
		r := policy.Plan(on(), bare(), policy.Options{Now: noon, EnforceNow: "now"})
		if got := codes(r.Refusals); !slices.Contains(got, policy.WithoutReason) {
			t.Errorf("refusals %v", got)
		}
	})
	t.Run("StricterFormStartsTheWatchAnew", func(t *testing.T) {
		want := on()
		want.Policies[0].Users.IncludeGuests.Types = append(want.Policies[0].Users.IncludeGuests.Types, "internalGuest")
		r := policy.Plan(want, have, policy.Options{Managed: memory, Now: noon.Add(week)})
		if diff := cmp.Diff([]string{"update policy countries report-only"}, lines(r)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if !r.Policies[0].Waits.Equal(noon.Add(2 * week)) {
			t.Errorf("waits until %s", r.Policies[0].Waits)
		}
	})
	t.Run("FewerCountriesStartTheWatchAnew", func(t *testing.T) {
		want := on()
		want.Locations[0].Countries = []string{"DE"}
		r := policy.Plan(want, have, policy.Options{Managed: memory, Now: noon.Add(week)})
		if diff := cmp.Diff([]string{"update location work-countries"}, lines(r)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if len(r.Changes) == 1 && !slices.Equal(r.Changes[0].Restarts, []string{"countries"}) {
			t.Errorf("restarts %v", r.Changes[0].Restarts)
		}
	})
	t.Run("MoreCountriesDoNot", func(t *testing.T) {
		want := on()
		want.Locations[0].Countries = append(want.Locations[0].Countries, "NL")
		r := policy.Plan(want, have, policy.Options{Managed: memory, Now: noon.Add(week)})
		if diff := cmp.Diff([]string{"update location work-countries", "update policy countries on"}, lines(r)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
	t.Run("SwitchedOffAndReportOnlyByHandIsNotWatched", func(t *testing.T) {
		have := have
		have.Policies = slices.Clone(have.Policies)
		edit(have.Policies, polCountry, func(p *contractor.CAPolicy) { p.State = contractor.CAOff })
		r := policy.Plan(on(), have, policy.Options{Managed: memory, Now: noon.Add(week)})
		if diff := cmp.Diff([]string{"update policy countries report-only"}, lines(r)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if !strings.Contains(r.Policies[0].Drift, "state from report-only to off") {
			t.Errorf("drift %q", r.Policies[0].Drift)
		}
	})
}

// What may become of a policy that is enforced.
func TestPlanOfAnEnforcedPolicy(t *testing.T) {
	on := func() *contractor.ConditionalAccess {
		want := declared()
		want.Policies[0].State = contractor.CAOn
		return want
	}
	have, memory := carryOut(t, on(), bare(), policy.Options{Now: noon, EnforceNow: "the tenant of the test"})
	later := noon.Add(30 * 24 * time.Hour)
	for _, tc := range []struct {
		name    string
		want    func(*contractor.ConditionalAccess)
		tenant  func(*policy.Tenant)
		changes []string
		refused []policy.Code
		drift   string
	}{
		{name: "NothingToDo", changes: []string{}},
		{
			name:    "FewerCountriesAreRefused",
			want:    func(c *contractor.ConditionalAccess) { c.Locations[0].Countries = []string{"DE"} },
			changes: []string{"update location work-countries"}, refused: []policy.Code{policy.NotWatched},
		},
		{
			name:    "MoreCountriesAreFine",
			want:    func(c *contractor.ConditionalAccess) { c.Locations[0].Countries = []string{"DE", "AT", "CH", "NL"} },
			changes: []string{"update location work-countries"},
		},
		{
			name: "MoreGuestsAreRefused",
			want: func(c *contractor.ConditionalAccess) {
				c.Policies[0].Users.IncludeGuests.Types = append(c.Policies[0].Users.IncludeGuests.Types, "internalGuest")
			},
			changes: []string{"update policy countries on"}, refused: []policy.Code{policy.NotWatched},
		},
		{
			name:    "OneTenantOnlyIsFine",
			want:    func(c *contractor.ConditionalAccess) { c.Policies[0].Users.IncludeGuests.Tenants = []string{acme} },
			changes: []string{"update policy countries on"},
		},
		{
			name:    "AnExcludedApplicationIsFine",
			want:    func(c *contractor.ConditionalAccess) { c.Policies[0].Apps.Exclude = []string{acme} },
			changes: []string{"update policy countries on"},
		},
		{
			name:    "BackToReportOnlyIsFine",
			want:    func(c *contractor.ConditionalAccess) { c.Policies[0].State = contractor.CAReportOnly },
			changes: []string{"update policy countries report-only"},
		},
		{
			name: "SwitchedOffByHandIsSwitchedOnAgain",
			tenant: func(t *policy.Tenant) {
				edit(t.Policies, polCountry, func(p *contractor.CAPolicy) { p.State = contractor.CAOff })
			},
			changes: []string{"update policy countries on"}, drift: "somebody changed state from on to off",
		},
		{
			name: "MadeLooserByHandIsPutBack",
			tenant: func(t *policy.Tenant) {
				edit(t.Policies, polCountry, func(p *contractor.CAPolicy) { p.Users.ExcludeUsers = []string{acme} })
			},
			changes: []string{"update policy countries on"}, drift: "conditions.users.excludeUsers from - to " + acme,
		},
		{
			name: "OpenedToEverybodyByHandIsPutBack",
			tenant: func(t *policy.Tenant) {
				edit(t.Policies, polCountry, func(p *contractor.CAPolicy) { p.Users.IncludeUsers = []string{"All"} })
			},
			changes: []string{"update policy countries on"}, drift: "conditions.users.includeUsers from - to All",
		},
		{
			name: "DeletedByHandIsMadeAgain",
			tenant: func(t *policy.Tenant) {
				t.Policies = slices.DeleteFunc(t.Policies, func(p contractor.CAPolicy) bool { return p.ID == polCountry })
			},
			changes: []string{"create policy countries on"}, drift: "somebody deleted the policy " + polCountry,
		},
		{
			name: "RenamedByHandIsKnownByItsID",
			tenant: func(t *policy.Tenant) {
				edit(t.Policies, polCountry, func(p *contractor.CAPolicy) { p.Name = "countries (old)" })
			},
			changes: []string{"update policy countries on"}, drift: "displayName from scimbridge: countries to countries (old)",
		},
		{
			name: "APartThatIsNotDeclaredIsDrift",
			tenant: func(t *policy.Tenant) {
				edit(t.Policies, polCountry, func(p *contractor.CAPolicy) { p.Other = []string{"conditions.authenticationFlows"} })
			},
			changes: []string{"update policy countries on"}, drift: "other from - to conditions.authenticationFlows",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, have := on(), have
			have.Policies, have.Locations = slices.Clone(have.Policies), slices.Clone(have.Locations)
			if tc.want != nil {
				tc.want(want)
			}
			if tc.tenant != nil {
				tc.tenant(&have)
			}
			r := policy.Plan(want, have, policy.Options{Managed: memory, Now: later})
			if diff := cmp.Diff(tc.changes, lines(r)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(append([]policy.Code{}, tc.refused...), codes(r.Refusals)); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if !strings.Contains(r.Policies[0].Drift, tc.drift) || (tc.drift == "") != (r.Policies[0].Drift == "") {
				t.Errorf("drift %q, want …%s…", r.Policies[0].Drift, tc.drift)
			}
		})
	}
}

// Everything that a plan refuses, each once, with the sentence that tells what to do.
func TestPlanRefuses(t *testing.T) {
	many := func(n int) []contractor.CAPolicy {
		var list []contractor.CAPolicy
		for range n {
			list = append(list, contractor.CAPolicy{ID: acme, Name: "somebody else's", State: contractor.CAOn})
		}
		return list
	}
	yes := true
	for _, tc := range []struct {
		name   string
		want   func(*contractor.ConditionalAccess)
		tenant func(*policy.Tenant)
		codes  []policy.Code
		says   string
	}{
		{name: "NoBreakGlass", want: func(c *contractor.ConditionalAccess) { c.BreakGlassGroups = nil },
			codes: []policy.Code{policy.NoBreakGlass, policy.NoBreakGlass}, says: "declare conditional_access.break_glass"},
		{name: "BreakGlassGroupIsNotThere", tenant: func(h *policy.Tenant) { h.Groups[breakGlass] = contractor.CAGroup{ID: breakGlass} },
			codes: []policy.Code{policy.BreakGlassGone}, says: "is not in the tenant"},
		{name: "BreakGlassGroupWasNotRead", tenant: func(h *policy.Tenant) { delete(h.Groups, breakGlass) },
			codes: []policy.Code{policy.BreakGlassGone}, says: "could not be read"},
		{name: "BreakGlassGroupIsEmpty", tenant: func(h *policy.Tenant) { h.Groups[breakGlass] = contractor.CAGroup{ID: breakGlass, Found: true} },
			codes: []policy.Code{policy.BreakGlassGone}, says: "put an enabled emergency account"},
		{name: "BreakGlassUserIsDisabled", want: func(c *contractor.ConditionalAccess) { c.BreakGlassGroups, c.BreakGlassUsers = nil, []string{acme} },
			tenant: func(h *policy.Tenant) { h.Users[acme] = false }, codes: []policy.Code{policy.BreakGlassGone}, says: "nobody whom break_glass excludes"},
		{name: "BreakGlassUserIsNotThere", want: func(c *contractor.ConditionalAccess) { c.BreakGlassGroups, c.BreakGlassUsers = nil, []string{acme} },
			codes: []policy.Code{policy.BreakGlassGone}, says: "break-glass user"},
		{name: "Everybody", want: func(c *contractor.ConditionalAccess) { c.Policies[1].Users.IncludeUsers = []string{"All"} },
			codes: []policy.Code{policy.IncludesMembers}, says: `policy "mfa" is for All`},
		{name: "ARole", want: func(c *contractor.ConditionalAccess) { c.Policies[1].Users.IncludeRoles = []string{acme} },
			codes: []policy.Code{policy.IncludesMembers}, says: "directory roles"},
		{name: "ExternalMembers", want: func(c *contractor.ConditionalAccess) {
			c.Policies[1].Users.IncludeGuests.Types = []string{"b2bCollaborationMember"}
		}, codes: []policy.Code{policy.IncludesMembers}, says: "b2bCollaborationMember"},
		{name: "TheCloudPartner", want: func(c *contractor.ConditionalAccess) {
			c.Policies[1].Users.IncludeGuests.Types = []string{"serviceProvider"}
		}, codes: []policy.Code{policy.IncludesMembers}, says: "cloud partner"},
		{name: "GroupWithInternalUsers", want: byGroup(groupBase), tenant: func(h *policy.Tenant) {
			h.Groups[groupBase] = contractor.CAGroup{ID: groupBase, Found: true, Members: 3, Guests: 9}
		}, codes: []policy.Code{policy.IncludesMembers}, says: "holds 3 internal users"},
		{name: "GroupThatWasNotRead", want: byGroup(groupBase), tenant: func(h *policy.Tenant) { delete(h.Groups, groupBase) },
			codes: []policy.Code{policy.IncludesMembers}, says: "could not be read"},
		{name: "GroupTooLargeToLookThrough", want: byGroup(groupBase), tenant: func(h *policy.Tenant) {
			h.Groups[groupBase] = contractor.CAGroup{ID: groupBase, Found: true, Guests: 900, Capped: true}
		}, codes: []policy.Code{policy.IncludesMembers}, says: "too large"},
		{name: "GroupThatFillsItselfWithAnybody", want: byGroup(groupBase), tenant: func(h *policy.Tenant) {
			h.Groups[groupBase] = contractor.CAGroup{ID: groupBase, Found: true, Rule: `user.department -eq "IT"`}
		}, codes: []policy.Code{policy.IncludesMembers}, says: "fills itself"},
		{name: "GroupThatFillsItselfWithGuests", want: byGroup(groupBase), tenant: func(h *policy.Tenant) {
			h.Groups[groupBase] = contractor.CAGroup{ID: groupBase, Found: true, Rule: `user.userType -eq "Guest"`}
		}},
		{name: "GroupThatIsNotThere", want: byGroup(groupBase), tenant: func(h *policy.Tenant) { h.Groups[groupBase] = contractor.CAGroup{ID: groupBase} },
			codes: []policy.Code{policy.NobodyInScope}, says: "is not in the tenant"},
		{name: "GroupOfSomebodyElse", want: byGroup(acme), codes: []policy.Code{policy.GroupNotKept}, says: "does not keep"},
		{name: "TheBreakGlassGroupItself", want: func(c *contractor.ConditionalAccess) {
			byGroup(breakGlass)(c)
			c.KeptGroups[breakGlass] = "emergency"
		}, tenant: func(h *policy.Tenant) {
			h.Groups[breakGlass] = contractor.CAGroup{ID: breakGlass, Found: true, Guests: 2, Enabled: 2}
		},
			codes: []policy.Code{policy.ScopeIsExclusion}, says: "break_glass excludes"},
		{name: "Nobody", want: func(c *contractor.ConditionalAccess) { c.Policies[1].Users = contractor.CAUsers{} },
			codes: []policy.Code{policy.NobodyInScope}, says: "add a scope"},
		{name: "BlockAlways", want: func(c *contractor.ConditionalAccess) { c.Policies[0].Locations = contractor.CAIncludes{} },
			codes: []policy.Code{policy.BlocksAlways}, says: "at any time"},
		{name: "BlockEverywhere", want: func(c *contractor.ConditionalAccess) {
			c.Policies[0].Locations = contractor.CAIncludes{Include: []string{"All"}}
		}, codes: []policy.Code{policy.BlocksAlways}, says: "at any time"},
		{name: "BlockOutsideNothing", want: func(c *contractor.ConditionalAccess) { c.Locations[0].Countries = nil },
			codes: []policy.Code{policy.EmptyLocation}, says: "covers nothing"},
		{name: "AsksForNothing", want: func(c *contractor.ConditionalAccess) {
			c.Policies[1].Grant, c.Policies[1].Session = contractor.CAGrant{}, contractor.CASession{}
		}, codes: []policy.Code{policy.AsksNothing}, says: "asks for nothing"},
		{name: "ACompliantDevice", want: controls("compliantDevice"), codes: []policy.Code{policy.CannotBeMet}, says: "trusts the devices"},
		{name: "ACompliantDeviceThatCounts", want: controls("compliantDevice"), tenant: func(h *policy.Tenant) {
			h.Trusts = []contractor.TenantTrust{{CompliantDevice: &yes}}
		}},
		{name: "AnApprovedApp", want: controls("approvedApplication"), codes: []policy.Code{policy.CannotBeMet}, says: "guests cannot fulfil"},
		{name: "UserRisk", want: func(c *contractor.ConditionalAccess) { c.Policies[1].UserRisk = []string{"high"} },
			codes: []policy.Code{policy.CannotBeMet}, says: "use sign_in_risk"},
		{name: "AStrengthThatIsNotThere", want: func(c *contractor.ConditionalAccess) {
			c.Policies[1].Grant = contractor.CAGrant{Strength: "Passkeys"}
		}, codes: []policy.Code{policy.UnknownStrength}, says: `it has "Phishing-resistant MFA"`},
		{name: "AStrengthByName", want: func(c *contractor.ConditionalAccess) {
			c.Policies[1].Grant = contractor.CAGrant{Strength: "phishing-resistant mfa"}
		}},
		{name: "ALocationThatIsNotDeclared", want: func(c *contractor.ConditionalAccess) { c.Locations = nil },
			codes: []policy.Code{policy.UnknownLocation}, says: `names the location "work-countries"`},
		{name: "TwoPoliciesWithOurName", tenant: func(h *policy.Tenant) {
			h.Policies = []contractor.CAPolicy{{ID: acme, Name: "scimbridge: mfa"}, {ID: kforce, Name: "scimbridge: mfa"}}
		}, codes: []policy.Code{policy.TwoOfAName}, says: "2 policies named"},
		{name: "ALocationOfAnotherKind", tenant: func(h *policy.Tenant) {
			h.Locations = []contractor.NamedLocation{{ID: acme, Name: "scimbridge: work-countries", Kind: contractor.LocationRanges, Ranges: []string{"192.0.2.0/24"}}}
		}, codes: []policy.Code{policy.LocationKindSet}, says: "give it another name"},
		{name: "AFullTenant", tenant: func(h *policy.Tenant) { h.Policies = many(194) },
			codes: []policy.Code{policy.TooMany}, says: "would have 196"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, have := declared(), bare()
			if tc.want != nil {
				tc.want(want)
			}
			if tc.tenant != nil {
				tc.tenant(&have)
			}
			r := policy.Plan(want, have, policy.Options{Now: noon})
			if diff := cmp.Diff(append([]policy.Code{}, tc.codes...), codes(r.Refusals)); diff != "" {
				t.Errorf("refusals (-want +got):\n%s\n%+v", diff, r.Refusals)
			}
			if len(r.Refusals) > 0 && !strings.Contains(r.Refusals[0].Words, tc.says) {
				t.Errorf("it says %q, want …%s…", r.Refusals[0].Words, tc.says)
			}
		})
	}
}

func byGroup(id string) func(*contractor.ConditionalAccess) {
	return func(c *contractor.ConditionalAccess) {
		c.Policies[1].Users = contractor.CAUsers{IncludeGroups: []string{id}}
	}
}

func controls(names ...string) func(*contractor.ConditionalAccess) {
	return func(c *contractor.ConditionalAccess) { c.Policies[1].Grant = contractor.CAGrant{Controls: names} }
}

func TestPlanDeletesOnlyWhatItMade(t *testing.T) {
	have, memory := carryOut(t, declared(), bare(), policy.Options{Now: noon})
	have.Policies = append(have.Policies,
		contractor.CAPolicy{ID: acme, Name: "Employees: MFA", State: contractor.CAOn, Locations: contractor.CAIncludes{Include: []string{"All"}}},
		contractor.CAPolicy{ID: kforce, Name: "scimbridge: of another installation", State: contractor.CAOn})
	nothing := declared()
	nothing.Policies, nothing.Locations = nil, nil

	t.Run("WhatItMade", func(t *testing.T) {
		r := policy.Plan(nothing, have, policy.Options{Managed: memory, Now: noon})
		want := []string{"delete policy countries", "delete policy mfa", "delete location work-countries"}
		if diff := cmp.Diff(want, lines(r)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if got := codes(r.Left); !slices.Equal(got, []policy.Code{policy.NotMade}) || r.Left[0].ID != kforce {
			t.Errorf("left %+v", r.Left)
		}
	})
	t.Run("NothingWithoutMemory", func(t *testing.T) {
		r := policy.Plan(nothing, have, policy.Options{Now: noon})
		if len(r.Changes) != 0 || len(r.Left) != 4 {
			t.Errorf("changes %v, left %+v", lines(r), r.Left)
		}
	})
	t.Run("NotWhatItTookOver", func(t *testing.T) {
		memory := slices.Clone(memory)
		for i := range memory {
			memory[i].Mine = false
		}
		r := policy.Plan(nothing, have, policy.Options{Managed: memory, Now: noon})
		if len(r.Changes) != 0 {
			t.Errorf("changes %v", lines(r))
		}
	})
	t.Run("NotALocationThatSomebodyUses", func(t *testing.T) {
		have := have
		have.Policies = slices.Clone(have.Policies)
		edit(have.Policies, acme, func(p *contractor.CAPolicy) { p.Locations.Exclude = []string{countries} })
		r := policy.Plan(nothing, have, policy.Options{Managed: memory, Now: noon})
		if got := codes(r.Refusals); !slices.Equal(got, []policy.Code{policy.LocationInUse}) || !strings.Contains(r.Refusals[0].Words, `"Employees: MFA"`) {
			t.Errorf("refusals %+v", r.Refusals)
		}
	})
	t.Run("AdoptedByName", func(t *testing.T) {
		r := policy.Plan(declared(), have, policy.Options{Now: noon})
		if len(r.Changes) != 3 {
			t.Fatalf("changes %v", lines(r))
		}
		for _, c := range r.Changes {
			if !c.Adopt || c.Action != policy.Update || len(c.Fields) != 0 {
				t.Errorf("%s %s: adopt %v, fields %v", c.Action, c.Name, c.Adopt, c.Fields)
			}
		}
	})
	t.Run("RowsOfNothingAreForgotten", func(t *testing.T) {
		r := policy.Plan(nothing, bare(), policy.Options{Managed: memory, Now: noon})
		if len(r.Forget) != 3 || len(r.Changes) != 0 {
			t.Errorf("forget %+v, changes %v", r.Forget, lines(r))
		}
	})
}

func TestPlanTrust(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		name      string
		say       *bool // the mapping
		byDefault *bool
		own       *bool
		partner   bool
		want      []string
		mfa       bool
	}{
		{name: "ShownAndLeftAlone", own: &yes, partner: true, want: []string{}, mfa: true},
		{name: "InheritedIsEnough", say: &yes, byDefault: &yes, want: []string{}, mfa: true},
		{name: "NewPartner", say: &yes, byDefault: &no, want: []string{"create trust acme"}},
		{name: "PartnerThatInherits", say: &yes, byDefault: &no, partner: true, want: []string{"update trust acme"}},
		{name: "TakenBack", say: &no, byDefault: &no, own: &yes, partner: true, want: []string{"update trust acme"}, mfa: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, have := declared(), bare()
			want.Tenants = []contractor.PartnerTenant{{Name: "acme", ID: acme, TrustMFA: tc.say}}
			want.Policies, want.Locations = nil, nil
			have.Trusts = []contractor.TenantTrust{{MFA: tc.byDefault}}
			if tc.partner {
				have.Trusts = append(have.Trusts, contractor.TenantTrust{Tenant: acme, MFA: tc.own, CompliantDevice: &yes, Partner: true})
			}
			r := policy.Plan(want, have, policy.Options{Now: noon})
			if diff := cmp.Diff(tc.want, lines(r)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if len(r.Trusts) != 1 || r.Trusts[0].MFA != tc.mfa {
				t.Errorf("shown %+v", r.Trusts)
			}
			if len(r.Changes) == 1 && tc.partner && r.Changes[0].Trust.CompliantDevice == nil {
				t.Error("the rest of the partner's trust was lost")
			}
		})
	}
}
