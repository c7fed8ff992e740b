package mapper_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/mapper"
)

// TestParseReportsMistakes holds every message: one file per mistake, with all that Parse says about it beside it.
// UPDATE_GOLDEN=1 go test ./internal/mapper -run Mistakes writes the messages anew, to be read before they are committed.
func TestParseReportsMistakes(t *testing.T) {
	update := os.Getenv("UPDATE_GOLDEN") != ""
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/bad: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, problems := mapper.Parse("mapping.yaml", text)
			usable := m != nil
			if usable { // as validate does: a file's tests are part of it
				for _, r := range m.RunTests() {
					problems = append(problems, r.Problems...)
				}
			}
			got := problems.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("messages differ (-want +got):\n%s", diff)
			}
			if len(problems) == 0 {
				t.Error("nothing was reported")
			}
			if !usable && problems.Err() == nil || usable && problems.Err() != nil && !strings.HasPrefix(name, "tests-wrong") && !strings.HasPrefix(name, "tests-fail") {
				t.Errorf("mapping usable: %v, mistakes: %v", usable, problems.Err() != nil)
			}
		})
	}
}
