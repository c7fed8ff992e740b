package entra_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
)

// finding is the one check about a thing; its absence fails the test.
func finding(t *testing.T, checks []entra.Check, area, name string) entra.Check {
	t.Helper()
	for _, c := range checks {
		if c.Area == area && c.Name == name {
			return c
		}
	}
	t.Fatalf("no check of %s %q in %+v", area, name, checks)
	return entra.Check{}
}

const pimLicence = "memberships that Entra ends by itself"

func TestDoctor(t *testing.T) {
	group := func(t *testing.T, x *tenant, s emulator.GroupSeed) contractor.Entitlement {
		t.Helper()
		id, err := x.e.AddGroup(s)
		if err != nil {
			t.Fatal(err)
		}
		return contractor.Entitlement{Kind: contractor.KindGroup, Name: s.Name, ID: id, Expiry: contractor.ExpiryEntra}
	}
	// Exactly the permissions that the features of the test need.
	exact := func(features ...entra.Feature) []string {
		var out []string
		for _, f := range features {
			for _, p := range entra.Permissions(f) {
				out = append(out, p.Name)
			}
		}
		return out
	}
	all := exact(entra.FeatureGuests, entra.FeatureGroups, entra.FeatureSchedules, entra.FeaturePackages, entra.FeaturePolicyRead)
	run(t, "finds nothing to say of a tenant that is as it should be", func(t *testing.T) {
		cfg := kindly(1)
		cfg.Permissions = all
		x := newTenant(t, cfg)
		good := group(t, x, emulator.GroupSeed{Name: "good", Cap: 90 * 24 * time.Hour})
		checks := x.Doctor(t.Context(), entra.DoctorConfig{
			Catalog:  []contractor.Entitlement{good, {Kind: contractor.KindAccessPackage, Name: "dev-basic", ID: x.pack, Policy: x.policy}},
			Sponsors: []string{"boss@contoso.example"}, NotAfter: time.Now().Add(365 * 24 * time.Hour),
		})
		for _, c := range checks {
			if c.Level != entra.CheckOK {
				t.Errorf("%+v", c)
			}
		}
		if c := finding(t, checks, "group", "good"); !strings.Contains(c.Found, "90 days") {
			t.Errorf("%+v", c)
		}
	})
	run(t, "names what is missing, too much and never to be had", func(t *testing.T) {
		cfg := kindly(1)
		cfg.Permissions = []string{"User.ReadWrite.All", "RoleManagement.ReadWrite.Directory", "Mail.Read"}
		x := newTenant(t, cfg)
		checks := x.Doctor(t.Context(), entra.DoctorConfig{Catalog: []contractor.Entitlement{{Kind: contractor.KindGroup, Name: "g", ID: x.group, Expiry: contractor.ExpiryEntra}}, LeaveDate: true})
		for name, level := range map[string]entra.CheckLevel{
			"User.ReadWrite.All": entra.CheckOK, "User.RevokeSessions.All": entra.CheckFail, "GroupMember.ReadWrite.All": entra.CheckFail,
			"PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup": entra.CheckFail, "User-LifeCycleInfo.ReadWrite.All": entra.CheckFail,
			"RoleManagementPolicy.Read.AzureADGroup": entra.CheckWarn, "Policy.Read.All": entra.CheckWarn,
			"RoleManagement.ReadWrite.Directory": entra.CheckFail, "Mail.Read": entra.CheckWarn,
		} {
			if c := finding(t, checks, "permission", name); c.Level != level || level != entra.CheckOK && c.Action == "" {
				t.Errorf("%+v, want %s", c, level)
			}
		}
		if c := finding(t, checks, "group", "g"); c.Level != entra.CheckFail {
			t.Errorf("a group that cannot be read: %+v", c)
		}
	})
	run(t, "sees what is wrong with groups, packages and sponsors", func(t *testing.T) {
		cfg := kindly(1)
		cfg.Permissions = all
		x := newTenant(t, cfg)
		noSchedule, policy, err := x.e.AddAccessPackage(emulator.PackageSeed{Name: "no schedule", WithoutOwnSchedule: true})
		if err != nil {
			t.Fatal(err)
		}
		catalog := []contractor.Entitlement{
			group(t, x, emulator.GroupSeed{Name: "dynamic", Dynamic: true}),
			group(t, x, emulator.GroupSeed{Name: "mfa", Rules: []string{"Justification", "MultiFactorAuthentication"}}),
			{Kind: contractor.KindGroup, Name: "missing", ID: guestID},
			{Kind: contractor.KindGroup, Name: "bridged", ID: x.group, Expiry: contractor.ExpiryBridge},
			{Kind: contractor.KindAccessPackage, Name: "no schedule", ID: noSchedule, Policy: policy},
			{Kind: contractor.KindAccessPackage, Name: "wrong policy", ID: x.pack, Policy: policy},
			{Kind: contractor.KindAccessPackage, Name: "no id", ID: "x", Policy: policy},
		}
		if err := x.e.SetInvitePolicy("adminsAndGuestInviters"); err != nil {
			t.Fatal(err)
		}
		checks := x.Doctor(t.Context(), entra.DoctorConfig{Catalog: catalog, Sponsors: []string{"nobody@contoso.example", "group:" + x.group}, NotAfter: time.Now().Add(10 * 24 * time.Hour)})
		for key, level := range map[[2]string]entra.CheckLevel{
			{"group", "dynamic"}: entra.CheckFail, {"group", "mfa"}: entra.CheckFail, {"group", "missing"}: entra.CheckFail, {"group", "bridged"}: entra.CheckWarn,
			{"package", "no schedule"}: entra.CheckFail, {"package", "wrong policy"}: entra.CheckFail, {"package", "no id"}: entra.CheckFail,
			{"sponsor", "(address)"}: entra.CheckFail, {"sponsor", "group:" + x.group}: entra.CheckOK,
			{"invitations", "adminsAndGuestInviters"}: entra.CheckFail, {"certificate", ""}: entra.CheckWarn,
		} {
			if c := finding(t, checks, key[0], key[1]); c.Level != level || level != entra.CheckOK && c.Action == "" {
				t.Errorf("%+v, want %s", c, level)
			}
		}
		b, err := json.Marshal(checks)
		if err != nil || strings.Contains(string(b), "@") {
			t.Errorf("an address in %s (%v)", b, err)
		}
	})
	run(t, "tells which licences are wanted and which the tenant lacks", func(t *testing.T) {
		for licence, want := range map[emulator.Licence]map[string]entra.CheckLevel{
			emulator.LicenceP2:   {pimLicence: entra.CheckOK, "access packages": entra.CheckOK, "the sign-in log": entra.CheckOK, "conditional access": entra.CheckOK, "employeeLeaveDateTime": entra.CheckOK},
			emulator.LicenceP1:   {pimLicence: entra.CheckFail, "access packages": entra.CheckFail, "the sign-in log": entra.CheckOK, "conditional access": entra.CheckOK},
			emulator.LicenceFree: {pimLicence: entra.CheckFail, "access packages": entra.CheckFail, "the sign-in log": entra.CheckFail, "conditional access": entra.CheckFail},
		} {
			cfg := kindly(1)
			cfg.Licence = licence
			x := newTenant(t, cfg)
			checks := x.Doctor(t.Context(), entra.DoctorConfig{
				Catalog:   []contractor.Entitlement{group(t, x, emulator.GroupSeed{Name: "g"}), {Kind: contractor.KindAccessPackage, Name: "p", ID: x.pack, Policy: x.policy}},
				LeaveDate: true, Activity: true, Policies: true,
			})
			for name, level := range want {
				if c := finding(t, checks, "licence", name); c.Level != level || level != entra.CheckOK && c.Action == "" {
					t.Errorf("%s: %+v, want %s", licence, c, level)
				}
			}
		}
		// Without the permission nobody can tell.
		cfg := kindly(1)
		cfg.Permissions = []string{"User.ReadWrite.All", "GroupMember.ReadWrite.All"}
		x := newTenant(t, cfg)
		if c := finding(t, x.Doctor(t.Context(), entra.DoctorConfig{Activity: true}), "licence", "the sign-in log"); c.Level != entra.CheckWarn {
			t.Errorf("%+v", c)
		}
	})
	run(t, "takes a quota that somebody else uses up for no fault", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		if err := x.e.Fail(emulator.Fault{Match: "GET /auditLogs/*", Status: http.StatusTooManyRequests, RetryAfter: time.Second, Times: -1}); err != nil {
			t.Fatal(err)
		}
		c := finding(t, x.Doctor(t.Context(), entra.DoctorConfig{Activity: true}), "licence", "the sign-in log")
		if c.Level != entra.CheckWarn || !strings.Contains(c.Action, "again in a minute") {
			t.Errorf("%+v", c)
		}
	})
	run(t, "tells what is billed for each guest", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		plain, ours, theirs := group(t, x, emulator.GroupSeed{Name: "plain"}), group(t, x, emulator.GroupSeed{Name: "ours"}), group(t, x, emulator.GroupSeed{Name: "theirs"})
		somebody, err := x.e.AddUser(emulator.UserSeed{Guest: true, Mail: "ada@vendor.example"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.AssignGroup(t.Context(), contractor.Assignment{GuestID: somebody, GroupID: theirs.ID, End: time.Now().Add(24 * time.Hour), Justification: "x"}); err != nil {
			t.Fatal(err)
		}
		pack := func(s emulator.PackageSeed) contractor.Entitlement {
			id, policy, err := x.e.AddAccessPackage(s)
			if err != nil {
				t.Fatal(err)
			}
			return contractor.Entitlement{Kind: contractor.KindAccessPackage, Name: s.Name, ID: id, Policy: policy}
		}
		approved := func(approver string) map[string]any {
			return map[string]any{"displayName": "p", "description": "p", "allowedTargetScope": "notSpecified", "requestorSettings": map[string]any{"allowCustomAssignmentSchedule": true},
				"requestApprovalSettings": map[string]any{"isApprovalRequiredForAdd": true, "stages": []any{map[string]any{
					"isApproverJustificationRequired": false, "primaryApprovers": []any{map[string]any{"@odata.type": approver}}}}}}
		}
		checks := x.Doctor(t.Context(), entra.DoctorConfig{Catalog: []contractor.Entitlement{
			ours, pack(emulator.PackageSeed{Name: "free", Groups: []string{plain.ID}}), pack(emulator.PackageSeed{Name: "with our group", Groups: []string{ours.ID}}),
			pack(emulator.PackageSeed{Name: "with a group of PIM", Groups: []string{theirs.ID}}), pack(emulator.PackageSeed{Name: "with a role", Roles: []string{"User Administrator"}}),
			pack(emulator.PackageSeed{Name: "sponsors", Policy: approved("#microsoft.graph.internalSponsors")}), pack(emulator.PackageSeed{Name: "manager", Policy: approved("#microsoft.graph.requestorManager")}),
			pack(emulator.PackageSeed{Name: "closed", Catalog: "inside", Internal: true}),
		}})
		for _, name := range []string{"with our group", "with a group of PIM", "with a role", "sponsors"} {
			if c := finding(t, checks, "billing", name); c.Level != entra.CheckWarn || !strings.Contains(c.Found, "billed") || c.Action == "" {
				t.Errorf("%+v", c)
			}
		}
		for _, c := range checks {
			if c.Area == "billing" && (c.Name == "free" || c.Name == "manager" || c.Level == entra.CheckOK) {
				t.Errorf("%+v", c)
			}
		}
		for _, name := range []string{"with a role", "closed"} {
			if c := finding(t, checks, "package", name); c.Level != entra.CheckFail {
				t.Errorf("%+v", c)
			}
		}
	})
	run(t, "looks at the mailbox that mails come from", func(t *testing.T) {
		cfg := kindly(1)
		cfg.Permissions = append(slices.Clone(all), "Mail.Send")
		x := newTenant(t, cfg)
		if _, err := x.e.AddUser(emulator.UserSeed{UPN: "bridge@contoso.example"}); err != nil {
			t.Fatal(err)
		}
		for mailbox, level := range map[string]entra.CheckLevel{"bridge@contoso.example": entra.CheckOK, "nobody@contoso.example": entra.CheckFail} {
			checks := x.Doctor(t.Context(), entra.DoctorConfig{Mailbox: mailbox})
			if c := finding(t, checks, "mail", ""); c.Level != level {
				t.Errorf("%+v", c)
			}
			if c := finding(t, checks, "permission", "Mail.Send"); c.Level != entra.CheckOK {
				t.Errorf("%+v", c)
			}
		}
		y := newTenant(t, func() emulator.Config { c := kindly(2); c.Permissions = all; return c }())
		if c := finding(t, y.Doctor(t.Context(), entra.DoctorConfig{Mailbox: "bridge@contoso.example"}), "permission", "Mail.Send"); c.Level != entra.CheckFail {
			t.Errorf("%+v", c)
		}
	})
	run(t, "says that the clock is wrong", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		x.e.SkewClock(-10 * time.Minute)
		if c := finding(t, x.Doctor(t.Context(), entra.DoctorConfig{}), "clock", ""); c.Level != entra.CheckFail {
			t.Errorf("%+v", c)
		}
	})
	run(t, "stops where there is no token", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		x.e.RefuseTokenRequests(100)
		checks := x.Doctor(t.Context(), entra.DoctorConfig{})
		if len(checks) != 1 || checks[0].Level != entra.CheckFail || checks[0].Area != "token" {
			t.Errorf("%+v", checks)
		}
	})
	run(t, "outlives an outage", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		x.e.Outage(time.Hour, 503)
		checks := x.Doctor(t.Context(), entra.DoctorConfig{Catalog: []contractor.Entitlement{{Kind: contractor.KindGroup, Name: "g", ID: x.group}}})
		if c := finding(t, checks, "group", "g"); c.Level != entra.CheckFail {
			t.Errorf("%+v", c)
		}
	})
}

// TestPermissionsExist checks names and ids against the metadata's operations, where they are given.
func TestPermissionsExist(t *testing.T) {
	path := os.Getenv("SCIMBRIDGE_GRAPH_SUBSET")
	if path == "" {
		t.Skip("SCIMBRIDGE_GRAPH_SUBSET names no file")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range entra.Features() {
		if len(entra.Permissions(f)) == 0 {
			t.Errorf("feature %s needs nothing", f)
		}
		for _, p := range entra.Permissions(f) {
			// The operation of the leave date is the general PATCH of a user, with the general permission; the metadata leaves mail out.
			if !strings.Contains(string(b), `"`+p.Name+`"`) && f != entra.FeatureLeaveDate && f != entra.FeatureMail {
				t.Errorf("the metadata names no permission %s", p.Name)
			}
			if p.ID == "" || p.Why == "" {
				t.Errorf("%+v", p)
			}
		}
	}
}
