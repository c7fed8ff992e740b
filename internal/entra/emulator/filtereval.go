package emulator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

type (
	boolExpr struct {
		or          bool
		left, right filterExpr
	}
	notExpr     struct{ of filterExpr }
	compareExpr struct {
		path, op string
		lit      literal
	}
	inExpr struct {
		path string
		lits []literal
	}
	functionExpr struct{ name, path, arg string }
	lambdaExpr   struct {
		path, variable string
		all            bool
		body           filterExpr
	}
)

// literal is a constant of a filter. Unquoted text that is no keyword, number or
// time is kept as text: GUIDs and enumeration members.
type literal struct {
	kind literalKind
	text string
	num  float64
	flag bool
	time time.Time
}

type literalKind int

const (
	litText literalKind = iota
	litNumber
	litBool
	litNull
	litTime
)

func (p *filterParser) literal() (literal, error) {
	t := p.next()
	switch t.kind {
	case tokString:
		return literal{kind: litText, text: t.text}, nil
	case tokWord:
	default:
		return literal{}, fmt.Errorf("a literal is expected, found '%s'", t.text)
	}
	switch t.text {
	case "null":
		return literal{kind: litNull}, nil
	case "true", "false":
		return literal{kind: litBool, flag: t.text == "true"}, nil
	}
	if n, err := strconv.ParseFloat(t.text, 64); err == nil {
		return literal{kind: litNumber, num: n}, nil
	}
	if at, err := time.Parse(time.RFC3339, t.text); err == nil {
		return literal{kind: litTime, time: at}, nil
	}
	if canonical(t.text) != t.text || len(t.text) == 36 {
		return literal{kind: litText, text: t.text}, nil
	}
	return literal{}, fmt.Errorf("'%s' is not a literal; text stands in single quotes", t.text)
}

func (e boolExpr) eval(o map[string]any, v map[string]any) bool {
	if e.or {
		return e.left.eval(o, v) || e.right.eval(o, v)
	}
	return e.left.eval(o, v) && e.right.eval(o, v)
}
func (e boolExpr) fields() []string { return append(e.left.fields(), e.right.fields()...) }

func (e notExpr) eval(o map[string]any, v map[string]any) bool { return !e.of.eval(o, v) }
func (e notExpr) fields() []string                             { return e.of.fields() }

func (e compareExpr) eval(o map[string]any, v map[string]any) bool {
	n, comparable := e.lit.compare(resolve(e.path, o, v))
	switch e.op {
	case "eq":
		return comparable && n == 0
	case "ne":
		return !comparable || n != 0
	case "gt":
		return comparable && n > 0
	case "ge":
		return comparable && n >= 0
	case "lt":
		return comparable && n < 0
	}
	return comparable && n <= 0
}
func (e compareExpr) fields() []string { return []string{e.path} }

func (e inExpr) eval(o map[string]any, v map[string]any) bool {
	val := resolve(e.path, o, v)
	return slices.ContainsFunc(e.lits, func(l literal) bool {
		n, comparable := l.compare(val)
		return comparable && n == 0
	})
}
func (e inExpr) fields() []string { return []string{e.path} }

func (e functionExpr) eval(o map[string]any, v map[string]any) bool {
	s, ok := resolve(e.path, o, v).(string)
	if !ok {
		return false
	}
	s, arg := lower(s), lower(e.arg)
	switch e.name {
	case "startswith":
		return strings.HasPrefix(s, arg)
	case "endswith":
		return strings.HasSuffix(s, arg)
	}
	return strings.Contains(s, arg)
}
func (e functionExpr) fields() []string { return []string{e.path} }

func (e lambdaExpr) eval(o map[string]any, v map[string]any) bool {
	list, _ := resolve(e.path, o, v).([]any)
	inner := map[string]any{}
	maps.Copy(inner, v)
	for _, elem := range list {
		inner[e.variable] = elem
		if e.body.eval(o, inner) != e.all {
			return !e.all
		}
	}
	return e.all
}

func (e lambdaExpr) fields() []string {
	out := []string{e.path}
	for _, f := range e.body.fields() {
		if f != e.variable && !strings.HasPrefix(f, e.variable+"/") {
			out = append(out, f)
		}
	}
	return out
}

// resolve follows a property path from a lambda variable or from the object. Casts
// in a path are skipped: the objects carry the derived properties.
func resolve(path string, o map[string]any, vars map[string]any) any {
	parts := strings.Split(path, "/")
	var at any = o
	if v, ok := vars[parts[0]]; ok {
		at, parts = v, parts[1:]
	}
	for _, p := range parts {
		if strings.HasPrefix(p, "microsoft.graph.") {
			continue
		}
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[p]
	}
	return at
}

// compare orders v against the literal; text compares without regard to case, as the
// directory does. The second result is false when the two cannot be equal or ordered.
func (l literal) compare(v any) (int, bool) {
	if v == nil || l.kind == litNull {
		return 0, v == nil && l.kind == litNull
	}
	switch v := v.(type) {
	case string:
		if l.kind == litTime {
			at, err := time.Parse(time.RFC3339, v)
			return at.Compare(l.time), err == nil
		}
		return strings.Compare(lower(v), lower(l.text)), l.kind == litText
	case bool:
		switch {
		case l.kind != litBool:
			return 0, false
		case v == l.flag:
			return 0, true
		case v:
			return 1, true
		}
		return -1, true
	case float64:
		return compareNumbers(v, l.num), l.kind == litNumber
	case int:
		return compareNumbers(float64(v), l.num), l.kind == litNumber
	}
	return 0, false
}

func compareNumbers(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
