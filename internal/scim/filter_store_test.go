package scim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// TestFilterMeansTheSameInMemoryAndInSQL finds random people by random filters, once by the store and once by the evaluator that
// serves Groups and PATCH.
func TestFilterMeansTheSameInMemoryAndInSQL(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	store, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "scimbridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	token := contractor.Token{Vendor: "acme", Hash: HashToken("x")}
	if _, err := store.AddToken(t.Context(), audit.Actor{Kind: audit.ActorAdmin}, token, "test"); err != nil {
		t.Fatal(err)
	}
	people := randomPeople(t, rnd, store)
	users := userType()
	hits := 0
	for range 400 {
		filter := randomFilter(rnd, 3)
		where, err := parseFilter(filter, users, fuzzLimits())
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		var want, got []string
		for id, v := range people {
			if holds(where, v) {
				want = append(want, id)
			}
		}
		page, err := store.List(t.Context(), contractor.Query{Vendor: "acme", Where: where, Count: 1000})
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		for _, e := range page.Items {
			got = append(got, e.ID)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s finds (-memory +SQL):\n%s", filter, diff)
		}
		hits += len(got)
	}
	if hits < 1000 {
		t.Errorf("the filters found only %d people: they say too little", hits)
	}
}

func pick(rnd *rand.Rand, of ...string) string { return of[rnd.IntN(len(of))] }

func randomPeople(t *testing.T, rnd *rand.Rand, store *db.Store) map[string]*value {
	reader, err := NewReader(&contractor.Vendor{Name: "acme", EmailDomains: []string{"*.example"}, MissingEnd: contractor.MissingEndHold})
	if err != nil {
		t.Fatal(err)
	}
	people := map[string]*value{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 60 {
		now = now.Add(time.Hour)
		m := map[string]any{"userName": fmt.Sprintf("%s%d", pick(rnd, "ann", "Bob", "ÉVA", "x_%"), i)}
		maybe := func(name string, v any) {
			if rnd.IntN(2) == 0 {
				m[name] = v
			}
		}
		maybe("title", pick(rnd, "dev", "Dev", "DEVELOPER", "ops", `a"b\c`))
		maybe("externalId", fmt.Sprintf("%s-%d", pick(rnd, "e", "E"), i))
		maybe("active", rnd.IntN(2) == 0)
		maybe("name", map[string]any{"familyName": pick(rnd, "Lee", "lee", "O'Hara")})
		m["emails"] = []any{map[string]any{"value": fmt.Sprintf("u%d@%s", i, pick(rnd, "a.example", "B.example")), "type": pick(rnd, "work", "home")}}
		if rnd.IntN(2) == 0 {
			m["emails"] = append(m["emails"].([]any), map[string]any{"value": fmt.Sprintf("v%d@a.example", i), "type": pick(rnd, "work", "Work", "other"), "primary": rnd.IntN(2) == 0})
		}
		maybe(urnEnterprise, map[string]any{"department": pick(rnd, "Finance", "finance", "IT"), "manager": pick(rnd, "m1", "M1", "m2")})
		maybe(urnContractor, map[string]any{"workerId": pick(rnd, "w1", "W1"), "endDate": pick(rnd, "2026-05-01", "2027-01-31"), "rehireEligible": rnd.IntN(2) == 0})
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := parseJSON(string(body), jsonLimits{depth: 10, values: 1000})
		if err != nil {
			t.Fatal(err)
		}
		d, err := read(reader.names, &sent)
		if err != nil {
			t.Fatal(err)
		}
		if !d.active {
			place(&d.root, userType().root.byName["active"], boolValue(true))
		}
		e := contractor.Engagement{ID: uuid.NewString(), Vendor: "acme", Version: 1, Created: now, Modified: now, Record: d.record()}
		e.Resource = d.stored(e.ID)
		p, err := e.Period(reader.names.vendor)
		if err != nil {
			t.Fatal(err)
		}
		e.Standing.EffectiveStart, e.Standing.EffectiveEnd = p.Start, p.End
		if e, err = store.Create(t.Context(), e, 0, audit.Event{Kind: "engagement.created", Time: now}); err != nil {
			t.Fatal(err)
		}
		r := renderer{base: "https://x", secret: true, summary: true}
		full, err := parseJSON(string(r.user(nil, &e)), jsonLimits{depth: 10, values: 1000})
		if err != nil {
			t.Fatal(err)
		}
		people[e.ID] = &full
	}
	return people
}

func randomFilter(rnd *rand.Rand, depth int) string {
	if depth > 0 {
		switch rnd.IntN(6) {
		case 0:
			return "(" + randomFilter(rnd, depth-1) + " and " + randomFilter(rnd, depth-1) + ")"
		case 1:
			return "(" + randomFilter(rnd, depth-1) + " or " + randomFilter(rnd, depth-1) + ")"
		case 2:
			return "not (" + randomFilter(rnd, depth-1) + ")"
		case 3:
			inner := func() string {
				return pick(rnd, `type eq "WORK"`, `value co "A.EX"`, `primary eq true`, `primary ne true`, `type ne "home"`, `value sw "u"`, `type pr`, `not (primary pr)`, `display pr`)
			}
			return "emails[" + inner() + pick(rnd, " and ", " or ") + inner() + "]"
		}
	}
	op := pick(rnd, "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")
	text := func(values ...string) string { return op + " " + string(appendString(nil, pick(rnd, values...))) }
	switch rnd.IntN(14) {
	case 0:
		return "userName " + text("ann1", "BOB", "éva", "_", "%", "x_%1")
	case 1:
		return "title " + text("dev", "OPER", `"b\`, "", "z")
	case 2:
		return "externalId " + text("e-", "E-1", "1")
	case 3:
		return "active " + pick(rnd, "eq", "ne") + " " + pick(rnd, "true", "false")
	case 4:
		return "name.familyName " + text("lee", "o'", "Hara")
	case 5:
		return "emails.value " + text("u1@a.example", "@B", "v", ".example")
	case 6:
		return "emails.type " + text("work", "other")
	case 7:
		return urnEnterprise + ":department " + text("finance", "I")
	case 8:
		return urnEnterprise + ":manager.value " + text("m1", "M")
	case 9:
		return urnContractor + ":workerId " + text("w1", "W")
	case 10:
		return urnContractor + ":endDate " + text("2026-05-01", "2026", "01")
	case 11:
		return urnContractor + ":rehireEligible " + pick(rnd, "eq", "ne") + " " + pick(rnd, "true", "false")
	case 12:
		return pick(rnd, "meta.created", "meta.lastModified", urnContractor+":effectiveEnd") + " " + pick(rnd, "eq", "ne", "gt", "ge", "lt", "le") + " " +
			pick(rnd, `"2026-01-02T00:00:00Z"`, `"2026-01-02T05:00:00+01:00"`, `"2026-05-01T23:59:59Z"`)
	}
	return pick(rnd, "title", "externalId", "name", "name.familyName", "emails", "emails.type", "phoneNumbers", "addresses.country", urnEnterprise, urnEnterprise+":manager",
		urnContractor, urnContractor+":workerId", urnContractor+":status", "active", "nickName", strings.ToUpper("displayname")) + " pr"
}
