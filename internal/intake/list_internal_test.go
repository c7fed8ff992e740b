package intake

import (
	"encoding/json"
	"testing"
)

// FuzzList holds that a list that is taken has an id in each of its resources, and bodies that are JSON objects with an externalId.
func FuzzList(f *testing.F) {
	for _, seed := range []string{
		`{"totalResults":1,"Resources":[{"id":"1","externalId":"x","userName":"a"}]}`, `{"totalResults":2,"startIndex":1,"itemsPerPage":2,"Resources":[{"id":7},{"ID":"8","EXTERNALID":null}]}`,
		`{"totalResults":0}`, `{"Resources":null,"nextCursor":"c"}`, `{"totalResults":-1,"Resources":[]}`, `[]`, `{"Resources":[1]}`, `{"Resources":[{"id":"1","meta":{"lastModified":"2026-01-01T00:00:00Z"}}]} x`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, byID bool) {
		p, err := parseList(body, byID)
		if err != nil {
			return
		}
		for _, r := range p.resources {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(r.body, &fields); err != nil || r.id == "" {
				t.Fatalf("%q became %s: %v", r.id, r.body, err)
			}
			if v, ok := fields["externalId"]; byID && (!ok || word(v) != r.id) {
				t.Errorf("%q became %s", r.id, r.body)
			}
		}
	})
}
