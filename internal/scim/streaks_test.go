package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

// TestEveryRecordIsRefused: a vendor whose records are all refused is told of at every multiple of the bound, whatever way they come;
// one that is taken begins the count anew, and what says nothing of records counts not at all.
func TestEveryRecordIsRefused(t *testing.T) {
	v := acme()
	v.Guard.MaxRefused = 3
	var told []int
	w := newWorld(t, func(c *scim.Config) {
		c.Spoiled = func(_ context.Context, vendor string, inRow int, why *contractor.Error) {
			if vendor != v.Name || why.Code != contractor.CodeInvalid {
				t.Errorf("%s: %v", vendor, why)
			}
			told = append(told, inRow)
		}
	}, v)
	bad := `{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x"}`
	good := func(n int) string {
		return fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "u%d", "emails": [{"value": "u%d@acme.example"}]}`, n, n)
	}
	push := func(body string, want int) {
		t.Helper()
		if r := w.do(http.MethodPost, "/Users", body); r.status != want {
			t.Fatalf("HTTP %d %s", r.status, r.body)
		}
	}
	push(bad, http.StatusBadRequest)
	push(bad, http.StatusBadRequest)
	push(good(1), http.StatusCreated)
	push(bad, http.StatusBadRequest)
	push(bad, http.StatusBadRequest)
	push(good(1), http.StatusConflict) // it is there already: nothing is wrong with it
	if len(told) > 0 {
		t.Fatalf("told at %v, with two in a row", told)
	}
	w.do(http.MethodPost, "/Bulk", `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
		{"method": "POST", "path": "/Users", "bulkId": "a", "data": `+bad+`}, {"method": "POST", "path": "/Users", "bulkId": "b", "data": `+bad+`}]}`)
	w.do(http.MethodPut, "/Users/unknown", good(2))
	push(bad, http.StatusBadRequest)
	push(bad, http.StatusBadRequest)
	if !slices.Equal(told, []int{3, 6}) {
		t.Errorf("told at %v, want 3 and 6", told)
	}
}
