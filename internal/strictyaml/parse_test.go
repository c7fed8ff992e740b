package strictyaml_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/strictyaml"
)

const (
	colon  = `a ":" is not expected here; put the text in quotes if the colon belongs to it, else check the indentation`
	lineUp = "this does not line up with the lines above; check the indentation, and quotes that end too early"
	tab    = "a tab stands where YAML wants spaces; indent with spaces"
	escape = `this escape is unknown in double quotes; write \\ for a backslash, or use single quotes`
)

func TestParseSaysWhereAndWhat(t *testing.T) {
	tests := []struct {
		name, file string
		usable     bool // the document is there and can be decoded
		want       string
	}{
		{"two colons", "a: b: c\n", false, "f:1:5: " + colon},
		{"value indented as if it had children", "a: 1\n  b: 2\n", false, "f:2:4: " + colon},
		{"key indented too little", "a:\n  - x\n b: c\n", false, "f:3:2: " + lineUp},
		{"text after a quote", `a: "b" c`, false, "f:1:8: " + lineUp},
		{"quote inside single quotes", "a: 'it's'\n", false, "f:1:8: " + lineUp},
		{"list not closed", "a: [1, 2\nb: 3\n", false, `f:1:4: a "," or the closing "]" is missing`},
		{"mapping not closed", "a: {x: 1\nb: 2\n", false, `f:1:4: a "," or the closing "}" is missing`},
		{"list over lines not closed", "a: [1,\n  2,\nb: 3\n", false, `f:1:4: a "," or the closing "]" is missing`},
		{"list open to the end", "x: 1\na: [1,\n  2,\n", false, "f:4:1: a value is missing here"},
		{"quote not closed in the first line", "a: \"abc\nb: c\n", false, "f:1:4: this quote is never closed"},
		{"quote not closed later", "a: 1\nb: 'abc\nc: d\n", false, "f:2:4: this quote is never closed"},
		{"text that begins with @", "a: 1\nb: @x\n", false, `f:2:4: text cannot begin with '@'; put it in quotes`},
		{"tab as indentation", "a:\n\tb: c\n", false, "f:2:1: " + tab},
		{"tab in a block", "a: |\n  x\n\ty\n", false, "f:3:1: " + tab},
		{"unknown alias", "a: 1\nb: *foo\n", false, "f:2:4: there is no &foo before this *foo; put the text in quotes if the star belongs to it"},
		{"star alone", "a: * x\n", false, `f:1:4: text cannot begin with "*" or "&"; put it in quotes`},
		{"unknown escape", `a: "\q"`, false, "f:1:5: " + escape},
		{"escape without its digits", `a: "\u12"`, false, "f:1:5: " + escape},
		{"list item behind a key", "a: - b\n", false, `f:1:4: a list item cannot begin here; put "- …" on a line of its own`},
		{"key without a colon", "a: 1\nb\nc: 2\n", false, `f:2:1: a ":" is missing after a key`},
		{"nothing between commas", "a: [1, , 2]\n", false, "f:1:8: a value is missing here"},
		{"rare mistake of the parser's own words", "a: |0\n  x\n", false, "f:1:5: this is not valid YAML: found an indentation indicator equal to 0"},
		{"not UTF-8", "a: 1\nb: \xff\n", false, "f:2:4: byte 0xff is not UTF-8; save the file as UTF-8"},
		{"control character", "a: x\x07\n", false, "f:1:5: an invisible character (U+0007); remove it"},
		{"line separator", "a: x\u2028\n", false, "f:1:5: an invisible character (U+2028); remove it"},
		{"lone carriage return", "a: 1\rb: 2\r", false, "f:1:5: a lone carriage return; end lines with a line feed"},
		{"empty", "", false, "f:1:1: the file is empty"},
		{"comments alone", "# nothing\n", false, "f:1:1: the file is empty"},
		{"two documents", "a: 1\n---\nb: 2\n", false, `f:2:1: a second document starts here; keep one and remove the "---" line`},
		{"one document between its marks", "---\na: 1\n...\n", true, ""},
		{"byte order mark", "\uFEFFa: 1\na: 2\n", true, `f:2:1: key "a" is here a second time; the first is in line 1`},
		{"repeated keys, each of them", "a: 1\nb: 1\na: 2\nb: {c: 1, c: 2}\n", true,
			`f:3:1: key "a" is here a second time; the first is in line 1
f:4:1: key "b" is here a second time; the first is in line 2
f:4:11: key "c" is here a second time; the first is in line 4`},
		{"list as a key", "? [x]\n: 3\n", true, "f:1:3: a key must be one word, not a list"},
		{"no key", "\"\": 3\n", true, `f:1:1: a key is missing before ":"`},
		{"merge key", "a: &a {x: 1}\nb:\n  <<: *a\n", true, "f:3:3: merge keys (<<) are not supported; write the keys out"},
		{"tag", "a: !!binary aGk=\n", true, `f:1:4: the tag "!!binary" is not supported; write the value alone, in quotes if it is text`},
		{"alias inside its own anchor", "a: &x [1, *x]\n", false, "f:1:11: *x stands inside &x itself"},
		{"aliases used as meant", "a: &x [1, 2]\nb: *x\nc: *x\n", true, ""},
		{"too deep", "a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), false, "f:1:67: lists and mappings are nested more than 64 deep"},
		{"too large", strings.Repeat("#", 2<<20+1), false, "f:1:1: the file is larger than 2097152 bytes"},
		{"too many values", "a: &a [" + strings.Repeat("1,", 1000) + "]\nb: [" + strings.Repeat("*a,", 600) + "]", false, "f:1:1: the file holds more than 500000 values, aliases counted as what they stand for"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, problems := strictyaml.Parse("f", []byte(tt.file))
			if diff := cmp.Diff(tt.want, problems.Error()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if (doc != nil) != tt.usable {
				t.Errorf("document returned: %v, want %v", doc != nil, tt.usable)
			}
		})
	}
}

// Nine aliases of nine aliases, and so on thirty levels deep: walked, they would keep a machine
// busy for as long as the universe is old.
func TestParseRefusesAnAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	doc, problems := strictyaml.Parse("f", []byte(b.String()))
	if doc != nil || problems.Err() == nil {
		t.Fatalf("the bomb was accepted: %v", problems)
	}
	if want := "f:1:1: the file holds more than 500000 values, aliases counted as what they stand for"; problems.Error() != want {
		t.Errorf("got %q, want %q", problems.Error(), want)
	}
}

// Aliases can nest what the text itself does not nest.
func TestParseRefusesDepthMadeOfAliases(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 100; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d]\n", i, i, i-1)
	}
	doc, problems := strictyaml.Parse("f", []byte(b.String()))
	if doc != nil || !strings.Contains(problems.Error(), "nested more than 64 deep") {
		t.Errorf("document %v, problems %v", doc != nil, problems)
	}
}

func TestPlacesOfKeysAndValues(t *testing.T) {
	doc, problems := strictyaml.Parse("f", []byte("# top\na:\n  b: [x, y]\n  c:\n    - d: 1\n    - e: 2\nf: &f {g: 1}\nh: *f\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	tests := []struct {
		name    string
		path    []any
		at, key string
		absent  bool
	}{
		{"root", nil, "2:1", "2:1", false},
		{"mapping", []any{"a"}, "3:3", "2:1", false},
		{"flow list", []any{"a", "b"}, "3:6", "3:3", false},
		{"item of a flow list", []any{"a", "b", 1}, "3:10", "3:10", false},
		{"item of a block list", []any{"a", "c", 1}, "6:7", "6:7", false},
		{"key in an item", []any{"a", "c", 1, "e"}, "6:10", "6:7", false},
		{"absent key: the mapping", []any{"a", "x"}, "3:3", "2:1", true},
		{"absent below absent", []any{"a", "x", 3, "y"}, "3:3", "2:1", true},
		{"index past the end", []any{"a", "b", 2}, "3:6", "3:3", true},
		{"negative index", []any{"a", "b", -1}, "3:6", "3:3", true},
		{"key of a list", []any{"a", "b", "z"}, "3:6", "3:3", true},
		{"alias itself", []any{"h"}, "8:4", "8:1", false},
		{"through an alias", []any{"h", "g"}, "7:11", "7:8", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := doc.At(tt.path...).String(); got != tt.at {
				t.Errorf("At = %s, want %s", got, tt.at)
			}
			if has := doc.Has(tt.path...); has == tt.absent {
				t.Errorf("Has = %v, want %v", has, !has)
			}
			if got := doc.KeyAt(tt.path...).String(); got != tt.key {
				t.Errorf("KeyAt = %s, want %s", got, tt.key)
			}
		})
	}
	if got := doc.Start().String(); got != "2:1" {
		t.Errorf("Start = %s, want 2:1", got)
	}
}

func TestProblemsPrintInOrderAndWarningsAreNoError(t *testing.T) {
	doc, _ := strictyaml.Parse("b.yaml", []byte("a: 1\n"))
	warning := doc.Warningf(strictyaml.Pos{Line: 9, Column: 1}, "odd %d", 1)
	if err := (strictyaml.Problems{warning}).Err(); err != nil {
		t.Errorf("a warning alone is an error: %v", err)
	}
	if err := (strictyaml.Problems)(nil).Err(); err != nil {
		t.Errorf("no problem is an error: %v", err)
	}
	ps := strictyaml.Problems{
		warning,
		doc.Problemf(strictyaml.Pos{Line: 2, Column: 10}, "second"),
		doc.Problemf(strictyaml.Pos{Line: 2, Column: 9}, "first"),
		{File: "a.yaml", Pos: strictyaml.Pos{Line: 99, Column: 1}, Message: "other file"},
	}
	want := "a.yaml:99:1: other file\nb.yaml:2:9: first\nb.yaml:2:10: second\nb.yaml:9:1: odd 1 [warning]"
	if err := ps.Err(); err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestParseFileSaysWhyItCannotRead(t *testing.T) {
	dir := t.TempDir()
	tests := []struct{ name, path, want string }{
		{"absent", filepath.Join(dir, "none.yaml"), filepath.Join(dir, "none.yaml") + ": there is no such file"},
		{"a folder", dir, dir + ": the file cannot be read: read " + dir + ": is a directory"},
		{"endless", "/dev/zero", "/dev/zero:1:1: the file is larger than 2097152 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, problems := strictyaml.ParseFile(tt.path)
			if doc != nil || problems.Error() != tt.want {
				t.Errorf("document %v, got %q, want %q", doc != nil, problems.Error(), tt.want)
			}
		})
	}
	path := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(path, []byte("a: 1\na: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if doc, problems := strictyaml.ParseFile(path); doc == nil || problems.Error() != path+`:2:1: key "a" is here a second time; the first is in line 1` {
		t.Errorf("document %v, problems %v", doc != nil, problems)
	}
}

func TestSuggest(t *testing.T) {
	keys := []string{"when", "access_packages", "groups", "global", "usgov", "usgov-dod", "id", "tls"}
	tests := []struct{ word, want string }{
		{"wen", "when"}, {"hwen", "when"}, {"When", "when"}, {"acess_packages", "access_packages"},
		{"accessPackages", "access_packages"}, {"access-package", "access_packages"}, {"gruops", "groups"},
		{"us-gov", "usgov"}, {"usgov_dod", "usgov-dod"}, {"ID", "id"}, {"lts", "tls"},
		{"ix", ""}, {"banana", ""}, {"", ""}, {strings.Repeat("when", 50), ""},
	}
	for _, tt := range tests {
		t.Run(tt.word, func(t *testing.T) {
			if got := strictyaml.Suggest(tt.word, keys); got != tt.want {
				t.Errorf("Suggest(%q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
	if got := strictyaml.Suggest("when", []string{strings.Repeat("x", 101)}); got != "" {
		t.Errorf("a very long candidate was compared: %q", got)
	}
}
