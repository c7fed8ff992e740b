package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// bareConfig is a configuration for commands that need no daemon and no tenant.
const bareConfig = `mapping: mapping.yaml
database: scimbridge.db
admin_socket: admin.sock
entra:
  tenant_id: 7e57ab1e-0000-4000-8000-00000000c0de
  client_id: 5c1b1d9e-0000-4000-8000-00000000c1e7
  credential: {kind: secret, file: ./secret}
`

// runPage runs the sh examples of a page as one script in dir, and answers what they printed.
func runPage(t *testing.T, page, dir string, env ...string) string {
	t.Helper()
	for _, tool := range []string{"bash", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the examples need %s, which is not installed", tool)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatalf("%s has no examples", page)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\nscimbridge() { " + asProgram + "=1 '" + self + "' \"$@\"; }\n"
	for _, b := range blocks {
		script += b[1]
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", page, err, out)
	}
	return string(out)
}

func TestIntakePage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "scimbridge.yaml"), []byte(bareConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	out := runPage(t, "../../docs/intake.md", dir)
	for _, want := range []string{"2  would be created", "2  created", `"changed": 1`, "1 were not in the file", "not used, not kept: Shoe size", "import.done"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing printed %q:\n%s", want, out)
		}
	}
}
