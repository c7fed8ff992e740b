package lifecycle_test

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
)

// watchDrift makes the watch as serve does.
func (w *world) watchDrift() *lifecycle.DriftWatch {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	graph, err := entra.New(entra.Config{GraphURL: graphURL, Credential: &token{transport: w.tenant.Transport(), cfg: w.tenant.Config()}, Transport: w.tenant.Transport(), Logger: log})
	must(w.t, err)
	watch, err := lifecycle.NewDriftWatch(lifecycle.DriftWatchConfig{Store: w.store, Directory: graph, Catalog: w.mapping.Catalog, Wake: w.loop.Wake, Logger: log, Spread: time.Hour})
	must(w.t, err)
	return watch
}

// driftOf lists a person's drift as "kind state".
func (w *world) driftOf(engagement string) (list []string) {
	w.t.Helper()
	found, err := w.store.Drift(w.t.Context(), contractor.DriftQuery{Person: w.personOf(engagement).ID, All: true}, time.Now())
	must(w.t, err)
	for _, d := range found {
		list = append(list, string(d.Kind)+" "+string(d.State))
	}
	slices.Sort(list)
	return list
}

func withDrift(words string) string {
	return strings.Replace(worldMapping, "defaults:\n", "defaults:\n  drift: {"+words+"}\n", 1)
}

// drifted is a change behind our back, made to one guest at work, and what it leads to.
type drifted struct {
	does  func(w *world, guest string) error
	mode  string // of the mapping, "": default
	want  []string
	holds []string // at the end
	whole bool     // the guest is enabled and there at the end
}

// TestDrift changes one thing after the other in the tenant, and sees it found and dealt with.
func TestDrift(t *testing.T) {
	base := []string{"ext-base"}
	added := func(w *world, g string) error { return w.tenant.DoAddMember(groupFin, g) }
	removed := func(w *world, g string) error { return w.tenant.DoRemoveMember(groupBase, g) }
	disabled := func(w *world, g string) error { return w.tenant.DoDisable(g) }
	deleted := func(w *world, g string) error { return w.tenant.DoDelete(g) }
	renamed := func(w *world, g string) error {
		return w.tenant.DoUpdate(g, map[string]any{"companyName": "Nobody Ltd"})
	}
	extended := func(w *world, g string) error {
		return w.tenant.DoExtendSchedule(groupBase, g, time.Now().AddDate(0, 0, 150))
	}
	shortened := func(w *world, g string) error {
		return w.tenant.DoExtendSchedule(groupBase, g, time.Now().AddDate(0, 0, 5))
	}
	for name, c := range map[string]drifted{
		"added is reported":        {added, "", []string{"member_added open"}, []string{"ext-base", "ext-finance"}, true},
		"added is repaired":        {added, "member_added: repair", []string{"member_added repaired"}, base, true},
		"added is adopted":         {added, "member_added: adopt", []string{"member_added adopted"}, []string{"ext-base", "ext-finance"}, true},
		"removed is repaired":      {removed, "", []string{"member_removed repaired"}, base, true},
		"removed is reported":      {removed, "member_removed: report", []string{"member_removed open"}, []string{}, true},
		"removed is adopted":       {removed, "member_removed: adopt", []string{"member_removed adopted"}, []string{}, true},
		"disabled is reported":     {disabled, "", []string{"disabled open"}, base, false},
		"disabled is repaired":     {disabled, "disabled: repair", []string{"disabled repaired"}, base, true},
		"disabled is adopted":      {disabled, "disabled: adopt", []string{"disabled adopted"}, base, false},
		"deleted is restored":      {deleted, "", []string{"deleted repaired"}, base, true},
		"deleted is reported":      {deleted, "deleted: report", []string{"deleted open"}, base, false},
		"properties are repaired":  {renamed, "", []string{"attributes repaired"}, base, true},
		"properties are adopted":   {renamed, "attributes: adopt", []string{"attributes adopted"}, base, true},
		"an extended one is moved": {extended, "", []string{"schedule_extended repaired"}, base, true},
		"a shortened one is moved": {shortened, "", []string{"schedule_shortened repaired"}, base, true},
		"a shortened one runs out": {shortened, "schedule_shortened: adopt", []string{"schedule_shortened adopted"}, []string{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorldOf(t, emulator.Config{Seed: 53}, withDrift(c.mode))
				defer func() { w.stopRun() }()
				end := time.Now().AddDate(0, 0, 20)
				id := w.push("acme", who{mail: "ada@acme.example", end: end})
				w.pass(5 * time.Minute)
				guest := w.guest("ada@acme.example").ID
				w.pass(3 * 24 * time.Hour)
				if got := w.driftOf(id); len(got) > 0 {
					t.Fatalf("three quiet days, and %v\n%s", got, w.tell())
				}
				must(t, c.does(w, guest))
				w.pass(8 * 24 * time.Hour)
				if d := cmp.Diff(c.want, w.driftOf(id)); d != "" {
					t.Errorf("found (-want +got):\n%s\n%s", d, w.tell())
				}
				if d := cmp.Diff(c.holds, w.holds("ada@acme.example")); d != "" {
					t.Errorf("holds (-want +got):\n%s\n%s", d, w.tell())
				}
				g := w.guest("ada@acme.example")
				if g.ID != guest || (g.Enabled && g.Deleted == nil) != c.whole {
					t.Errorf("the guest: enabled %v, deleted %v\n%s", g.Enabled, g.Deleted, w.tell())
				}
				for _, s := range w.tenant.State().Schedules {
					if s.Active && (s.End == nil || s.End.After(end)) {
						t.Errorf("Entra keeps it until %v, the contract ends %v", s.End, end)
					}
				}
				w.until(end.Add(10 * time.Minute)) // whatever was let stand ends with the contract
				if g := w.guest("ada@acme.example"); g != nil && g.Deleted == nil && (g.Enabled || len(w.holds("ada@acme.example")) > 0) {
					t.Errorf("after the end: enabled %v, %v\n%s", g.Enabled, w.holds("ada@acme.example"), w.tell())
				}
			})
		})
	}
}

// TestAddedBesideAPackage: who holds an access package may have a group from it, and from somebody else. The one is no drift.
func TestAddedBesideAPackage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, emulator.Config{Seed: 59}, withDrift("member_added: repair"))
		defer func() { w.stopRun() }()
		const groupDev, packMore, policyMore = "4d5e6f70-8192-4a3b-8c4d-5e6f708192a3", "5d5e6f70-8192-4a3b-8c4d-5e6f708192a3", "6d5e6f70-8192-4a3b-8c4d-5e6f708192a3"
		_, err := w.tenant.AddGroup(emulator.GroupSeed{ID: groupDev, Name: "ext-dev"})
		must(t, err)
		_, _, err = w.tenant.AddAccessPackage(emulator.PackageSeed{ID: packMore, Name: "dev-more", PolicyID: policyMore, Groups: []string{groupDev}})
		must(t, err)
		m, problems := mapper.Parse("mapping.yaml", []byte(strings.NewReplacer(
			"  groups:\n", "  groups:\n    ext-dev: {id: "+groupDev+", expiry: bridge}\n", packDev, packMore, policyDev, policyMore,
		).Replace(withDrift("member_added: repair"))))
		must(t, problems.Err())
		w.mapping = m
		id := w.push("acme", who{mail: "ada@acme.example", title: "Developer", end: time.Now().AddDate(0, 0, 60)})
		w.pass(3 * 24 * time.Hour)
		whole := []string{"ext-base", "ext-dev", "package delivered"}
		if d := cmp.Diff(whole, w.holds("ada@acme.example")); d != "" || len(w.driftOf(id)) > 0 {
			t.Fatalf("holds (-want +got):\n%s\ndrift %v\n%s", d, w.driftOf(id), w.tell())
		}
		must(t, w.tenant.DoAddMember(groupFin, w.guest("ada@acme.example").ID))
		w.pass(2 * 24 * time.Hour)
		if d := cmp.Diff(whole, w.holds("ada@acme.example")); d != "" {
			t.Errorf("holds (-want +got):\n%s\n%s", d, w.tell())
		}
		if d := cmp.Diff([]string{"member_added repaired"}, w.driftOf(id)); d != "" {
			t.Errorf("drift (-want +got):\n%s\n%s", d, w.tell())
		}
	})
}

// TestDriftIsFoundSoon: the delta queries find it within minutes, over restarts and lost marks; an admin lets it stand for a time,
// or has it repaired.
func TestDriftIsFoundSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 59})
		defer func() { w.stopRun() }()
		id := w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 90)})
		w.pass(5 * time.Minute)
		guest := w.guest("ada@acme.example").ID
		soon := func() {
			t.Helper()
			w.pass(time.Minute) // changes appear with a delay
			must(t, w.watchDrift().Once(t.Context()))
			w.pass(5 * time.Minute)
		}
		soon()
		w.pass(24 * time.Hour)
		must(t, w.tenant.DoAddMember(groupFin, guest))
		soon()
		if d := cmp.Diff([]string{"member_added open"}, w.driftOf(id)); d != "" {
			t.Fatalf("(-want +got):\n%s\n%s", d, w.tell())
		}
		person := w.personOf(id).ID
		until := time.Now().AddDate(0, 0, 7)
		must(t, w.store.AllowDrift(t.Context(), eve(), contractor.DriftOverride{Person: person, Kind: contractor.DriftAdded, Object: groupFin, Until: until, Reason: "quarter close"}))
		n, err := w.store.AskRepair(t.Context(), eve(), person, "clean up")
		must(t, err)
		w.loop.Wake()
		w.pass(5 * time.Minute)
		if n != 0 || len(w.holds("ada@acme.example")) != 2 {
			t.Fatalf("what was let stand does not: %d asked, %v", n, w.holds("ada@acme.example"))
		}
		found, err := w.store.Drift(t.Context(), contractor.DriftQuery{}, time.Now())
		must(t, err)
		if len(found) != 1 || !found[0].AllowedUntil.Equal(until.UTC().Truncate(time.Microsecond)) || found[0].AllowedReason != "quarter close" {
			t.Errorf("the override is not shown: %+v", found)
		}
		w.until(until.Add(5 * time.Minute))
		n, err = w.store.AskRepair(t.Context(), eve(), "", "clean up")
		must(t, err)
		w.loop.Wake()
		w.pass(5 * time.Minute)
		if d := cmp.Diff([]string{"member_added repaired"}, w.driftOf(id)); d != "" || n != 1 || len(w.holds("ada@acme.example")) != 1 {
			t.Errorf("repaired: %d asked, %v (-want +got):\n%s\n%s", n, w.holds("ada@acme.example"), d, w.tell())
		}
		must(t, w.store.SetSetting(t.Context(), "drift.mark", nil))
		soon()
		w.pass(8 * 24 * time.Hour) // the mark expires
		must(t, w.tenant.DoDisable(guest))
		must(t, w.watchDrift().Once(t.Context()))
		w.pass(2 * time.Hour)
		if got := w.driftOf(id); !slices.Contains(got, "disabled open") {
			t.Errorf("after a lost mark nobody looked: %v\n%s", got, w.tell())
		}
		resync := 0
		for _, e := range w.journal() {
			if e.Kind == "drift.resync" {
				resync++
			}
		}
		if resync != 1 {
			t.Errorf("%d times anew", resync)
		}
	})
}

// TestEnabledAfterTheEnd: who opens the door of somebody who left finds it closed again, and the journal says so.
func TestEnabledAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 61})
		defer func() { w.stopRun() }()
		id := w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 2)})
		w.pass(3 * 24 * time.Hour)
		g := w.guest("ada@acme.example")
		must(t, w.tenant.DoEnable(g.ID))
		w.pass(25 * time.Hour)
		if d := cmp.Diff([]string{"enabled repaired"}, w.driftOf(id)); d != "" || w.guest("ada@acme.example").Enabled {
			t.Errorf("(-want +got):\n%s\n%s", d, w.tell())
		}
	})
}

// TestSponsorTakenOff: no delta query tells it, the weekly look does.
func TestSponsorTakenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 71})
		defer func() { w.stopRun() }()
		id := w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 60)})
		w.pass(5 * time.Minute)
		g := w.guest("ada@acme.example")
		w.takeSponsorOff(g)
		w.pass(9 * 24 * time.Hour)
		if d := cmp.Diff([]string{"sponsor repaired"}, w.driftOf(id)); d != "" || len(w.guest(g.Mail).Sponsors) != 1 {
			t.Errorf("(-want +got):\n%s\n%s", d, w.tell())
		}
		named := 0
		for _, e := range w.journal() {
			if (e.Kind == "guest.invited" || e.Kind == "guest.sponsored") && strings.Contains(string(e.Detail), g.Sponsors[0]) {
				named++
			}
		}
		if named != 2 {
			t.Errorf("the journal names the sponsor in %d of 2 events\n%s", named, w.tell())
		}
	})
}

// takeSponsorOff does what an admin does in the portal.
func (w *world) takeSponsorOff(g *emulator.UserState) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodDelete, graphURL+"/users/"+g.ID+"/sponsors/"+g.Sponsors[0]+"/$ref", nil)
	must(w.t, err)
	credential := &token{transport: w.tenant.Transport(), cfg: w.tenant.Config()}
	access, err := credential.GetToken(w.t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	must(w.t, err)
	r.Header.Set("Authorization", "Bearer "+access.Token)
	resp, err := w.tenant.Transport().RoundTrip(r)
	must(w.t, err)
	must(w.t, resp.Body.Close())
	if len(w.guest(g.Mail).Sponsors) != 0 {
		w.t.Fatalf("HTTP %d: the sponsor is still there", resp.StatusCode)
	}
}

// TestARepairThatDoesNotTake: what Entra refuses, or another system undoes as often as we do it, costs a look now and then, not a
// look a second for ever.
func TestARepairThatDoesNotTake(t *testing.T) {
	for name, hinder := range map[string]func(w *world, g *emulator.UserState){
		"refused": func(w *world, g *emulator.UserState) {
			must(w.t, w.tenant.Fail(emulator.Fault{Match: "user.sponsors.add", Status: http.StatusForbidden, Times: -1}))
			w.takeSponsorOff(g)
		},
		"accepted and not done": func(w *world, g *emulator.UserState) {
			must(w.t, w.tenant.DoRemoveMember(groupBase, g.ID))
			for range 40 {
				w.pass(90 * time.Second)
				_ = w.tenant.DoRemoveMember(groupBase, g.ID) // it may be out already
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, emulator.Config{Seed: 73})
				defer func() { w.stopRun() }()
				w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 60)})
				w.pass(5 * time.Minute)
				hinder(w, w.guest("ada@acme.example"))
				w.pass(8 * 24 * time.Hour)
				before := w.loop.Passes()
				w.pass(10 * 24 * time.Hour)
				if n := w.loop.Passes() - before; n > 120 { // a dozen a day: one more try, read back at growing distances
					t.Errorf("%d passes in ten days\n%s", n, w.tell())
				}
				told := 0
				for _, e := range w.journal() {
					if e.Kind == "pass.failed" {
						told++
					}
				}
				if told > 10 {
					t.Errorf("told %d times\n%s", told, w.tell())
				}
			})
		})
	}
}

// TestASponsorWhoLeftIsNoDrift: nobody took it off the guest. The check of sponsors is told, and whom it chooses stays, also when
// the guest's properties are written anew.
func TestASponsorWhoLeftIsNoDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 79})
		defer func() { w.stopRun() }()
		id := w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 60)})
		w.pass(5 * time.Minute)
		g := w.guest("ada@acme.example")
		boss, err := w.tenant.AddUser(emulator.UserSeed{UPN: "boss@contoso.example", Name: "Bea Boss"})
		must(t, err)
		must(t, w.store.SponsorChecked(t.Context(), w.personOf(id).ID, boss))
		must(t, w.tenant.DoDelete(g.Sponsors[0]))
		w.pass(8 * 24 * time.Hour)
		if got := w.driftOf(id); len(got) > 0 {
			t.Errorf("taken for drift: %v\n%s", got, w.tell())
		}
		due, err := w.store.SponsoredGuests(t.Context(), time.Unix(0, 0), 10)
		must(t, err)
		if len(due) != 1 || due[0].Manager != boss {
			t.Fatalf("the check of sponsors is not due: %+v", due)
		}
		must(t, w.store.SponsorMoved(t.Context(), due[0], boss, "its manager follows", ""))
		must(t, w.tenant.DoRestore(g.Sponsors[0]))
		w.patch(id, "title", "Developer")
		w.patch(id, "name.familyName", "Byron")
		w.pass(10 * time.Minute)
		if got := w.personOf(id).SponsorID; got != boss {
			t.Errorf("the sponsor is %s, want the manager who followed\n%s", got, w.tell())
		}
	})
}
