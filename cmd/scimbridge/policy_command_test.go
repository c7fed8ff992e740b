package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra/emulator"
)

// smallPolicies keeps the commands below within a few seconds: Entra takes one such call a second, and so does the emulator.
const smallPolicies = policyMapping + `  policies:
    - name: mfa
      state: on
      scope: {guests: [b2bCollaborationGuest]}
      require: {mfa: true}
      session: {sign_in_every: 12h}
`

// The commands as an administrator types them, against the emulator over HTTP.
func TestPolicyCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("conditional access takes one request a second of real time")
	}
	t.Parallel()
	st := &stage{dir: t.TempDir()}
	var err error
	calm := calmTenant()
	calm.Quota.ConditionalAccessPer1s = 100 // one command begins right after the other
	st.tenant, err = emulator.New(calm)
	ok(t, err)
	_, err = st.tenant.AddUser(emulator.UserSeed{ID: sponsorID, UPN: "admin@contoso.example", Name: "Admin"})
	ok(t, err)
	_, err = st.tenant.AddGroup(emulator.GroupSeed{ID: testGlass, Name: "emergency", Members: []string{sponsorID}})
	ok(t, err)
	st.graph, err = st.tenant.Start(t.Context(), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	t.Cleanup(func() { _ = st.graph.Close() })
	cfg, err := st.writeFiles()
	ok(t, err)
	mapping := func(text string) { ok(t, os.WriteFile(cfg.Mapping, []byte(text), 0o600)) }
	config := filepath.Join(st.dir, "scimbridge.yaml")
	// typed runs a command and returns its exit code and what it said.
	typed := func(args ...string) (int, string) {
		t.Helper()
		var out bytes.Buffer
		io := streams{nil, &out, &out}
		cmd := newRoot(io)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		for _, c := range []string{"policy", "alarm", "activity"} { // wherever the root command lists them
			if found, _, err := cmd.Find([]string{c}); err == nil && found.Name() == c {
				cmd.RemoveCommand(found)
			}
		}
		cmd.AddCommand(newPolicy(io), newAlarm(io), newActivity(io))
		cmd.SetArgs(append(args, "--config", config))
		err := cmd.ExecuteContext(t.Context())
		if err == nil {
			return exitOK, out.String()
		}
		code := exitError
		if ce, is := errors.AsType[*codeError](err); is {
			code = ce.code
		}
		return code, out.String() + err.Error()
	}
	want := func(code int, says string, args ...string) string {
		t.Helper()
		got, said := typed(args...)
		if got != code || !strings.Contains(said, says) {
			t.Fatalf("%v exits %d, want %d, and says:\n%s\nwant …%s…", args, got, code, said, says)
		}
		return said
	}
	mapping(policyMapping + "  policies:\n    - name: mfa\n      state: onn\n")
	want(exitSetup, `"onn" is not known here (did you mean "on"?)`, "policy", "plan")
	mapping(strings.Replace(smallPolicies, testGlass, testVendor, 1))
	want(exitError, "nothing was done: 1 refusal", "policy", "apply", "--yes")
	mapping(smallPolicies)
	want(2, "+ policy mfa: contractors: need multifactor authentication; sign in again every 12h (report-only; declared on", "policy", "plan", "--detailed-exitcode")
	want(exitUsage, "add --yes", "policy", "apply")
	want(exitUsage, "belong together", "policy", "apply", "--yes", "--enforce-now")
	want(exitOK, "the tenant is as declared", "policy", "apply", "--yes", "--enforce-now", "--reason", "a rehearsal of the incident plan")
	var plan policyReport
	ok(t, json.Unmarshal([]byte(want(exitOK, `"changes": []`, "policy", "plan", "--json", "--detailed-exitcode")), &plan))
	if len(plan.Policies) != 1 || plan.Policies[0].State != contractor.CAOn {
		t.Errorf("%+v", plan.Policies)
	}
	want(exitOK, "every guest signs in again at least every 12h", "policy", "show")

	want(exitOK, "no alarm is open", "alarm", "list")
	var raised []contractor.Alarm
	ok(t, withStore(t.Context(), cfg, func(s *db.Store) error {
		var err error
		raised, err = s.RecordActivity(t.Context(), contractor.ActivityBatch{Log: contractor.LogSignIns, Alarms: []contractor.Alarm{{
			Key: "k", Kind: contractor.AlarmPolicyChanged, Severity: contractor.SeverityCritical, Words: "somebody changed our policy mfa", Next: "scimbridge policy plan",
			First: time.Now(), Last: time.Now(), Evidence: []contractor.Evidence{{Log: contractor.LogAudits, ID: "a1", At: time.Now(), Words: "audit entry"}},
		}}})
		return err
	}))
	want(2, "somebody changed our policy mfa\n    - audit entry [audit a1]\n    next: scimbridge policy plan", "alarm", "list")
	want(exitOK, "1 alarm acknowledged", "alarm", "ack", raised[0].ID, "--reason", "it was me")
	want(exitOK, "no alarm is open", "alarm", "list")
	want(exitOK, `"note": "it was me"`, "alarm", "list", "--all", "--json")
	want(exitError, "", "activity", "nobody@acme.example")
}
