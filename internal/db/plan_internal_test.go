package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

// What clients look up again and again is found by an index, and what is shown page by page is not sorted for each.
func TestLookUpsUseIndexes(t *testing.T) {
	s := openStore(t)
	str, ext := contractor.TypeString, contractor.ExtensionURN
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	attr := func(typ contractor.AttrType, exact bool, path ...string) contractor.Attr {
		return contractor.Attr{Path: path, Type: typ, CaseExact: exact}
	}
	userName, created := attr(str, false, "userName"), attr(contractor.TypeDateTime, false, "meta", "created")
	emails := contractor.Attr{Path: []string{"emails", "value"}, Type: str, Multi: true}
	compare := func(a contractor.Attr, op contractor.Op, v any) contractor.Condition {
		return contractor.Compare{Attr: a, Op: op, Value: v}
	}
	active := compare(attr(contractor.TypeBoolean, false, "active"), contractor.OpEq, true)
	modified := attr(contractor.TypeDateTime, false, "meta", "lastModified")
	changed := compare(modified, contractor.OpGt, at)
	json := compare(attr(str, false, "title"), contractor.OpEq, "x")
	for name, c := range map[string]struct {
		q     contractor.Query
		begin begin
		total int
		uses  string
		sorts bool
	}{
		"all":               {contractor.Query{}, begin{}, 0, "engagements_ord (vendor=?)", false},
		"all, by cursor":    {contractor.Query{}, begin{after: &position{key: int64(7)}}, 0, "engagements_ord (vendor=? AND ord>?)", false},
		"all, at an offset": {contractor.Query{}, begin{from: 50_000}, 0, "engagements_ord (vendor=? AND ord>?)", false},
		"all, backwards":    {contractor.Query{Descending: true}, begin{from: 50_000}, 0, "engagements_ord (vendor=? AND ord<?)", false},
		"id":                {contractor.Query{Where: compare(attr(str, true, "id"), contractor.OpEq, "x")}, begin{}, 0, "(id=?)", false},
		"userName":          {contractor.Query{Where: compare(userName, contractor.OpEq, "x")}, begin{}, 0, "engagements_user (vendor=? AND user_key=?)", false},
		"externalId":        {contractor.Query{Where: compare(attr(str, true, "externalId"), contractor.OpEq, "x")}, begin{}, 0, "engagements_external (vendor=? AND external_id=?)", false},
		"emails":            {contractor.Query{Where: compare(emails, contractor.OpEq, "x")}, begin{}, 0, "engagements_email (vendor=? AND email_key=?)", true},
		"workerId":          {contractor.Query{Where: compare(attr(str, true, ext, "workerId"), contractor.OpEq, "x")}, begin{}, 0, "engagements_worker (vendor=? AND worker_id=?)", true},
		"active":            {contractor.Query{Where: compare(attr(contractor.TypeBoolean, false, "active"), contractor.OpEq, true)}, begin{}, 0, "engagements_active (vendor=? AND active=?)", false},
		"active, by cursor": {contractor.Query{Where: compare(attr(contractor.TypeBoolean, false, "active"), contractor.OpEq, true)}, begin{after: &position{key: int64(7)}}, 0, "engagements_active (vendor=? AND active=? AND ord>?)", false},
		"status":            {contractor.Query{Where: compare(attr(str, true, ext, "status"), contractor.OpEq, "held")}, begin{}, 0, "engagements_status (vendor=? AND status=?)", false},
		"few changed":       {contractor.Query{Where: compare(attr(contractor.TypeDateTime, false, "meta", "lastModified"), contractor.OpGt, at)}, begin{}, 5, "engagements_modified (vendor=? AND modified>?)", true},
		"many changed":      {contractor.Query{Where: compare(attr(contractor.TypeDateTime, false, "meta", "lastModified"), contractor.OpGt, at)}, begin{}, maxCounted + 1, "engagements_ord (vendor=?)", false},
		"endDate":           {contractor.Query{Where: compare(attr(str, false, ext, "endDate"), contractor.OpLe, "2026")}, begin{}, 5, "engagements_end_date (vendor=? AND end_date<?)", true},
		"name begins":       {contractor.Query{Where: compare(userName, contractor.OpSw, "x")}, begin{}, 5, "engagements_user (vendor=? AND user_key>? AND user_key<?)", true},
		"name and more":     {contractor.Query{Where: contractor.And{json, contractor.And{compare(userName, contractor.OpEq, "x"), json}}}, begin{}, 0, "engagements_user (vendor=? AND user_key=?)", false},
		"changed, active":   {contractor.Query{Where: contractor.And{active, changed}}, begin{}, 5, "engagements_modified (vendor=? AND modified>?)", true},
		"most, active":      {contractor.Query{Where: contractor.And{active, changed}}, begin{}, maxCounted + 1, "engagements_active (vendor=? AND active=?)", false},
		"ends, active":      {contractor.Query{Where: contractor.And{compare(attr(str, false, ext, "endDate"), contractor.OpLe, "2026"), active}}, begin{}, 5, "engagements_end_date (vendor=? AND end_date<?)", true},
		"name, not active":  {contractor.Query{Where: contractor.And{contractor.Not{Of: active}, compare(userName, contractor.OpEq, "x")}}, begin{}, 0, "engagements_user (vendor=? AND user_key=?)", false},
		"two names":         {contractor.Query{Where: contractor.Or{compare(userName, contractor.OpEq, "x"), compare(userName, contractor.OpEq, "y")}}, begin{}, 0, "engagements_user (vendor=? AND user_key=?)", true},
		"name or address": {contractor.Query{Where: contractor.Or{compare(userName, contractor.OpEq, "x"), compare(emails, contractor.OpEq, "x"),
			contractor.And{json, compare(attr(str, true, "externalId"), contractor.OpEq, "x")}}}, begin{}, 0, "engagements_external (vendor=? AND external_id=?)", true},
		"ids by cursor": {contractor.Query{Where: contractor.Or{compare(attr(str, true, "id"), contractor.OpEq, "x"), compare(attr(str, true, ext, "workerId"), contractor.OpEq, "y")}},
			begin{after: &position{key: int64(7)}}, 0, "engagements_worker (vendor=? AND worker_id=?)", true},
		"changed, by name":   {contractor.Query{Where: changed, SortBy: &userName}, begin{}, 5, "engagements_modified (vendor=? AND modified>?)", true},
		"most, by name":      {contractor.Query{Where: changed, SortBy: &userName}, begin{}, maxCounted + 1, "engagements_user (vendor=?)", false},
		"by change, cursor":  {contractor.Query{SortBy: &modified}, begin{after: &position{key: int64(5), tie: 3}}, 0, "engagements_modified (vendor=? AND modified>?)", false},
		"changed, by change": {contractor.Query{Where: changed, SortBy: &modified}, begin{}, maxCounted + 1, "engagements_modified (vendor=? AND modified>?)", false},
		"active, by change":  {contractor.Query{Where: active, SortBy: &modified}, begin{after: &position{key: int64(5), tie: 3}}, 0, "engagements_modified (vendor=? AND modified>?)", false},
		"changed, by cursor": {contractor.Query{Where: changed}, begin{after: &position{key: int64(7)}}, 5, "engagements_modified (vendor=? AND modified>?)", true},
		"title":              {contractor.Query{Where: json}, begin{}, 0, "engagements_ord (vendor=?)", false},
		"by name":            {contractor.Query{SortBy: &userName}, begin{}, 0, "engagements_user (vendor=?)", false},
		"by name, cursor":    {contractor.Query{SortBy: &userName}, begin{after: &position{key: "x", tie: 3}}, 0, "engagements_user (vendor=? AND user_key>?)", false},
		"by age, backwards":  {contractor.Query{SortBy: &created, Descending: true}, begin{after: &position{key: int64(5), tie: 3}}, 0, "engagements_created (vendor=? AND created<?)", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.q.Vendor, c.q.Count = "acme", 100
			l, err := newListing(c.q)
			if err != nil {
				t.Fatal(err)
			}
			f := l.selection(c.begin, c.total)
			plan := explain(t, s, f)
			if !strings.Contains(plan, c.uses) || scansEngagements(plan) || strings.Contains(plan, "USE TEMP B-TREE") != c.sorts {
				t.Errorf("want %s, sorted for the page %v; the plan is\n%s", c.uses, c.sorts, plan)
			}
		})
	}
}

// What the loop and the door ask all the time is found by an index.
func TestHotStatementsUseIndexes(t *testing.T) {
	s := openStore(t)
	for query, uses := range map[string]string{
		`SELECT id FROM persons WHERE urgent = ? AND next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`: "persons_due (urgent=? AND next_at>? AND next_at<?)",
		`SELECT ` + engagementColumns + ` FROM engagements e WHERE e.person = ? ORDER BY e.created, e.seq`:          "engagements_person (person=?)",
		`SELECT ` + holdingColumns + ` FROM holdings h WHERE h.person = ? AND h.state <> 'ended' ORDER BY h.id`:     "holdings_",
		`SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1`:                                                   "SCAN journal", // the last row, by the key
		`SELECT id FROM engagements WHERE vendor = ? AND deleted = 1 AND user_key = ?`:                              "engagements_dead_user (vendor=? AND user_key=?)",
		`SELECT id FROM tokens WHERE hash = ? AND revoked IS NULL`:                                                  "(hash=?)",
	} {
		var args []any
		for range strings.Count(query, "?") {
			args = append(args, 1)
		}
		if plan := explain(t, s, fragment{query, args}); !strings.Contains(plan, uses) {
			t.Errorf("%s\nwant %s, the plan is\n%s", query, uses, plan)
		}
	}
}

// scansEngagements reports whether a plan reads the whole table.
func scansEngagements(plan string) bool {
	for line := range strings.Lines(plan) {
		if strings.HasPrefix(line, "SCAN e\n") || strings.HasPrefix(line, "SCAN e USING") || strings.HasPrefix(line, "SCAN m") || strings.HasPrefix(line, "SCAN o") {
			return true
		}
	}
	return false
}

func explain(t *testing.T, s *Store, f fragment) string {
	t.Helper()
	rows, err := s.reads.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+f.sql, f.args...)
	if err != nil {
		t.Fatalf("%s: %v", f.sql, err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
