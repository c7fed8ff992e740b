package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
)

// TestDoctor looks at an emulated tenant: whole, without a permission, with a group that cannot be managed, and unreachable.
func TestDoctor(t *testing.T) {
	t.Parallel()
	tenant, err := emulator.New(emulator.Config{Seed: 1, Throttle: -1, ServerError: -1, Lag: -1})
	ok(t, err)
	ok(t, seedTenant(tenant))
	st := &stage{dir: t.TempDir(), tenant: tenant}
	st.graph, err = tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	defer st.graph.Close() //nolint:errcheck // a test
	_, err = st.writeFiles()
	ok(t, err)
	examine := func() (int, []entra.Check) {
		t.Helper()
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"doctor", "--json", "--config", filepath.Join(st.dir, "scimbridge.yaml")}, streams{nil, &out, &errs})
		var checks []entra.Check
		if err := json.Unmarshal(out.Bytes(), &checks); err != nil {
			t.Fatalf("%v: %s %s", err, out.String(), errs.String())
		}
		return code, checks
	}
	find := func(checks []entra.Check, area, name string, level entra.CheckLevel) bool {
		return slices.ContainsFunc(checks, func(c entra.Check) bool { return c.Area == area && c.Name == name && c.Level == level })
	}
	code, checks := examine()
	if code != 2 || !find(checks, "token", "", entra.CheckOK) || !find(checks, "group", "ext-base", entra.CheckOK) || !find(checks, "group", "ext-finance", entra.CheckWarn) {
		t.Errorf("a whole tenant with more permissions than needed and a bridged group: exit %d\n%+v", code, checks)
	}
	tenant.SetPermissions("User.Read.All", "User.Invite.All")
	if code, checks = examine(); code != exitError || !find(checks, "permission", "User.ReadWrite.All", entra.CheckFail) {
		t.Errorf("without a permission that is needed: exit %d\n%+v", code, checks)
	}
	ok(t, st.graph.Close())
	if code, checks = examine(); code != exitError || !find(checks, "token", "", entra.CheckFail) {
		t.Errorf("unreachable: exit %d\n%+v", code, checks)
	}
}
