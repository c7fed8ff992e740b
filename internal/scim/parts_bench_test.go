package scim

import (
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

func BenchmarkParseFilter(b *testing.B) {
	users := userType()
	for name, filter := range map[string]string{
		"userName eq": `userName eq "worker@acme.example"`,
		"complex":     `(userName sw "a" or emails[type eq "work" and value co "@acme"]) and active eq true and not (` + urnContractor + `:endDate lt "2026-01-01")`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parseFilter(filter, users, fuzzLimits()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRender(b *testing.B) {
	reader, err := NewReader(fuzzVendor())
	if err != nil {
		b.Fatal(err)
	}
	sent, err := parseJSON(`{"userName":"ann@acme.example","name":{"givenName":"Ann","familyName":"Lee"},"emails":[{"value":"ann@acme.example","type":"work","primary":true}],"title":"Senior Developer",
		"`+urnEnterprise+`":{"department":"Finance","costCenter":"1"},"`+urnContractor+`":{"endDate":"2099-12-31","workerId":"W1","supplier":"ACME"}}`, jsonLimits{depth: 10, values: 100})
	if err != nil {
		b.Fatal(err)
	}
	d, err := read(reader.names, &sent)
	if err != nil {
		b.Fatal(err)
	}
	e := contractor.Engagement{ID: "5f3c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01", Version: 7, Created: time.Unix(1_800_000_000, 0), Modified: time.Unix(1_800_000_000, 0)}
	e.Resource = d.stored(e.ID)
	e.Standing = contractor.Standing{Status: contractor.StatusActive, EffectiveStart: e.Created, EffectiveEnd: e.Created}
	for name, r := range map[string]*renderer{
		"whole":     {base: "https://scim.corp.example/scim/v2"},
		"projected": {base: "https://scim.corp.example/scim/v2", project: project(reader.names.t, []string{"userName"}, nil)},
	} {
		b.Run(name+" x100", func(b *testing.B) {
			buf := make([]byte, 0, 200_000)
			b.ReportAllocs()
			for b.Loop() {
				out := buf
				for range 100 {
					out = r.user(out, &e)
				}
			}
		})
	}
}
