package db_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func testLists(t *testing.T, open opener) {
	t.Run("PagesFollowTheOrderOfCreation", func(t *testing.T) { testCreationOrder(t, open) })
	t.Run("SortOnAnyAttribute", func(t *testing.T) { testSorts(t, open) })
	t.Run("Cursors", func(t *testing.T) { testCursors(t, open) })
	t.Run("Totals", func(t *testing.T) { testTotals(t, open) })
	t.Run("NothingOfAnotherVendor", func(t *testing.T) {
		s := open(t)
		fill(t, s, "acme", 3)
		if page := listAll(t, s, contractor.Query{Vendor: "other"}); page.Total != 0 || len(page.Items) != 0 {
			t.Errorf("another vendor sees %d of %d", len(page.Items), page.Total)
		}
	})
	t.Run("RefusesWhatCannotBeCompared", func(t *testing.T) {
		s := open(t)
		fill(t, s, "acme", 1)
		active := contractor.Attr{Path: []string{"active"}, Type: contractor.TypeBoolean}
		name := contractor.Attr{Path: []string{"userName"}, Type: contractor.TypeString}
		var many contractor.Or
		for range 501 {
			many = append(many, contractor.Compare{Attr: name, Op: contractor.OpEq, Value: "x"})
		}
		for what, c := range map[string]contractor.Condition{
			"order of a boolean":   contractor.Compare{Attr: active, Op: contractor.OpGt, Value: true},
			"part of a number":     contractor.Compare{Attr: contractor.Attr{Path: []string{"x"}, Type: contractor.TypeInteger}, Op: contractor.OpCo, Value: int64(1)},
			"order of null":        contractor.Compare{Attr: name, Op: contractor.OpGt},
			"malformed name":       contractor.Compare{Attr: contractor.Attr{Path: []string{`x"y`}, Type: contractor.TypeString}, Op: contractor.OpEq, Value: "x"},
			"empty name":           contractor.Present{Attr: contractor.Attr{Path: []string{""}}},
			"too many conditions":  many,
			"value of no type":     contractor.Compare{Attr: name, Op: contractor.OpEq, Value: []string{"x"}},
			"time against a name":  contractor.Compare{Attr: name, Op: contractor.OpEq, Value: noon},
			"unknown operator":     contractor.Compare{Attr: name, Op: "like", Value: "x"},
			"inside a value path":  contractor.Any{Attr: contractor.Attr{Path: []string{"emails"}, Multi: true}, Of: contractor.Compare{Attr: active, Op: contractor.OpLt, Value: true}},
			"inside a negation":    contractor.Not{Of: contractor.Compare{Attr: active, Op: contractor.OpLt, Value: true}},
			"a condition of noone": nil,
		} {
			_, err := s.List(t.Context(), contractor.Query{Vendor: "acme", Where: contractor.And{c}, Count: 1})
			var e *contractor.Error
			if !errors.As(err, &e) || e.SCIMType != "invalidFilter" {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	t.Run("MetacharactersAreLetters", func(t *testing.T) {
		s := open(t)
		nasty := []string{"%", "_", "a%b", "a_b", `"quote"`, "'; DROP TABLE engagements; --", `back\slash`, "$filter=1 eq 1", "tab\tand\u00a0space", "{}[]", "*?"}
		for i, name := range nasty {
			e := worker("acme", name)
			e.Record.Email = fmt.Sprintf("n%d@acme.example", i)
			create(t, s, e)
		}
		name := contractor.Attr{Path: []string{"userName"}, Type: contractor.TypeString}
		for _, want := range nasty {
			for _, op := range []contractor.Op{contractor.OpEq, contractor.OpCo, contractor.OpSw, contractor.OpEw} {
				page := listAll(t, s, contractor.Query{Where: contractor.Compare{Attr: name, Op: op, Value: want}})
				if !slices.Contains(names(page.Items), want) {
					t.Errorf("%s %q found %q", op, want, names(page.Items))
				}
				for _, got := range names(page.Items) {
					if !strings.Contains(got, want) {
						t.Errorf("%s %q found %q", op, want, got)
					}
				}
			}
		}
	})
}

// testCreationOrder deletes and revives at random in a list long enough for several rows of vendor_holes, and asks for pages at
// every kind of offset.
func testCreationOrder(t *testing.T, open opener) {
	s := open(t)
	r := rand.New(rand.NewPCG(3, 0))
	list := fill(t, s, "acme", 2500)
	fill(t, s, "other", 10)
	check := func(start, count int, descending bool) {
		t.Helper()
		want := slices.Clone(list)
		if descending {
			slices.Reverse(want)
		}
		want = want[min(start, len(want)):min(start+count, len(want))]
		page, err := s.List(t.Context(), contractor.Query{Vendor: "acme", Start: start, Count: count, Descending: descending})
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(ids(want), ids(page.Items)); diff != "" || page.Total != len(list) {
			t.Fatalf("start %d count %d descending %v of %d: total %d\n%s", start, count, descending, len(list), page.Total, diff)
		}
	}
	for round := range 6 {
		for range 40 {
			i := r.IntN(len(list))
			if round%3 == 1 { // a stretch of neighbours
				i = min(1000+r.IntN(60), len(list)-1)
			}
			gone := list[i]
			if err := s.Delete(t.Context(), "acme", gone.ID, 0, noon, event("engagement.deleted")); err != nil {
				t.Fatal(err)
			}
			list = slices.Delete(list, i, i+1)
			if r.IntN(5) == 0 {
				list = append(list, create(t, s, worker("acme", gone.Record.UserName))) // revived, at the end
			}
		}
		for range 20 {
			check(r.IntN(len(list)+3), 1+r.IntN(50), r.IntN(2) == 0)
		}
	}
	check(0, 100, false)
	check(len(list)-1, 100, false)
	check(len(list), 100, true)
	for start := 0; start < len(list); start += 400 { // as a client walks
		check(start, 400, false)
	}
	whole(t, s)
}

// sortKeys orders documents as RFC 7644 section 3.4.2.3 says: no value last, or first when descending; of several values the
// primary, else the first; age decides among equals.
func sortDocs(docs []doc, a contractor.Attr, descending bool) []doc {
	key := func(d doc) any {
		found := walk(d.tree, a.Path)
		if a.Multi {
			list, _ := d.tree[a.Path[0]].([]any)
			for _, item := range list {
				if m, ok := item.(map[string]any); ok && m["primary"] == true {
					found = walk(m, a.Path[1:])
					break
				}
			}
			if len(list) > 0 && list[0].(map[string]any)["primary"] != true && !slices.ContainsFunc(list, func(v any) bool { return v.(map[string]any)["primary"] == true }) {
				found = walk(list[0], a.Path[1:])
			}
		}
		if len(found) == 0 {
			return nil
		}
		switch v := found[0].(type) {
		case string:
			if a.Type == contractor.TypeDecimal || a.Type == contractor.TypeInteger {
				return nil
			}
			if a.Type == contractor.TypeDateTime {
				at, err := time.Parse(time.RFC3339Nano, v)
				if err != nil {
					return nil
				}
				return float64(at.UnixMicro())
			}
			if !a.CaseExact {
				return strings.ToLower(v)
			}
			return v
		case bool:
			if v {
				return 1.0
			}
			return 0.0
		default:
			return v
		}
	}
	docs = slices.Clone(docs)
	slices.SortStableFunc(docs, func(x, y doc) int {
		a, b := key(x), key(y)
		switch {
		case a == nil || b == nil:
			return cmp.Compare(boolInt(a == nil), boolInt(b == nil))
		}
		if af, ok := a.(float64); ok {
			if bf, ok := b.(float64); ok {
				return cmp.Compare(af, bf)
			}
			return -1 // numbers before text
		}
		if bs, ok := b.(string); ok {
			return cmp.Compare(a.(string), bs)
		}
		return 1
	})
	if descending {
		slices.Reverse(docs)
	}
	return docs
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func testSorts(t *testing.T, open opener) {
	s := open(t)
	r := rand.New(rand.NewPCG(5, 0))
	var all []doc
	for i := range 90 {
		all = append(all, document(create(t, s, randomWorker(r, i))))
	}
	for _, a := range filterAttrs() {
		for _, descending := range []bool{false, true} {
			want := []string{}
			for _, d := range sortDocs(all, a.attr, descending) {
				want = append(want, d.e.ID)
			}
			q := contractor.Query{SortBy: &a.attr, Descending: descending}
			if diff := gocmp.Diff(want, ids(listAll(t, s, q).Items)); diff != "" {
				t.Errorf("sort by %v, descending %v:\n%s", a.attr.Path, descending, diff)
				continue
			}
			q.Vendor, q.Count = "acme", 7
			if diff := gocmp.Diff(want, ids(walkOffsets(t, s, q))); diff != "" {
				t.Errorf("pages by offset, sorted by %v, descending %v:\n%s", a.attr.Path, descending, diff)
			}
			if diff := gocmp.Diff(want, ids(walkCursors(t, s, q))); diff != "" {
				t.Errorf("pages by cursor, sorted by %v, descending %v:\n%s", a.attr.Path, descending, diff)
			}
		}
	}
}

func walkOffsets(t testing.TB, s *db.Store, q contractor.Query) (all []contractor.Engagement) {
	t.Helper()
	for {
		q.Start = len(all)
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if len(all) >= page.Total || len(page.Items) == 0 {
			return all
		}
	}
}

func walkCursors(t testing.TB, s *db.Store, q contractor.Query) (all []contractor.Engagement) {
	t.Helper()
	q.UseCursor = true
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		q.Cursor = page.Next
	}
}

func testCursors(t *testing.T, open opener) {
	s := open(t)
	list := fill(t, s, "acme", 50)
	fill(t, s, "other", 50)
	name := contractor.Attr{Path: []string{"userName"}, Type: contractor.TypeString}
	q := contractor.Query{Vendor: "acme", Count: 10, UseCursor: true}
	first, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("SurviveChangesWithoutLossOrRepeat", func(t *testing.T) {
		for _, gone := range []int{0, 3, 9, 15} { // before the cursor, at it, and behind it
			if err := s.Delete(t.Context(), "acme", list[gone].ID, 0, noon, event("engagement.deleted")); err != nil {
				t.Fatal(err)
			}
		}
		next := q
		next.Cursor = first.Next
		want := slices.Delete(slices.Clone(list), 15, 16)[10:]
		if diff := gocmp.Diff(ids(want), ids(walkCursors(t, s, next))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("LongKeysStayOutOfTheURL", func(t *testing.T) {
		long := open(t)
		for i := range 4 {
			e := worker("acme", fmt.Sprintf("user%d%s", i, strings.Repeat("x", 2000)))
			e.Record.Email = fmt.Sprintf("u%d@acme.example", i)
			create(t, long, e)
		}
		q := contractor.Query{Vendor: "acme", Count: 1, SortBy: &name, UseCursor: true}
		page, err := long.List(t.Context(), q)
		if err != nil || len(page.Next) > 600 {
			t.Fatalf("error %v, cursor of %d bytes", err, len(page.Next))
		}
		if all := walkCursors(t, long, q); len(all) != 4 {
			t.Errorf("walked over %d of 4", len(all))
		}
	})
	refused := func(t *testing.T, q contractor.Query) {
		t.Helper()
		_, err := s.List(t.Context(), q)
		var e *contractor.Error
		if !errors.As(err, &e) || e.Code != contractor.CodeInvalid || e.SCIMType != "invalidCursor" {
			t.Errorf("cursor %q: %v", q.Cursor, err)
		}
	}
	t.Run("BelongToTheirQuery", func(t *testing.T) {
		for _, other := range []contractor.Query{
			{Vendor: "other"},
			{Vendor: "acme", Descending: true},
			{Vendor: "acme", SortBy: &name},
			{Vendor: "acme", Where: contractor.Present{Attr: name}},
		} {
			other.Count, other.Cursor = 10, first.Next
			refused(t, other)
		}
	})
	t.Run("CannotBeChanged", func(t *testing.T) {
		for i := range len(first.Next) {
			b := []byte(first.Next)
			b[i] = 'A' + (b[i]+1)%26
			refused(t, contractor.Query{Vendor: "acme", Count: 10, Cursor: string(b)})
		}
		for _, bad := range []string{"x", "====", strings.Repeat("A", 10000), first.Next + "A", first.Next[:20]} {
			refused(t, contractor.Query{Vendor: "acme", Count: 10, Cursor: bad})
		}
	})
}

func testTotals(t *testing.T, open opener) {
	s := open(t)
	list := fill(t, s, "acme", 30)
	active := contractor.Compare{Attr: contractor.Attr{Path: []string{"active"}, Type: contractor.TypeBoolean}, Op: contractor.OpEq, Value: true}
	total := func(q contractor.Query) int {
		t.Helper()
		q.Vendor = "acme"
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return page.Total
	}
	for range 2 { // the second answer may be remembered
		if n := total(contractor.Query{}); n != 30 {
			t.Errorf("total alone %d, want 30", n)
		}
		if n := total(contractor.Query{Where: active}); n != 30 {
			t.Errorf("total of a filter alone %d, want 30", n)
		}
		if n := total(contractor.Query{Where: active, Count: 7, Start: 14}); n != 30 {
			t.Errorf("total beside a page %d, want 30", n)
		}
		if n := total(contractor.Query{Where: active, Count: 7, Start: 100}); n != 30 {
			t.Errorf("total behind the end %d, want 30", n)
		}
	}
	e := list[4]
	e.Record.Active = false
	e.Resource = resource(e.Record)
	if _, err := s.Update(t.Context(), e, event("engagement.updated")); err != nil {
		t.Fatal(err)
	}
	if n := total(contractor.Query{Where: active}); n != 29 {
		t.Errorf("total %d after one became inactive, want 29", n)
	}
	if n := total(contractor.Query{}); n != 30 {
		t.Errorf("total %d after one became inactive, want 30", n)
	}
	if err := s.Delete(t.Context(), "acme", list[0].ID, 0, noon, event("engagement.deleted")); err != nil {
		t.Fatal(err)
	}
	if n := total(contractor.Query{Where: active, Count: 5}); n != 28 {
		t.Errorf("total %d after one was deleted, want 28", n)
	}
	if n := total(contractor.Query{Count: 5}); n != 29 {
		t.Errorf("total %d after one was deleted, want 29", n)
	}
}

func TestExpensiveQueriesAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scimbridge.db")
	fill(t, reopen(t, path), "acme", 300)
	s, err := db.Open(t.Context(), db.Config{Path: path, QueryTimeout: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	title := contractor.Attr{Path: []string{"title"}, Type: contractor.TypeString}
	q := contractor.Query{Vendor: "acme", Count: 10, Where: contractor.Compare{Attr: title, Op: contractor.OpCo, Value: "x"}}
	_, err = s.List(t.Context(), q)
	var e *contractor.Error
	if !errors.As(err, &e) || e.Code != contractor.CodeInvalid || e.SCIMType != "tooMany" || !strings.Contains(e.Message, "userName") {
		t.Errorf("answered %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.List(ctx, q); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who left was answered %v", err)
	}
	// What finds few rows by an index is not measured by the clock, and the reader that was interrupted was replaced.
	name := contractor.Attr{Path: []string{"userName"}, Type: contractor.TypeString}
	q.Where = contractor.Compare{Attr: name, Op: contractor.OpEq, Value: "user0007"}
	for range 10 {
		if page, err := s.List(t.Context(), q); err != nil || page.Total != 1 {
			t.Errorf("%d found, error %v", page.Total, err)
		}
	}
}

// Beyond what is counted, the total is more than the pages so far until the last one: who walks on reaches the end.
func TestWalkBeyondWhatIsCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs 10,200 engagements")
	}
	const n = 10_200
	s := openSQLite(t)
	fill(t, s, "acme", n)
	for name, c := range map[string]contractor.Condition{
		"ByIndex": contractor.Compare{Attr: contractor.Attr{Path: []string{"active"}, Type: contractor.TypeBoolean}, Op: contractor.OpEq, Value: true},
		"ByRange": contractor.Compare{Attr: contractor.Attr{Path: []string{"meta", "lastModified"}, Type: contractor.TypeDateTime}, Op: contractor.OpGe, Value: noon},
		"ByJSON":  contractor.Compare{Attr: contractor.Attr{Path: []string{"emails", "type"}, Type: contractor.TypeString, Multi: true}, Op: contractor.OpEq, Value: "work"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			q := contractor.Query{Vendor: "acme", Where: c, Count: 700}
			for _, e := range walkOffsets(t, s, q) {
				seen[e.ID] = true
			}
			if len(seen) != n {
				t.Errorf("by offset %d of %d", len(seen), n)
			}
			clear(seen)
			for _, e := range walkCursors(t, s, q) {
				seen[e.ID] = true
			}
			if len(seen) != n {
				t.Errorf("by cursor %d of %d", len(seen), n)
			}
			q.Start = 10_100
			page, err := s.List(t.Context(), q)
			if err != nil || page.Total != n || len(page.Items) != 100 {
				t.Errorf("the last page has %d, total %d, error %v", len(page.Items), page.Total, err)
			}
			q.Start, q.Count = 0, 0
			if page, err = s.List(t.Context(), q); err != nil || page.Total < 10_000 || page.Total > n {
				t.Errorf("the total alone is %d, error %v", page.Total, err)
			}
		})
	}
}
