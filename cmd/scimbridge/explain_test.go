package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

// TestExplainThePast changes a record, a mapping and a decision one after the other, and asks about each instant between.
func TestExplainThePast(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 11)
	h.edit("profile: okta\n", "profile: okta\n    aliases: {end: [\"ext:kforce.lastDay\"], site: [shoe]}\n")
	h.command(exitOK, "reload")
	const mail = "ada@kforce.example"
	body := `{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "` + mail + `", "externalId": "ada", "active": true, "shoe": "44",
		"emails": [{"primary": true, "value": "` + mail + `", "type": "work"}], "favouriteColour": "blue",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "IT"},
		"urn:ietf:params:scim:schemas:extension:contractor:2.0:User": {"sponsorEmail": "sponsor@contoso.example", "workerId": "K-1"},
		"urn:ietf:params:scim:schemas:extension:kforce:2.0:User": {"lastDay": "` + time.Now().AddDate(0, 2, 0).Format("2006-01-02") + `"}}`
	id, err := h.vendors["okta"].create(t.Context(), mail, body)
	ok(t, err)
	move := func(department string) {
		_, err := h.vendors["okta"].expect(t.Context(), http.StatusOK, http.MethodPatch, "/Users/"+id, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
			"Operations":[{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"`+department+`"}]}`)
		ok(t, err)
	}
	stamp := func() string {
		at := time.Now().UTC()
		time.Sleep(2 * time.Millisecond) // what comes next is later
		return at.Format(time.RFC3339Nano)
	}
	says := func(at string, want ...string) string {
		t.Helper()
		args := []string{"explain", mail, "ext-finance"}
		if at != "" {
			args = append(args, "--at", at)
		}
		out := h.command(exitOK, args...)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("at %q explain does not say %q:\n%s", at, w, out)
			}
		}
		return out
	}
	inIT := stamp()
	move("Finance")
	h.soon("the finance group is held", func() bool { return h.finance() == 1 })
	inFinance := stamp()
	h.edit("  - name: finance\n", "  - name: money\n")
	h.command(exitOK, "reload")
	h.edit("  - name: money\n", "  # moved down a line\n  - name: money\n")
	h.command(exitOK, "reload")
	renamed := stamp()
	h.command(exitOK, "contractor", "end", mail, "--now", "--yes", "--reason", "lost laptop")
	stopped := stamp()
	h.soon("nobody has the finance group", func() bool { return h.finance() == 0 })
	h.command(exitOK, "contractor", "release", mail, "--reason", "found it")
	move("HR")
	h.soon("its end is read back", func() bool {
		return strings.Contains(h.command(exitOK, "explain", mail, "ext-finance"), "\n  not held")
	})

	out := says(inIT, "not held", `c.department is "IT"`, "rule finance (line", "until it was changed at", `c.endDate`, "from ext:kforce.lastDay", "alias", `c.site`, "from shoe", `favouriteColour: "blue"`, "(event ")
	if strings.Contains(out, "grant.added") {
		t.Errorf("an event of later is told:\n%s", out)
	}
	says(inFinance, "held since", "by rule finance, line", `when: c.department == "Finance"`, "grant.added", "POST /groups/{id}/members/$ref", "request-id ", "for engagement "+id)
	out = says(renamed, "  money            line 38  matched")
	if strings.Contains(out, "STOPPED") || strings.Contains(out, "rule finance missed") {
		t.Errorf("of another time:\n%s", out)
	}
	says(stopped, "STOPPED   by ", "lost laptop")
	out = says("", `c.department is "HR"`, "rule money (line", "not held")
	if strings.Contains(out, "STOPPED") || strings.Contains(out, "until it was changed") {
		t.Errorf("of another time:\n%s", out)
	}
	var x explanation
	ok(t, json.Unmarshal([]byte(h.command(exitOK, "explain", mail, "--json", "--at", inFinance)), &x))
	if len(x.Engagements) != 1 || x.Engagements[0].Evaluation == nil || x.Engagements[0].Evaluation.Status != contractor.StatusActive || len(x.Gaps) > 0 {
		t.Errorf("%+v", x)
	}
	h.command(exitError, "explain", mail, "--at", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if out := h.command(exitOK, "explain", mail, "--at", "2020-01-01"); !strings.Contains(out, "NOT KNOWN no mapping was in force") {
		t.Errorf("before anything was:\n%s", out)
	}
}
