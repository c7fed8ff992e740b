package mapper_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// FuzzParse feeds the loader anything. Whatever it says must have a place in the file, and what it takes must be usable.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "../../configs/examples/*.yaml", "../../configs/mapping.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no files at %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	no := false
	people := []contractor.Record{
		{},
		{StartDate: "2026-01-01", EndDate: "2026-06-30", Department: "Finance", Country: "DE", Title: "Developer", Supplier: "Kforce", WorkerID: "WK1"},
		{StartDate: "2026-01-01", EndDate: "2026-06-30", RehireEligible: &no, OtherEmails: []string{"a@x.example"}, JobCode: "7", GivenName: "Ädä"},
	}
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, problems := mapper.Parse("mapping.yaml", text)
		lines := strings.Count(string(text), "\n") + 1
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Line > lines || p.Message == "" || strings.Contains(p.Message, "\n") {
				t.Fatalf("a problem without a place or on several lines: %+v", p)
			}
		}
		if (m == nil) != (problems.Err() != nil) {
			t.Fatalf("usable %v with problems %v", m != nil, problems)
		}
		if m == nil {
			return
		}
		m.RunTests()
		for _, vendor := range m.Vendors() {
			p := &contractor.Person{}
			for _, r := range people {
				p.Engagements = append(p.Engagements, *engagement(vendor, r))
			}
			d := m.Desired(p, now)
			for i := range p.Engagements {
				ev := m.Evaluate(&p.Engagements[i], now)
				if ev.Status != d.Evaluations[i].Status || ev.Reason != d.Evaluations[i].Reason {
					t.Fatalf("Evaluate says %s (%s), Desired %s (%s)", ev.Status, ev.Reason, d.Evaluations[i].Status, d.Evaluations[i].Reason)
				}
				for _, g := range ev.Grants {
					if g.End.After(ev.Period.End) || m.RuleLine(g.Rule) != g.Line {
						t.Fatalf("grant %+v of period %+v", g, ev.Period)
					}
				}
			}
		}
	})
}
