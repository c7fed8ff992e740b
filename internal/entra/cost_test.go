package entra_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// TestCostOfALife counts what one contractor costs from first to last: onboarding with attributes, sponsor, two PIM groups and
// one access package; one extension; the planned end, at which Entra's own expiry takes groups and package back; the deletion.
// docs/entra.md quotes the figures.
func TestCostOfALife(t *testing.T) {
	run(t, "bubble", func(t *testing.T) {
		cfg := kindly(1)
		cfg.Unknowns.DeletedFilters = emulator.Yes
		x := newTenant(t, cfg)
		second, err := x.e.AddGroup(emulator.GroupSeed{Name: "ext-second"})
		if err != nil {
			t.Fatal(err)
		}
		var id string
		var table []string
		last := x.e.Report()
		phase := func(name string, steps func(ctx context.Context)) {
			steps(t.Context())
			now := x.e.Report()
			pim, em := 0, 0
			for op, r := range now.ByOperation {
				n := r.Calls - last.ByOperation[op].Calls
				switch op {
				case "pim.request.create":
					pim += n
				case "em.request.create":
					em += n
				}
			}
			table = append(table, fmt.Sprintf("| %s | %d | %d | %d | %d | %d |", name, now.Calls-last.Calls, now.Writes-last.Writes, pim, em, now.RU-last.RU))
			last = now
		}
		must := func(r contractor.Receipt, err error) contractor.Receipt {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		end := time.Now().Add(30 * 24 * time.Hour)
		groups := []string{x.group, second}
		assignTo := func(group string) contractor.Assignment {
			return contractor.Assignment{GuestID: id, GroupID: group, End: end, Justification: "rule"}
		}
		pack := contractor.Assignment{PackageID: x.pack, PolicyID: x.policy, Justification: "rule"}
		look := func(ctx context.Context) contractor.Access {
			a, err := x.Access(ctx, id, true, true)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		phase("onboarding", func(ctx context.Context) {
			sponsor, err := x.FindSponsor(ctx, "boss@contoso.example")
			if err != nil || sponsor == "" {
				t.Fatal(sponsor, err)
			}
			if g, err := x.FindGuest(ctx, "ada@vendor.example"); g != nil || err != nil {
				t.Fatal(g, err)
			}
			id = must(x.Invite(ctx, contractor.Invitation{Email: "ada@vendor.example", DisplayName: "Ada", SponsorIDs: []string{sponsor}})).Handle
			must(x.UpdateGuest(ctx, id, map[string]string{"companyName": "Vendor", "department": "Platform", "employeeId": "1", "costCenter": "4711"}))
			for _, g := range groups {
				if _, err := x.GroupCap(ctx, g); err != nil {
					t.Fatal(err)
				}
				must(x.AssignGroup(ctx, assignTo(g)))
			}
			pack.GuestID, pack.End = id, end
			must(x.AssignPackage(ctx, pack))
			pack.AssignmentID = look(ctx).Packages[0].AssignmentID
		})
		phase("extension", func(ctx context.Context) {
			end = end.Add(30 * 24 * time.Hour)
			if _, err := x.Guest(ctx, id); err != nil {
				t.Fatal(err)
			}
			look(ctx)
			for _, g := range groups {
				must(x.MoveGroup(ctx, assignTo(g)))
			}
			pack.End = end
			must(x.MovePackage(ctx, pack))
			look(ctx)
		})
		phase("end", func(ctx context.Context) {
			rest(time.Until(end)) // fake time
			if _, err := x.Guest(ctx, id); err != nil {
				t.Fatal(err)
			}
			must(x.SetEnabled(ctx, id, false))
			must(x.RevokeSessions(ctx, id))
			rest(2 * time.Minute)
			if g, err := x.Guest(ctx, id); err != nil || g.Enabled {
				t.Fatal(g, err)
			}
			if a := look(ctx); !a.Empty() {
				t.Fatalf("Entra did not end it by itself: %+v", a)
			}
		})
		phase("deletion", func(ctx context.Context) {
			rest(30 * 24 * time.Hour)
			if _, err := x.Guest(ctx, id); err != nil {
				t.Fatal(err)
			}
			look(ctx)
			must(x.DeleteGuest(ctx, id))
			if g, err := x.Guest(ctx, id); err != nil || g == nil || !g.Deleted {
				t.Fatal(g, err)
			}
		})
		t.Log("| phase | calls | identity writes | PIM writes | entitlement writes | RU |")
		for _, row := range table {
			t.Log(row)
		}
		r := x.e.Report()
		if r.Writes != 5 {
			t.Errorf("%d identity writes for a whole life, want 5: invite, attributes, disable, revoke, delete", r.Writes)
		}
		for status, n := range r.ByStatus {
			if status >= 400 {
				t.Errorf("%d answers %d: wasted", n, status)
			}
		}
	})
}
