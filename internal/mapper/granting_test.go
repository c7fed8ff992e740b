package mapper_test

import (
	"slices"
	"strings"
	"testing"

	"scimbridge/internal/contractor"
)

const grantingFile = `version: 1
catalog:
  groups:
    a: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01}
    b: {id: 9c3f61c2-5a0f-4c3e-8a55-6d1f5c7f2b02}
vendors:
  one: {email_domains: [one.example], max_duration: 100d}
  two: {email_domains: [two.example], max_duration: 60d}
rules:
  - name: all
    grant: {groups: [a]}
  - name: short
    when: c.country == "DE"
    grant: {groups: [a, b]}
    max_duration: 30d
`

func TestGranting(t *testing.T) {
	m := mustParse(t, grantingFile)
	a, b := m.Catalog()[0].Key(), m.Catalog()[1].Key()
	if got := m.Granting(a); !slices.Equal(got, []string{"all", "short"}) {
		t.Errorf("a is granted by %v", got)
	}
	if got := m.Granting(b); !slices.Equal(got, []string{"short"}) {
		t.Errorf("b is granted by %v", got)
	}
	if got := m.Granting(contractor.EntitlementKey{}); got != nil {
		t.Errorf("nothing is granted by %v", got)
	}
	for key, want := range map[contractor.EntitlementKey]string{a: "100d", b: "30d"} {
		if got, ok := m.Longest(key); !ok || got.String() != want {
			t.Errorf("the longest grant of %s is %s, %v; want %s", key.ID, got, ok, want)
		}
	}
	unlimited := mustParse(t, strings.Replace(grantingFile, ", max_duration: 60d", "", 1))
	if got, ok := unlimited.Longest(a); ok {
		t.Errorf("a vendor without a limit, and the longest grant is %s", got)
	}
	if got, ok := unlimited.Longest(b); !ok || got.String() != "30d" {
		t.Errorf("the rule's own limit is %s, %v", got, ok)
	}
}
