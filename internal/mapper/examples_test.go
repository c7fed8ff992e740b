package mapper_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"scimbridge/internal/mapper"
)

const configs = "../../configs"

// exampleFiles are the mapping files that the project ships.
func exampleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(configs, "examples", "*.yaml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d example files: %v", len(files), err)
	}
	return append(files, filepath.Join(configs, "mapping.yaml"))
}

// TestExamplesHoldWhatTheySay loads every shipped file, which must be free of warnings too, and runs its own tests.
func TestExamplesHoldWhatTheySay(t *testing.T) {
	for _, file := range exampleFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, problems := mapper.Parse(file, text)
			if len(problems) > 0 {
				t.Fatalf("%v", problems)
			}
			results := m.RunTests()
			if len(results) == 0 {
				t.Error("the file has no tests")
			}
			for _, r := range results {
				if len(r.Problems) > 0 {
					t.Errorf("%v", r.Problems)
				}
			}
		})
	}
}

// TestExamplesFitTheSchema checks the shipped files against the schema that editors use, and that they name it.
func TestExamplesFitTheSchema(t *testing.T) {
	shipped, err := os.ReadFile(filepath.Join(configs, "mapping.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shipped, mapper.Schema()) {
		t.Error("configs/mapping.schema.json is not what Schema returns; write it anew: scimbridge schema > configs/mapping.schema.json")
	}
	var schema map[string]any
	if err := json.Unmarshal(mapper.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for _, file := range exampleFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(string(text), "\n"); !strings.HasPrefix(first, "# yaml-language-server: $schema=") {
				t.Errorf("the first line is %q and does not name the schema", first)
			}
			var document any
			if err := yaml.Unmarshal(text, &document); err != nil {
				t.Fatal(err)
			}
			v := schemaValidator{root: schema}
			v.check("mapping", schema, document)
			for _, p := range v.problems {
				t.Error(p)
			}
		})
	}
}

// TestCookBookTellsOfEveryExample holds docs/mapping.md and the example files together.
func TestCookBookTellsOfEveryExample(t *testing.T) {
	book, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range exampleFiles(t) {
		if name := filepath.Base(file); !strings.Contains(string(book), name) {
			t.Errorf("docs/mapping.md does not tell of %s", name)
		}
	}
}
