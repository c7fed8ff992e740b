package scim_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

// feedOf opens a second door on the world's store, for a feed of acme.
func feedOf(t *testing.T, w *world, dry bool) *scim.Feed {
	t.Helper()
	door, err := scim.New(scim.Config{
		Store: w.store, Wake: func() { w.wakes.Add(1) }, Logger: slog.New(slog.DiscardHandler), Groups: func() []contractor.Entitlement { return nil }, Names: func() []string { return []string{"acme"} },
		Vendors: func(name string) (*contractor.Vendor, bool) {
			v, ok := w.vendors.Load(name)
			if !ok {
				return nil, false
			}
			return v.(*contractor.Vendor), true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := door.Feed("acme", audit.Actor{Kind: audit.ActorAdmin, Name: "root"}, dry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := door.Feed("nobody", audit.Actor{}, dry); err == nil {
		t.Error("a feed of a vendor that is not there was opened")
	}
	return f
}

func TestFeedSpeaksToTheSameRecordsAsTheDoor(t *testing.T) {
	w := newWorld(t, nil)
	id := w.made("ann") // pushed
	f := feedOf(t, w, false)
	user := w.stored(id).Record
	put := func(body string) contractor.FeedResult {
		t.Helper()
		r, err := f.Put(t.Context(), contractor.FeedRecord{Body: []byte(body), Origin: json.RawMessage(`{"line":7}`)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	body := func(end string) string {
		return `{"userName":"` + strings.ToUpper(user.UserName) + `","emails":"` + user.Email + `","` + urnContractor + `:endDate":"` + end + `"}`
	}
	t.Run("a known userName is a change", func(t *testing.T) {
		if r := put(body("2098-01-01")); r.Engagement != id || r.Outcome != contractor.FeedChanged {
			t.Errorf("%+v, want %s", r, id)
		}
		events := w.journal(id)
		last := events[len(events)-1]
		if last.Actor.Name != "root" || !strings.HasPrefix(string(last.Detail), `{"from":{"line":7},"changed":[`) || !json.Valid(last.Detail) {
			t.Errorf("the journal says %v %s", last.Actor, last.Detail)
		}
	})
	t.Run("the same again is none", func(t *testing.T) {
		if r := put(body("2098-01-01")); r.Outcome != contractor.FeedUnchanged {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a refusal names whom it is about", func(t *testing.T) {
		for _, b := range []string{body("soon"), `{"userName":"` + user.UserName + `","emails":"a@elsewhere.example"}`, `{"userName":"` + user.UserName + `","active":[1]}`} {
			r, err := f.Put(t.Context(), contractor.FeedRecord{Body: []byte(b)})
			if e, ok := errors.AsType[*contractor.Error](err); !ok || e.Code != contractor.CodeInvalid || r.Engagement != id {
				t.Errorf("%s: %+v, %v", b, r, err)
			}
		}
	})
	t.Run("who is ended by the feed goes on when it is back", func(t *testing.T) {
		r, err := f.End(t.Context(), contractor.FeedEnd{Engagement: id, Reason: "it is gone"})
		if err != nil || r.Outcome != contractor.FeedEnded || w.stored(id).EndedAt.IsZero() {
			t.Errorf("%+v, %v", r, err)
		}
		known := 0
		if err := f.Known(t.Context(), func(string) error { known++; return nil }); err != nil || known != 0 {
			t.Errorf("%d are known, %v", known, err)
		}
		if r := put(body("2098-01-01")); r.Outcome != contractor.FeedChanged || !w.stored(id).EndedAt.IsZero() {
			t.Errorf("%+v", r)
		}
	})
	t.Run("two records that are one are a conflict", func(t *testing.T) {
		put(`{"userName":"bob@acme.example","externalId":"B","` + urnContractor + `:endDate":"2098-01-01"}`)
		r, err := f.Put(t.Context(), contractor.FeedRecord{Body: []byte(`{"userName":"` + user.UserName + `","externalId":"B","emails":"` + user.Email + `"}`)})
		if e, ok := errors.AsType[*contractor.Error](err); !ok || e.Code != contractor.CodeConflict || e.Path != "userName" || r.Engagement == "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("a dry feed writes nothing", func(t *testing.T) {
		before := w.stored(id).Version
		dry := feedOf(t, w, true)
		for _, b := range []string{body("2097-01-01"), `{"userName":"new@acme.example","` + urnContractor + `:endDate":"2098-01-01"}`} {
			if r, err := dry.Put(t.Context(), contractor.FeedRecord{Body: []byte(b)}); err != nil || r.Outcome == contractor.FeedUnchanged {
				t.Errorf("%+v, %v", r, err)
			}
		}
		if r, err := dry.End(t.Context(), contractor.FeedEnd{Engagement: id}); err != nil || r.Outcome != contractor.FeedEnded {
			t.Errorf("%+v, %v", r, err)
		}
		w.do("GET", "/Users", "").is("totalResults", "2")
		if w.stored(id).Version != before {
			t.Error("it was written")
		}
	})
}

// Every field that a column can fill has a path at which the door reads it into the record.
func TestFieldPathsFillTheirFields(t *testing.T) {
	v := acme()
	for _, name := range scim.FieldNames() {
		value := map[string]string{"active": "true", "rehireEligible": "true", "email": "x@acme.example", "timeZone": "Europe/Berlin", "startDate": "2026-01-01",
			"endDate": "2098-01-01", "lastWorkingDay": "2097-01-01", "locale": "de-DE", "preferredLanguage": "de", "transactionType": "UPD"}[name]
		if value == "" {
			value = "x"
		}
		fields := map[string]string{"userName": "a@acme.example", "emails": "a@acme.example", scim.FieldPath(name): value}
		body, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		n, err := scim.Normalise(v, body)
		if err != nil {
			t.Errorf("%s as %s: %v", name, body, err)
			continue
		}
		record, err := json.Marshal(n.Record)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(record, &got); err != nil {
			t.Fatal(err)
		}
		switch got := got[name].(type) {
		case string:
			if got != value {
				t.Errorf("%s was read as %q, want %q", name, got, value)
			}
		case bool:
			if !got {
				t.Errorf("%s was read as false", name)
			}
		default:
			t.Errorf("%s was not read from %s", name, scim.FieldPath(name))
		}
	}
}

// A part of a multi-valued attribute that is sent by its path belongs to the attribute's first value: the list stays one.
func TestPartsOfListsMayBeSentByPath(t *testing.T) {
	n, err := scim.Normalise(acme(), []byte(`{"userName":"a@acme.example","addresses.locality":"Bonn","addresses.country":"DE","emails.type":"work","emails":"a@acme.example"}`))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Addresses []struct{ Locality, Country string }
		Emails    []struct{ Value, Type string }
	}
	if err := json.Unmarshal(n.Resource, &got); err != nil {
		t.Fatalf("%v in %s", err, n.Resource)
	}
	if len(got.Addresses) != 1 || got.Addresses[0].Locality != "Bonn" || got.Addresses[0].Country != "DE" || len(got.Emails) != 1 || got.Emails[0].Type != "work" || got.Emails[0].Value != "a@acme.example" {
		t.Errorf("%s", n.Resource)
	}
}
