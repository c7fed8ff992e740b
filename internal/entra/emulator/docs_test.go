package emulator_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"scimbridge/internal/entra/emulator"
)

// The page for strangers names everything that they can set, call and ask for.
func TestDocsAreComplete(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	wants := map[string]bool{}
	for _, v := range []any{emulator.Unknowns{}, emulator.Quota{}} {
		for f := range reflect.TypeOf(v).Fields() {
			wants[f.Name] = true
		}
	}
	typ := reflect.TypeFor[*emulator.Emulator]()
	for m := range typ.Methods() {
		wants[m.Name] = true
	}
	delete(wants, "Graph") // the handlers behind Start and Transport
	delete(wants, "Login")
	for w := range wants {
		if !strings.Contains(page, "`"+w+"`") && !strings.Contains(page, "."+w+"(") {
			t.Errorf("docs/emulator.md does not name %s", w)
		}
	}
	c := newClient(t, kind())
	var overview struct {
		Endpoints []string `json:"endpoints"`
	}
	if err := json.Unmarshal([]byte(c.must(200, "GET", "https://"+emulator.GraphHost+"/_emulator/", nil).raw), &overview); err != nil {
		t.Fatal(err)
	}
	if len(overview.Endpoints) < 10 {
		t.Errorf("endpoints %v", overview.Endpoints)
	}
	for _, e := range overview.Endpoints {
		if !strings.Contains(page, "`"+e+"`") {
			t.Errorf("docs/emulator.md does not name %s", e)
		}
	}
}
