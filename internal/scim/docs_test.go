package scim_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCommands runs the examples of docs/scim.md as one script.
func TestDocumentedCommands(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the examples need %s, which is not installed", tool)
		}
	}
	page, err := os.ReadFile("../../docs/scim.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	for _, b := range blocks {
		script += b[1]
	}
	if len(blocks) < 6 {
		t.Fatalf("only %d examples were found", len(blocks))
	}
	w := newWorld(t, nil)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = append(os.Environ(), "BASE="+w.server.URL+"/scim/v2", "TOKEN="+w.tokens["acme"])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), `"status":"4`) || strings.Contains(string(out), "messages:2.0:Error") {
		t.Errorf("an example failed:\n%s", out)
	}
	w.do("GET", "/Users", "").is("totalResults", "2")
	w.do("GET", "/Users?"+query("filter", `userName eq "eva@acme.example"`), "").is("Resources.0.<"+urnContractor+">.endDate", `"2098-12-31"`)
	w.do("GET", "/Users?"+query("filter", `title eq "Tester"`), "").is("totalResults", "1")
}
