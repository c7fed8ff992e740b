package emulator

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// schemaJSON names the properties, types and enumeration members of the Graph v1.0
// metadata (microsoftgraph/msgraph-metadata, commit f54f11b) that are emulated, and
// a few small types of the documentation. "!" marks what may not be null, "[]" a
// collection.
//
//go:embed schema.json
var schemaJSON []byte

// schema checks bodies, $select and $filter by name and type.
type schema struct {
	Types map[string]*typeInfo `json:"types"`
	Enums map[string][]string  `json:"enums"`
	Flags []string             `json:"flags"`
}

type typeInfo struct {
	Base     string            `json:"base"`
	Open     bool              `json:"open"`
	Abstract bool              `json:"abstract"`
	Props    map[string]string `json:"props"`
	Nav      map[string]string `json:"nav"`
}

func loadSchema() (*schema, error) {
	var s schema
	if err := json.Unmarshal(schemaJSON, &s); err != nil {
		return nil, fmt.Errorf("embedded schema: %w", err)
	}
	return &s, nil
}

// property returns the type of a declared or inherited structural property.
func (s *schema) property(typ, name string) (string, bool) {
	for t := s.Types[typ]; t != nil; t = s.Types[t.Base] {
		if p, ok := t.Props[name]; ok {
			return p, true
		}
	}
	return "", false
}

// navigation returns the type of a declared or inherited navigation property.
func (s *schema) navigation(typ, name string) (string, bool) {
	for t := s.Types[typ]; t != nil; t = s.Types[t.Base] {
		if p, ok := t.Nav[name]; ok {
			return p, true
		}
	}
	return "", false
}

// derives reports whether typ is base or inherits from it.
func (s *schema) derives(typ, base string) bool {
	for ; typ != ""; typ = s.Types[typ].Base {
		if typ == base {
			return true
		}
		if s.Types[typ] == nil {
			return false
		}
	}
	return false
}

// check validates a JSON object against a type. nav names the navigation properties
// that may be written inline in this body.
func (s *schema) check(typ string, body map[string]any, nav ...string) error {
	typ, err := s.discriminate(typ, body)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if err := s.checkMember(typ, name, body[name], nav); err != nil {
			return err
		}
	}
	return nil
}

// discriminate follows @odata.type to the derived type.
func (s *schema) discriminate(typ string, body map[string]any) (string, error) {
	named, ok := body["@odata.type"]
	if !ok {
		if t := s.Types[typ]; t != nil && t.Abstract {
			return "", badRequest("The type '%s' is abstract: @odata.type must name a derived type.", typ)
		}
		return typ, nil
	}
	name, ok := named.(string)
	if !ok {
		return "", badRequest("@odata.type must be a string.")
	}
	short, ok := strings.CutPrefix(name, "#microsoft.graph.")
	if !ok || s.Types[short] == nil {
		return "", badRequest("A type named '%s' could not be resolved by the model.", name)
	}
	if !s.derives(short, typ) {
		return "", badRequest("The type '%s' is not assignable to '%s'.", name, typ)
	}
	return short, nil
}

func (s *schema) checkMember(typ, name string, v any, nav []string) error {
	if strings.HasPrefix(name, "@odata.") || strings.HasSuffix(name, "@odata.type") {
		return nil
	}
	if want, ok := s.property(typ, name); ok {
		return s.checkValue(name, want, v)
	}
	if want, ok := documented(typ, name); ok {
		return s.checkValue(name, want, v)
	}
	if want, ok := s.navigation(typ, name); ok {
		if !slices.Contains(nav, name) {
			return badRequest("The navigation property '%s' cannot be written in this request.", name)
		}
		return s.checkValue(name, want, v)
	}
	if slices.Contains(nav, name) { // documented though not declared
		return nil
	}
	if s.isOpen(typ) && (typ == "customSecurityAttributeValue" || strings.HasPrefix(name, "extension_")) {
		return nil
	}
	return badRequest("Invalid property '%s'. The property does not exist on type 'microsoft.graph.%s'.", name, typ)
}

// documented names what the documentation shows inside other bodies although the
// metadata does not declare it there, or declares it as a navigation property.
func documented(typ, name string) (string, bool) {
	switch typ + "." + name {
	case "accessPackageAssignment.targetId", "accessPackageAssignment.assignmentPolicyId", "accessPackageAssignment.accessPackageId":
		return "String", true
	case "accessPackageAssignment.target":
		return "accessPackageSubject", true
	case "conditionalAccessGrantControls.authenticationStrength":
		return "authenticationStrengthPolicy", true
	}
	return "", false
}

func (s *schema) isOpen(typ string) bool {
	for t := s.Types[typ]; t != nil; t = s.Types[t.Base] {
		if t.Open {
			return true
		}
	}
	return false
}

func (s *schema) checkValue(name, want string, v any) error {
	want, required := strings.CutSuffix(want, "!")
	if v == nil {
		if required {
			return badRequest("A null value was found for the property named '%s', which has the type '%s[Nullable=False]'.", name, want)
		}
		return nil
	}
	if elem, ok := strings.CutPrefix(want, "[]"); ok {
		list, ok := v.([]any)
		if !ok {
			return badRequest("The property '%s' must be a collection.", name)
		}
		for _, e := range list {
			if err := s.checkValue(name, elem+"!", e); err != nil {
				return err
			}
		}
		return nil
	}
	if members, ok := s.Enums[want]; ok {
		return s.checkEnum(name, want, members, v)
	}
	if t := s.Types[want]; t != nil {
		obj, ok := v.(map[string]any)
		if !ok {
			return badRequest("The property '%s' must be an object of type '%s'.", name, want)
		}
		if want == "customSecurityAttributeValue" {
			return nil // open all the way down; users.go checks the attribute sets
		}
		return s.check(want, obj)
	}
	return checkPrimitive(name, want, v)
}

func (s *schema) checkEnum(name, enum string, members []string, v any) error {
	text, ok := v.(string)
	if !ok {
		return badRequest("The property '%s' must be a member of '%s' as text.", name, enum)
	}
	parts := []string{text}
	if slices.Contains(s.Flags, enum) {
		parts = strings.Split(text, ",")
	}
	for _, p := range parts {
		if !slices.Contains(members, p) || p == "unknownFutureValue" {
			return badRequest("Requested value '%s' was not found in '%s' for the property '%s'.", p, enum, name)
		}
	}
	return nil
}

func checkPrimitive(name, want string, v any) error {
	var ok bool
	switch want {
	case "String":
		_, ok = v.(string)
	case "Boolean":
		_, ok = v.(bool)
	case "Int32", "Int64", "Double":
		var f float64
		if f, ok = v.(float64); ok && want != "Double" {
			ok = f == float64(int64(f))
		}
	case "Guid":
		text, isText := v.(string)
		_, err := uuid.Parse(text)
		ok = isText && err == nil
	case "DateTimeOffset":
		text, isText := v.(string)
		_, err := time.Parse(time.RFC3339, text)
		ok = isText && err == nil
	case "Date":
		text, isText := v.(string)
		_, err := time.Parse(time.DateOnly, text)
		ok = isText && err == nil
	case "Duration":
		text, isText := v.(string)
		_, err := parseDuration(text)
		ok = isText && err == nil
	default: // a type of the metadata that is not emulated: an object of any shape
		_, ok = v.(map[string]any)
	}
	if !ok {
		return badRequest("Cannot convert the value of the property '%s' to the type 'Edm.%s'.", name, want)
	}
	return nil
}
