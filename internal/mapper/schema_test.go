package mapper

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSchemaAndDecoderKnowTheSameKeys walks the types that the file is decoded into and the schema side by side.
func TestSchemaAndDecoderKnowTheSameKeys(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatalf("the schema is not JSON: %v", err)
	}
	definitions, _ := root["definitions"].(map[string]any)
	var walk func(path string, typ reflect.Type, node map[string]any)
	walk = func(path string, typ reflect.Type, node map[string]any) {
		node = resolve(node, definitions)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			wantType(t, path, node, "string")
			return
		}
		switch typ.Kind() {
		case reflect.Struct:
			wantType(t, path, node, "object")
			properties, _ := node["properties"].(map[string]any)
			var inGo []string
			for field := range typ.Fields() {
				key := field.Tag.Get("yaml")
				inGo = append(inGo, key)
				child, ok := properties[key].(map[string]any)
				if !ok {
					continue // the comparison below names it
				}
				walk(path+"."+key, field.Type, child)
			}
			var inSchema []string
			for key := range properties {
				inSchema = append(inSchema, key)
			}
			sort.Strings(inGo)
			sort.Strings(inSchema)
			if diff := cmp.Diff(inGo, inSchema); diff != "" {
				t.Errorf("%s: keys differ (-decoder +schema):\n%s", path, diff)
			}
			if node["additionalProperties"] != false {
				t.Errorf("%s: the schema lets unknown keys through", path)
			}
		case reflect.Map:
			wantType(t, path, node, "object")
			if child, ok := node["additionalProperties"].(map[string]any); ok {
				walk(path+".*", typ.Elem(), child)
			}
		case reflect.Slice:
			wantType(t, path, node, "array")
			child, _ := node["items"].(map[string]any)
			walk(path+"[]", typ.Elem(), child)
		case reflect.String:
			wantType(t, path, node, "string")
		case reflect.Bool:
			wantType(t, path, node, "boolean")
		case reflect.Int:
			wantType(t, path, node, "integer")
		case reflect.Float64:
			wantType(t, path, node, "number")
		default:
			t.Errorf("%s: %s is not compared", path, typ)
		}
	}
	walk("mapping", reflect.TypeFor[mappingFile](), root)
}

// TestSchemaKnowsTheSameWords compares what is not in the types: enumerations, properties of a guest, fields of a record.
func TestSchemaKnowsTheSameWords(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	definitions, _ := root["definitions"].(map[string]any)
	at := func(keys ...string) map[string]any {
		node := root
		for _, k := range keys {
			node = resolve(node, definitions)
			next, ok := node[k].(map[string]any)
			if !ok {
				t.Fatalf("the schema has nothing at %s", strings.Join(keys, "."))
			}
			node = next
		}
		return node
	}
	keysOf := func(node map[string]any) []string {
		var keys []string
		for k := range node {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		return keys
	}
	var guest []string
	for _, p := range properties() {
		guest = append(guest, p.name)
	}
	sort.Strings(guest)
	if diff := cmp.Diff(guest, keysOf(at("properties", "guest", "properties"))); diff != "" {
		t.Errorf("guest properties differ (-code +schema):\n%s", diff)
	}
	if diff := cmp.Diff(sortedKeys(aliasFields()), keysOf(at("properties", "vendors", "additionalProperties", "properties", "aliases", "properties"))); diff != "" {
		t.Errorf("alias fields differ (-code +schema):\n%s", diff)
	}
	columns := csvFields()
	sort.Strings(columns)
	if diff := cmp.Diff(columns, keysOf(at("properties", "vendors", "additionalProperties", "properties", "csv", "properties", "columns", "properties"))); diff != "" {
		t.Errorf("columns differ (-code +schema):\n%s", diff)
	}
	var words []string
	for _, w := range at("properties", "vendors", "additionalProperties", "properties", "profile")["enum"].([]any) {
		words = append(words, w.(string))
	}
	if diff := cmp.Diff(profiles(), words); diff != "" {
		t.Errorf("profiles differ (-code +schema):\n%s", diff)
	}
	if got := keysOf(at("properties", "tests", "items", "properties", "want", "properties")); len(got) != len(wantKeys()) {
		t.Errorf("the keys of want are %v in the schema and %v in the code", got, wantKeys())
	}
}

// resolve follows a reference, plain or inside allOf.
func resolve(node, definitions map[string]any) map[string]any {
	if all, ok := node["allOf"].([]any); ok {
		node, _ = all[0].(map[string]any)
	}
	if ref, ok := node["$ref"].(string); ok {
		node, _ = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	}
	return node
}

// wantType checks the type of a schema node; text may also be written as a number, which YAML sees before we do.
func wantType(t *testing.T, path string, node map[string]any, want string) {
	t.Helper()
	switch got := node["type"].(type) {
	case string:
		if got == want {
			return
		}
	case []any:
		if slices.Contains(got, any(want)) {
			return
		}
	}
	t.Errorf("%s: the schema says %v, the decoder wants %s", path, node["type"], want)
}
