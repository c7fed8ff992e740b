package strictyaml_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"scimbridge/internal/strictyaml"
)

// Every case marks one place with « in the file and the same place with « in the decoded
// text; Within must lead from the one to the other.
func TestWithinFindsThePlaceInTheFile(t *testing.T) {
	tests := []struct{ name, file, text string }{
		{"plain, start", "a: «one two\n", "«one two"},
		{"plain, middle", "a: one «two\n", "one «two"},
		{"plain, just past the end", "a: one two«\n", "one two«"},
		{"plain, with a comment after it", "a: one «two # three\n", "one «two"},
		{"plain, letters of two bytes before", "ä: größe «x\n", "größe «x"},
		{"plain, over three lines", "a: one\n  two\n  thr«ee\n", "one two thr«ee"},
		{"plain, the fold itself", "a: one«\n  two\n", "one« two"},
		{"plain, an empty line inside", "a: one\n\n  t«wo\n", "one\nt«wo"},
		{"plain, the line end kept from an empty line", "a: one\n«\n  two\n", "one«\ntwo"},
		{"plain, in a flow list", "a: [x, one t«wo, y]\n", "one t«wo"},
		{"plain, behind an anchor", "a: &name one t«wo\n", "one t«wo"},
		{"plain, behind an anchor and a line end", "a: &name # why\n  one t«wo\n", "one t«wo"},
		{"plain, file with CRLF", "x: 1\r\na: one\r\n  t«wo\r\n", "one t«wo"},
		{"plain, no line end at the end of the file", "a: one t«wo", "one t«wo"},
		{"plain, past the end at the end of the file", "a: one«", "one«"},

		{"single quotes", "a: 'one t«wo'\n", "one t«wo"},
		{"single quotes, after a doubled quote", "a: 'it''s t«wo'\n", "it's t«wo"},
		{"single quotes, the doubled quote itself", "a: 'it«''s'\n", "it«'s"},
		{"single quotes, past the end", "a: 'one«'\n", "one«"},
		{"single quotes, over two lines", "a: 'one   \n   t«wo'\n", "one t«wo"},
		{"single quotes, blanks inside", "a: 'one   t«wo'\n", "one   t«wo"},
		{"single quotes, blanks at the end", "a: 'one «  '\n", "one «  "},
		{"single quotes, empty", "a: '«'\n", "«"},

		{"double quotes", `a: "one t«wo"` + "\n", "one t«wo"},
		{"double quotes, after simple escapes", `a: "\"one\"\tt«wo"` + "\n", "\"one\"\tt«wo"},
		{"double quotes, after every escape", `a: "\0\a\b\t\n\v\f\r\e\ \"\\\N\_\L\P\x41\u00e4\U0001F600«z"` + "\n", "\x00\a\b\t\n\v\f\r\x1b \"\\\u0085\u00a0\u2028\u2029Aä😀«z"},
		{"double quotes, the escape itself", `a: "one«\ntwo"` + "\n", "one«\ntwo"},
		{"double quotes, over two lines", "a: \"one\n   t«wo\"\n", "one t«wo"},
		{"double quotes, an escaped line end", "a: \"one\\\n   t«wo\"\n", "onet«wo"},
		{"double quotes, an escaped line end before an empty line", "a: \"one\\\n\n   t«wo\"\n", "one\nt«wo"},
		{"double quotes, past the end", `a: "one«"` + "\n", "one«"},

		{"literal block, first line", "a: |\n  o«ne\n  two\n", "o«ne\ntwo\n"},
		{"literal block, second line", "a: |\n  one\n  t«wo\n", "one\nt«wo\n"},
		{"literal block, first character of the second line", "a: |\n  one\n  «two\n", "one\n«two\n"},
		{"literal block, a line end", "a: |\n  one«\n  two\n", "one«\ntwo\n"},
		{"literal block, past the end", "a: |\n  one«\n", "one\n«"},
		{"literal block, deeper line", "a: |\n  one\n    t«wo\n", "one\n  t«wo\n"},
		{"literal block, blanks of a deeper line", "a: |\n  one\n   « two\n", "one\n « two\n"},
		{"literal block, empty lines before", "a: |\n\n\n  o«ne\n", "\n\no«ne\n"},
		{"literal block, empty lines inside", "a: |\n  one\n\n\n  t«wo\n", "one\n\n\nt«wo\n"},
		{"literal block, stripped", "a: |-\n  one\n  t«wo\n", "one\nt«wo"},
		{"literal block, stripped, past the end", "a: |-\n  one\n  two«\n\n", "one\ntwo«"},
		{"literal block, kept", "a: |+\n  one\n«\n\nb: 1\n", "one\n«\n\n"},
		{"literal block, deep in lists", "x:\n  - a: |\n      one\n      t«wo\n", "one\nt«wo\n"},
		{"literal block, a comment in its header", "a: | # why\n  one\n  t«wo\n", "one\nt«wo\n"},
		{"literal block, indentation given", "a: |2\n    one\n  t«wo\n", "  one\nt«wo\n"},
		{"literal block, indentation given, deep", "x:\n  y:\n    a: |1-\n       one\n     t«wo\n", "  one\nt«wo"},
		{"literal block, indentation given, in a list item", "x:\n- a: |2\n      one\n    t«wo\n", "  one\nt«wo\n"},
		{"literal block, behind an anchor", "a: &name |\n  one\n  t«wo\n", "one\nt«wo\n"},
		{"literal block, file with CRLF", "a: |\r\n  one\r\n  t«wo\r\n", "one\nt«wo\n"},
		{"literal block, file ends in it", "a: |\n  one\n  t«wo", "one\nt«wo"},

		{"folded block, first line", "a: >\n  o«ne\n  two\n", "o«ne two\n"},
		{"folded block, second line", "a: >\n  one\n  t«wo\n", "one t«wo\n"},
		{"folded block, the fold itself", "a: >\n  one«\n  two\n", "one« two\n"},
		{"folded block, after an empty line", "a: >\n  one\n\n  t«wo\n", "one\nt«wo\n"},
		{"folded block, around a deeper line", "a: >\n  one\n    two\n  th«ree\n", "one\n  two\nth«ree\n"},
		{"folded block, stripped", "a: >-\n  one\n  two\n  th«ree\n", "one two th«ree"},
		{"folded block, kept", "a: >+\n  one\n  t«wo\n\n", "one t«wo\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, want := unmark(t, tt.file)
			text := strings.Replace(tt.text, "«", "", 1)
			doc, problems := strictyaml.Parse("f.yaml", []byte(file))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			path := pathToA(t, doc, text)
			if got := doc.Within(strings.Index(tt.text, "«"), path...); got != want {
				t.Errorf("Within = %v, want %v", got, want)
			}
		})
	}
}

// pathToA finds the value that decodes to text: at a, at x[0].a, x.y.a, or an item of a.
func pathToA(t *testing.T, doc *strictyaml.Document, text string) []any {
	t.Helper()
	var file any
	if problems := doc.Decode(&file); len(problems) > 0 {
		t.Fatal(problems)
	}
	var found []any
	var walk func(v any, path []any)
	walk = func(v any, path []any) {
		switch v := v.(type) {
		case string:
			if v == text {
				found = path
			}
		case map[string]any:
			for k, item := range v {
				walk(item, append(slices.Clip(path), k))
			}
		case []any:
			for i, item := range v {
				walk(item, append(slices.Clip(path), i))
			}
		}
	}
	walk(file, []any{})
	if found == nil {
		t.Fatalf("no value of the file decodes to %q: %v", text, file)
	}
	return found
}

// unmark takes « out of file and returns its place.
func unmark(t *testing.T, file string) (string, strictyaml.Pos) {
	t.Helper()
	before, after, ok := strings.Cut(file, "«")
	if !ok {
		t.Fatal("the file has no mark")
	}
	line := strings.Count(before, "\n")
	column := utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:])
	return before + after, strictyaml.Pos{Line: line + 1, Column: column + 1}
}

func TestWithinClampsAndFallsBack(t *testing.T) {
	doc, problems := strictyaml.Parse("f.yaml", []byte("a: one\nb: [x]\nc: &n two\nd: *n\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	tests := []struct {
		name   string
		offset int
		path   []any
		want   strictyaml.Pos
	}{
		{"a negative offset is the start", -5, []any{"a"}, strictyaml.Pos{Line: 1, Column: 4}},
		{"an offset past the end is the end", 99, []any{"a"}, strictyaml.Pos{Line: 1, Column: 7}},
		{"a list has no inside", 3, []any{"b"}, strictyaml.Pos{Line: 2, Column: 4}},
		{"an alias leads to its text", 1, []any{"d"}, strictyaml.Pos{Line: 3, Column: 8}},
		{"an absent key is the nearest value", 0, []any{"b", 7}, strictyaml.Pos{Line: 2, Column: 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := doc.Within(tt.offset, tt.path...); got != tt.want {
				t.Errorf("Within(%d, %v) = %v, want %v", tt.offset, tt.path, got, tt.want)
			}
		})
	}
}
