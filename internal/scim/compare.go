package scim

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"scimbridge/internal/contractor"
)

// compare reads the operator behind an attribute, and its literal. a nil: an attribute that this resource type does not have.
func (r *filterReader) compare(a *attribute) (contractor.Condition, error) {
	r.blanks()
	op := contractor.Op(strings.ToLower(r.word()))
	switch op {
	case "pr":
		if a == nil {
			return never(), nil
		}
		return r.present(a)
	case contractor.OpEq, contractor.OpNe, contractor.OpCo, contractor.OpSw, contractor.OpEw, contractor.OpGt, contractor.OpGe, contractor.OpLt, contractor.OpLe:
	case "":
		return nil, r.errorf("expected an operator: eq, ne, co, sw, ew, gt, ge, lt, le or pr")
	default:
		return nil, r.errorf("%q is not an operator; use eq, ne, co, sw, ew, gt, ge, lt, le or pr", string(op))
	}
	before := r.pos
	r.blanks()
	if r.pos == before {
		return nil, r.errorf("expected a blank and a value after %q", string(op))
	}
	lit, err := r.literal()
	if err != nil {
		return nil, err
	}
	if a == nil { // without a value, only "not equal" holds
		if op == contractor.OpNe && lit.kind != null || op == contractor.OpEq && lit.kind == null {
			return always(), nil
		}
		return never(), nil
	}
	return r.condition(a, op, lit)
}

func (r *filterReader) word() string {
	from := r.pos
	for r.pos < len(r.src) && (r.src[r.pos]|0x20 >= 'a' && r.src[r.pos]|0x20 <= 'z') {
		r.pos++
	}
	return r.src[from:r.pos]
}

// literal reads a JSON string, number, true, false or null, the words in any case.
func (r *filterReader) literal() (value, error) {
	if r.pos >= len(r.src) {
		return value{}, r.errorf("expected a value")
	}
	switch {
	case r.keyword("true"):
		return boolValue(true), nil
	case r.keyword("false"):
		return boolValue(false), nil
	case r.keyword("null"):
		return value{kind: null}, nil
	}
	c := r.src[r.pos]
	if c != '"' && c != '-' && (c < '0' || c > '9') {
		return value{}, r.errorf("expected a value: a string in double quotes, a number, true, false or null")
	}
	j := jsonReader{doc: r.src, pos: r.pos, left: 1, limits: jsonLimits{depth: 1, values: 1}}
	v, err := j.value()
	if err != nil {
		return value{}, r.errorf("the value is malformed; inside a string escape \" and \\ with \\")
	}
	r.pos = j.pos
	if v.kind == number && r.pos < len(r.src) && nameByte(r.src[r.pos]) {
		return value{}, r.errorf("a number is malformed")
	}
	return v, nil
}

// attr is the name that a condition uses: relative inside brackets.
func (r *filterReader) attr(a *attribute) contractor.Attr {
	if r.scope != nil {
		return a.rel
	}
	return a.full
}

// comparable finds what a comparison with an attribute means: "emails" is "emails.value" (RFC 7644 section 3.4.2.2).
func (r *filterReader) comparable(a *attribute) (*attribute, error) {
	if err := r.searchable(a); err != nil {
		return nil, err
	}
	if a.typ == typeComplex {
		if a = a.value(); a == nil {
			return nil, r.errorf("the attribute is complex; name one of its sub-attributes")
		}
	}
	return a, nil
}

// searchable refuses the attributes that the store cannot look up.
func (r *filterReader) searchable(a *attribute) error {
	top := a
	for top.parent != nil && top.parent.name != "" && !top.parent.extension() {
		top = top.parent
	}
	switch {
	case a.mutability == writeOnly:
		return r.errorf("%q is not kept", a.path())
	case top.name == "groups":
		return r.errorf("\"groups\" cannot be filtered on; read /Groups for the members of each")
	}
	return nil
}

func (r *filterReader) present(a *attribute) (contractor.Condition, error) {
	if err := r.searchable(a); err != nil {
		return nil, err
	}
	switch a {
	case r.t.root.byName["id"], r.t.root.byName["schemas"], r.t.root.byName["meta"]:
		return always(), nil
	}
	if a.parent == r.t.root.byName["meta"] {
		return always(), nil
	}
	return contractor.Present{Attr: r.attr(a)}, nil
}

// condition makes a comparison, checked against the attribute's type.
func (r *filterReader) condition(a *attribute, op contractor.Op, lit value) (contractor.Condition, error) {
	if lit.kind == null { // RFC 7643 section 2.5: null is no value
		switch op {
		case contractor.OpEq, contractor.OpNe:
		default:
			return nil, r.errorf("null can only be compared with eq and ne")
		}
		c, err := r.present(a)
		if err == nil && op == contractor.OpEq {
			c = no(c)
		}
		return c, err
	}
	a, err := r.comparable(a)
	if err != nil {
		return nil, err
	}
	if a.parent == r.t.root.byName["meta"] {
		if c, handled, err := r.meta(a, op, lit); handled || err != nil {
			return c, err
		}
	}
	v, err := r.operand(a, op, lit)
	if err != nil {
		return nil, err
	}
	return contractor.Compare{Attr: r.attr(a), Op: op, Value: v}, nil
}

// operand converts a literal to the attribute's type, where the operator fits both.
func (r *filterReader) operand(a *attribute, op contractor.Op, lit value) (any, error) {
	wrong := func(want string) error {
		return r.errorf("%q is compared with %s, not with %s", a.path(), want, shown(&lit))
	}
	substring := op == contractor.OpCo || op == contractor.OpSw || op == contractor.OpEw
	order := op == contractor.OpGt || op == contractor.OpGe || op == contractor.OpLt || op == contractor.OpLe
	switch a.typ {
	case typeBoolean:
		if substring || order {
			return nil, r.errorf("%q is a boolean; compare it with eq or ne", a.path())
		}
		if lit.kind == text && strings.EqualFold(lit.text, "true") || lit.kind == text && strings.EqualFold(lit.text, "false") {
			return strings.EqualFold(lit.text, "true"), nil // Entra: primary eq "True"
		}
		if lit.kind != boolean {
			return nil, wrong("true or false")
		}
		return lit.flag, nil
	case string(contractor.TypeDateTime):
		if lit.kind != text {
			return nil, wrong("a date-time in double quotes")
		}
		if substring {
			return nil, r.errorf("%q is a date-time; %s does not apply to it", a.path(), op)
		}
		t, err := time.Parse(time.RFC3339Nano, lit.text)
		if err != nil {
			return nil, r.errorf("%q is compared with a date-time such as \"2026-11-30T17:00:00Z\"", a.path())
		}
		return t.UTC(), nil
	case string(contractor.TypeInteger), string(contractor.TypeDecimal):
		if lit.kind != number || substring {
			return nil, wrong("a number, by eq, ne, gt, ge, lt or le")
		}
		if n, err := strconv.ParseInt(lit.text, 10, 64); err == nil {
			return n, nil
		}
		f, err := strconv.ParseFloat(lit.text, 64)
		return f, err
	case typeBinary:
		if substring || order {
			return nil, r.errorf("%q is binary; compare it with eq or ne", a.path())
		}
	}
	if lit.kind != text {
		return nil, wrong("a string in double quotes")
	}
	if a.parent == r.t.root && a.name == "userName" {
		return norm.NFKC.String(lit.text), nil // look-alikes are one name
	}
	return lit.text, nil
}

// meta answers comparisons with metadata that the store does not keep as such.
func (r *filterReader) meta(a *attribute, op contractor.Op, lit value) (c contractor.Condition, handled bool, err error) {
	if a.name == "created" || a.name == "lastModified" {
		return nil, false, nil
	}
	if lit.kind != text {
		return nil, true, r.errorf("%q is compared with a string in double quotes", a.path())
	}
	switch a.name {
	case "resourceType":
		if compareText(r.t.name, op, lit.text) {
			return always(), true, nil
		}
		return never(), true, nil
	case "location":
		if op == contractor.OpEq || op == contractor.OpNe {
			id := lit.text[strings.LastIndexByte(lit.text, '/')+1:]
			return contractor.Compare{Attr: r.t.root.byName["id"].full, Op: op, Value: id}, true, nil
		}
	}
	return nil, true, r.errorf("%q cannot be compared by %s; use If-Match and If-None-Match for versions, and eq with \"id\"", a.path(), op)
}

// compareText compares two strings as they are.
func compareText(have string, op contractor.Op, want string) bool {
	switch op {
	case contractor.OpEq:
		return have == want
	case contractor.OpNe:
		return have != want
	case contractor.OpCo:
		return strings.Contains(have, want)
	case contractor.OpSw:
		return strings.HasPrefix(have, want)
	case contractor.OpEw:
		return strings.HasSuffix(have, want)
	case contractor.OpGt:
		return have > want
	case contractor.OpGe:
		return have >= want
	case contractor.OpLt:
		return have < want
	case contractor.OpLe:
		return have <= want
	}
	return false
}
