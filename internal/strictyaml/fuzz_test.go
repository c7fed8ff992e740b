package strictyaml_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"scimbridge/internal/strictyaml"
)

// Whatever the bytes, nothing panics, every place lies inside the file, and every message is
// one line of text.
func FuzzParseAndDecode(f *testing.F) {
	for _, seed := range []string{
		"text: hello\ncount: 1\nsub: {a: 1, b: x}\nitems:\n  - a: 1\n", "a: &x [1, *x]\n", "a: |+2\n    x\n\n   y\n", "a: >-\n  x\n\n   y\n  z\n",
		`a: "\x41\u00e4\` + "\n  b\"\n", "a: 'it''s\n\n  b'\n", "? [x]\n: 3\n<<: {a: 1}\n", "a:\n\tb: c\n", "---\na: 1\n...\n---\n", "a: !!str x\r\nb: *c\r\n", "%YAML 1.1\n---\na: 1", "\uFEFFa: é: b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			t.Skip()
		}
		lines := strings.Split(string(data), "\n")
		doc, problems := strictyaml.Parse("f", data)
		if doc == nil && problems.Err() == nil {
			t.Fatal("neither a document nor a problem")
		}
		if doc != nil {
			var s sample
			problems = append(problems, doc.Decode(&s)...)
			var all any
			problems = append(problems, doc.Decode(&all)...)
			if all != nil {
				within(t, doc, all, nil, lines)
			}
		}
		for _, p := range problems {
			inFile(t, p.Pos, lines, p.Message)
			if !utf8.ValidString(p.Message) || strings.ContainsAny(p.Message, "\n\r") {
				t.Errorf("message %q", p.Message)
			}
		}
	})
}

func within(t *testing.T, doc *strictyaml.Document, v any, path []any, lines []string) {
	switch v := v.(type) {
	case string:
		for i := 0; i <= len(v); i += 1 + len(v)/50 {
			inFile(t, doc.Within(i, path...), lines, v)
		}
	case map[string]any:
		for k, item := range v {
			within(t, doc, item, append(slices.Clip(path), k), lines)
		}
	case []any:
		for i, item := range v {
			within(t, doc, item, append(slices.Clip(path), i), lines)
		}
	}
}

func inFile(t *testing.T, pos strictyaml.Pos, lines []string, what string) {
	t.Helper()
	if pos.Line < 1 || pos.Line > len(lines) || pos.Column < 1 || pos.Column > utf8.RuneCountInString(lines[pos.Line-1])+1 {
		t.Errorf("%q is said to stand at %v, outside a file of %d lines", what, pos, len(lines))
	}
}

// A plain line of text is found again behind any way of quoting it: the place that Within
// gives for each character holds that character.
func FuzzWithinLiteralBlock(f *testing.F) {
	f.Add("one\ntwo", "  ")
	f.Add("when: x\n\n  deeper\nlast", " ")
	f.Fuzz(func(t *testing.T, text, indent string) {
		if len(text) > 1000 || text == "" || strings.Trim(text, " ") == "" || strings.Trim(indent, " ") != "" || len(indent) < 1 || len(indent) > 9 {
			t.Skip()
		}
		lines := strings.Split(text, "\n")
		if lines[0] == "" || lines[0][0] == ' ' || lines[len(lines)-1] == "" {
			t.Skip() // YAML wants an indentation indicator there, or chomps
		}
		file := "a: |-\n" + indent + strings.Join(lines, "\n"+indent) + "\n"
		doc, problems := strictyaml.Parse("f", []byte(file))
		if len(problems) > 0 {
			t.Skip()
		}
		var got struct {
			A string `yaml:"a"`
		}
		if problems := doc.Decode(&got); len(problems) > 0 {
			t.Skip()
		}
		source := strings.Split(file, "\n")
		for i, r := range got.A {
			if r == '\n' {
				continue
			}
			pos := doc.Within(i, "a")
			if found := []rune(source[pos.Line-1])[pos.Column-1]; found != r {
				t.Fatalf("offset %d of %q is said to stand at %v, where %q stands, not %q", i, got.A, pos, found, r)
			}
		}
	})
}
