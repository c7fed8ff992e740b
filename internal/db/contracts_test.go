package db_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

func testContracts(t *testing.T, open opener) {
	s := open(t)
	ends := map[string]time.Time{}
	for i, name := range []string{"ann", "bo", "cem", "dee"} {
		e := worker([]string{"acme", "okta"}[i%2], name)
		e.Record.GivenName, e.Record.WorkerID = name, "W-"+name
		e.Resource = resource(e.Record)
		e = create(t, s, e)
		p, err := s.FindPerson(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		ends[e.ID] = noon.AddDate(0, 0, 10-i)
		p.SponsorID = "sponsor-" + e.Vendor
		if name == "bo" {
			p.Held = "nobody answers"
		}
		grant := &contractor.Holding{
			Entitlement: contractor.Entitlement{Kind: contractor.KindGroup, Name: "base", ID: "g1"}, Mechanism: contractor.MechanismMember,
			State: contractor.HoldingHeld, Since: noon, End: ends[e.ID], Rule: "everyone", Line: 3, Engagement: e.ID, Vendor: e.Vendor,
		}
		err = s.Record(t.Context(), &contractor.Change{Person: p, Holdings: []*contractor.Holding{grant}, Standings: map[string]contractor.Standing{
			e.ID: {Status: contractor.StatusActive, EffectiveStart: noon, EffectiveEnd: ends[e.ID]},
		}}, event("grant.added"))
		if err != nil {
			t.Fatal(err)
		}
	}
	list := func(q contractor.ContractQuery) (names []string) {
		t.Helper()
		for {
			page, err := s.Contracts(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page {
				names = append(names, x.Name)
				q.After = x.Key
			}
			if q.Limit == 0 || len(page) < q.Limit {
				return names
			}
		}
	}
	for name, tc := range map[string]struct {
		q    contractor.ContractQuery
		want []string
	}{
		"SoonestFirst":       {contractor.ContractQuery{}, []string{"dee", "cem", "bo", "ann"}},
		"PageByPage":         {contractor.ContractQuery{Limit: 1}, []string{"dee", "cem", "bo", "ann"}},
		"LatestFirst":        {contractor.ContractQuery{Order: contractor.ContractsByEndDown, Limit: 3}, []string{"ann", "bo", "cem", "dee"}},
		"NewestFirst":        {contractor.ContractQuery{Order: contractor.ContractsByAge, Limit: 2}, []string{"dee", "cem", "bo", "ann"}},
		"OfAVendor":          {contractor.ContractQuery{Vendor: "acme"}, []string{"cem", "ann"}},
		"OfASponsor":         {contractor.ContractQuery{Sponsor: "sponsor-okta"}, []string{"dee", "bo"}},
		"Held":               {contractor.ContractQuery{Held: true}, []string{"bo"}},
		"ByRule":             {contractor.ContractQuery{Rule: "everyone", EndTo: noon.AddDate(0, 0, 9)}, []string{"dee", "cem"}},
		"ByARuleThatIsNot":   {contractor.ContractQuery{Rule: "nobody"}, nil},
		"ByName":             {contractor.ContractQuery{Text: "CEM"}, []string{"cem"}},
		"ByWorkerID":         {contractor.ContractQuery{Text: "w-dee"}, []string{"dee"}},
		"ByAddress":          {contractor.ContractQuery{Text: "bo@acme"}, []string{"bo"}},
		"EndingInAFewDays":   {contractor.ContractQuery{EndFrom: noon.AddDate(0, 0, 8), EndTo: noon.AddDate(0, 0, 9)}, []string{"cem"}},
		"OfAnotherStatus":    {contractor.ContractQuery{Status: contractor.StatusHeld}, nil},
		"NobodyWhoseFailing": {contractor.ContractQuery{Failing: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := gocmp.Diff(tc.want, list(tc.q)); diff != "" {
				t.Errorf("contracts (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("AKeyOfAnotherListIsRefused", func(t *testing.T) {
		_, err := s.Contracts(t.Context(), contractor.ContractQuery{After: "x"})
		wantCode(t, err, contractor.CodeInvalid)
	})
	t.Run("Counts", func(t *testing.T) {
		days, err := s.EndsPerDay(t.Context(), noon, noon.AddDate(0, 0, 9))
		if err != nil {
			t.Fatal(err)
		}
		want := []contractor.EndsOnDay{{Vendor: "acme", Day: noon.Truncate(24*time.Hour).AddDate(0, 0, 8), Ends: 1}, {Vendor: "okta", Day: noon.Truncate(24*time.Hour).AddDate(0, 0, 7), Ends: 1}}
		if diff := gocmp.Diff(want, days); diff != "" {
			t.Errorf("ends (-want +got):\n%s", diff)
		}
		rules, err := s.RuleCounts(t.Context())
		if diff := gocmp.Diff([]contractor.RuleCount{{Rule: "everyone", People: 4}}, rules); diff != "" || err != nil {
			t.Errorf("rules %v (-want +got):\n%s", err, diff)
		}
		sponsors, err := s.Sponsors(t.Context(), "sponsor-acme", 10)
		if diff := gocmp.Diff([]string{"sponsor-okta"}, sponsors); diff != "" || err != nil {
			t.Errorf("sponsors %v (-want +got):\n%s", err, diff)
		}
		holds, err := s.HoldCounts(t.Context())
		if len(holds) != 0 || err != nil {
			t.Errorf("holds %v, %v", holds, err)
		}
	})
}
