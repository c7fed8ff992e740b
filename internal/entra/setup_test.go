package entra_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scimbridge/internal/entra"
)

// setup runs scripts/entra-setup.sh with a stand-in for the Azure CLI that keeps what was granted in a file.
func setup(t *testing.T, bin string, args ...string) (output string, status int) {
	t.Helper()
	script, err := filepath.Abs("../../scripts/entra-setup.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{script}, args...)...)
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "STATE=" + bin, "TMPDIR=" + t.TempDir()}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), 0
}

// standIn answers as az does, as far as the script asks. Role ids are "role-" and the permission.
const standIn = `#!/bin/sh
printf '%s\n' "$*" >>"$STATE/log"
case $* in
'account show --query tenantId'*) echo 7e57ab1e-0000-4000-8000-00000000c0de ;;
'account show --query user.name'*) echo admin ;;
'cloud show --query endpoints'*) echo https://graph.test/ ;;
'cloud show --query name'*) echo AzureCloud ;;
'ad sp show'*'--query id '*) echo graph-sp ;;
'ad sp show --id managed-1 --query appId'*) echo 5c1b1d9e-0000-4000-8000-00000000c1e7 ;;
'ad sp show'*appRoles*) printf '%s' "$*" | sed "s/.*value=='\([^']*\)'.*/role-\1/" ;;
'ad app list'*) cat "$STATE/app" 2>/dev/null || true ;;
'ad app create'*) echo 5c1b1d9e-0000-4000-8000-00000000c1e7 | tee "$STATE/app" ;;
'ad sp list'*) cat "$STATE/sp" 2>/dev/null || true ;;
'ad sp create'*) echo our-sp | tee "$STATE/sp" ;;
'rest --method GET'*) cat "$STATE/granted" 2>/dev/null || true ;;
'rest --method POST'*) printf '%s' "$*" | sed 's/.*"appRoleId":"\([^"]*\)".*/\1\n/' >>"$STATE/granted" ;;
'ad app update'*|'ad app credential reset'*|'ad app federated-credential create'*) ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
`

func TestSetupScript(t *testing.T) {
	for _, tool := range []string{"sh", "openssl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	features := make([]string, 0, len(entra.Features()))
	var all []string
	for _, f := range entra.Features() {
		features = append(features, string(f))
		for _, p := range entra.Permissions(f) {
			all = append(all, p.Name)
		}
	}
	fresh := func(t *testing.T) string {
		t.Helper()
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "az"), []byte(standIn), 0o755); err != nil {
			t.Fatal(err)
		}
		return bin
	}
	t.Run("plans without the Azure CLI, and with the permissions that doctor wants", func(t *testing.T) {
		for _, f := range entra.Features() {
			out, status := setup(t, t.TempDir(), "--plan", "--features", string(f))
			if status != 0 {
				t.Fatalf("status %d: %s", status, out)
			}
			needed := entra.Permissions(f)
			if f != entra.FeaturePolicies { // those are an application of their own
				needed = append(needed, entra.Permissions(entra.FeatureGuests)...)
			}
			for _, name := range all {
				wanted := slices.ContainsFunc(needed, func(p entra.Permission) bool { return p.Name == name })
				if wanted != strings.Contains(out, " "+name+" ") {
					t.Errorf("%s: %s wanted: %v\n%s", f, name, wanted, out)
				}
			}
		}
	})
	t.Run("takes the features from a configuration", func(t *testing.T) {
		bin := t.TempDir()
		stand := "#!/bin/sh\n[ \"$*\" = 'doctor --features --config my.yaml' ] && echo guests,groups,mail\n"
		if err := os.WriteFile(filepath.Join(bin, "scimbridge"), []byte(stand), 0o755); err != nil {
			t.Fatal(err)
		}
		out, status := setup(t, bin, "--plan", "--config", "my.yaml")
		if status != 0 || !strings.Contains(out, "Mail.Send ") || strings.Contains(out, "EntitlementManagement") {
			t.Errorf("status %d: %s", status, out)
		}
		if out, status = setup(t, bin, "--plan", "--config", "other.yaml"); status != 1 {
			t.Errorf("status %d: %s", status, out)
		}
	})
	t.Run("asks before it does anything", func(t *testing.T) {
		bin := fresh(t)
		out, status := setup(t, bin, "--out", t.TempDir())
		if status != 3 || !strings.Contains(out, "nothing was done") {
			t.Errorf("status %d: %s", status, out)
		}
		if log, err := os.ReadFile(filepath.Join(bin, "log")); err != nil || strings.Contains(string(log), "create") {
			t.Errorf("%s %v", log, err)
		}
	})
	t.Run("makes the registration, and on a second run nothing twice", func(t *testing.T) {
		bin, dir := fresh(t), t.TempDir()
		out, status := setup(t, bin, "--yes", "--out", dir, "--features", strings.Join(features, ","))
		if status != 0 {
			t.Fatalf("status %d: %s", status, out)
		}
		granted, err := os.ReadFile(filepath.Join(bin, "granted"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all {
			if strings.Count(string(granted), "role-"+name+"\n") != 1 {
				t.Errorf("%s was not granted once: %s", name, granted)
			}
		}
		if !strings.Contains(out, "client_id: 5c1b1d9e-0000-4000-8000-00000000c1e7") || !strings.Contains(out, "kind: certificate") {
			t.Error(out)
		}
		pem := filepath.Join(dir, "scimbridge.pem")
		info, err := os.Stat(pem)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
		if _, err := entra.NewCredential(entra.CredentialConfig{TenantID: tenantID, ClientID: clientID, Kind: entra.KindCertificate, File: pem}); err != nil {
			t.Errorf("the file is no credential: %v", err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("left behind: %v %v", left, err)
		}
		if out, status = setup(t, bin, "--yes", "--credential", "none", "--features", strings.Join(features, ",")); status != 0 {
			t.Fatalf("status %d: %s", status, out)
		}
		again, err := os.ReadFile(filepath.Join(bin, "granted"))
		if err != nil || !bytes.Equal(granted, again) || strings.Contains(out, "\nmade ") || strings.Contains(out, "\ngranted ") {
			t.Errorf("the second run did something: %s %v", out, err)
		}
	})
	t.Run("gives a managed identity its permissions and registers nothing", func(t *testing.T) {
		bin := fresh(t)
		out, status := setup(t, bin, "--yes", "--principal", "managed-1")
		if status != 0 || !strings.Contains(out, "kind: managed_identity") {
			t.Fatalf("status %d: %s", status, out)
		}
		log, err := os.ReadFile(filepath.Join(bin, "log"))
		if err != nil || strings.Contains(string(log), "ad app") || !strings.Contains(string(log), `"principalId":"managed-1"`) {
			t.Errorf("%s %v", log, err)
		}
	})
	t.Run("refuses what it does not understand", func(t *testing.T) {
		for _, args := range [][]string{{"--features", "everything"}, {"--name", ""}, {"--name", "a'b"}, {"--days", "soon"}, {"--credential", "secret"}, {"--credential", "federated"}, {"--what"}, {"--out"}} {
			if out, status := setup(t, t.TempDir(), append([]string{"--plan"}, args...)...); status != 2 {
				t.Errorf("%v: status %d: %s", args, status, out)
			}
		}
	})
}
