package emulator

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// subset is the part of the reference file that the emulator is held against.
type subset struct {
	EntityTypes, ComplexTypes map[string]subsetType
	EnumTypes                 map[string]struct {
		Flags   bool
		Members map[string]int
	}
	Operations []struct {
		ID, Method, Path, Body string
		Success                []int
		Permission             []string
		AppOnly                *bool
	}
}

type subsetType struct {
	BaseType                         string
	OpenType                         bool
	Properties, NavigationProperties map[string]struct {
		Type     string
		Nullable *bool
	}
}

func loadSubset(t *testing.T) subset {
	path := os.Getenv("SCIMBRIDGE_GRAPH_SUBSET")
	if path == "" {
		t.Skip("SCIMBRIDGE_GRAPH_SUBSET does not name graph-subset.json; set it to compare the emulator with the Graph metadata")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s subset
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.EntityTypes) == 0 || len(s.Operations) == 0 {
		t.Fatalf("%s holds no types or operations", path)
	}
	return s
}

func short(name string) string { return strings.ReplaceAll(name, "microsoft.graph.", "") }

// declared writes a type of the metadata as the embedded schema does.
func declared(typ string, nullable *bool) string {
	typ = strings.TrimPrefix(short(typ), "Edm.")
	if inner, ok := strings.CutPrefix(typ, "Collection("); ok {
		typ = "[]" + strings.TrimPrefix(strings.TrimSuffix(inner, ")"), "Edm.")
	}
	if nullable != nil && !*nullable {
		typ += "!"
	}
	return typ
}

func TestSchemaAgainstTheMetadata(t *testing.T) {
	want := loadSubset(t)
	got, err := loadSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, types := range []map[string]subsetType{want.EntityTypes, want.ComplexTypes} {
		for name, w := range types {
			g := got.Types[short(name)]
			if g == nil {
				t.Errorf("type %s is missing", name)
				continue
			}
			if g.Base != short(w.BaseType) || g.Open != w.OpenType || len(g.Props) != len(w.Properties) || len(g.Nav) != len(w.NavigationProperties) {
				t.Errorf("type %s differs: base %s, open %v, %d properties, %d navigation properties", name, g.Base, g.Open, len(g.Props), len(g.Nav))
			}
			for p, v := range w.Properties {
				if d := declared(v.Type, v.Nullable); g.Props[p] != d {
					t.Errorf("%s.%s is %q, the metadata says %q", name, p, g.Props[p], d)
				}
			}
		}
	}
	for name, w := range want.EnumTypes {
		members := got.Enums[short(name)]
		if len(members) != len(w.Members) || slices.Contains(got.Flags, short(name)) != w.Flags {
			t.Errorf("enumeration %s differs", name)
		}
		for m := range w.Members {
			if !slices.Contains(members, m) {
				t.Errorf("enumeration %s has no %s", name, m)
			}
		}
	}
}

func TestOperationsAgainstTheMetadata(t *testing.T) {
	served := map[string]*operation{}
	for _, op := range operations() {
		served[op.id] = op
	}
	r := newRouter(operations())
	for _, w := range loadSubset(t).Operations {
		op := served[w.ID]
		if op == nil {
			t.Errorf("operation %s is not served", w.ID)
			continue
		}
		path := strings.NewReplacer("{", "", "}", "").Replace(w.Path)
		found, _, err := r.find(w.Method, path)
		if err != nil || found != routeOf(r, op.id) {
			t.Errorf("%s: %s %s leads elsewhere (%v)", w.ID, w.Method, w.Path, err)
		}
		body := short(w.Body)
		if op.body != body && op.body != "(any)" {
			t.Errorf("%s: body %q, want %q", w.ID, op.body, body)
		}
		if !slices.Contains(w.Success, op.success) {
			t.Errorf("%s: success %d, want one of %v", w.ID, op.success, w.Success)
		}
		if w.AppOnly != nil && !*w.AppOnly {
			if !op.delegated {
				t.Errorf("%s is allowed for an application", w.ID)
			}
			continue
		}
		c := &call{e: &Emulator{cfg: Config{Licence: LicenceP2}}, op: op, token: &token{Roles: w.Permission}}
		if err := c.permit(); err != nil {
			t.Errorf("%s is refused to a caller with %v", w.ID, w.Permission)
		}
		if len(w.Permission) > 0 {
			c.token = &token{Roles: []string{"Sites.Read.All"}}
			if err := c.permit(); err == nil {
				t.Errorf("%s is allowed without a permission", w.ID)
			}
		}
	}
}

func routeOf(r *router, id string) *operation {
	for _, rt := range r.routes {
		if rt.op.id == id {
			return rt.op
		}
	}
	return nil
}

// Every operation is reached by its own path, whatever the metadata says.
func TestEveryOperationIsReached(t *testing.T) {
	ops := operations()
	r := newRouter(ops)
	seen := map[string]bool{}
	for _, op := range ops {
		if seen[op.id] {
			t.Errorf("operation id %s twice", op.id)
		}
		seen[op.id] = true
		found, _, err := r.find(op.method, strings.NewReplacer("{", "", "}", "").Replace(op.path))
		if err != nil || found != op {
			t.Errorf("%s %s leads elsewhere (%v)", op.method, op.path, err)
		}
		if op.success == 0 || op.serve == nil {
			t.Errorf("%s is incomplete", op.id)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"mail eq 'x'", "otherMails/any(m:m eq 'o''x')", "a eq 1 and not(b ne null) or startswith(c,'d')", "x in ('a','b')",
		"identities/any(i:i/issuer eq 'a' and i/issuerAssignedId eq 'b')", "t ge 2026-01-01T00:00:00Z", "((((", "'", "any(:", "a/all(b:b eq 1)",
	} {
		f.Add(s)
	}
	obj := map[string]any{"mail": "x", "otherMails": []any{"a", 1.5, nil}, "b": nil, "identities": []any{map[string]any{"issuer": "a"}}, "t": "2026-01-01T00:00:00Z"}
	f.Fuzz(func(_ *testing.T, s string) {
		e, err := parseFilter(s)
		if err != nil {
			return
		}
		e.eval(obj, nil)
		e.fields()
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"P30D", "PT5M", "P4W2D", "-P1DT1H1M1.5S", "P", "PT", "P99999999999999D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err != nil {
			return
		}
		if again, err := parseDuration(strings.TrimPrefix(formatDuration(d.Abs()), "-")); err != nil || d.Abs()-again > 1e9 {
			t.Errorf("%q is %s, written %q, read %s (%v)", s, d, formatDuration(d.Abs()), again, err)
		}
	})
}
