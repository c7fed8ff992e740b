package mapper_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// neverSeen are messages that no file can bring out, with the reason.
func neverSeen() map[string]string {
	return map[string]string{
		"# stands for an item inside any, all and none only":                            "the parser of expr refuses it first",
		"this is not a function":                                                        "the parser of expr refuses it first",
		`%s wants a condition second; write %s(c.otherEmails, # endsWith "@x.example")`: "the parser of expr refuses it first",
		"vendor %q is not in the mapping file":                                          "a test's vendor is checked before; evaluate_test.go has it",
		"this cannot be used in the mapping file":                                       "every node of the expression language has a message of its own",
		"this condition cannot be used: %s":                                             "a condition that compiles whole compiles in parts; the second net",
		"this expression cannot be used: ":                                              "our own check finds it first; the second net",
		"the expression gave %T, not true or false":                                     "types are checked before; the second net",
		"the expression gave %T, not text":                                              "types are checked before; the second net",
		"the layout given to format is longer than 100 bytes":                           "layouts stand in the file, and are checked there",
		"strictyaml: Decode wants a pointer, not %T":                                    "a mistake of the program",
		"strictyaml: cannot decode into %s":                                             "a mistake of the program",
		"strictyaml: a path holds strings and ints, not %T":                             "a mistake of the program",
		"the character %q cannot be used here":                                          "the lexer of expr names what it cannot read in another way",
	}
}

// TestEveryMessageHasAFile holds that each sentence that this package, and the YAML reader below it, can say about a file is said
// about one in testdata/bad: a message that nobody has read is a message that nobody understands.
func TestEveryMessageHasAFile(t *testing.T) {
	var said strings.Builder
	wants, err := filepath.Glob("testdata/bad/*.want")
	if err != nil || len(wants) < 200 {
		t.Fatalf("%d golden files: %v", len(wants), err)
	}
	for _, w := range wants {
		b, err := os.ReadFile(w)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(b)
	}
	formats := 0
	for _, dir := range []string{".", "../strictyaml"} {
		for _, m := range messages(t, dir) {
			formats++
			if _, known := neverSeen()[m.format]; known {
				continue
			}
			if !m.pattern().MatchString(said.String()) {
				t.Errorf("%s: no file in testdata/bad brings out %q", m.place, m.format)
			}
		}
	}
	if formats < 150 {
		t.Errorf("only %d messages were found; the test does not see them any more", formats)
	}
}

type message struct{ place, format string }

var verb = regexp.MustCompile(`%[-+0-9.]*[a-zA-Z]`)

// pattern matches what the format can become.
func (m message) pattern() *regexp.Regexp {
	parts := verb.Split(m.format, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.ReplaceAll(parts[i], "%%", "%"))
	}
	return regexp.MustCompile(strings.Join(parts, `.*`))
}

// speaking are the functions whose first text is a sentence about the file.
func speaking() []string {
	return []string{"at", "atKey", "warn", "warnKey", "report", "Problemf", "Warningf", "Errorf", "Sprintf", "differs", "hold"}
}

// messages lists the sentences in a package's source: the first constant text of at least three words of each call that speaks.
func messages(t *testing.T, dir string) (out []message) {
	t.Helper()
	fset := token.NewFileSet()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !slices.Contains(speaking(), callee(call)) {
				return true
			}
			for _, arg := range call.Args {
				lit, ok := arg.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				text, err := strconv.Unquote(lit.Value)
				if err == nil && len(strings.Fields(text)) >= 3 {
					out = append(out, message{fset.Position(lit.Pos()).String(), text})
				}
				break
			}
			return true
		})
	}
	return out
}

func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
