package mapper

import (
	"strings"
	"testing"
	"unicode/utf8"

	"scimbridge/internal/contractor"
)

// FuzzExpression feeds the language anything. What compiles must evaluate to what was promised, whole and part by part, and the
// reasoning about it must agree.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		`c.department == "Finance" and c.country == "DE"`, `c.title matches "(?i)dev" or not (c.site in partners)`, `c.rehireEligible ?? true`,
		`any(c.otherEmails, # endsWith "@x.example")`, `c.end - c.start > days(90) and german`, `int(c.jobCode) in [1, 2]`,
		`c.site == "" ? len(left(c.title, 3)) > 2 : deep`, `lower(c.title ?? c.site) == "x"`, `format(c.end, "2006") == "2026"`, `c.departmnt`,
		`1 < 2 < 3`, `c.title | lower() == "x"`, `if c.active { true } else { false }`, `c.email == "a\u0041" + 'b'`, `-1 == -int("1")`,
	} {
		f.Add(s)
	}
	l := testLanguage()
	no := false
	records := []contractor.Record{{}, {Title: "Developer", Country: "DE", JobCode: "7", RehireEligible: &no, OtherEmails: []string{"a@x.example"}, Supplier: "ACME", Active: true}}
	f.Fuzz(func(t *testing.T, source string) {
		x, bad := l.compile(source, truth)
		for _, m := range bad {
			if m.offset < 0 || m.offset > len(source) || utf8.ValidString(source) && !utf8.ValidString(source[:m.offset]) || m.message == "" {
				t.Fatalf("%q: a mistake without a place: %+v", source, m)
			}
		}
		if (x == nil) != (len(bad) > 0) {
			t.Fatalf("%q: expression %v, mistakes %v", source, x, bad)
		}
		if x == nil {
			return
		}
		parts, err := l.split(source)
		if err != nil {
			t.Fatalf("%q compiles whole and not in parts: %v", source, err)
		}
		never := never(&reasoner{language: l, vendors: []string{"acme"}}, x.root)
		for _, r := range records {
			m := testMachine(l, r)
			m.answers = make([]answer, len(parts))
			whole, err := m.truth(x)
			if err != nil && (strings.Contains(err.Error(), "runtime error") || strings.Contains(err.Error(), "interface conversion")) {
				t.Fatalf("%q: %v", source, err)
			}
			byParts, partErr := true, error(nil)
			for i := range parts {
				a := m.ask(&parts[i], i)
				if byParts, partErr = a.holds, a.err; partErr != nil || !byParts {
					break
				}
			}
			if (err == nil) != (partErr == nil) || err == nil && whole != byParts {
				t.Fatalf("%q is %v (%v) whole and %v (%v) in parts", source, whole, err, byParts, partErr)
			}
			if whole && never {
				t.Fatalf("%q is said never to be true, and is", source)
			}
		}
	})
}
