package db_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// The attributes that random filters use. Values are drawn from few, so that they meet.
type filterAttr struct {
	attr   contractor.Attr
	values []any
}

func filterAttrs() []filterAttr {
	str := contractor.TypeString
	ext := contractor.ExtensionURN
	words := []any{"Ann", "ann", "BOB", "bob%", "_ob", "Zoë", "zo", "", "o", "ANN LEE", "Straße"}
	dates := []any{noon, noon.Add(time.Hour), noon.Add(90 * time.Minute), noon.Add(time.Hour + 500*time.Nanosecond)}
	return []filterAttr{
		{attr: contractor.Attr{Path: []string{"userName"}, Type: str}, values: append(words, "user0001", "USER0002", "user")},
		{attr: contractor.Attr{Path: []string{"externalId"}, Type: str, CaseExact: true}, values: []any{"X1", "x1", "X", ""}},
		{attr: contractor.Attr{Path: []string{"displayName"}, Type: str}, values: words},
		{attr: contractor.Attr{Path: []string{"nickName"}, Type: str, CaseExact: true}, values: words},
		{attr: contractor.Attr{Path: []string{"active"}, Type: contractor.TypeBoolean}, values: []any{true, false}},
		{attr: contractor.Attr{Path: []string{"meta", "created"}, Type: contractor.TypeDateTime}, values: dates},
		{attr: contractor.Attr{Path: []string{"meta", "lastModified"}, Type: contractor.TypeDateTime}, values: dates},
		{attr: contractor.Attr{Path: []string{"name", "familyName"}, Type: str}, values: words},
		{attr: contractor.Attr{Path: []string{"emails", "value"}, Type: str, Multi: true}, values: []any{"a@x.example", "B@x.example", "b@X.example", "@x", "c@y.example"}},
		{attr: contractor.Attr{Path: []string{"emails", "type"}, Type: str, Multi: true}, values: []any{"work", "home", "WORK"}},
		{attr: contractor.Attr{Path: []string{"emails", "primary"}, Type: contractor.TypeBoolean, Multi: true}, values: []any{true, false}},
		{attr: contractor.Attr{Path: []string{ext, "workerId"}, Type: str, CaseExact: true}, values: []any{"W1", "w1", "W"}},
		{attr: contractor.Attr{Path: []string{ext, "endDate"}, Type: str}, values: []any{"2026-12-31", "2027-01-31", "2027"}},
		{attr: contractor.Attr{Path: []string{ext, "status"}, Type: str, CaseExact: true}, values: []any{"active", "held", "", "act"}},
		{attr: contractor.Attr{Path: []string{ext, "statusReason"}, Type: str, CaseExact: true}, values: []any{"no sponsor", "no"}},
		{attr: contractor.Attr{Path: []string{ext, "effectiveEnd"}, Type: contractor.TypeDateTime}, values: dates},
		{attr: contractor.Attr{Path: []string{ext, "rehireEligible"}, Type: contractor.TypeBoolean}, values: []any{true, false}},
		{attr: contractor.Attr{Path: []string{"x", "number"}, Type: contractor.TypeDecimal}, values: []any{int64(3), 2.5, int64(-1)}},
		{attr: contractor.Attr{Path: []string{"x", "when"}, Type: contractor.TypeDateTime}, values: dates},
	}
}

// randomWorker is an engagement with few, often missing, values.
func randomWorker(r *rand.Rand, n int) contractor.Engagement {
	some := func(values ...string) string { return values[r.IntN(len(values))] }
	e := worker("acme", some("user%04d", "USER%04d", "Zoë%04d", "bob%%%04d", "_ob%04d"))
	rec := &e.Record
	rec.UserName = fmt.Sprintf(rec.UserName, n)
	rec.Active = r.IntN(3) > 0
	rec.WorkerID = some("", "W1", "w1", "W2")
	rec.EndDate = some("", "2026-12-31", "2027-01-31", "none")
	rec.Email = fmt.Sprintf("p%04d@z.example", n)
	if r.IntN(4) == 0 {
		rec.ExternalID = fmt.Sprintf("%s%d", some("X", "x"), n)
	}
	e.Created = noon.Add(time.Duration(r.IntN(4)) * 30 * time.Minute)
	e.Modified = e.Created.Add(time.Duration(r.IntN(3)) * time.Hour)
	m := map[string]any{"userName": rec.UserName, "active": rec.Active}
	put := func(in map[string]any, name string, v any) {
		if r.IntN(3) > 0 && v != "" {
			in[name] = v
		}
	}
	word := func() string {
		return some("", "Ann", "ann", "BOB", "bob%", "xobx", "Zoë", "ZOË", "Ann Lee", "Straße", "STRASSE")
	}
	if rec.ExternalID != "" {
		m["externalId"] = rec.ExternalID
	}
	put(m, "displayName", word())
	put(m, "nickName", word())
	name := map[string]any{}
	put(name, "familyName", word())
	if len(name) > 0 {
		m["name"] = name
	}
	var emails []any
	for range r.IntN(4) {
		email := map[string]any{"value": some("a@x.example", "B@x.example", "c@y.example")}
		put(email, "type", some("work", "home"))
		put(email, "primary", r.IntN(2) == 0)
		emails = append(emails, email)
	}
	if emails != nil {
		m["emails"] = emails
	}
	ext := map[string]any{}
	if rec.WorkerID != "" {
		ext["workerId"] = rec.WorkerID
	}
	if rec.EndDate != "" {
		ext["endDate"] = rec.EndDate
	}
	put(ext, "rehireEligible", r.IntN(2) == 0)
	if len(ext) > 0 {
		m[contractor.ExtensionURN] = ext
	}
	x := map[string]any{}
	put(x, "number", []any{3, 2.5, -1, 7, "3"}[r.IntN(5)])
	put(x, "when", []any{"2026-11-24T13:00:00Z", "2026-11-24T14:00:00+01:00", "2026-11-24T12:00:00.0000005Z", "soon"}[r.IntN(4)])
	if len(x) > 0 {
		m["x"] = x
	}
	if r.IntN(2) == 0 {
		e.Standing = contractor.Standing{Status: []contractor.Status{contractor.StatusActive, contractor.StatusHeld}[r.IntN(2)],
			Reason: some("", "no sponsor", "no rule"), EffectiveEnd: noon.Add(time.Duration(r.IntN(3)) * time.Hour)}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	e.Resource = b
	return e
}

// The oracle: SCIM's rules (RFC 7644 section 3.4.2.2) on decoded JSON, without an index, a column or SQL.
type doc struct {
	e    contractor.Engagement
	tree map[string]any
}

func document(e contractor.Engagement) doc {
	var tree map[string]any
	if err := json.Unmarshal(e.Resource, &tree); err != nil {
		panic(err)
	}
	tree["meta"] = map[string]any{"created": e.Created.Format(time.RFC3339Nano), "lastModified": e.Modified.Format(time.RFC3339Nano)}
	ext, _ := tree[contractor.ExtensionURN].(map[string]any)
	if ext == nil {
		ext = map[string]any{}
	}
	if s := e.Standing; s.Status != "" {
		ext["status"] = string(s.Status)
		if s.Reason != "" {
			ext["statusReason"] = s.Reason
		}
		ext["effectiveEnd"] = s.EffectiveEnd.Format(time.RFC3339Nano)
	}
	if len(ext) > 0 {
		tree[contractor.ExtensionURN] = ext
	}
	return doc{e, tree}
}

func walk(v any, path []string) []any {
	if list, ok := v.([]any); ok {
		var all []any
		for _, item := range list {
			all = append(all, walk(item, path)...)
		}
		return all
	}
	if len(path) == 0 {
		return []any{v}
	}
	if m, ok := v.(map[string]any); ok && m[path[0]] != nil {
		return walk(m[path[0]], path[1:])
	}
	return nil
}

func holds(c contractor.Condition, v any) bool {
	switch c := c.(type) {
	case contractor.And:
		return !slices.ContainsFunc(c, func(of contractor.Condition) bool { return !holds(of, v) })
	case contractor.Or:
		return slices.ContainsFunc(c, func(of contractor.Condition) bool { return holds(of, v) })
	case contractor.Not:
		return !holds(c.Of, v)
	case contractor.Present:
		return slices.ContainsFunc(walk(v, c.Attr.Path), func(x any) bool { return x != "" })
	case contractor.Any:
		return slices.ContainsFunc(walk(v, c.Attr.Path), func(x any) bool { return holds(c.Of, x) })
	case contractor.Compare:
		found := walk(v, c.Attr.Path)
		if c.Value == nil {
			return (len(found) == 0) == (c.Op == contractor.OpEq)
		}
		if len(found) == 0 {
			return c.Op == contractor.OpNe
		}
		return slices.ContainsFunc(found, func(x any) bool { return compares(c, x) })
	}
	panic("unknown condition")
}

func compares(c contractor.Compare, have any) bool {
	var n int
	switch want := c.Value.(type) {
	case string:
		text, ok := have.(string)
		if !ok {
			return false
		}
		if !c.Attr.CaseExact {
			text, want = strings.ToLower(text), strings.ToLower(want)
		}
		switch c.Op {
		case contractor.OpCo:
			return strings.Contains(text, want)
		case contractor.OpSw:
			return strings.HasPrefix(text, want)
		case contractor.OpEw:
			return strings.HasSuffix(text, want)
		}
		n = strings.Compare(text, want)
	case bool:
		b, ok := have.(bool)
		return ok && (b == want) == (c.Op == contractor.OpEq)
	case time.Time:
		text, _ := have.(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return false
		}
		n = at.Truncate(time.Microsecond).Compare(want) // the store keeps microseconds
	default:
		x, ok := have.(float64)
		if !ok {
			return false
		}
		if i, ok := want.(int64); ok {
			n = cmp.Compare(x, float64(i))
		} else {
			n = cmp.Compare(x, want.(float64))
		}
	}
	switch c.Op {
	case contractor.OpEq:
		return n == 0
	case contractor.OpNe:
		return n != 0
	case contractor.OpGt:
		return n > 0
	case contractor.OpGe:
		return n >= 0
	case contractor.OpLt:
		return n < 0
	case contractor.OpLe:
		return n <= 0
	}
	return false
}

func opsFor(a contractor.Attr) []contractor.Op {
	ops := []contractor.Op{contractor.OpEq, contractor.OpNe}
	if a.Type == contractor.TypeBoolean {
		return ops
	}
	ops = append(ops, contractor.OpGt, contractor.OpGe, contractor.OpLt, contractor.OpLe)
	if a.Type == contractor.TypeString {
		ops = append(ops, contractor.OpCo, contractor.OpSw, contractor.OpEw)
	}
	return ops
}

func randomCondition(r *rand.Rand, depth int) contractor.Condition {
	attrs := filterAttrs()
	pick := func() filterAttr { return attrs[r.IntN(len(attrs))] }
	compare := func(a filterAttr) contractor.Condition {
		ops := opsFor(a.attr)
		if r.IntN(20) == 0 {
			return contractor.Compare{Attr: a.attr, Op: ops[r.IntN(2)]}
		}
		return contractor.Compare{Attr: a.attr, Op: ops[r.IntN(len(ops))], Value: a.values[r.IntN(len(a.values))]}
	}
	switch n := r.IntN(10); {
	case depth > 0 && n < 2:
		return contractor.And{randomCondition(r, depth-1), randomCondition(r, depth-1)}
	case depth > 0 && n < 4:
		return contractor.Or{randomCondition(r, depth-1), randomCondition(r, depth-1), randomCondition(r, depth-1)}
	case depth > 0 && n < 5:
		return contractor.Not{Of: randomCondition(r, depth-1)}
	case n < 6:
		return contractor.Present{Attr: pick().attr}
	case n < 7:
		value := filterAttr{attr: contractor.Attr{Path: []string{"value"}, Type: contractor.TypeString}, values: []any{"a@x.example", "@X", "c@y.example"}}
		kind := filterAttr{attr: contractor.Attr{Path: []string{"type"}, Type: contractor.TypeString}, values: []any{"WORK", "home"}}
		of := contractor.And{compare(kind), compare(value)}
		return contractor.Any{Attr: contractor.Attr{Path: []string{"emails"}, Type: contractor.TypeComplex, Multi: true}, Of: of}
	}
	return compare(pick())
}

func listAll(t testing.TB, s *db.Store, q contractor.Query) contractor.Page {
	t.Helper()
	q.Vendor = cmp.Or(q.Vendor, "acme")
	q.Count = cmp.Or(q.Count, 1000)
	page, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatalf("list %+v: %v", q, err)
	}
	return page
}

func ids(items []contractor.Engagement) []string {
	list := []string{}
	for _, e := range items {
		list = append(list, e.ID)
	}
	return list
}

func testFilters(t *testing.T, open opener) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	s := open(t)
	var all []doc
	for i := range 120 {
		e := create(t, s, randomWorker(r, i))
		all = append(all, document(e))
	}
	create(t, s, worker("other", "user0001")) // never seen by acme

	check := func(t *testing.T, c contractor.Condition) {
		t.Helper()
		want := []string{}
		for _, d := range all {
			if holds(c, d.tree) {
				want = append(want, d.e.ID)
			}
		}
		page := listAll(t, s, contractor.Query{Where: c})
		if diff := gocmp.Diff(want, ids(page.Items)); diff != "" {
			t.Errorf("%+v:\n%s", c, diff)
		}
		if page.Total != len(want) {
			t.Errorf("%+v: total %d, want %d", c, page.Total, len(want))
		}
	}
	t.Run("EveryOperatorOnEveryAttribute", func(t *testing.T) {
		for _, a := range filterAttrs() {
			check(t, contractor.Present{Attr: a.attr})
			check(t, contractor.Compare{Attr: a.attr, Op: contractor.OpEq})
			check(t, contractor.Compare{Attr: a.attr, Op: contractor.OpNe})
			for _, op := range opsFor(a.attr) {
				for _, v := range a.values {
					check(t, contractor.Compare{Attr: a.attr, Op: op, Value: v})
				}
			}
		}
	})
	t.Run("AlternativesOfLookUps", func(t *testing.T) {
		few := slices.DeleteFunc(filterAttrs(), func(a filterAttr) bool {
			return !slices.Contains([]string{"userName", "externalId", "value", "workerId"}, a.attr.Path[len(a.attr.Path)-1])
		})
		for range 200 {
			var either contractor.Or
			for range 2 + r.IntN(3) {
				a := few[r.IntN(len(few))]
				var c contractor.Condition = contractor.Compare{Attr: a.attr, Op: contractor.OpEq, Value: a.values[r.IntN(len(a.values))]}
				if r.IntN(3) == 0 {
					c = contractor.And{c, randomCondition(r, 1)}
				}
				either = append(either, c)
			}
			var c contractor.Condition = either
			switch r.IntN(4) {
			case 0:
				c = contractor.Not{Of: either}
			case 1:
				c = contractor.Or{either, contractor.And{either[0], either[1]}}
			}
			check(t, c)
			if t.Failed() {
				t.FailNow()
			}
		}
	})
	t.Run("Random", func(t *testing.T) {
		for range 1000 {
			check(t, randomCondition(r, 3))
			if t.Failed() {
				t.FailNow()
			}
		}
	})
}
