package entra_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// subset is Graph's own metadata, as far as the bridge uses it: names, types, enums, operations. It is not part of the
// repository; where SCIMBRIDGE_GRAPH_SUBSET names the file, every request of the wire tests is checked against it.
type subset struct {
	EntityTypes  map[string]subsetType `json:"entityTypes"`
	ComplexTypes map[string]subsetType `json:"complexTypes"`
	EnumTypes    map[string]struct {
		Flags   bool           `json:"flags"`
		Members map[string]int `json:"members"`
	} `json:"enumTypes"`
	Extras []struct {
		Type       string            `json:"type"`
		Properties map[string]string `json:"properties"`
	} `json:"documentedExtras"`
	Operations []struct {
		ID     string `json:"id"`
		Method string `json:"method"`
		Path   string `json:"path"`
		Body   string `json:"body"`
	} `json:"operations"`
}

type subsetType struct {
	BaseType   string                    `json:"baseType"`
	OpenType   bool                      `json:"openType"`
	Properties map[string]subsetProperty `json:"properties"`
	Navigation map[string]struct {
		Type string `json:"type"`
	} `json:"navigationProperties"`
}

type subsetProperty struct {
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
}

// loadSubset reads the metadata, nil where it is not given.
func loadSubset(t *testing.T) *subset {
	t.Helper()
	path := os.Getenv("SCIMBRIDGE_GRAPH_SUBSET")
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s subset
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.EntityTypes) == 0 || len(s.Operations) == 0 {
		t.Fatalf("%s holds no metadata", path)
	}
	return &s
}

// operation finds the operation of a request; "" if there is none.
func (s *subset) operation(r sent) (id, body string) {
	path := strings.Split(r.Path, "/")
	for _, op := range s.Operations {
		want := strings.Split(op.Path, "/")
		if op.Method != r.Method || len(want) != len(path) {
			continue
		}
		same := true
		for i := range want {
			variable := strings.HasPrefix(want[i], "{")
			same = same && (variable && !strings.Contains(path[i], "$") || want[i] == path[i])
		}
		if same {
			return op.ID, op.Body
		}
	}
	return "", ""
}

// check lists what is wrong with a request.
func (s *subset) check(r sent) []string {
	id, body := s.operation(r)
	switch {
	case id == "":
		return []string{"no such operation: " + r.line()}
	case (body != "") != (r.Body != ""):
		return []string{fmt.Sprintf("%s: body %q, but the operation's is %q", id, r.Body, body)}
	case body == "":
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil {
		return []string{err.Error()}
	}
	return s.value(id, body, false, v)
}

func (s *subset) value(where, typ string, nullable bool, v any) []string {
	if v == nil {
		if nullable {
			return nil
		}
		return []string{where + ": null, but not nullable"}
	}
	if inner, ok := strings.CutPrefix(typ, "Collection("); ok {
		list, isList := v.([]any)
		if !isList {
			return []string{where + ": not a list"}
		}
		var bad []string
		for i, e := range list {
			bad = append(bad, s.value(fmt.Sprintf("%s[%d]", where, i), strings.TrimSuffix(inner, ")"), false, e)...)
		}
		return bad
	}
	if e, ok := s.EnumTypes[typ]; ok {
		text, isText := v.(string)
		for m := range strings.SplitSeq(text, ",") {
			if _, known := e.Members[m]; !isText || !known {
				return []string{fmt.Sprintf("%s: %v is no member of %s", where, v, typ)}
			}
		}
		return nil
	}
	switch typ {
	case "Edm.String", "Edm.DateTimeOffset", "Edm.Duration":
		text, isText := v.(string)
		if !isText {
			return []string{where + ": not a string"}
		}
		if _, err := time.Parse(time.RFC3339, text); typ == "Edm.DateTimeOffset" && err != nil {
			return []string{where + ": " + err.Error()}
		}
		return nil
	case "Edm.Boolean":
		if _, isBool := v.(bool); !isBool {
			return []string{where + ": not a boolean"}
		}
		return nil
	}
	object, isObject := v.(map[string]any)
	if !isObject {
		return []string{where + ": not an object of " + typ}
	}
	return s.object(where, typ, object)
}

func (s *subset) object(where, typ string, object map[string]any) []string {
	var bad []string
	for name, v := range object {
		p, nav, open := s.property(typ, name)
		switch {
		case p.Type != "":
			bad = append(bad, s.value(where+"."+name, p.Type, p.Nullable, v)...)
		case nav == "Collection(microsoft.graph.directoryObject)", nav == "Collection(microsoft.graph.user)":
			for _, e := range v.([]any) {
				if m, ok := e.(map[string]any); !ok || len(m) != 1 || m["id"] == nil {
					bad = append(bad, where+"."+name+": want objects with an id")
				}
			}
		case nav != "":
			bad = append(bad, s.value(where+"."+name, nav, false, v)...)
		case open && strings.HasPrefix(name, "extension_"):
		default:
			bad = append(bad, where+": "+typ+" has no "+name)
		}
	}
	slices.Sort(bad)
	return bad
}

func (s *subset) property(typ, name string) (p subsetProperty, navigation string, open bool) {
	for _, e := range s.Extras {
		if extra, ok := e.Properties[name]; ok && e.Type == typ {
			if !strings.HasPrefix(extra, "Edm.") && !strings.HasPrefix(extra, "Collection(Edm.") {
				return subsetProperty{}, "Collection(microsoft.graph.directoryObject)", false
			}
			return subsetProperty{Type: extra}, "", false
		}
	}
	for typ != "" {
		t, ok := s.EntityTypes[typ]
		if !ok {
			t = s.ComplexTypes[typ]
		}
		open = open || t.OpenType
		if p, ok := t.Properties[name]; ok {
			return p, "", open
		}
		if n, ok := t.Navigation[name]; ok {
			return subsetProperty{}, n.Type, open
		}
		typ = t.BaseType
	}
	return subsetProperty{}, "", open
}
