// Package internal_test holds the plan of the house: which package may import which.
package internal_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "scimbridge"

// rooms returns what each package of ours may import of ours. A package that is not here does
// not belong to the house yet: draw it here first, in the review where it is wanted.
func rooms() map[string][]string {
	return map[string][]string{
		"internal/contractor":     {},
		"internal/audit":          {},
		"internal/faultdisk":      {}, // for tests alone
		"internal/strictyaml":     {},
		"internal/entra/emulator": {},                                       // shares no code with the client, so that they cannot share a mistake
		"internal/config":         {"internal/strictyaml", "internal/siem"}, // siem declares its own section
		"internal/mapper":         {"internal/contractor", "internal/strictyaml"},
		"internal/policy":         {"internal/contractor"},
		"internal/entra":          {"internal/contractor"},
		"internal/scim":           {"internal/contractor", "internal/audit"},
		"internal/db":             {"internal/contractor", "internal/audit"},
		"internal/db/pgtest":      {}, // a server for tests; no binary has it
		"internal/siem":           {"internal/contractor", "internal/audit"},
		"internal/lifecycle":      {"internal/contractor", "internal/audit", "internal/mapper"},
		"internal/notify":         {"internal/contractor", "internal/audit"},
		"internal/intake":         {"internal/contractor", "internal/audit", "internal/strictyaml"}, // strictyaml for its did-you-mean
		"internal/console":        {"internal/contractor", "internal/audit", "internal/mapper"},
		"cmd/scimbridge": {
			"internal/contractor", "internal/audit", "internal/strictyaml", "internal/entra/emulator", "internal/config",
			"internal/mapper", "internal/policy", "internal/entra", "internal/scim", "internal/db", "internal/lifecycle", "internal/console",
			"internal/siem", "internal/notify", "internal/intake",
		},
	}
}

// testsMayImport are the real parts that tests of any package stand on instead of mocks.
func testsMayImport() []string {
	return []string{"internal/db", "internal/db/pgtest", "internal/entra/emulator", "internal/faultdisk"}
}

// testsAlso are what the tests of one package may import besides: the store's tests hold that it fits the interfaces of its
// callers, the loop's tests live whole lives, from the vendor's door to the tenant.
func testsAlso() map[string][]string {
	return map[string][]string{
		"internal/db":        {"internal/scim", "internal/lifecycle", "internal/intake"},
		"internal/notify":    {"internal/scim", "internal/entra", "internal/lifecycle", "internal/mapper"},
		"internal/lifecycle": {"internal/scim", "internal/entra"},
		"internal/intake":    {"internal/scim"}, // the door it feeds, and the server it pulls from
	}
}

// standardOnly are the packages at the bottom: everything stands on them, they stand on the standard library and on what is
// named here. The journal's Merkle tree and its signed notes are the Go checksum database's, which stand on it alone as well.
func standardOnly() map[string][]string {
	return map[string][]string{
		"internal/contractor": {},
		"internal/audit":      {"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"},
	}
}

// onlyIn names, for an import and all below it, the one package that may have it.
func onlyIn() map[string]string {
	return map[string]string{
		"github.com/microsoftgraph/msgraph-sdk-go":      "internal/entra",
		"github.com/microsoftgraph/msgraph-sdk-go-core": "internal/entra",
		"modernc.org/sqlite":                            "internal/db",
		"database/sql":                                  "internal/db",
		"github.com/jackc/pgx":                          "internal/db",
	}
}

// TestArrows parses the files and asks no go command: the test cache sees a file that was read,
// and so runs the test again when an import was added.
func TestArrows(t *testing.T) {
	problems, err := check(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// check returns what is wrong with the Go files below internal and cmd, a sentence each.
func check(house fs.FS) ([]string, error) {
	h := &houseCheck{rooms: rooms(), commented: map[string]bool{}}
	for _, root := range []string{"internal", "cmd"} {
		err := fs.WalkDir(house, root, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && name == root:
				return fs.SkipAll
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "testdata":
				return fs.SkipDir
			case entry.IsDir() || !strings.HasSuffix(name, ".go") || path.Dir(name) == "internal":
				return nil
			}
			source, err := fs.ReadFile(house, name)
			if err != nil {
				return err
			}
			return h.file(name, source)
		})
		if err != nil {
			return nil, err
		}
	}
	for room, commented := range h.commented {
		if !commented {
			h.add("%s: no file has a package comment; say its purpose in one sentence", room)
		}
	}
	slices.Sort(h.problems)
	return h.problems, nil
}

type houseCheck struct {
	rooms     map[string][]string
	commented map[string]bool // rooms met, and whether they have a package comment
	problems  []string
}

func (h *houseCheck) add(format string, args ...any) {
	h.problems = append(h.problems, fmt.Sprintf(format, args...))
}

func (h *houseCheck) file(name string, source []byte) error {
	f, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	room := path.Dir(name)
	allowed, known := h.rooms[room]
	if !known {
		h.add("%s: %s is not in the table of rooms; draw it in internal/arrows_test.go", name, room)
		return nil
	}
	test := strings.HasSuffix(name, "_test.go")
	if test {
		allowed = slices.Concat(allowed, testsMayImport(), testsAlso()[room], []string{room})
	} else {
		h.commented[room] = h.commented[room] || f.Doc.Text() != ""
		h.inits(name, f)
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		h.arrow(name, room, imported, allowed, test)
	}
	return nil
}

// arrow judges one import.
func (h *houseCheck) arrow(name, room, imported string, allowed []string, test bool) {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		if !slices.Contains(allowed, ours) {
			h.add("%s: %s must not import %s", name, room, ours)
		}
		return
	}
	if test {
		return
	}
	if imported == "testing" || strings.HasPrefix(imported, "testing/") {
		h.add("%s: %s belongs into _test.go files", name, imported)
	}
	known, bottom := standardOnly()[room]
	if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") && bottom && !slices.Contains(known, imported) {
		h.add("%s: %s stands on the standard library alone and must not import %s", name, room, imported)
	}
	for what, where := range onlyIn() {
		if (imported == what || strings.HasPrefix(imported, what+"/")) && room != where {
			h.add("%s: only %s may import %s", name, where, imported)
		}
	}
}

func (h *houseCheck) inits(name string, f *ast.File) {
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
			h.add("%s: func init is not allowed; wire it where the program starts", name)
		}
	}
}

// Each rule is broken once, and told with the file and the arrow.
func TestArrowsAreSeen(t *testing.T) {
	tests := []struct {
		name, file, source string
		want               []string
	}{
		{"a good file", "internal/scim/a.go", "// Package scim is.\npackage scim\nimport (\n\"fmt\"\n\"scimbridge/internal/audit\"\n)", nil},
		{"a neighbour", "internal/scim/a.go", "// Package scim is.\npackage scim\nimport \"scimbridge/internal/db\"",
			[]string{"internal/scim/a.go: internal/scim must not import internal/db"}},
		{"an arrow upward", "internal/contractor/a.go", "// Package contractor is.\npackage contractor\nimport _ \"scimbridge/internal/mapper\"",
			[]string{"internal/contractor/a.go: internal/contractor must not import internal/mapper"}},
		{"the client from the emulator", "internal/entra/emulator/a.go", "// Package emulator is.\npackage emulator\nimport \"scimbridge/internal/entra\"",
			[]string{"internal/entra/emulator/a.go: internal/entra/emulator must not import internal/entra"}},
		{"a neighbour from a test", "internal/scim/a_test.go", "package scim\nimport \"scimbridge/internal/lifecycle\"",
			[]string{"internal/scim/a_test.go: internal/scim must not import internal/lifecycle"}},
		{"what tests may import", "internal/scim/a_test.go", "package scim_test\nimport (\n\"testing\"\n\"scimbridge/internal/scim\"\n\"scimbridge/internal/db\"\n\"scimbridge/internal/entra/emulator\"\n)", nil},
		{"a new room", "internal/util/a.go", "// Package util is.\npackage util",
			[]string{"internal/util/a.go: internal/util is not in the table of rooms; draw it in internal/arrows_test.go"}},
		{"a room inside a room", "internal/scim/patch/a.go", "// Package patch is.\npackage patch",
			[]string{"internal/scim/patch/a.go: internal/scim/patch is not in the table of rooms; draw it in internal/arrows_test.go"}},
		{"a second command", "cmd/tool/main.go", "// Command tool is.\npackage main",
			[]string{"cmd/tool/main.go: cmd/tool is not in the table of rooms; draw it in internal/arrows_test.go"}},
		{"no package comment", "internal/db/a.go", "package db",
			[]string{"internal/db: no file has a package comment; say its purpose in one sentence"}},
		{"the SDK outside entra", "internal/lifecycle/a.go", "// Package lifecycle is.\npackage lifecycle\nimport \"github.com/microsoftgraph/msgraph-sdk-go/models\"",
			[]string{"internal/lifecycle/a.go: only internal/entra may import github.com/microsoftgraph/msgraph-sdk-go/models"}},
		{"SQL outside db", "internal/console/a.go", "// Package console is.\npackage console\nimport \"database/sql\"",
			[]string{"internal/console/a.go: only internal/db may import database/sql"}},
		{"a foreign module at the bottom", "internal/audit/a.go", "// Package audit is.\npackage audit\nimport \"golang.org/x/text/unicode/norm\"",
			[]string{"internal/audit/a.go: internal/audit stands on the standard library alone and must not import golang.org/x/text/unicode/norm"}},
		{"testing in the binary", "internal/db/a.go", "// Package db is.\npackage db\nimport \"testing\"",
			[]string{"internal/db/a.go: testing belongs into _test.go files"}},
		{"init", "internal/db/a.go", "// Package db is.\npackage db\nfunc init() {}",
			[]string{"internal/db/a.go: func init is not allowed; wire it where the program starts"}},
		{"a method named init", "internal/db/a.go", "// Package db is.\npackage db\ntype t int\nfunc (t) init() {}", nil},
		{"testdata is not looked at", "internal/db/testdata/a.go", "package nothing", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := check(fstest.MapFS{tt.file: {Data: []byte(tt.source)}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := check(fstest.MapFS{"internal/db/a.go": {Data: []byte("package")}}); err == nil {
		t.Error("a file that is not Go was passed over")
	}
}
