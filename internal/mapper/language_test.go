package mapper

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

func testLanguage() *language {
	l := newLanguage(time.UTC)
	l.lists = map[string][]string{"partners": {"ACME", "Kforce"}}
	l.conditions = map[string]string{"german": `c.country == "DE" or c.country == "AT"`, "deep": `german and c.supplier in partners`}
	return l
}

func testMachine(l *language, r contractor.Record) *machine {
	for i := range l.fields {
		l.fields[i].used = true
	}
	m := newMachine(l, 0)
	m.load(l, &contractor.Engagement{Vendor: "acme", Record: r}, &contractor.Vendor{Name: "acme"}, contractor.Period{
		Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 7, 1, 3, 59, 59, 0, time.UTC), Zone: mustZone("America/New_York"),
	})
	return m
}

func mustZone(name string) *time.Location {
	z, err := contractor.LoadZone(name)
	if err != nil {
		panic(err)
	}
	return z
}

// TestExpressions holds the meaning of every operator and function, on one record.
func TestExpressions(t *testing.T) {
	no := false
	record := contractor.Record{
		Email: "Ada@ACME.example", OtherEmails: []string{"ada@corp.example", "a@x.example"}, Title: "Senior Engineer", Department: "Finance", Country: "DE",
		Supplier: "Kforce", WorkerID: "ABCDWK00040586", JobCode: " 42 ", Active: true, RehireEligible: &no, GivenName: "Ädä",
	}
	l := testLanguage()
	m := testMachine(l, record)
	for source, want := range map[string]any{
		`c.department == "Finance" and c.country == "DE"`:   true,
		`c.department == "finance"`:                         false,
		`"Finance" == c.department && !(c.country == "FR")`: true,
		`c.site == ""`:                                                true,
		`c.site != ""`:                                                false,
		`c.engagementType ?? "contractor"`:                            "contractor",
		`c.supplier ?? "contractor"`:                                  "Kforce",
		`c.site ?? c.engagementType ?? "none"`:                        "none",
		`c.rehireEligible == false`:                                   true,
		`c.rehireEligible != false`:                                   false,
		`(c.rehireEligible ?? true) == false`:                         true,
		`c.active`:                                                    true,
		`not c.active`:                                                false,
		`c.title matches "(?i)developer|engineer"`:                    true,
		`c.title matches "^engineer"`:                                 false,
		`not (c.title matches "engineer")`:                            true,
		`c.title contains "Eng" and c.title startsWith "Sen"`:         true,
		`c.title endsWith "eer"`:                                      true,
		`c.title not contains "Eng"`:                                  false,
		`c.supplier in ["ACME", "Kforce"]`:                            true,
		`c.supplier in partners`:                                      true,
		`c.supplier not in partners`:                                  false,
		`c.country in partners`:                                       false,
		`german`:                                                      true,
		`deep and german`:                                             true,
		`german == true`:                                              true,
		`"a@x.example" in c.otherEmails`:                              true,
		`any(c.otherEmails, # endsWith "@corp.example")`:              true,
		`all(c.otherEmails, # endsWith ".example")`:                   true,
		`none(partners, # == c.supplier)`:                             false,
		`c.vendor == "acme"`:                                          true,
		`c.end > date("2026-06-30")`:                                  true,
		`c.end > date("2026-07-01T04:00:00Z")`:                        false,
		`c.start == date("2026-01-05")`:                               true,
		`c.end - c.start > days(177)`:                                 true,
		`c.end - c.start > days(178)`:                                 false,
		`c.start + days(10) < c.end`:                                  true,
		`c.end - days(200) < c.start`:                                 true,
		`days(2) + days(1) == days(3)`:                                true,
		`year(c.end) == 2026 and month(c.end) == 6`:                   true, // in New York it is still June
		`weekday(c.start)`:                                            7,    // and still Sunday
		`format(c.end, "2006-01-02")`:                                 "2026-06-30",
		`string(year(c.end)) + "-x"`:                                  "2026-x",
		`domain(c.email)`:                                             "acme.example",
		`domain(c.site)`:                                              "",
		`lower(c.title) + upper(c.country)`:                           "senior engineerDE",
		`c.title | lower()`:                                           "senior engineer",
		`trim(c.jobCode)`:                                             "42",
		`int(c.jobCode) * 2 - 4`:                                      80,
		`int(c.jobCode) in [41, 42]`:                                  true,
		`len(c.givenName)`:                                            3,
		`left(c.givenName, 2)`:                                        "Äd",
		`right(c.givenName, 2)`:                                       "dä",
		`left(c.workerId, 99) == right(c.workerId, 99)`:               true,
		`left(c.workerId, 0) + right(c.workerId, -1)`:                 "",
		`replace(c.title, "Senior", "Sr.")`:                           "Sr. Engineer",
		`replace(c.title, "", "x")`:                                   "Senior Engineer",
		`c.country == "DE" ? "Berlin" : "elsewhere"`:                  "Berlin",
		`if c.country == "DE" { "Berlin" } else { "elsewhere" }`:      "Berlin",
		`(c.site == "" or int(c.site) > 5) and c.country == "DE"`:     true, // int is never asked
		`c.jobCode < "5"`:                                             true,
		`1 < int(c.jobCode) and int(c.jobCode) <= 42`:                 true,
		"c.department == `Finance`":                                   true,
		`c.department == 'Finance'`:                                   true,
		`c.end > date("2026-06-30") // a comment` + "\n and c.active": true,
		`c.startDate == ""`:                                           true,
		`false or c.active`:                                           true,
	} {
		x, bad := l.compile(source, text, number, truth, instant)
		if len(bad) > 0 {
			t.Errorf("%s: %v", source, bad)
			continue
		}
		got, err := m.run(x)
		if err != nil || got != want {
			t.Errorf("%s gives %v (%v), want %v", source, got, err, want)
		}
	}
}

// TestUnknownIsNeitherTrueNorFalse holds what a value means that the vendor did not send.
func TestUnknownIsNeitherTrueNorFalse(t *testing.T) {
	l := testLanguage()
	m := testMachine(l, contractor.Record{})
	for source, want := range map[string]bool{
		`c.rehireEligible == false`:          false,
		`c.rehireEligible == true`:           false,
		`c.rehireEligible != true`:           true,
		`(c.rehireEligible ?? true) == true`: true,
		`c.rehireEligible ?? true`:           true,
		`not (c.rehireEligible == false)`:    true,
		`c.title == ""`:                      true,
		`c.title matches "x"`:                false,
		`c.title in partners`:                false,
		`any(c.otherEmails, # == "")`:        false,
		`all(c.otherEmails, # == "")`:        true,
		`left(c.title, 5) == ""`:             true,
	} {
		x, bad := l.compile(source, truth)
		if len(bad) > 0 {
			t.Errorf("%s: %v", source, bad)
			continue
		}
		if got, err := m.truth(x); err != nil || got != want {
			t.Errorf("%s gives %v (%v), want %v", source, got, err, want)
		}
	}
}

// TestExpressionsAreBounded holds that an expression cannot make much of little.
func TestExpressionsAreBounded(t *testing.T) {
	l := testLanguage()
	m := testMachine(l, contractor.Record{Title: strings.Repeat("a", 1000), JobCode: "x", WorkerID: "99999999999999999999"})
	for source, want := range map[string]string{
		`replace(c.title, "a", "aaaaaaaaaa")`:          "more than 4096 bytes",
		`string(int(c.jobCode))`:                       "not a whole number",
		`string(int(c.workerId))`:                      "not a whole number",
		`format(c.start + days(int("99999")), "2006")`: "at most 36525",
	} {
		x, bad := l.compile(source, text)
		if len(bad) > 0 {
			t.Fatalf("%s: %v", source, bad)
		}
		if s, err := m.text(x); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %q, %v", source, left(s, 20), err)
		}
	}
	for _, source := range []string{strings.Repeat("(", 20000), strings.Repeat("c.active and ", 4000) + "c.active", `c.title == "` + strings.Repeat("x", maxSource) + `"`} {
		if _, bad := l.compile(source, truth); len(bad) != 1 {
			t.Errorf("an expression of %d bytes is answered by %v", len(source), bad)
		}
	}
}

// TestDocsTellOfTheWholeLanguage holds docs/mapping.md to the fields, functions and properties there are, and its examples to
// what compiles.
func TestDocsTellOfTheWholeLanguage(t *testing.T) {
	page, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	book := string(page)
	for _, f := range recordFields() {
		if !strings.Contains(book, "`"+f.name+"`") && !strings.Contains(book, "`c."+f.name+"`") {
			t.Errorf("docs/mapping.md does not name the field %s", f.name)
		}
	}
	for name := range functions() {
		if name != coalesce && !strings.Contains(book, "`"+name+"(") {
			t.Errorf("docs/mapping.md does not name the function %s", name)
		}
	}
	for _, p := range properties() {
		limit := p.name
		if p.max > 0 && !strings.HasPrefix(p.name, "extensionAttribute") {
			limit = fmt.Sprintf("%s %d", p.name, p.max)
		}
		if !strings.Contains(strings.ReplaceAll(book, "extensionAttribute1 to 15", "extensionAttribute1 extensionAttribute2 extensionAttribute3 extensionAttribute4 extensionAttribute5 extensionAttribute6 extensionAttribute7 extensionAttribute8 extensionAttribute9 extensionAttribute10 extensionAttribute11 extensionAttribute12 extensionAttribute13 extensionAttribute14 extensionAttribute15"), limit) {
			t.Errorf("docs/mapping.md does not say %s", limit)
		}
	}
	l := testLanguage()
	l.lists["trusted_suppliers"] = []string{"Kforce"}
	examples := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `.*$").FindAllString(book, -1) {
		for _, m := range regexp.MustCompile("`([^`]*c\\.[^`]*)`").FindAllStringSubmatch(row, -1) {
			source := strings.ReplaceAll(m[1], `\|`, "|")
			if source == "c.rehireEligible" {
				continue
			}
			examples++
			if _, bad := l.compile(source, text, number, truth, instant, span, texts); len(bad) > 0 {
				t.Errorf("docs/mapping.md shows %s: %v", source, bad)
			}
		}
	}
	if examples < 20 {
		t.Errorf("only %d examples were found in docs/mapping.md", examples)
	}
}

// randomCondition writes a condition over few words, so that contradictions and implications are frequent.
func randomCondition(r *rand.Rand, depth int) string {
	if depth > 0 && r.IntN(3) > 0 {
		switch r.IntN(3) {
		case 0:
			return "not (" + randomCondition(r, depth-1) + ")"
		case 1:
			return "(" + randomCondition(r, depth-1) + " and " + randomCondition(r, depth-1) + ")"
		}
		return "(" + randomCondition(r, depth-1) + " or " + randomCondition(r, depth-1) + ")"
	}
	word := func() string { return []string{"DE", "AT", "de", "", "Kforce"}[r.IntN(5)] }
	field := []string{"c.country", "c.supplier", "c.site"}[r.IntN(3)]
	switch r.IntN(9) {
	case 0:
		return fmt.Sprintf("%s == %q", field, word())
	case 1:
		return fmt.Sprintf("%s != %q", field, word())
	case 2:
		return fmt.Sprintf("%s in [%q, %q]", field, word(), word())
	case 3:
		return fmt.Sprintf("lower(%s) == %q", field, word())
	case 4:
		return fmt.Sprintf("%s matches %q", field, []string{"^D", "E$", "(?i)de", "force"}[r.IntN(4)])
	case 5:
		return []string{"c.rehireEligible == true", "c.rehireEligible == false", "c.rehireEligible != true", "c.active", "german", "true"}[r.IntN(6)]
	case 6:
		return fmt.Sprintf("c.end %s date(\"2026-0%d-01\")", []string{"<", "<=", ">", ">="}[r.IntN(4)], 1+r.IntN(9))
	case 7:
		return fmt.Sprintf("%s startsWith %q", field, []string{"D", "K", ""}[r.IntN(3)])
	}
	return fmt.Sprintf("c.vendor %s %q", []string{"==", "!="}[r.IntN(2)], []string{"acme", "globex", "nobody"}[r.IntN(3)])
}

// TestWarningsAreAlwaysRight checks the reasoning against evaluation: what is said never to be true must be false for every
// record, and what is said to imply something must do so.
func TestWarningsAreAlwaysRight(t *testing.T) {
	l := testLanguage()
	testMachine(l, contractor.Record{}) // marks every field as used
	reason := &reasoner{language: l, vendors: []string{"acme", "globex"}}
	var machines []*machine
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		words := []string{"DE", "AT", "de", "", "Kforce", "other"}
		rec := contractor.Record{Country: words[r.IntN(6)], Supplier: words[r.IntN(6)], Site: words[r.IntN(6)], Active: r.IntN(2) == 0}
		if r.IntN(3) > 0 {
			b := r.IntN(2) == 0
			rec.RehireEligible = &b
		}
		m := newMachine(l, 0)
		m.load(l, &contractor.Engagement{Vendor: []string{"acme", "globex"}[r.IntN(2)], Record: rec}, &contractor.Vendor{}, contractor.Period{
			End: time.Date(2026, time.Month(1+r.IntN(10)), 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(3)-1) * time.Nanosecond), Zone: time.UTC,
		})
		machines = append(machines, m)
	}
	holds := func(x *expression) []bool {
		out := make([]bool, len(machines))
		for i, m := range machines {
			var err error
			if out[i], err = m.truth(x); err != nil {
				t.Fatalf("%s: %v", x.source, err)
			}
		}
		return out
	}
	type checked struct {
		*expression
		branches []*branch
		holds    []bool
	}
	var all []checked
	nevers, implications := 0, 0
	for range 700 {
		source := randomCondition(r, 3)
		x, bad := l.compile(source, truth)
		if len(bad) > 0 {
			t.Fatalf("%s: %v", source, bad)
		}
		branches, ok := reason.branches(x.root)
		if !ok {
			continue
		}
		branches = slices.DeleteFunc(branches, func(b *branch) bool { return !b.possible() })
		got := holds(x)
		if len(branches) == 0 {
			nevers++
			if slices.Contains(got, true) {
				t.Fatalf("%s is said never to be true, and is", source)
			}
			continue
		}
		all = append(all, checked{x, branches, got})
	}
	for i := range all {
		for k := range all {
			if i == k || !implies(all[i].branches, all[k].branches) {
				continue
			}
			implications++
			for n := range machines {
				if all[i].holds[n] && !all[k].holds[n] {
					t.Fatalf("%s\nis said to imply\n%s\nand does not", all[i].source, all[k].source)
				}
			}
		}
	}
	if nevers < 20 || implications < 200 {
		t.Errorf("only %d contradictions and %d implications were found: the test proves little", nevers, implications)
	}
}
