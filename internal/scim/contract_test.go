package scim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// stored is an engagement as the store has it.
func (w *world) stored(id string) contractor.Engagement {
	w.t.Helper()
	e, err := w.store.Get(w.t.Context(), "acme", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// journal lists the events of an engagement.
func (w *world) journal(id string) []audit.Event {
	w.t.Helper()
	var all []audit.Event
	for e, err := range w.store.Journal(w.t.Context(), contractor.JournalQuery{Engagement: id}) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func setEnd(date string) string {
	return `{"op":"replace","path":"` + urnContractor + `:endDate","value":"` + date + `"}`
}

func TestEndsMove(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	first := w.stored(id)
	if first.EndSetAt.IsZero() || !first.PrevEnd.IsZero() || !first.EndedAt.IsZero() {
		t.Errorf("a new engagement has EndSetAt %v, PrevEnd %v, EndedAt %v", first.EndSetAt, first.PrevEnd, first.EndedAt)
	}
	far := time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC)

	t.Run("a change of something else moves nothing", func(t *testing.T) {
		w.patch(id, `{"op":"add","path":"title","value":"T"}`).want(200)
		if e := w.stored(id); !e.EndSetAt.Equal(first.EndSetAt) || !e.PrevEnd.IsZero() {
			t.Errorf("EndSetAt %v, PrevEnd %v", e.EndSetAt, e.PrevEnd)
		}
	})
	t.Run("an extension is dated and remembers the end before", func(t *testing.T) {
		w.patch(id, setEnd("2100-06-30")).want(200).is("<"+urnContractor+">.effectiveEnd", `"2100-06-30T23:59:59Z"`).is("<"+urnContractor+">.extendedFrom", `"2099-12-31T23:59:59Z"`)
		if e := w.stored(id); !e.EndSetAt.After(first.EndSetAt) || !e.PrevEnd.Equal(far) {
			t.Errorf("EndSetAt %v, PrevEnd %v", e.EndSetAt, e.PrevEnd)
		}
	})
	t.Run("the same end in other words moves nothing", func(t *testing.T) {
		before := w.stored(id)
		w.patch(id, setEnd("2100-06-30T23:59:59Z")).want(200)
		if e := w.stored(id); !e.EndSetAt.Equal(before.EndSetAt) || !e.PrevEnd.Equal(before.PrevEnd) {
			t.Errorf("EndSetAt %v -> %v, PrevEnd %v -> %v", before.EndSetAt, e.EndSetAt, before.PrevEnd, e.PrevEnd)
		}
	})
	t.Run("an end that has passed is taken, and means now", func(t *testing.T) {
		w.patch(id, setEnd("2020-01-01")).want(200).is("<"+urnContractor+">.effectiveEnd", `"2020-01-01T23:59:59Z"`)
	})
	t.Run("in a new contractor it is refused", func(t *testing.T) {
		w.do("POST", "/Users", strings.Replace(user("bob"), "2099-12-31", "2020-01-01", 1)).refused(400, "invalidValue", urnContractor+":endDate: has passed")
		w.do("POST", "/Users", strings.Replace(user("bob"), `"endDate":"2099-12-31"`, `"startDate":"2099-12-31","endDate":"2099-01-01"`, 1)).refused(400, "invalidValue", "before the contract's start")
	})
}

func TestActive(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann")
	off, on := `{"op":"replace","path":"active","value":false}`, `{"op":"replace","path":"active","value":true}`

	begun := time.Now()
	w.patch(id, off).want(200).is("active", "false")
	ended := w.stored(id)
	if ended.EndedAt.Before(begun.Add(-time.Second)) || !ended.EndSetAt.Equal(ended.EndedAt) || ended.Record.Active {
		t.Errorf("EndedAt %v, EndSetAt %v, active %v", ended.EndedAt, ended.EndSetAt, ended.Record.Active)
	}
	t.Run("a second time it ends no later", func(t *testing.T) {
		w.patch(id, off, `{"op":"add","path":"title","value":"T"}`).want(200)
		if e := w.stored(id); !e.EndedAt.Equal(ended.EndedAt) || !e.EndSetAt.Equal(ended.EndSetAt) {
			t.Errorf("EndedAt moved from %v to %v", ended.EndedAt, e.EndedAt)
		}
	})
	t.Run("active again clears it", func(t *testing.T) {
		w.patch(id, on).want(200).is("active", "true").is("<"+urnContractor+">.effectiveEnd", `"2099-12-31T23:59:59Z"`)
		if e := w.stored(id); !e.EndedAt.IsZero() || !e.PrevEnd.Equal(ended.EndedAt) {
			t.Errorf("EndedAt %v, PrevEnd %v", e.EndedAt, e.PrevEnd)
		}
	})
	t.Run("active again after the end date stays ended", func(t *testing.T) {
		w.patch(id, setEnd("2020-01-01"), off).want(200)
		w.patch(id, on).want(200).is("active", "true")
		e := w.stored(id)
		if p, err := e.Period(acme()); err != nil || p.Live(time.Now()) {
			t.Errorf("the contract lives again until %v (%v)", p.End, err)
		}
	})
	t.Run("a contractor can be posted inactive", func(t *testing.T) {
		r := w.do("POST", "/Users", user("bob", `"active":false`)).want(201).is("active", "false")
		if e := w.stored(r.str("id")); e.EndedAt.IsZero() {
			t.Error("an inactive contractor has no EndedAt")
		}
	})
	t.Run("PUT without active changes it neither way", func(t *testing.T) {
		id := w.made("cleo")
		w.do("PUT", "/Users/"+id, user("cleo", `"title":"T"`)).want(200).is("active", "true")
		w.patch(id, off).want(200)
		w.do("PUT", "/Users/"+id, user("cleo", `"title":"U"`)).want(200).is("active", "false")
		w.do("PUT", "/Users/"+id, user("cleo", `"active":"True"`)).want(200).is("active", "true")
	})
}

func TestMissingEnd(t *testing.T) {
	without := strings.Replace(user("ann"), `"endDate":"2099-12-31"`, `"site":"X"`, 1)
	t.Run("reject", func(t *testing.T) {
		v := acme()
		v.MissingEnd = contractor.MissingEndReject
		w := newWorld(t, nil, v)
		w.do("POST", "/Users", without).refused(400, "invalidValue", urnContractor+":endDate: is required")
		w.do("POST", "/Users", strings.Replace(without, `"site":"X"`, `"endDate":"9999-12-31"`, 1)).refused(400, "invalidValue", "endDate")
		id := w.made("bob")
		w.patch(id, `{"op":"remove","path":"`+urnContractor+`:endDate"}`).refused(400, "invalidValue", "endDate")
		w.patch(id, `{"op":"remove","path":"`+urnContractor+`:endDate"},{"op":"replace","path":"active","value":false}`).want(200)
		w.do("POST", "/Users", strings.Replace(without, `"site":"X"`, `"lastWorkingDay":"2098-01-01"`, 1)).want(201)
	})
	t.Run("cap", func(t *testing.T) {
		v := acme()
		v.MissingEnd, v.MaxDuration = contractor.MissingEndCap, contractor.Span{Days: 30}
		w := newWorld(t, nil, v)
		r := w.do("POST", "/Users", strings.Replace(without, `"site":"X"`, `"startDate":"2098-01-01"`, 1)).want(201)
		r.is("<"+urnContractor+">.effectiveEnd", `"2098-01-31T00:00:00Z"`)
		w.do("POST", "/Users", strings.Replace(user("bob"), `"endDate":`, `"startDate":"2098-01-01","endDate":`, 1)).want(201).
			is("<"+urnContractor+">.effectiveEnd", `"2098-01-31T00:00:00Z"`)
	})
	t.Run("hold", func(t *testing.T) {
		w := newWorld(t, nil)
		w.do("POST", "/Users", without).want(201).is("<"+urnContractor+">.effectiveEnd", "")
	})
}

func TestAddresses(t *testing.T) {
	w := newWorld(t, nil)
	post := func(address string) reply {
		return w.do("POST", "/Users", fmt.Sprintf(`{"userName":"u-%d","emails":[{"value":%s}],"%s":{"endDate":"2099-12-31"}}`, time.Now().UnixNano(), quoteJSON(address), urnContractor))
	}
	for _, bad := range []string{
		"ann@evil.example", "ann@acme.example.evil.example", "ann@xacme.example", "ann", "@acme.example", "ann@", "a@b@acme.example",
		"o'hara@acme.example", "a b@acme.example", "a+b@acme.example", "a%b@acme.example", "a;b@acme.example", `a"b@acme.example`, "a/b@acme.example",
		".ann@acme.example", "ann.@acme.example", "-ann@acme.example", "ann-@acme.example", "a\nb@acme.example", "a\u00a0b@acme.example",
		strings.Repeat("x", 300) + "@acme.example",
	} {
		post(bad).refused(400, "invalidValue", "emails")
	}
	for _, good := range []string{"ann_lee@acme.example", "Ann.Lee-2@ACME.example", "x@a.b.acme.example", "_ann@acme.example"} {
		post(good).want(201)
	}
	t.Run("which one is the person", func(t *testing.T) {
		for emails, want := range map[string]string{
			`[{"value":"a@acme.example"},{"value":"b@acme.example","type":"work"},{"value":"c@acme.example","primary":true}]`: "c@acme.example",
			`[{"value":"d@acme.example"},{"value":"e@acme.example","type":"Work"}]`:                                           "e@acme.example",
			`[{"value":"f@acme.example"},{"value":"g@acme.example","type":"home"}]`:                                           "f@acme.example",
			`["h@acme.example"]`:            "h@acme.example",
			`"i@acme.example"`:              "i@acme.example",
			`[{"value":" ｊ@acme.example"}]`: "j@acme.example",
		} {
			r := w.do("POST", "/Users", fmt.Sprintf(`{"userName":"n-%d","emails":%s}`, time.Now().UnixNano(), emails)).want(201)
			if got := w.stored(r.str("id")).Record.Email; got != want {
				t.Errorf("%s: %q, want %q", emails, got, want)
			}
		}
		r := w.do("POST", "/Users", `{"userName":"only.name@acme.example"}`).want(201)
		if got := w.stored(r.str("id")).Record.Email; got != "only.name@acme.example" {
			t.Errorf("without emails: %q", got)
		}
	})
}

func quoteJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestTestUsers(t *testing.T) {
	w := newWorld(t, nil)
	r := w.do("POST", "/Users", `{"userName":"SCIM-test-1","emails":[{"value":"nobody@anywhere.example"}]}`).want(201)
	e := w.stored(r.str("id"))
	if !e.Test || e.Person != "" {
		t.Errorf("test %v, person %q", e.Test, e.Person)
	}
	bare := w.do("POST", "/Users", `{"userName":"scim-test-2"}`).want(201).is("<"+urnContractor+">", "").is("schemas", `["`+urnUser+`"]`).str("id")
	w.do("GET", "/Users/"+bare, "").is("schemas", `["`+urnUser+`"]`)
	w.do("GET", "/Users", "").want(200).is("Resources.1.schemas", `["`+urnUser+`"]`)
	w.patch(bare, `{"op":"add","path":"`+urnContractor+`:endDate","value":"no date"}`).want(200).is("<"+urnContractor+">", `{"endDate":"no date"}`)
	w.patch(e.ID, `{"op":"replace","path":"userName","value":"ann@acme.example"}`).refused(400, "invalidValue", "test user")
	w.patch(w.made("ann"), `{"op":"replace","path":"userName","value":"scim-test-3"}`).refused(400, "invalidValue", "test user")
	w.do("DELETE", "/Users/"+e.ID, "").want(204)
}

func TestJournal(t *testing.T) {
	w := newWorld(t, nil)
	id := w.do("POST", "/Users", user("ann", `"name":{"givenName":"Ann","familyName":"Secret"}`)).want(201).str("id")
	w.patch(id, `{"op":"add","path":"title","value":"Confidential"}`, setEnd("2100-01-31")).want(200)
	w.do("PUT", "/Users/"+id, user("ann", `"nickName":"Hidden"`)).want(200)
	w.patch(id, `{"op":"replace","path":"active","value":false}`).want(200)
	w.patch(id, `{"op":"replace","path":"active","value":true}`).want(200)
	w.patch(id, `{"op":"replace","path":"active","value":true}`).want(200) // changes nothing
	w.do("DELETE", "/Users/"+id, "").want(204)
	events := w.journal(id)
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		if e.Actor != (audit.Actor{Kind: audit.ActorVendor, Name: "acme"}) || e.Vendor != "acme" || e.Outcome != audit.Done || e.Person == "" || e.Time.IsZero() {
			t.Errorf("%s: actor %v, vendor %q, outcome %q, person %q", e.Kind, e.Actor, e.Vendor, e.Outcome, e.Person)
		}
		leaf, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"ann@", "Secret", "Confidential", "Hidden", "Ann"} {
			if strings.Contains(string(leaf), word) {
				t.Errorf("%s tells %q outside Personal: %s", e.Kind, word, leaf)
			}
		}
		if !strings.Contains(string(e.Personal), "ann@acme.example") {
			t.Errorf("%s: personal %s", e.Kind, e.Personal)
		}
	}
	want := []string{"engagement.created", "engagement.patched", "engagement.replaced", "engagement.ended", "engagement.reactivated", "engagement.deleted"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	var d struct {
		Token   string
		Changed []string
		End     struct{ From, To string }
	}
	if err := json.Unmarshal(events[1].Detail, &d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"title", urnContractor + ":endDate"}, d.Changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if d.End.From != "2099-12-31T23:59:59Z" || d.End.To != "2100-01-31T23:59:59Z" || d.Token != "token-of-acme" {
		t.Errorf("detail is %s", events[1].Detail)
	}
	if log := w.log.String(); strings.Contains(log, "ann@") {
		t.Errorf("an address is in the log: %s", log)
	}
}

func TestUnusedIsKept(t *testing.T) {
	w := newWorld(t, nil)
	id := w.do("POST", "/Users", user("ann", `"password":"s3cret"`, `"shoeSize":44`, `"name":{"givenName":"Ann","petName":"A"}`,
		`"urn:ietf:params:scim:schemas:extension:sap:2.0:User":{"status":"x","nested":{"a":1}}`)).want(201).str("id")
	check := func(want string) {
		t.Helper()
		if diff := cmp.Diff(want, string(w.stored(id).Unused)); diff != "" {
			t.Errorf("unused (-want +got):\n%s", diff)
		}
	}
	const sap = "urn:ietf:params:scim:schemas:extension:sap:2.0:User"
	check(`{"name.petName":"A","shoeSize":44,"` + sap + `:status":"x","` + sap + `:nested.a":1}`)
	w.patch(id, `{"op":"replace","path":"`+sap+`:status","value":"y"}`, `{"op":"remove","path":"`+sap+`:nested.a"}`).want(200)
	check(`{"name.petName":"A","shoeSize":44,"` + sap + `:status":"y"}`)
	w.do("PUT", "/Users/"+id, user("ann")).want(200)
	check("")
	big := w.do("POST", "/Users", user("bob", `"junk":"`+strings.Repeat("x", 20_000)+`"`)).want(201).str("id")
	if got := string(w.stored(big).Unused); got != `{"tooLong":["junk"]}` {
		t.Errorf("unused is %.100s", got)
	}
}
