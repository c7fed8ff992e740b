package scim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// FuzzJSON holds the JSON reader against encoding/json: what ours takes, that one takes and understands alike.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e-3,"x\u00e9\n",true,false,null,{}]}`, `"\ud83d\ude00"`, `-0`, `[[[]]]`, `{"a":1,"a":2}`, `"\u0000"`, "\"\xff\"", `1e999`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		v, err := parseJSON(src, jsonLimits{depth: 100, values: 10_000})
		if err != nil {
			return
		}
		var want, got any
		if err := json.Unmarshal([]byte(src), &want); err != nil {
			t.Fatalf("%q is taken, encoding/json says %v", src, err)
		}
		again := v.appendTo(nil)
		if err := json.Unmarshal(again, &got); err != nil {
			t.Fatalf("%q is written as %q: %v", src, again, err)
		}
		a, errA := json.Marshal(want)
		b, errB := json.Marshal(got)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("%q is written as %q", src, again)
		}
	})
}

func fuzzVendor() *contractor.Vendor {
	return &contractor.Vendor{Name: "acme", EmailDomains: []string{"acme.example"}, MissingEnd: contractor.MissingEndHold, DateLayouts: []string{"01/02/2006"}, RatePerSec: -1}
}

// checkStored holds what must be true of every stored form.
func checkStored(t *testing.T, n *names, e *contractor.Engagement) {
	t.Helper()
	if !json.Valid(e.Resource) {
		t.Fatalf("the stored form is not JSON: %s", e.Resource)
	}
	d, err := recall(n, e)
	if err != nil {
		t.Fatal(err)
	}
	if again := d.stored(e.ID); string(again) != string(e.Resource) {
		t.Fatalf("the stored form is not stable:\n%s\n%s", e.Resource, again)
	}
	r := renderer{base: "https://x"}
	full := r.user(nil, e)
	if !json.Valid(full) || strings.Contains(string(full), `"securityId":`) {
		t.Fatalf("rendered: %s", full)
	}
	r.project = project(n.t, []string{"userName", "securityId"}, nil)
	if b := r.user(nil, e); !json.Valid(b) {
		t.Fatalf("projected: %s", b)
	}
}

// FuzzNormalise: any body is read or refused by a *contractor.Error; what is read is stored stably.
func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{
		`{"userName":"ann@acme.example"}`,
		`{"userName":"a","emails":["ann@acme.example"],"` + urnContractor + `":{"securityId":"x\"y","endDate":"12/31/2099","timeZone":"Europe/Berlin"},"` + urnSAP + `":{"validTo":"20991231000000Z","x":[{"y":1}]}}`,
		`{"userName":"a","name":"Ann Lee","manager":"boss","` + urnEnterprise + `":{"manager":[{"value":"m"}],"endDate":"2099-01-01"},"emails":{"value":"ann@acme.example"}}`,
		`{"userName":"a","name.givenName":"A","` + urnEnterprise + `:department":"D","active":"False","emails":[{"value":"ann@acme.example","primary":"True"},{"type":"work"}]}`,
	} {
		f.Add(seed)
	}
	reader, err := NewReader(fuzzVendor())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		out, err := reader.Normalise([]byte(body))
		if err != nil {
			if _, ok := errors.AsType[*contractor.Error](err); !ok {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		sent, err := parseJSON(body, jsonLimits{depth: 100, values: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		d, err := read(reader.names, &sent)
		if err != nil {
			t.Fatal(err)
		}
		e := contractor.Engagement{ID: "5f3c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01", Unused: out.Unused}
		e.Resource = d.stored(e.ID)
		checkStored(t, reader.names, &e)
		again, err := reader.Rederive(e)
		if err != nil {
			t.Fatalf("what was accepted is refused when read back: %v", err)
		}
		a, errA := json.Marshal(out.Record)
		b, errB := json.Marshal(again.Record)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("the record read back differs:\n%s\n%s", a, b)
		}
	})
}

// FuzzPatchBody: any PATCH of a User is applied or refused whole; what it makes is stored stably, and the same again changes
// nothing more.
func FuzzPatchBody(f *testing.F) {
	for _, ops := range []string{
		`{"op":"add","path":"emails[type eq \"home\"].value","value":"x@y.example"}`, `{"op":"replace","value":{"name.givenName":"A","active":"False"}}`,
		`{"op":"remove","path":"emails[primary eq true].type"}`, `{"op":"add","path":"manager","value":"m"}`, `{"op":"replace","path":"` + urnSAP + `:validTo","value":"20991231000000Z"}`,
		`{"op":"replace","path":"emails","value":[{"value":"a@acme.example","primary":true},{"value":"b@acme.example"}]},{"op":"add","path":"emails","value":{"value":"b@acme.example","primary":true}}`,
		`{"op":"replace","path":"` + urnContractor + `","value":{"securityId":"z","site":"none"}}`,
	} {
		f.Add(`{"schemas":["` + urnPatchOp + `"],"Operations":[` + ops + `]}`)
	}
	reader, err := NewReader(fuzzVendor())
	if err != nil {
		f.Fatal(err)
	}
	k := &call{door: &Door{limits: Limits{}.withDefaults()}, names: reader.names, vendor: reader.names.vendor, now: time.Unix(1_800_000_000, 0)}
	start, err := parseJSON(`{"userName":"ann@acme.example","emails":[{"value":"ann@acme.example","type":"work","primary":true}],"phoneNumbers":[{"value":"1","type":"work"},{"value":"2"}],"`+urnContractor+`":{"endDate":"2099-12-31","securityId":"s"}}`, jsonLimits{depth: 10, values: 100})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		sent, err := parseJSON(body, k.door.limits.json())
		if err != nil {
			return
		}
		const id = "5f3c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01"
		apply, err := k.patching(id, &sent)
		if err != nil {
			refused(t, err)
			return
		}
		old, err := read(reader.names, &start)
		if err != nil {
			t.Fatal(err)
		}
		before := string(old.stored(id))
		d, err := apply(old)
		if string(old.stored(id)) != before {
			t.Fatalf("the operations changed what they were given")
		}
		if err != nil {
			refused(t, err)
			return
		}
		e := contractor.Engagement{ID: id, Resource: d.stored(id), Unused: d.unusedJSON()}
		checkStored(t, reader.names, &e)
		if d.root.get("userName") == nil {
			t.Fatalf("the userName is gone: %s", e.Resource)
		}
	})
}

func refused(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*contractor.Error](err); !ok || e.Code == contractor.CodeInternal {
		t.Fatalf("not refused as the client's fault: %v", err)
	}
}

// FuzzDates: a date is read to one instant, whatever it is written in, or refused with its path.
func FuzzDates(f *testing.F) {
	for _, s := range []string{"2026-11-30", "12/31/2026", "2026-11-30T17:00:00+01:00", "2026-11-30T17:00-05:00", "20261130225959Z", "9999-12-31", "none", "2026-02-29", "2026-11-30T11:00:00.000"} {
		f.Add(s, "Europe/Berlin")
	}
	v := fuzzVendor()
	f.Fuzz(func(t *testing.T, s, zone string) {
		r := contractor.Record{UserName: "x", Active: true, StartDate: s, EndDate: s, TimeZone: zone}
		all, err := dates(v, &r)
		if err != nil {
			if e, ok := errors.AsType[*contractor.Error](err); !ok || !strings.HasPrefix(e.Path, urnContractor+":") {
				t.Fatalf("%q in %q: %v", s, zone, err)
			}
			return
		}
		if len(all) == 2 && !all[0].Means.IsZero() && all[1].Means.Before(all[0].Means) {
			t.Fatalf("%q in %q ends before it begins: %v, %v", s, zone, all[0].Means, all[1].Means)
		}
		e := contractor.Engagement{Record: r, Created: time.Unix(1_800_000_000, 0)}
		if p, err := e.Period(v); err != nil || len(all) == 2 && !all[1].Means.IsZero() && !p.End.Equal(all[1].Means) {
			t.Fatalf("%q in %q: the door reads %v, the period %v (%v)", s, zone, all, p.End, err)
		}
	})
}

// nothing is a store that has nothing and takes everything.
type nothing struct{}

func (nothing) Authenticate(context.Context, [32]byte, time.Time) (Client, error) {
	return Client{Vendor: "acme"}, nil
}

func (nothing) Paused(context.Context, string) (bool, error) { return false, nil }

func (nothing) Create(_ context.Context, e contractor.Engagement, _ int, _ audit.Event) (contractor.Engagement, error) {
	return e, nil
}

func (nothing) Get(context.Context, string, string) (contractor.Engagement, error) {
	return contractor.Engagement{}, contractor.Errorf(contractor.CodeNotFound, "nothing")
}
func (nothing) Show(context.Context, string, string) (contractor.Engagement, error) {
	return contractor.Engagement{}, contractor.Errorf(contractor.CodeNotFound, "nothing")
}
func (nothing) List(context.Context, contractor.Query) (contractor.Page, error) {
	return contractor.Page{}, nil
}

func (nothing) Update(_ context.Context, e contractor.Engagement, _ audit.Event) (contractor.Engagement, error) {
	return e, nil
}

func (nothing) Delete(context.Context, string, string, int64, time.Time, audit.Event) error {
	return contractor.Errorf(contractor.CodeNotFound, "nothing")
}

func (nothing) Members(context.Context, string, contractor.EntitlementKey) ([]Member, error) {
	return nil, nil
}
func (nothing) Refused(context.Context, audit.Event) error { return nil }

// FuzzBulk: any Bulk request is answered, each operation of it with a status of its own.
func FuzzBulk(f *testing.F) {
	for _, ops := range []string{
		`{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"ann@acme.example","manager":"bulkId:b"}},{"method":"POST","path":"/Users","bulkId":"b","data":{"userName":"bob@acme.example","manager":"bulkId:a"}}`,
		`{"method":"DELETE","path":"/Users/bulkId:x"}`, `{"method":"PATCH","path":"/Users/1","data":{"Operations":[{"op":"add","value":{}}]}}`, `{"method":"PUT","path":"/Groups/1","data":{}}`, `{}`, `5`,
	} {
		f.Add(`{"schemas":["` + urnBulkRequest + `"],"failOnErrors":2,"Operations":[` + ops + `]}`)
	}
	d := &Door{store: nothing{}, limits: Limits{}.withDefaults(), users: userType(), group: groupType(), wake: func() {}, groups: func() []contractor.Entitlement { return nil }}
	n, err := compileNames(d.users, fuzzVendor())
	if err != nil {
		f.Fatal(err)
	}
	router := echo.New()
	f.Fuzz(func(t *testing.T, body string) {
		sent, err := parseJSON(body, d.limits.bulk())
		if err != nil {
			return
		}
		request := httptest.NewRequest(http.MethodPost, "/scim/v2/Bulk", nil)
		k := &call{Context: router.NewContext(request, httptest.NewRecorder()), door: d, names: n, vendor: n.vendor, now: time.Unix(1_800_000_000, 0)}
		run, err := k.bulkOf(&sent)
		if err != nil {
			refused(t, err)
			return
		}
		run.all()
		var answer struct{ Operations []struct{ Status string } }
		if err := json.Unmarshal(run.answer(), &answer); err != nil {
			t.Fatalf("%v\n%s", err, run.answer())
		}
		for _, op := range answer.Operations {
			if len(op.Status) != 3 || op.Status == "500" {
				t.Fatalf("an operation answered %q: %s", op.Status, run.answer())
			}
		}
	})
}
