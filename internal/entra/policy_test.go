package entra_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

const (
	breakGlassID = "c0ffee00-1111-4222-8333-444455556666"
	caID         = "90110000-0000-4000-8000-000000000001"
	locID        = "10ca1105-0000-4000-8000-000000000001"
	vendorTenant = "aaaaaaaa-0000-4000-8000-000000000001"
	strongID     = "00000000-0000-0000-0000-000000000004"
)

// declaredPolicy has every part that can be declared.
func declaredPolicy() contractor.CAPolicy {
	return contractor.CAPolicy{
		Name: "scimbridge: all parts", State: contractor.CAReportOnly,
		Users: contractor.CAUsers{
			IncludeGuests: contractor.CAGuests{Types: []string{"otherExternalUser", "b2bCollaborationGuest"}, Tenants: []string{vendorTenant}},
			ExcludeGroups: []string{breakGlassID},
		},
		Apps: contractor.CAApps{Include: []string{"All"}, Exclude: []string{"Office365"}}, ClientApps: []string{"mobileAppsAndDesktopClients", "browser"},
		Locations: contractor.CAIncludes{Include: []string{"All"}, Exclude: []string{locID}}, SignInRisk: []string{"medium", "high"},
		Devices: contractor.CADevices{Mode: "exclude", Rule: "device.isCompliant -eq True"},
		Grant:   contractor.CAGrant{Operator: "AND", Strength: strongID, Terms: []string{reqID}},
		Session: contractor.CASession{Frequency: 12 * time.Hour, PersistentBrowser: "never"},
	}
}

const declaredBody = `{"displayName":"scimbridge: all parts","state":"enabledForReportingButNotEnforced","conditions":{
	"users":{"includeGuestsOrExternalUsers":{"guestOrExternalUserTypes":"b2bCollaborationGuest,otherExternalUser",
		"externalTenants":{"@odata.type":"#microsoft.graph.conditionalAccessEnumeratedExternalTenants","membershipKind":"enumerated","members":["` + vendorTenant + `"]}},
		"excludeGroups":["` + breakGlassID + `"]},
	"applications":{"includeApplications":["All"],"excludeApplications":["Office365"]},"clientAppTypes":["browser","mobileAppsAndDesktopClients"],
	"locations":{"includeLocations":["All"],"excludeLocations":["` + locID + `"]},"signInRiskLevels":["high","medium"],
	"devices":{"deviceFilter":{"mode":"exclude","rule":"device.isCompliant -eq True"}}},
	"grantControls":{"operator":"AND","builtInControls":[],"customAuthenticationFactors":[],"termsOfUse":["` + reqID + `"],"authenticationStrength":{"id":"` + strongID + `"}},
	"sessionControls":{"signInFrequency":{"isEnabled":true,"type":"hours","value":12,"frequencyInterval":"timeBased","authenticationType":"primaryAndSecondaryAuthentication"},
		"persistentBrowser":{"isEnabled":true,"mode":"never"}}}`

func sameJSON(t *testing.T, what, want, got string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(want), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got), &b); err != nil {
		t.Fatalf("%s: %v in %s", what, err, got)
	}
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// asRead is a body as Graph gives it back: with an id, with dates, and with the parts that nobody set.
func asRead(t *testing.T, body, id string, change func(map[string]any)) string {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		t.Fatal(err)
	}
	o["@odata.context"], o["id"], o["createdDateTime"], o["modifiedDateTime"], o["templateId"] = "x", strings.ToUpper(id), "2026-11-24T12:00:00Z", nil, nil
	if c, ok := o["conditions"].(map[string]any); ok {
		c["authenticationFlows"], c["insiderRiskLevels"], c["clientApplications"], c["servicePrincipalRiskLevels"] = nil, nil, nil, []any{}
	}
	if change != nil {
		change(o)
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPolicyOnTheWire(t *testing.T) {
	run(t, "create", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /identity/conditionalAccess/policies", reply{status: 201, body: asRead(t, declaredBody, caID, nil)})
		g.on("GET /identity/conditionalAccess/policies/*", reply{status: 404, body: graphError("ResourceNotFound", "not yet")}, reply{status: 200, body: asRead(t, declaredBody, caID, nil)})
		r, err := c.CreatePolicy(t.Context(), declaredPolicy())
		if err != nil || r.Handle != caID || r.RequestID == "" {
			t.Fatalf("%+v, %v", r, err)
		}
		sameJSON(t, "body", declaredBody, g.last("POST /identity/conditionalAccess/policies").Body)
		if got := g.lines(false); len(got) != 4 {
			t.Errorf("one write, a miss and two good reads were expected: %v", got)
		}
	})
	run(t, "update says the empty parts too", func(t *testing.T) {
		c, g := script(t)
		p := contractor.CAPolicy{
			ID: caID, Name: "scimbridge: mfa", State: contractor.CAOn, Users: contractor.CAUsers{IncludeGroups: []string{groupID}, ExcludeUsers: []string{bossID}},
			Apps: contractor.CAApps{Include: []string{"All"}}, Grant: contractor.CAGrant{Controls: []string{"mfa"}},
		}
		body := `{"displayName":"scimbridge: mfa","state":"enabled","conditions":{
			"users":{"includeUsers":[],"excludeUsers":["` + bossID + `"],"includeGroups":["` + groupID + `"],"excludeGroups":[],"includeRoles":[],"excludeRoles":[],
				"includeGuestsOrExternalUsers":null,"excludeGuestsOrExternalUsers":null},
			"applications":{"includeApplications":["All"],"excludeApplications":[]},"clientAppTypes":["all"],"locations":null,"platforms":null,"devices":null,
			"signInRiskLevels":[],"userRiskLevels":[],"authenticationFlows":null},
			"grantControls":{"operator":"AND","builtInControls":["mfa"],"termsOfUse":[],"customAuthenticationFactors":[]},"sessionControls":null}`
		g.on("PATCH /identity/conditionalAccess/policies/*", reply{status: 204})
		g.on("GET /identity/conditionalAccess/policies/*", reply{status: 200, body: asRead(t, body, caID, func(o map[string]any) {
			if grant, ok := o["grantControls"].(map[string]any); ok {
				grant["operator"] = "OR" // with one control it says nothing
			}
		})})
		if _, err := c.UpdatePolicy(t.Context(), p, []string{"conditions.authenticationFlows", "sessionControls.cloudAppSecurity"}); err != nil {
			t.Fatal(err)
		}
		sameJSON(t, "body", body, g.last("PATCH /identity/conditionalAccess/policies/"+caID).Body)
	})
	run(t, "a change that is never seen", func(t *testing.T) {
		c, g := script(t)
		g.on("PATCH /identity/conditionalAccess/policies/*", reply{status: 204})
		g.on("GET /identity/conditionalAccess/policies/*", reply{status: 200, body: asRead(t, declaredBody, caID, func(o map[string]any) { o["state"] = "disabled" })})
		p := declaredPolicy()
		p.ID = caID
		_, err := c.UpdatePolicy(t.Context(), p, nil)
		var f *contractor.Failure
		if !errors.As(err, &f) || f.Verdict != contractor.VerdictUnknown || !strings.Contains(f.Message, "does not show it") {
			t.Errorf("%v", err)
		}
	})
	run(t, "a lost answer is not repeated", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /identity/conditionalAccess/policies", reply{status: 503})
		_, err := c.CreatePolicy(t.Context(), declaredPolicy())
		var f *contractor.Failure
		if !errors.As(err, &f) || f.Verdict != contractor.VerdictUnknown || len(g.lines(true)) != 1 {
			t.Errorf("%v after %v", err, g.lines(true))
		}
	})
	run(t, "what must never leave", func(t *testing.T) {
		c, g := script(t)
		for name, change := range map[string]func(*contractor.CAPolicy){
			"for everybody":     func(p *contractor.CAPolicy) { p.Users.IncludeUsers = []string{"All"} },
			"for roles":         func(p *contractor.CAPolicy) { p.Users.IncludeRoles = []string{bossID} },
			"without exclusion": func(p *contractor.CAPolicy) { p.Users.ExcludeGroups = nil },
			"without a name":    func(p *contractor.CAPolicy) { p.Name = "" },
		} {
			p := declaredPolicy()
			change(&p)
			if _, err := c.CreatePolicy(t.Context(), p); err == nil {
				t.Errorf("%s: made", name)
			}
			p.ID = caID
			if _, err := c.UpdatePolicy(t.Context(), p, nil); err == nil {
				t.Errorf("%s: written", name)
			}
		}
		if n := len(g.lines(false)); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestPoliciesAreRead(t *testing.T) {
	run(t, "parts without a word are named", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /identity/conditionalAccess/policies", reply{status: 200, body: `{"value":[` + asRead(t, declaredBody, caID, nil) + `,` +
			asRead(t, declaredBody, bossID, func(o map[string]any) {
				o["state"] = "enabled"
				o["conditions"] = map[string]any{
					"users": map[string]any{"includeUsers": []any{"All"}}, "clientAppTypes": []any{"all"},
					"applications":        map[string]any{"includeUserActions": []any{"urn:user:registersecurityinfo"}, "applicationFilter": nil},
					"authenticationFlows": map[string]any{"transferMethods": "deviceCodeFlow"}, "futureCondition": map[string]any{"x": 1},
				}
				o["sessionControls"] = map[string]any{"cloudAppSecurity": map[string]any{"isEnabled": false, "cloudAppSecurityType": "blockDownloads"}, "disableResilienceDefaults": true,
					"signInFrequency": map[string]any{"isEnabled": true, "frequencyInterval": "everyTime", "authenticationType": "secondaryAuthentication", "type": nil, "value": nil}}
				o["grantControls"] = map[string]any{"operator": "OR", "builtInControls": []any{"mfa"}, "customAuthenticationFactors": []any{"duo"}, "authenticationStrength": nil}
			}) + `]}`})
		got, err := c.CAPolicies(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := declaredPolicy()
		want.ID, want.Created = caID, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		sortAll := func(p *contractor.CAPolicy) {
			slices.Sort(p.Users.IncludeGuests.Types)
			slices.Sort(p.ClientApps)
			slices.Sort(p.SignInRisk)
		}
		sortAll(&want)
		sortAll(&got[0])
		got[0].Grant.Controls = nil
		if d := cmp.Diff(want, got[0]); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		other := []string{"conditions.applications.includeUserActions", "conditions.authenticationFlows", "conditions.futureCondition",
			"grantControls.customAuthenticationFactors", "sessionControls.disableResilienceDefaults", "sessionControls.signInFrequency.authenticationType"}
		if d := cmp.Diff(other, got[1].Other); d != "" {
			t.Errorf("other (-want +got):\n%s", d)
		}
		if !got[1].Session.EveryTime || !slices.Equal(got[1].Users.IncludeUsers, []string{"All"}) {
			t.Errorf("%+v", got[1])
		}
	})
	run(t, "a state that is not known is no policy that may be judged", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /identity/conditionalAccess/policies", reply{status: 200, body: `{"value":[` + asRead(t, declaredBody, caID, func(o map[string]any) { o["state"] = "paused" }) + `]}`})
		if _, err := c.CAPolicies(t.Context()); err == nil {
			t.Error("read")
		}
	})
}

// The life of policies and locations in an emulated tenant, kind and unkind, with the quota of one request a second.
func TestPolicyLife(t *testing.T) {
	for name, cfg := range map[string]emulator.Config{"kind": kindly(1), "unkind": unkindly(2), "unkinder": unkindly(5)} {
		run(t, name, func(t *testing.T) {
			x := newTenant(t, cfg)
			glass, err := x.e.AddGroup(emulator.GroupSeed{Name: "emergency", Members: []string{x.sponsor}})
			if err != nil {
				t.Fatal(err)
			}
			loc := contractor.NamedLocation{Name: "scimbridge: egress", Kind: contractor.LocationRanges, Ranges: []string{"203.0.113.0/24", "2001:db8::/48"}, Trusted: true}
			loc.ID = x.make("location", loc.Name, func() (contractor.Receipt, error) { return x.CreateLocation(t.Context(), loc) }, func() []named {
				var out []named
				list, err := x.NamedLocations(t.Context())
				x.soft(err)
				for _, l := range list {
					out = append(out, named{l.ID, l.Name})
				}
				return out
			})
			p := declaredPolicy()
			p.Users.ExcludeGroups, p.Locations.Exclude, p.Grant.Terms, p.Users.IncludeGuests.Tenants = []string{glass}, []string{loc.ID}, nil, nil
			p.ID = x.make("policy", p.Name, func() (contractor.Receipt, error) { return x.CreatePolicy(t.Context(), p) }, func() []named {
				var out []named
				list, err := x.CAPolicies(t.Context())
				x.soft(err)
				for _, l := range list {
					out = append(out, named{l.ID, l.Name})
				}
				return out
			})
			p.State, p.Locations, p.Devices, p.SignInRisk, p.Session = contractor.CAOn, contractor.CAIncludes{}, contractor.CADevices{}, nil, contractor.CASession{Frequency: 48 * time.Hour}
			p.Grant = contractor.CAGrant{Controls: []string{"mfa"}}
			x.change("update policy", func() (contractor.Receipt, error) { return x.UpdatePolicy(t.Context(), p, nil) })
			loc.Ranges = []string{"203.0.113.0/24"}
			x.change("update location", func() (contractor.Receipt, error) { return x.UpdateLocation(t.Context(), loc) })

			state := x.e.State()
			if len(state.Policies) != 1 || len(state.Locations) != 1 {
				t.Fatalf("%d policies, %d locations", len(state.Policies), len(state.Locations))
			}
			cond, _ := state.Policies[0]["conditions"].(map[string]any)
			if state.Policies[0]["state"] != "enabled" || cond["locations"] != nil || cond["devices"] != nil {
				t.Errorf("the policy is %v", state.Policies[0])
			}
			x.change("delete policy", func() (contractor.Receipt, error) { return x.DeletePolicy(t.Context(), p.ID) })
			x.change("delete trusted location", func() (contractor.Receipt, error) { return x.DeleteLocation(t.Context(), loc.ID) })
			if state := x.e.State(); len(state.Policies)+len(state.Locations) != 0 {
				t.Errorf("left: %v %v", state.Policies, state.Locations)
			}
			if r, err := x.DeletePolicy(t.Context(), p.ID); name == "kind" && (err != nil || !r.AlreadySo) {
				t.Errorf("deleting twice: %+v, %v", r, err)
			}
			if n := x.e.Report().ByStatus[http.StatusTooManyRequests]; name == "kind" && n != 0 {
				t.Errorf("%d times 429", n)
			}
		})
	}
}

type named struct{ id, name string }

// make creates what is not idempotent as its callers must: after a doubt it looks for the name.
func (x *tenant) make(what, name string, create func() (contractor.Receipt, error), look func() []named) (id string) {
	x.t.Helper()
	x.until("create "+what, func() (bool, error) {
		r, err := create()
		if r.Handle != "" {
			id = r.Handle
			return true, nil
		}
		var f *contractor.Failure
		if !errors.As(err, &f) || f.Verdict != contractor.VerdictUnknown {
			return err == nil, err
		}
		for range 5 { // a list may miss it for a while
			for _, n := range look() {
				if n.name == name {
					id = n.id
					return true, nil
				}
			}
			rest(2 * time.Second) // fake time
		}
		return false, nil
	})
	return id
}

// soft lets a failure pass that may come right by itself.
func (x *tenant) soft(err error) {
	x.t.Helper()
	var f *contractor.Failure
	if err != nil && (!errors.As(err, &f) || f.Verdict == contractor.VerdictPermanent || f.Verdict == contractor.VerdictRefused) {
		x.t.Fatal(err)
	}
}

func TestDeleteLocationInUse(t *testing.T) {
	run(t, "is refused with what to do", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		loc := contractor.NamedLocation{Name: "scimbridge: work", Kind: contractor.LocationCountries, Countries: []string{"DE"}}
		r, err := x.CreateLocation(t.Context(), loc)
		if err != nil {
			t.Fatal(err)
		}
		p := declaredPolicy()
		p.Users.ExcludeGroups, p.Locations.Exclude, p.Grant.Terms, p.Users.IncludeGuests.Tenants = []string{x.group}, []string{r.Handle}, nil, nil
		if _, err := x.CreatePolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		_, err = x.DeleteLocation(t.Context(), r.Handle)
		var f *contractor.Failure
		if !errors.As(err, &f) || f.Verdict != contractor.VerdictRefused || !strings.Contains(f.Message, "may still name it") {
			t.Errorf("%v", err)
		}
	})
}

func TestTrust(t *testing.T) {
	yes, no := true, false
	for name, cfg := range map[string]emulator.Config{"kind": kindly(1), "unkind": unkindly(3)} {
		run(t, name, func(t *testing.T) {
			x := newTenant(t, cfg)
			set := func(v *bool) {
				x.change("set trust", func() (contractor.Receipt, error) {
					return x.SetTrust(t.Context(), contractor.TenantTrust{Tenant: vendorTenant, MFA: v, CompliantDevice: &no})
				})
			}
			set(&yes)
			set(&no)
			set(&yes)
			var trusts []contractor.TenantTrust
			x.until("read trust", func() (bool, error) {
				var err error
				trusts, err = x.TenantTrusts(t.Context())
				return true, err
			})
			if len(trusts) != 2 || trusts[0].Tenant != "" || trusts[0].MFA == nil || *trusts[0].MFA {
				t.Fatalf("%+v", trusts)
			}
			if got := trusts[1]; got.Tenant != vendorTenant || !got.Partner || got.MFA == nil || !*got.MFA || got.HybridDevice != nil {
				t.Errorf("%+v", got)
			}
		})
	}
	run(t, "the default is never changed", func(t *testing.T) {
		c, g := script(t)
		if _, err := c.SetTrust(t.Context(), contractor.TenantTrust{MFA: &yes}); err == nil || len(g.lines(false)) != 0 {
			t.Errorf("%v after %v", err, g.lines(false))
		}
	})
}

func TestWhoIsInAPolicysGroup(t *testing.T) {
	run(t, "members, guests and nested groups", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		guest := func(mail string, disabled bool) string {
			id, err := x.e.AddUser(emulator.UserSeed{Guest: true, Mail: mail, Disabled: disabled})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		nested, err := x.e.AddGroup(emulator.GroupSeed{Name: "nested", Members: []string{x.sponsor, guest("c@vendor.example", true)}})
		if err != nil {
			t.Fatal(err)
		}
		id, err := x.e.AddGroup(emulator.GroupSeed{Name: "ext-all", Members: []string{guest("a@vendor.example", false), guest("b@vendor.example", false), nested}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.CAGroup(t.Context(), id)
		if d := cmp.Diff(contractor.CAGroup{ID: id, Name: "ext-all", Found: true, Members: 1, Guests: 3, Enabled: 3}, got); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
		if got, err := x.CAGroup(t.Context(), breakGlassID); err != nil || got.Found {
			t.Errorf("%+v, %v", got, err)
		}
		dynamic, err := x.e.AddGroup(emulator.GroupSeed{Name: "dyn", Dynamic: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.CAGroup(t.Context(), dynamic); err != nil || got.Rule != `user.userType -eq "Guest"` {
			t.Errorf("%+v, %v", got, err)
		}
		for id, want := range map[string][2]bool{x.sponsor: {true, true}, guest("d@vendor.example", true): {false, true}, breakGlassID: {false, false}} {
			if enabled, found, err := x.CanSignIn(t.Context(), id); err != nil || [2]bool{enabled, found} != want {
				t.Errorf("%s: %v %v %v", id, enabled, found, err)
			}
		}
	})
	run(t, "an end to the look through", func(t *testing.T) {
		c, g := script(t)
		next := root + "/groups/" + groupID + "/transitiveMembers/microsoft.graph.user?$skiptoken="
		var pages []reply
		for i := range 25 {
			pages = append(pages, reply{status: 200, body: `{"value":[{"id":"x","userType":"Guest","accountEnabled":true}],"@odata.nextLink":"` + next + string(rune('a'+i)) + `"}`})
		}
		g.on("GET /groups/"+groupID+"/transitiveMembers/*", pages...)
		if got, err := c.CAGroup(t.Context(), groupID); err != nil || !got.Capped || got.Guests != 20 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestLastSuccess(t *testing.T) {
	run(t, "attempts do not count", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		id, err := x.e.AddUser(emulator.UserSeed{Guest: true, Mail: "a@vendor.example", Accepted: true})
		if err != nil {
			t.Fatal(err)
		}
		last := func() time.Time {
			at, err := x.LastSuccess(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		if got := last(); !got.IsZero() {
			t.Errorf("before the first sign-in: %s", got)
		}
		if _, err := x.e.SignIn(emulator.SignIn{UserID: id, MFA: true}); err != nil {
			t.Fatal(err)
		}
		first := last()
		if first.IsZero() {
			t.Fatal("a sign-in is not seen")
		}
		rest(time.Hour) // fake time
		if err := x.e.DoDisable(id); err != nil {
			t.Fatal(err)
		}
		if _, err := x.e.SignIn(emulator.SignIn{UserID: id, MFA: true}); err != nil {
			t.Fatal(err)
		}
		if got := last(); !got.Equal(first) {
			t.Errorf("after a refused attempt: %s, first %s", got, first)
		}
	})
}
