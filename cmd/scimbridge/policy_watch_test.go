package main

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/mapper"
)

// The watch on real parts: what people do in the tenant, told by its logs, becomes alarms, and what we do does not.
func TestWatchOfATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := calmTenant()
		cfg.PageSize, cfg.AuditDelay = 3, 20*time.Minute
		w := newPolicyWorld(t, cfg)
		w.apply(declaredFirst) // in report-only
		graph, ok := w.runner(declaredFirst).tenant.(*entra.Client)
		if !ok {
			t.Fatal("the tenant is no Graph client")
		}
		m, _ := mapper.Parse("mapping.yaml", []byte(declaredFirst))
		var raised []contractor.Alarm
		watch, err := newWatch(watchOptions{
			store: w.store, graph: graph, log: slog.New(slog.NewTextHandler(t.Output(), nil)), mapping: func() *mapper.Mapping { return m },
			onAlarm: func(a contractor.Alarm) { raised = append(raised, a) },
		})
		if err != nil {
			t.Fatal(err)
		}
		live := w.contractor("live", time.Now().AddDate(0, 1, 0))
		ended := w.contractor("ended", time.Now().Add(-time.Hour)) // the door was never closed: Entra was down
		pass := func() {
			t.Helper()
			time.Sleep(30 * time.Minute) // fake time
			if p := watch.Pass(t.Context()); p.Err != nil {
				t.Fatal(p.Err)
			}
		}
		pass()
		if len(raised) != 0 {
			t.Fatalf("before anything happened: %+v", raised)
		}
		signIn := func(p *contractor.Person, country string) {
			t.Helper()
			if r, err := w.e.SignIn(emulator.SignIn{UserID: p.GuestID, Country: country, IP: "192.0.2.7", MFA: true}); err != nil || !r.Allowed {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		signIn(live, "DE")
		signIn(live, "RU")
		signIn(ended, "DE")
		if _, err := w.e.SignIn(emulator.SignIn{UserID: sponsorID, Country: "RU"}); err != nil { // an employee is nobody's business
			t.Fatal(err)
		}
		if _, err := graph.UpdateGuest(t.Context(), live.GuestID, map[string]string{"jobTitle": "ours to write"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.e.LogChange(emulator.LoggedChange{Activity: "Update user", UserID: sponsorID, Targets: []string{live.GuestID}, Late: 20 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			pass()
		}
		var got []string
		for _, a := range raised {
			got = append(got, string(a.Kind)+" "+string(a.Severity)+" "+map[string]string{live.ID: "live", ended.ID: "ended"}[a.Person])
		}
		slices.Sort(got)
		want := []string{"changed_by_other warning live", "forbidden_signin warning live", "signin_after_end critical ended"}
		if !slices.Equal(got, want) {
			t.Errorf("alarms\n got %v\nwant %v", got, want)
		}
		list, err := w.store.Activity(t.Context(), live.ID, time.Time{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		n := map[contractor.ActivityLog]int{}
		for _, a := range list {
			n[a.Log]++
		}
		if n[contractor.LogSignIns] != 2 || n[contractor.LogAudits] < 2 {
			t.Errorf("activity %v", n)
		}
	})
}

// contractor makes a person whose guest is open in the tenant, and whose contract ends at an instant.
func (w *policyWorld) contractor(name string, end time.Time) *contractor.Person {
	w.t.Helper()
	guest, err := w.e.AddUser(emulator.UserSeed{Guest: true, Mail: name + "@acme.example", Accepted: true})
	if err != nil {
		w.t.Fatal(err)
	}
	now := time.Now().UTC()
	e := contractor.Engagement{ID: name, Vendor: "acme", Version: 1, Created: now, Modified: now, Resource: []byte(`{}`), Record: contractor.Record{UserName: name, Email: name + "@acme.example", Active: true}}
	e, err = w.store.Create(w.t.Context(), e, 0, audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done})
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.store.Person(w.t.Context(), e.Person)
	if err != nil {
		w.t.Fatal(err)
	}
	p.GuestID, p.Origin, p.Phase, p.InvitedAt, p.GuestState = guest, contractor.OriginInvited, contractor.PhaseOpen, now, "Accepted"
	c := &contractor.Change{Person: p, Standings: map[string]contractor.Standing{e.ID: {Status: contractor.StatusActive, EffectiveEnd: end.UTC()}}}
	if err := w.store.Record(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestForbiddenFollowsWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPolicyWorld(t, calmTenant())
		m, _ := mapper.Parse("mapping.yaml", []byte(declaredFirst))
		f := &forbidden{store: w.store, mapping: func() *mapper.Mapping { return m }, log: slog.New(slog.DiscardHandler)}
		from := func(country string) (string, bool) {
			by, enforced := f.by(contractor.Activity{Country: country, ClientApp: "Browser", IP: "192.0.2.1"}, nil)
			return strings.Join(by, " "), enforced
		}
		if by, enforced := from("RU"); by != "countries" || enforced {
			t.Errorf("declared and not made: %q, enforced %v", by, enforced)
		}
		r := w.runner(declaredFirst)
		r.enforce = "the rehearsal of the incident plan"
		if err := once(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // fake time
		if by, enforced := from("RU"); by != "countries" || !enforced {
			t.Errorf("made and enforced: %q, enforced %v", by, enforced)
		}
		if by, _ := from("DE"); by != "" {
			t.Errorf("from Germany: %q", by)
		}
	})
}
