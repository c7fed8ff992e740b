package scim_test

import (
	"strings"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// grant makes the person behind an engagement hold a catalog entry, as the loop records it.
func (w *world) grant(id string, of contractor.Entitlement) {
	w.t.Helper()
	e := w.stored(id)
	p, err := w.store.Person(w.t.Context(), e.Person)
	if err != nil {
		w.t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	s := e.Standing
	s.Status, s.Access, s.EntraObjectID, s.EntraUserState = contractor.StatusActive, append(s.Access, of.Name), "7f0a9c52-2f64-4a0c-8d0e-3b7a8f3f5d10", "Accepted"
	err = w.store.Record(w.t.Context(), &contractor.Change{
		Person: p, Standings: map[string]contractor.Standing{id: s},
		Holdings: []*contractor.Holding{{
			Entitlement: of, Mechanism: contractor.MechanismMember, State: contractor.HoldingHeld, Since: now, End: now.Add(time.Hour), WrittenAt: now,
			Rule: "everyone", Line: 1, Revision: "r", Engagement: id, Vendor: "acme",
		}},
	}, audit.Event{Time: now, Kind: "grant.added", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestRFC7643_4_2_Groups(t *testing.T) {
	w := newWorld(t, nil)
	ann := w.made("ann", `"displayName":"Ann Lee"`)
	w.grant(ann, w.catalog[0])
	r := w.do("GET", "/Groups", "").want(200).is("totalResults", "3").is("Resources.0.displayName", `"ext-base"`)
	group := r.str("Resources.0.id")
	r.is("Resources.0.members", `[{"value":"`+ann+`","$ref":"`+w.server.URL+`/scim/v2/Users/`+ann+`","type":"User","display":"Ann Lee"}]`).is("Resources.1.members", "")
	for _, e := range w.catalog {
		if strings.Contains(string(r.body), e.ID) {
			t.Errorf("the vendor is told the Entra id %s", e.ID)
		}
	}
	one := w.do("GET", "/Groups/"+group, "").want(200).is("displayName", `"ext-base"`).is("meta.resourceType", `"Group"`).is("members.#", "1")
	w.do("GET", "/Groups/"+group, "", "If-None-Match", one.header.Get("ETag")).want(304)
	w.do("GET", "/Groups/"+group+"?excludedAttributes=members", "").want(200).is("members", "").is("displayName", `"ext-base"`)
	w.do("GET", "/Groups/unknown", "").refused(404, "", "no group")

	t.Run("another vendor sees the groups and none of the members", func(t *testing.T) {
		w.as("globex").do("GET", "/Groups/"+group, "").want(200).is("members", "")
	})
	t.Run("the User names its groups", func(t *testing.T) {
		w.do("GET", "/Users/"+ann, "").is("groups", `[{"value":"`+group+`","$ref":"`+w.server.URL+`/scim/v2/Groups/`+group+`","display":"ext-base","type":"direct"}]`).
			is("<"+urnContractor+">.status", `"active"`).is("<"+urnContractor+">.accessSummary", "").is("<"+urnContractor+">.entraUserState", `"Accepted"`)
		w.do("GET", "/Users/"+ann+"?attributes=accessSummary,groups.display", "").is("<"+urnContractor+">.accessSummary", `"ext-base"`).is("groups", `[{"display":"ext-base"}]`)
	})
	t.Run("filters, sorting and pages", func(t *testing.T) {
		for filter, n := range map[string]string{
			`displayName eq "EXT-BASE"`: "1", `displayName sw "ext-"`: "2", `id eq "` + group + `"`: "1", `members.value eq "` + ann + `"`: "1",
			`members eq "` + ann + `"`: "1", `members[value eq "` + ann + `" and type eq "User"]`: "1", `members pr`: "1", `id eq "` + group + `" and members eq "x"`: "0",
			`meta.resourceType eq "Group"`: "3", `meta.resourceType eq "User"`: "0",
		} {
			w.do("GET", "/Groups?"+query("filter", filter), "").want(200).is("totalResults", n)
		}
		w.do("GET", "/Groups?"+query("filter", `userName eq "x"`), "").refused(400, "invalidFilter", "userName")
		w.do("GET", "/Groups?sortBy=displayName&sortOrder=descending&count=1", "").want(200).is("Resources.0.displayName", `"ext-finance"`).is("totalResults", "3")
		w.do("GET", "/Groups?startIndex=3&count=5", "").want(200).is("Resources.0.displayName", `"dev-basic"`).is("itemsPerPage", "1")
	})
	t.Run("two names for one group in Entra are one group", func(t *testing.T) {
		again := w.catalog[0]
		again.Name = "ext-base-too"
		w.catalog = append(w.catalog, again)
		w.do("GET", "/Groups", "").is("totalResults", "3")
	})
	t.Run("a renamed group keeps its id", func(t *testing.T) {
		w.catalog = append([]contractor.Entitlement{{Kind: contractor.KindGroup, Name: "renamed", ID: w.catalog[0].ID}}, w.catalog[1:]...)
		w.do("GET", "/Groups/"+group, "").want(200).is("displayName", `"renamed"`)
	})
}

func TestGroupWrites(t *testing.T) {
	quiet := globex()
	quiet.IgnoreGroups = true
	w := newWorld(t, nil, acme(), quiet)
	group := w.do("GET", "/Groups", "").str("Resources.0.id")
	body := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Mine","members":[{"value":"x"}]}`
	patch := patchBody(`{"op":"add","path":"members","value":[{"value":"x"}]}`)
	for _, c := range []struct {
		method, path, body string
		ignored            int
	}{
		{"POST", "/Groups", body, 201}, {"PUT", "/Groups/" + group, body, 200}, {"PATCH", "/Groups/" + group, patch, 204}, {"DELETE", "/Groups/" + group, "", 204},
	} {
		w.do(c.method, c.path, c.body).refused(403, "", "read-only here")
		w.as("globex").do(c.method, c.path, c.body).want(c.ignored)
	}
	ignoring := w.as("globex")
	r := ignoring.do("POST", "/Groups", body).want(201).is("displayName", `"Mine"`).is("members", "")
	if r.header.Get("Location") != r.str("meta.location") {
		t.Errorf("Location %q, meta.location %q", r.header.Get("Location"), r.str("meta.location"))
	}
	ignoring.do("POST", "/Groups", strings.Replace(body, "Mine", "ext-base", 1)).want(201).is("id", `"`+group+`"`)
	ignoring.do("POST", "/Groups", `{}`).refused(400, "invalidValue", "displayName")
	ignoring.do("GET", "/Groups", "").is("totalResults", "3")
}
