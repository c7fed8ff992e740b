package mapper_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// schemaValidator checks a value against the parts of JSON Schema that ours uses, and reports those that it does not know.
type schemaValidator struct {
	root     map[string]any
	problems []string
}

func (v *schemaValidator) add(path, format string, args ...any) {
	v.problems = append(v.problems, path+": "+fmt.Sprintf(format, args...))
}

func (v *schemaValidator) check(path string, s map[string]any, value any) {
	for key, rule := range s {
		switch key {
		case "description", "examples", "title", "$schema", "definitions":
		case "properties", "patternProperties", "additionalProperties", "propertyNames", "required":
			// object, below
		case "$ref":
			name := strings.TrimPrefix(rule.(string), "#/definitions/")
			v.check(path, v.root["definitions"].(map[string]any)[name].(map[string]any), value)
		case "allOf":
			for _, part := range rule.([]any) {
				v.check(path, part.(map[string]any), value)
			}
		case "type":
			v.checkType(path, rule, value)
		case "enum":
			if !slices.ContainsFunc(rule.([]any), func(x any) bool { return fmt.Sprint(x) == fmt.Sprint(value) }) {
				v.add(path, "%v is none of %v", value, rule)
			}
		case "pattern":
			if text, ok := value.(string); ok && !regexp.MustCompile(rule.(string)).MatchString(text) {
				v.add(path, "%q does not match %s", text, rule)
			}
		case "items":
			list, _ := value.([]any)
			for i, item := range list {
				v.check(fmt.Sprintf("%s[%d]", path, i), rule.(map[string]any), item)
			}
		case "minItems":
			if list, _ := value.([]any); float64(len(list)) < rule.(float64) {
				v.add(path, "fewer than %v items", rule)
			}
		case "maxLength":
			if text, _ := value.(string); float64(len(text)) > rule.(float64) {
				v.add(path, "longer than %v", rule)
			}
		case "minimum", "maximum":
			if n, ok := number(value); ok && (key == "minimum" && n < rule.(float64) || key == "maximum" && n > rule.(float64)) {
				v.add(path, "%v is beyond the %s %v", value, key, rule)
			}
		default:
			v.add(path, "the schema says %q, which this test does not know", key)
		}
	}
	if object, ok := value.(map[string]any); ok {
		v.checkObject(path, s, object)
	}
}

func (v *schemaValidator) checkObject(path string, s map[string]any, object map[string]any) {
	properties, _ := s["properties"].(map[string]any)
	patterns, _ := s["patternProperties"].(map[string]any)
	names, _ := s["propertyNames"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, ok := object[key.(string)]; !ok {
			v.add(path, "%v is missing", key)
		}
	}
	for key, value := range object {
		at := path + "." + key
		if names != nil {
			v.check(at+" (name)", names, key)
		}
		if child, ok := properties[key].(map[string]any); ok {
			v.check(at, child, value)
			continue
		}
		matched := false
		for pattern, child := range patterns {
			if regexp.MustCompile(pattern).MatchString(key) {
				matched = true
				v.check(at, child.(map[string]any), value)
			}
		}
		switch more := s["additionalProperties"].(type) {
		case bool:
			if !more && !matched {
				v.add(at, "the key is not in the schema")
			}
		case map[string]any:
			v.check(at, more, value)
		}
	}
}

func number(value any) (float64, bool) {
	switch n := value.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func (v *schemaValidator) checkType(path string, rule, value any) {
	wanted, ok := rule.([]any)
	if !ok {
		wanted = []any{rule}
	}
	is := ""
	switch value.(type) {
	case string, time.Time: // a bare date is text to everybody but this reader of YAML
		is = "string"
	case bool:
		is = "boolean"
	case int:
		is = "integer"
	case float64:
		is = "number"
	case []any:
		is = "array"
	case map[string]any:
		is = "object"
	}
	if !slices.ContainsFunc(wanted, func(w any) bool { return w == is || w == "number" && is == "integer" }) {
		v.add(path, "%v is %s, not %v", value, is, rule)
	}
}
