package mapper

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

// test is one entry of tests: a record and what the file should make of it.
type test struct {
	name       string
	line       int
	engagement contractor.Engagement
	at         time.Time // zero: the engagement's start
	want       fileWant
	given      map[string]bool // the keys of want that are in the file
	where      func(key string) strictyaml.Problem
}

// TestResult is the outcome of one test of the mapping file.
type TestResult struct {
	Name       string
	Line       int
	Evaluation contractor.Evaluation
	Problems   strictyaml.Problems // what came out differently, at the line that expected it; empty if all is well
}

// RunTests evaluates every record under tests: and compares. It needs no clock: a test without at: is asked at the
// engagement's start.
func (m *Mapping) RunTests() []TestResult {
	results := make([]TestResult, len(m.tests))
	for i := range m.tests {
		results[i] = m.runTest(&m.tests[i])
	}
	return results
}

func (m *Mapping) runTest(t *test) TestResult {
	at := t.at
	if at.IsZero() {
		if p, err := t.engagement.Period(m.vendors[t.engagement.Vendor]); err == nil {
			at = p.Start
		}
	}
	ev := m.Evaluate(&t.engagement, at)
	r := TestResult{Name: t.name, Line: t.line, Evaluation: ev}
	differs := func(key, format string, args ...any) {
		p := t.where(key)
		p.Message = fmt.Sprintf("test %q: ", t.name) + fmt.Sprintf(format, args...)
		r.Problems = append(r.Problems, p)
	}
	because := ""
	if ev.Reason != "" {
		because = " (" + ev.Reason + ")"
	}
	if w := t.want; t.given["status"] && string(ev.Status) != w.Status {
		differs("status", "the status is %s%s, not %s", ev.Status, because, w.Status)
	}
	if w := t.want; t.given["reason"] && !strings.Contains(ev.Reason, w.Reason) {
		differs("reason", "the reason is %q, which does not hold %q", ev.Reason, w.Reason)
	}
	t.compareNames(differs, "groups", t.want.Groups, grantNames(ev.Grants, contractor.KindGroup), because)
	t.compareNames(differs, "access_packages", t.want.AccessPackages, grantNames(ev.Grants, contractor.KindAccessPackage), because)
	t.compareNames(differs, "rules", t.want.Rules, ruleNames(ev.Rules), because)
	m.compareEnds(t, differs, ev)
	for _, name := range sortedKeys(t.want.Guest) {
		if got := ev.Attributes[name]; got != t.want.Guest[name] {
			differs("guest", "guest.%s is %q%s, not %q", name, got, because, t.want.Guest[name])
		}
	}
	if t.given["sponsors"] && !slices.Equal(t.want.Sponsors, ev.Sponsors) {
		differs("sponsors", "the sponsors are %s%s, not %s", list(ev.Sponsors), because, list(t.want.Sponsors))
	}
	return r
}

type differsFunc func(key, format string, args ...any)

// compareNames compares two sets of names, if the file gives one.
func (t *test) compareNames(differs differsFunc, key string, want, got []string, because string) {
	if !t.given[key] {
		return
	}
	want = slices.Sorted(slices.Values(want))
	got = slices.Sorted(slices.Values(got))
	if !slices.Equal(want, got) {
		differs(key, "%s: %s%s, not %s", strings.ReplaceAll(key, "_", " "), list(got), because, list(want))
	}
}

func (m *Mapping) compareEnds(t *test, differs differsFunc, ev contractor.Evaluation) {
	for _, name := range sortedKeys(t.want.Ends) {
		i := slices.IndexFunc(ev.Grants, func(g contractor.Grant) bool { return g.Entitlement.Name == name })
		if i < 0 {
			differs("ends", "%q is not granted", name)
			continue
		}
		end, want := ev.Grants[i].End.In(ev.Period.Zone), t.want.Ends[name]
		if day := end.Format("2006-01-02"); len(want) == len(day) {
			if day != want {
				differs("ends", "%q ends on %s, not %s", name, day, want)
			}
			continue
		}
		if at, err := contractor.ParseDate(want, nil, ev.Period.Zone, contractor.EndOfDay); err == nil && !at.Equal(end) {
			differs("ends", "%q ends at %s, not %s", name, end.Format(time.RFC3339), want)
		}
	}
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func grantNames(grants []contractor.Grant, kind contractor.Kind) []string {
	var names []string
	for _, g := range grants {
		if g.Entitlement.Kind == kind {
			names = append(names, g.Entitlement.Name)
		}
	}
	return names
}

// ruleNames are the rules that had a say: those that matched or denied.
func ruleNames(results []contractor.RuleResult) []string {
	var names []string
	for _, r := range results {
		if r.Outcome == Matched || r.Outcome == Denied {
			names = append(names, r.Rule)
		}
	}
	return names
}

// wantKeys are the keys of want.
func wantKeys() []string {
	return []string{"status", "reason", "groups", "access_packages", "ends", "rules", "guest", "sponsors"}
}

func (b *builder) buildTests() {
	names := map[string]int{}
	for i := range b.file.Tests {
		f := &b.file.Tests[i]
		t := test{name: f.Name, line: b.doc.At("tests", i).Line, want: f.Want, given: map[string]bool{}}
		switch first, twice := names[f.Name]; {
		case f.Name == "":
			b.at(path("tests", i), "the test has no name; add name:")
		case twice:
			b.at(path("tests", i, "name"), "the name %q is taken by the test in line %d", f.Name, first)
		}
		names[f.Name] = t.line
		b.testRecord(i, f, &t)
		b.testWant(i, f, &t)
		b.tests = append(b.tests, t)
	}
}

// testRecord makes the engagement of a test.
func (b *builder) testRecord(i int, f *fileTest, t *test) {
	if f.Vendor == "" {
		b.at(path("tests", i), "the test names no vendor; add vendor:")
	} else if b.file.Vendors[f.Vendor] == nil {
		b.at(path("tests", i, "vendor"), "there is no vendor %q%s", f.Vendor, b.suggestVendor(f.Vendor))
	}
	if f.At != "" {
		at, err := contractor.ParseDate(f.At, nil, b.zone, contractor.StartOfDay)
		if err != nil || at.IsZero() {
			b.at(path("tests", i, "at"), "%q is not a date; write 2026-06-01 or 2026-06-01T12:00:00Z", f.At)
		}
		t.at = at
	}
	if f.Record.StartDate == "" && f.At == "" {
		b.at(path("tests", i), "the test has no moment; add startDate to the record, or at:")
	}
	record := contractor.Record(f.Record)
	if !b.has("tests", i, "record", "active") {
		record.Active = true
	}
	t.engagement = contractor.Engagement{ID: "test", Vendor: f.Vendor, Record: record, Created: t.at}
	if v := b.vendors[f.Vendor]; v != nil {
		if !record.Active {
			t.engagement.EndedAt = t.at
			if p, err := t.engagement.Period(v); err == nil && t.at.IsZero() {
				t.engagement.EndedAt = p.Start
			}
		}
	}
}

// testWant checks that what a test expects can be expected at all.
func (b *builder) testWant(i int, f *fileTest, t *test) {
	at := func(steps ...any) []any { return append(path("tests", i, "want"), steps...) }
	for _, key := range wantKeys() {
		t.given[key] = b.has("tests", i, "want", key)
	}
	if len(t.given) == 0 || !slices.Contains(slices.Collect(maps.Values(t.given)), true) {
		b.at(path("tests", i), "the test expects nothing; add want: with status, groups, access_packages, ends, rules, guest or sponsors")
	}
	b.enum(at("status"), f.Want.Status, string(contractor.StatusScheduled), string(contractor.StatusActive), string(contractor.StatusExpiring), string(contractor.StatusHeld), string(contractor.StatusOffboarding))
	inCatalog := func(key string, names []string, known map[string]contractor.Entitlement) {
		for k, n := range names {
			if _, ok := known[n]; !ok && n != "" {
				b.at(at(key, k), "%q is not in catalog.%s%s", n, key, didYouMean(n, sortedKeys(known)))
			}
		}
	}
	inCatalog("groups", f.Want.Groups, b.groups)
	inCatalog("access_packages", f.Want.AccessPackages, b.packages)
	for _, n := range sortedKeys(f.Want.Ends) {
		_, isGroup := b.groups[n]
		_, isPackage := b.packages[n]
		if !isGroup && !isPackage {
			b.atKey(at("ends", n), "%q is not in the catalog%s", n, didYouMean(n, slices.Concat(sortedKeys(b.groups), sortedKeys(b.packages))))
		}
		if end, err := contractor.ParseDate(f.Want.Ends[n], nil, b.zone, contractor.EndOfDay); err != nil || end.IsZero() {
			b.at(at("ends", n), "%q is not a date; write 2026-06-01 or 2026-06-01T12:00:00Z", f.Want.Ends[n])
		}
	}
	var rules []string
	for _, r := range b.rules {
		rules = append(rules, r.name)
	}
	for k, n := range f.Want.Rules {
		if !slices.Contains(rules, n) && n != "" {
			b.at(at("rules", k), "there is no rule %q%s", n, didYouMean(n, rules))
		}
	}
	for _, n := range sortedKeys(f.Want.Guest) {
		if _, ok := b.file.Guest[n]; !ok {
			b.atKey(at("guest", n), "guest: sets no %q%s", n, didYouMean(n, sortedKeys(b.file.Guest)))
		}
	}
	places := map[string]strictyaml.Problem{}
	for _, key := range wantKeys() {
		places[key] = b.doc.Problemf(b.doc.At("tests", i, "want", key), "")
	}
	t.where = func(key string) strictyaml.Problem { return places[key] }
}
