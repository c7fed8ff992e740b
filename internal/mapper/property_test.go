package mapper_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// ruleText writes one random rule; plain rules only grant.
func ruleText(r *rand.Rand, name string, plain bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n", name)
	switch r.IntN(5) {
	case 0:
		fmt.Fprintf(&b, "    when: c.department == %q\n", pick(r, "Finance", "IT", "HR"))
	case 1:
		fmt.Fprintf(&b, "    when: c.country in [%q, %q] and c.vendor != \"lab\"\n", pick(r, "DE", "CN"), pick(r, "AT", "FR"))
	case 2:
		fmt.Fprintf(&b, "    when: c.title matches \"(?i)%s\" or c.site == \"\"\n", pick(r, "dev", "lead"))
	case 3:
		fmt.Fprintf(&b, "    when: c.end - c.start > days(%d)\n", 10+r.IntN(200))
	}
	if !plain && r.IntN(8) == 0 {
		b.WriteString("    deny: no\n")
		return b.String()
	}
	fmt.Fprintf(&b, "    grant: {groups: [%s]}\n", pick(r, "base", "finance", "base, finance", "backup"))
	if !plain && r.IntN(3) == 0 {
		fmt.Fprintf(&b, "    max_duration: %dd\n", 5+r.IntN(100))
	}
	if !plain && r.IntN(6) == 0 {
		fmt.Fprintf(&b, "    until: 2026-%02d-15\n", 1+r.IntN(12))
	}
	return b.String()
}

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

func randomPerson(r *rand.Rand) *contractor.Person {
	p := &contractor.Person{ID: "p", Email: "p@acme.example"}
	if r.IntN(3) > 0 {
		p.GuestID, p.Phase = "g", contractor.PhaseOpen
	}
	for i := range 1 + r.IntN(4) {
		start := time.Date(2026, 1, 1+r.IntN(200), 0, 0, 0, 0, time.UTC)
		rec := contractor.Record{
			Department: pick(r, "Finance", "IT", "HR", ""), Country: pick(r, "DE", "CN", "AT", "FR", ""), Title: pick(r, "Developer", "Lead", "Buyer"),
			Site: pick(r, "lab", ""), StartDate: start.Format("2006-01-02"), EndDate: start.AddDate(0, 0, r.IntN(150)-5).Format("2006-01-02"),
			TimeZone: pick(r, "", "Europe/Berlin", "America/New_York", "Pacific/Auckland"),
		}
		if r.IntN(6) == 0 {
			rec.EndDate = pick(r, "", "soon")
		}
		e := named(fmt.Sprint("e", i), pick(r, "acme", "globex", "lab", "unknown"), rec)
		if r.IntN(6) == 0 {
			e.EndedAt = start.AddDate(0, 0, r.IntN(60)-10)
		}
		e.Test = r.IntN(10) == 0
		p.Engagements = append(p.Engagements, *e)
	}
	return p
}

const propertyDefaults = "{timezone: Europe/Berlin, max_duration: 120d, activate_early: 3d, notify: {before_end: [14d, 7d]}, offboarding: {delete_after: 20d}}"

func randomRules(r *rand.Rand) []string {
	var rules []string
	for i := range 1 + r.IntN(8) {
		rules = append(rules, ruleText(r, fmt.Sprint("r", i), false))
	}
	return rules
}

// TestProperties checks what must hold of every file and every person, on random ones. A failure names its seed.
func TestProperties(t *testing.T) {
	files := 60
	if testing.Short() {
		files = 15
	}
	for seed := range uint64(files) {
		r := rand.New(rand.NewPCG(seed, 7))
		rules := randomRules(r)
		m := mapping(t, propertyDefaults, "rules:\n"+strings.Join(rules, ""))
		shuffled := append([]string{}, rules...)
		r.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
		reordered := mapping(t, propertyDefaults, "rules:\n"+strings.Join(shuffled, ""))
		longer := mapping(t, propertyDefaults, "rules:\n"+strings.Join(rules, "")+ruleText(r, "extra", true))
		for range 20 {
			p := randomPerson(r)
			now := time.Date(2026, 1, 1, 0, 0, r.IntN(400*86400), 0, time.UTC)
			d := m.Desired(p, now)
			checkDesired(t, seed, p, d)
			checkTime(t, seed, m, p, d)
			if a, b := ends(d), ends(reordered.Desired(p, now)); a != b {
				t.Fatalf("seed %d: the order of the rules matters:\n%s\n%s", seed, a, b)
			}
			for i, ev := range longer.Desired(p, now).Evaluations {
				before := d.Evaluations[i]
				for _, g := range before.Grants {
					if after := grantOf(ev.Grants, g.Entitlement.Key()); after == nil || after.End.Before(g.End) {
						t.Fatalf("seed %d: adding a rule that only grants took or shortened %+v: %+v", seed, g, after)
					}
				}
			}
			mirrored := *p
			mirrored.Engagements = nil
			for i := range p.Engagements {
				mirrored.Engagements = append([]contractor.Engagement{p.Engagements[i]}, mirrored.Engagements...)
			}
			if a, b := ends(d), ends(m.Desired(&mirrored, now)); a != b {
				t.Fatalf("seed %d: the order of the engagements matters:\n%s\n%s", seed, a, b)
			}
		}
	}
}

// ends writes what stands and until when, without whom it is put down to.
func ends(d contractor.Desired) string {
	s := fmt.Sprintf("open %v guest %v close %s delete %s next %s:", d.Open, d.Guest, d.CloseAt, d.DeleteAt, d.Next)
	for _, g := range d.Grants {
		s += fmt.Sprintf(" %s until %s", g.Entitlement.Name, g.End)
	}
	return s
}

func grantOf(grants []contractor.Grant, key contractor.EntitlementKey) *contractor.Grant {
	for i := range grants {
		if grants[i].Entitlement.Key() == key {
			return &grants[i]
		}
	}
	return nil
}

// checkDesired checks one answer against its own evaluations.
func checkDesired(t *testing.T, seed uint64, p *contractor.Person, d contractor.Desired) {
	t.Helper()
	best := map[contractor.EntitlementKey]time.Time{}
	for _, ev := range d.Evaluations {
		live := ev.Status == contractor.StatusActive || ev.Status == contractor.StatusExpiring
		if !live && ev.Status != contractor.StatusScheduled && len(ev.Grants)+len(ev.Attributes)+len(ev.Sponsors) > 0 {
			t.Fatalf("seed %d: %s gives something: %+v", seed, ev.Status, ev)
		}
		if live != (ev.Period.Live(d.At) && ev.Status != contractor.StatusHeld) {
			t.Fatalf("seed %d: status %s, period %+v at %s", seed, ev.Status, ev.Period, d.At)
		}
		for _, g := range ev.Grants {
			if g.End.After(ev.Period.End) || !g.Start.Equal(ev.Period.Start) || !g.Start.Before(g.End) {
				t.Fatalf("seed %d: grant %+v leaves its engagement %+v", seed, g, ev.Period)
			}
			if live && d.At.Before(g.End) && g.End.After(best[g.Entitlement.Key()]) {
				best[g.Entitlement.Key()] = g.End
			}
		}
	}
	if len(best) != len(d.Grants) {
		t.Fatalf("seed %d: %d entitlements stand in the evaluations, %d in the union", seed, len(best), len(d.Grants))
	}
	for _, g := range d.Grants {
		if !g.End.Equal(best[g.Entitlement.Key()]) {
			t.Fatalf("seed %d: %s ends %s, the latest end is %s", seed, g.Entitlement.Name, g.End, best[g.Entitlement.Key()])
		}
		if d.CloseAt.Before(g.End) {
			t.Fatalf("seed %d: the door closes at %s, before %s ends at %s", seed, d.CloseAt, g.Entitlement.Name, g.End)
		}
	}
	if d.Open && !d.Guest || !d.Open && len(d.Grants) > 0 || d.Open && !d.DeleteAt.IsZero() {
		t.Fatalf("seed %d: guest %v open %v grants %d delete %s", seed, d.Guest, d.Open, len(d.Grants), d.DeleteAt)
	}
	if !d.Open && d.Guest && p.GuestID == "" {
		t.Fatalf("seed %d: a guest is wanted that is neither there nor to be opened", seed)
	}
}

// checkTime follows Next to the end of the story: nothing may change between two of its instants.
func checkTime(t *testing.T, seed uint64, m *mapper.Mapping, p *contractor.Person, d contractor.Desired) {
	t.Helper()
	for range 100 {
		until := d.Next.Add(-1)
		if d.Next.IsZero() {
			until = d.At.AddDate(50, 0, 0)
		} else if !d.Next.After(d.At) {
			t.Fatalf("seed %d: next is %s at %s", seed, d.Next, d.At)
		}
		same := m.Desired(p, until)
		same.At = d.At
		if diff := cmp.Diff(d, same, cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
			t.Fatalf("seed %d: something changes between %s and %s (-then +later):\n%s", seed, d.At, until, diff)
		}
		if d.Next.IsZero() {
			return
		}
		d = m.Desired(p, d.Next)
	}
	t.Fatalf("seed %d: next never ends", seed)
}

// TestConcurrentUse evaluates from many goroutines; with -race it proves that a mapping is shared safely.
func TestConcurrentUse(t *testing.T) {
	m := mustParse(t, bigMapping(60))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	want := make([]string, 50)
	for i := range want {
		b, err := json.Marshal(m.Desired(bigPerson(i), now))
		if err != nil {
			t.Fatal(err)
		}
		want[i] = string(b)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range want {
				if b, _ := json.Marshal(m.Desired(bigPerson(i), now)); string(b) != want[i] {
					t.Errorf("person %d gets another answer:\n%s\n%s", i, b, want[i])
				}
			}
		})
	}
	wg.Wait()
}
