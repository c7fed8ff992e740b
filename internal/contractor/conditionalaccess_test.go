package contractor_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

// What the store remembers of a policy is what was written, to the last part.
func TestCAPolicyKeepsItsPartsInJSON(t *testing.T) {
	p := contractor.CAPolicy{
		ID: "1", Name: "x", State: contractor.CAOn,
		Users: contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest"}, Tenants: []string{"t"}}, ExcludeGroups: []string{"g"}},
		Apps:  contractor.CAApps{Include: []string{"All"}}, ClientApps: []string{"all"}, Locations: contractor.CAIncludes{Include: []string{"All"}, Exclude: []string{"l"}},
		Devices: contractor.CADevices{Mode: "include", Rule: "r"}, SignInRisk: []string{"high"}, Grant: contractor.CAGrant{Operator: "AND", Controls: []string{"mfa"}},
		Session: contractor.CASession{Frequency: 36 * time.Hour, PersistentBrowser: "never"}, Other: []string{"o"},
	}
	for name, p := range map[string]contractor.CAPolicy{"full": p, "bare": {Name: "x", State: contractor.CAOff, Apps: contractor.CAApps{}}, "everyTime": {Session: contractor.CASession{EveryTime: true}}} {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var got contractor.CAPolicy
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, got); d != "" {
			t.Errorf("%s: %s\n(-want +got):\n%s", name, b, d)
		}
	}
	if err := json.Unmarshal([]byte(`{"sessionControls":{"signInFrequency":"often"}}`), &p); err == nil {
		t.Error("a frequency that is none was read")
	}
}
