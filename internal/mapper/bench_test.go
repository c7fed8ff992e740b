package mapper_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// bigMapping is a file of n rules such as a large company has: most of them miss any given person.
func bigMapping(n int) string {
	var b strings.Builder
	b.WriteString(`version: 1
defaults:
  timezone: Europe/Berlin
  max_duration: 365d
  missing_end: cap
  notify: {before_end: [30d]}
catalog:
  groups:
`)
	for i := range 50 {
		fmt.Fprintf(&b, "    group-%d: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a%04x}\n", i, i+1)
	}
	b.WriteString(`vendors:
  fieldglass: {email_domains: [acme.example]}
guest:
  displayName: ${c.givenName} ${c.familyName} (${c.supplier})
  companyName: ${c.supplier}
  employeeId: ${left(c.workerId, 16)}
lists:
  partners: [ACME Consulting, Kforce, Initech, Globex]
conditions:
  german: c.country == "DE" or c.country == "AT"
rules:
  - name: everyone
    grant: {groups: [group-0]}
`)
	for i := 1; i < n; i++ {
		when := [...]string{
			fmt.Sprintf(`c.department == "Dept %d" and c.country == "DE"`, i%97),
			fmt.Sprintf(`c.costCenter == "%d"`, 1000+i),
			`c.title matches "(?i)developer|engineer" and c.supplier in partners and c.jobCode == "J` + fmt.Sprint(i) + `"`,
			fmt.Sprintf(`german and c.site == "site-%d"`, i),
			fmt.Sprintf(`c.supplier in partners and c.businessUnit startsWith "BU%d"`, i),
		}[i%5]
		fmt.Fprintf(&b, "  - name: rule-%d\n    when: %s\n    grant: {groups: [group-%d]}\n", i, when, i%50)
		if i%7 == 0 {
			b.WriteString("    max_duration: 90d\n")
		}
	}
	return b.String()
}

func mustParse(tb testing.TB, text string) *mapper.Mapping {
	tb.Helper()
	m, problems := mapper.Parse("mapping.yaml", []byte(text))
	if m == nil {
		tb.Fatalf("the mapping has mistakes:\n%v", problems)
	}
	return m
}

func bigPerson(i int) *contractor.Person {
	start := time.Date(2026, 1, 1+i%300, 0, 0, 0, 0, time.UTC)
	return &contractor.Person{
		ID: fmt.Sprint("p", i), Email: fmt.Sprintf("p%d@acme.example", i), GuestID: "g",
		Engagements: []contractor.Engagement{{
			ID: fmt.Sprint("e", i), Vendor: "fieldglass", Created: start,
			Record: contractor.Record{
				UserName: fmt.Sprint("u", i), Email: fmt.Sprintf("p%d@acme.example", i), Active: true, GivenName: "Ada", FamilyName: "Byron",
				Title: [...]string{"Senior Engineer", "Analyst", "Buyer"}[i%3], Department: fmt.Sprintf("Dept %d", i%97),
				Country: [...]string{"DE", "AT", "FR"}[i%3], CostCenter: fmt.Sprint(1000 + i%500), Supplier: [...]string{"Kforce", "Other"}[i%2],
				Site: fmt.Sprintf("site-%d", i%200), BusinessUnit: fmt.Sprintf("BU%d", i%300), JobCode: fmt.Sprintf("J%d", i%400),
				WorkerID: fmt.Sprintf("W%08d", i), StartDate: start.Format("2006-01-02"), EndDate: start.AddDate(0, 0, 200).Format("2006-01-02"),
			},
		}},
	}
}

// BenchmarkPlan is what scimbridge plan computes: what 100,000 people hold under 200 rules, what they would hold under the
// edited file, and the differences. The goal is 10 s and 500 MiB. It runs on one core; people do not depend on each other.
func BenchmarkPlan(b *testing.B) {
	text := bigMapping(200)
	before := mustParse(b, text)
	after := mustParse(b, strings.Replace(text, "max_duration: 90d", "max_duration: 60d", 5))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	const population = 100_000
	b.ReportAllocs()
	var peak uint64
	for b.Loop() {
		changes := 0
		for i := range population {
			p := bigPerson(i)
			changes += len(mapper.Compare(before.Desired(p, now), after.Desired(p, now)))
			if i%10_000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapSys+m.StackSys)
			}
		}
		if changes == 0 {
			b.Fatal("the edit changes nothing")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/population, "ns/person")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
}

func BenchmarkDesired(b *testing.B) {
	m := mustParse(b, bigMapping(200))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	p := bigPerson(100)
	b.ReportAllocs()
	for b.Loop() {
		m.Desired(p, now)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, rules := range []int{200, 5000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			text := []byte(bigMapping(rules))
			b.ReportAllocs()
			for b.Loop() {
				if m, problems := mapper.Parse("mapping.yaml", text); m == nil {
					b.Fatal(problems)
				}
			}
		})
	}
}
