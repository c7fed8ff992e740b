package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/scim2/filter-parser/v2"

	"scimbridge/internal/contractor"
)

func fuzzLimits() filterLimits { return filterLimits{bytes: 4096, terms: 500, depth: 100} }

// FuzzFilter holds the filter parser against scim2/filter-parser: what that one accepts, ours accepts with the same meaning,
// unless the schema forbids it. Literals with escapes are left out, since it does not unescape them. And whatever ours accepts
// reads the same when it is written out again, and can be evaluated.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`userName eq "x"`, `not (title pr) and emails[type eq "work" and value co "@"] or active eq true`, `emails[type eq "work"].value eq "x"`,
		urnContractor + `:endDate ge "2026-01-01"`, `meta.lastModified gt "2026-01-01T00:00:00Z"`, `name.familyName co "O'Mal\"ley\u00e9"`,
		`a eq 1.5e3`, `title eq null`, `((title pr))`, `emails co "x"`, `meta.resourceType eq "User"`, `id eq "a" and manager eq "b"`,
	} {
		f.Add(seed)
	}
	users := userType()
	sample := sampleUser(f)
	f.Fuzz(func(t *testing.T, src string) {
		ours, err := parseFilter(src, users, fuzzLimits())
		if err == nil {
			_ = holds(ours, &sample)
			again := write(t, users, ours)
			back, err := parseFilter(again, users, filterLimits{bytes: 1 << 20, terms: 5000, depth: 1000})
			if err != nil {
				t.Fatalf("%q was read, and written as %q, which is not: %v", src, again, err)
			}
			if diff := cmp.Diff(flat(ours), flat(back)); diff != "" {
				t.Fatalf("%q, written as %q, means something else:\n%s", src, again, diff)
			}
		} else {
			if e, ok := errors.AsType[*contractor.Error](err); !ok || e.SCIMType != scimInvalidFilter {
				t.Fatalf("%q: not an invalidFilter: %v", src, err)
			}
		}
		if strings.ContainsAny(src, "\\\x00") || len(src) > 2000 || !utf8.ValidString(src) { // which the oracle takes
			return
		}
		theirs, ok := consult(src)
		if !ok {
			return
		}
		r := filterReader{t: users, limits: fuzzLimits()}
		want, wantErr := r.translate(theirs)
		if (err == nil) != (wantErr == nil) {
			if wantErr == nil && (strings.Contains(err.Error(), "nested") || strings.Contains(err.Error(), "comparisons")) {
				return
			}
			t.Fatalf("%q: ours says %v, the oracle's tree %v", src, err, wantErr)
		}
		if err == nil {
			if diff := cmp.Diff(flat(want), flat(ours)); diff != "" {
				t.Fatalf("%q (-oracle +ours):\n%s", src, diff)
			}
		}
	})
}

// consult asks the oracle, which panics at times.
func consult(src string) (e oracle.Expression, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	e, err := oracle.ParseFilter([]byte(src))
	return e, err == nil && e != nil
}

// translate resolves the oracle's tree against the schema by the rules of our own parser.
func (r *filterReader) translate(e oracle.Expression) (contractor.Condition, error) {
	switch e := e.(type) {
	case *oracle.LogicalExpression:
		left, err := r.translate(e.Left)
		if err != nil {
			return nil, err
		}
		right, err := r.translate(e.Right)
		if err != nil {
			return nil, err
		}
		if e.Operator == oracle.AND {
			return every(contractor.And{left, right}), nil
		}
		return either(contractor.Or{left, right}), nil
	case *oracle.NotExpression:
		of, err := r.translate(e.Expression)
		if err != nil {
			return nil, err
		}
		return no(of), nil
	case *oracle.ValuePath:
		a := r.resolve(e.AttributePath.String())
		if a == nil || a.typ != typeComplex || a.extension() || r.scope != nil {
			return nil, errNoAttribute
		}
		r.scope = a
		c, err := r.translate(e.ValueFilter)
		r.scope = nil
		switch {
		case err != nil:
			return nil, err
		case isNever(c):
			return c, nil
		case isAlways(c):
			return contractor.Present{Attr: a.full}, nil
		case !a.multi:
			return widen(a, c), nil
		}
		return contractor.Any{Attr: a.full, Of: c}, nil
	case *oracle.AttributeExpression:
		a := r.resolve(e.AttributePath.String())
		if a == nil {
			return nil, errNoAttribute
		}
		if e.Operator == oracle.PR {
			return r.present(a)
		}
		var lit value
		switch v := e.CompareValue.(type) {
		case nil:
			lit.kind = null
		case bool:
			lit = boolValue(v)
		case string:
			lit = stringValue(v)
		case int:
			lit = value{kind: number, text: fmt.Sprint(v)}
		case float64:
			b, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			lit = value{kind: number, text: string(b)}
		default:
			return nil, fmt.Errorf("the oracle has a %T", v)
		}
		return r.condition(a, contractor.Op(strings.ToLower(string(e.Operator))), lit)
	}
	return nil, fmt.Errorf("the oracle has a %T", e)
}

// flat joins nested conjunctions and disjunctions, and makes values comparable.
func flat(c contractor.Condition) string {
	switch c := c.(type) {
	case contractor.And:
		var terms []string
		for _, t := range c {
			s := flat(t)
			if a, ok := t.(contractor.And); ok && len(a) > 0 {
				s = strings.TrimSuffix(strings.TrimPrefix(s, "and("), ")")
			}
			terms = append(terms, s)
		}
		return "and(" + strings.Join(terms, " & ") + ")"
	case contractor.Or:
		var terms []string
		for _, t := range c {
			s := flat(t)
			if o, ok := t.(contractor.Or); ok && len(o) > 0 {
				s = strings.TrimSuffix(strings.TrimPrefix(s, "or("), ")")
			}
			terms = append(terms, s)
		}
		return "or(" + strings.Join(terms, " | ") + ")"
	case contractor.Not:
		return "not(" + flat(c.Of) + ")"
	case contractor.Any:
		return fmt.Sprintf("any(%q, %s)", c.Attr.Path, flat(c.Of))
	case contractor.Present:
		return fmt.Sprintf("present%+q", c.Attr.Path)
	case contractor.Compare:
		return fmt.Sprintf("%q %s %T %q %v", c.Attr.Path, c.Op, c.Value, fmt.Sprint(c.Value), c.Attr.Multi)
	}
	return "?"
}

// write writes a condition as a filter.
func write(t *testing.T, types *resourceType, c contractor.Condition) string {
	list := func(cs []contractor.Condition, op string) string {
		var terms []string
		for _, c := range cs {
			terms = append(terms, "("+write(t, types, c)+")")
		}
		return strings.Join(terms, op)
	}
	switch c := c.(type) {
	case contractor.And:
		if len(c) == 0 {
			return "id pr"
		}
		return list(c, " and ")
	case contractor.Or:
		if len(c) == 0 {
			return "not (id pr)"
		}
		return list(c, " or ")
	case contractor.Not:
		return "not (" + write(t, types, c.Of) + ")"
	case contractor.Any:
		return attrName(c.Attr) + "[" + write(t, types, c.Of) + "]"
	case contractor.Present:
		return attrName(c.Attr) + " pr"
	case contractor.Compare:
		var lit string
		switch v := c.Value.(type) {
		case time.Time:
			lit = `"` + v.Format(time.RFC3339Nano) + `"`
		case string:
			lit = string(appendString(nil, v))
		default:
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			lit = string(b)
		}
		return attrName(c.Attr) + " " + string(c.Op) + " " + lit
	}
	t.Fatalf("a %T", c)
	return ""
}

func attrName(a contractor.Attr) string {
	if strings.Contains(a.Path[0], ":") && len(a.Path) > 1 {
		return a.Path[0] + ":" + strings.Join(a.Path[1:], ".")
	}
	return strings.Join(a.Path, ".")
}

// sampleUser is a canonical User with something everywhere.
func sampleUser(t testing.TB) value {
	v, err := parseJSON(`{"schemas":["`+urnUser+`"],"id":"1","userName":"ann@x.example","active":true,"name":{"givenName":"Ann"},"emails":[{"value":"ann@x.example","type":"work","primary":true}],
		"`+urnContractor+`":{"endDate":"2026-11-30","rehireEligible":false,"effectiveEnd":"2026-11-30T22:59:59Z"},"meta":{"created":"2026-01-01T00:00:00Z"}}`, jsonLimits{depth: 10, values: 100})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// FuzzPatchPath: a path is read or refused with invalidPath, and what the oracle accepts in the schema, ours accepts.
func FuzzPatchPath(f *testing.F) {
	for _, seed := range []string{
		"userName", "name.familyName", `emails[type eq "work"].value`, `emails[value eq "a]b"]`, urnEnterprise + ":manager.value", urnContractor,
		`addresses[type eq "work" and country pr].locality`, "members", `roles[primary eq "True"].value`, "urn:x:y:2.0:User:z", `emails[`, `emails[type eq "x"]].value`,
	} {
		f.Add(seed)
	}
	users := userType()
	f.Fuzz(func(t *testing.T, src string) {
		tg, err := parsePath(src, users, pathLimits())
		if err == nil && tg.attr == nil {
			t.Fatalf("%q names nothing", src)
		}
		if err != nil && !errors.Is(err, errNoAttribute) {
			if e, ok := errors.AsType[*contractor.Error](err); !ok || e.SCIMType != scimInvalidPath {
				t.Fatalf("%q: not an invalidPath: %v", src, err)
			}
		}
		if strings.ContainsAny(src, "\\\x00") || len(src) > 500 {
			return
		}
		theirs, ok := consultPath(src)
		if !ok {
			return
		}
		a := users.lookup(theirs.AttributePath.String())
		if a == nil || theirs.ValueExpression != nil && (!a.multi || a.typ != typeComplex) || theirs.SubAttribute != nil && a.sub(*theirs.SubAttribute) == nil {
			return
		}
		if theirs.ValueExpression != nil {
			r := filterReader{t: users, scope: a, limits: pathLimits()}
			if _, err := r.translate(theirs.ValueExpression); err != nil {
				return
			}
		}
		if err != nil && !strings.Contains(err.Error(), "comparisons") && !strings.Contains(err.Error(), "nested") {
			t.Fatalf("%q: the oracle takes it, ours says %v", src, err)
		}
	})
}

func consultPath(src string) (p oracle.Path, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	p, err := oracle.ParsePath([]byte(src))
	return p, err == nil
}
