package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/policy"
)

func wantLevel(t *testing.T, c entra.Check, level entra.CheckLevel, says string) {
	t.Helper()
	if c.Level != level || !strings.Contains(c.Found, says) || (c.Action == "") != (level == entra.CheckOK) {
		t.Errorf("%+v, want %s with %q", c, level, says)
	}
}

// TestDoctorOnAccess: what conditional access makes of a contractor, by the policies of the tenant.
func TestDoctorOnAccess(t *testing.T) {
	t.Parallel()
	guests := contractor.CAPolicy{
		Name: "guests", State: contractor.CAOn, Apps: contractor.CAApps{Include: []string{contractor.CAAll}}, ClientApps: []string{"all"},
		Users: contractor.CAUsers{IncludeGuests: contractor.CAGuests{Types: []string{"b2bCollaborationGuest"}}},
		Grant: contractor.CAGrant{Operator: "OR", Controls: []string{"mfa"}}, Session: contractor.CASession{Frequency: 12 * time.Hour},
	}
	with := func(change func(*contractor.CAPolicy)) []contractor.CAPolicy {
		p := guests
		change(&p)
		return []contractor.CAPolicy{p}
	}
	watched := with(func(p *contractor.CAPolicy) { p.State = contractor.CAReportOnly })
	browserOnly := with(func(p *contractor.CAPolicy) { p.ClientApps = []string{"browser"} })
	wantLevel(t, sessionCheck([]contractor.CAPolicy{guests}), entra.CheckOK, "12h")
	wantLevel(t, sessionCheck(watched), entra.CheckWarn, "outlive")
	wantLevel(t, sessionCheck(nil), entra.CheckWarn, "outlive")
	wantLevel(t, strengthCheck([]contractor.CAPolicy{guests}, nil), entra.CheckOK, "asked for more")
	wantLevel(t, strengthCheck(watched, nil), entra.CheckWarn, "browser")
	wantLevel(t, strengthCheck(browserOnly, nil), entra.CheckWarn, "mobileAppsAndDesktopClients")

	standing := []policy.Standing{{Name: "mfa", State: contractor.CAReportOnly}}
	wantLevel(t, planCheck(policy.Result{Policies: standing}), entra.CheckOK, "1 in report-only")
	wantLevel(t, planCheck(policy.Result{Policies: standing, Changes: []policy.Change{{Name: "mfa"}}}), entra.CheckWarn, "1 change waits")
	wantLevel(t, planCheck(policy.Result{Policies: []policy.Standing{{Name: "mfa", Drift: "somebody disabled it"}}, Changes: []policy.Change{{Name: "mfa"}}}), entra.CheckWarn, "changed by somebody else")
	wantLevel(t, planCheck(policy.Result{Refusals: []policy.Refusal{{Name: "mfa"}}}), entra.CheckFail, "lock people out")
}

// TestDoctorOnTheDoor looks at the vendor door's certificate.
func TestDoctorOnTheDoor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	now := time.Now()
	made := func(name string, end time.Time) string {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "door"}, NotBefore: now.Add(-time.Hour), NotAfter: end},
			&x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
		ok(t, err)
		ok(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		return filepath.Join(dir, name)
	}
	wantLevel(t, doorCertificate(made("good", now.Add(90*24*time.Hour)), now), entra.CheckOK, "expires on")
	wantLevel(t, doorCertificate(made("soon", now.Add(10*24*time.Hour)), now), entra.CheckWarn, "expires on")
	wantLevel(t, doorCertificate(made("late", now.Add(-time.Minute)), now), entra.CheckFail, "expired on")
	ok(t, os.WriteFile(filepath.Join(dir, "empty"), []byte("nothing"), 0o600))
	wantLevel(t, doorCertificate(filepath.Join(dir, "empty"), now), entra.CheckFail, "no PEM certificate")
}

// TestDoctorOnTheQuota asks a daemon, which is a stand-in here.
func TestDoctorOnTheQuota(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{AdminSocket: filepath.Join(t.TempDir(), "admin.sock")}
	wantLevel(t, quotaCheck(t.Context(), cfg), entra.CheckOK, "no daemon runs")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", cfg.AdminSocket)
	ok(t, err)
	var st adminStatus
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, st, nil) }), ReadHeaderTimeout: time.Minute}
	go srv.Serve(l)   //nolint:errcheck // a test
	defer srv.Close() //nolint:errcheck // a test
	st.Entra.Quota = quotaUse{Used: 120, Allowed: 3000, Documented: 3000}
	wantLevel(t, quotaCheck(t.Context(), cfg), entra.CheckOK, "120 of 3000 writes used in 150 s")
	st.Entra.Quota = quotaUse{Used: 120, Allowed: 1500, Documented: 3000}
	wantLevel(t, quotaCheck(t.Context(), cfg), entra.CheckWarn, "down from 3000")
	st.Entra.Quota = quotaUse{Used: 2990, Allowed: 3000, Documented: 3000, Waiting: 700, OldestWait: 90}
	wantLevel(t, quotaCheck(t.Context(), cfg), entra.CheckWarn, "700 calls wait, the oldest for 90 s")
}

// TestDoctorOnSponsors looks up who answers for the open guests of a database.
func TestDoctorOnSponsors(t *testing.T) {
	t.Parallel()
	tenant, err := emulator.New(emulator.Config{Seed: 1, Throttle: -1, ServerError: -1, Lag: -1})
	ok(t, err)
	ok(t, seedTenant(tenant))
	st := &stage{dir: t.TempDir(), tenant: tenant}
	st.graph, err = tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	defer st.graph.Close() //nolint:errcheck // a test
	cfg, err := st.writeFiles()
	ok(t, err)
	sponsored := func(id, guest, sponsor string) {
		t.Helper()
		ok(t, withStore(t.Context(), cfg, func(s *db.Store) error {
			now := time.Now().UTC().Truncate(time.Microsecond)
			e, err := s.Create(t.Context(), contractor.Engagement{ID: id, Vendor: "acme", Version: 1, Created: now, Modified: now, Resource: json.RawMessage(`{}`),
				Record: contractor.Record{UserName: id, Email: id + "@acme.example", Active: true}}, 0,
				audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done})
			if err != nil {
				return err
			}
			p, err := s.Person(t.Context(), e.Person)
			if err != nil {
				return err
			}
			p.GuestID, p.Phase, p.SponsorID = guest, contractor.PhaseOpen, sponsor
			return s.Record(t.Context(), &contractor.Change{Person: p})
		}))
	}
	examine := func() []entra.Check {
		t.Helper()
		var out, errs bytes.Buffer
		run(t.Context(), []string{"doctor", "--json", "--config", filepath.Join(st.dir, "scimbridge.yaml")}, streams{nil, &out, &errs})
		var checks []entra.Check
		ok(t, json.Unmarshal(out.Bytes(), &checks))
		var found []entra.Check
		for _, c := range checks {
			if c.Area == "sponsors" {
				found = append(found, c)
			}
		}
		return found
	}
	if c := examine(); len(c) != 0 {
		t.Errorf("nobody has a sponsor: %+v", c)
	}
	sponsored("5d0f7a52-2f64-4a0c-8d0e-3b7a8f3f5d10", "7f0a9c52-2f64-4a0c-8d0e-3b7a8f3f5d10", sponsorID)
	if c := examine(); len(c) != 1 || c[0].Level != entra.CheckOK {
		t.Errorf("%+v", c)
	}
	sponsored("5d0f7a52-2f64-4a0c-8d0e-3b7a8f3f5d11", "7f0a9c52-2f64-4a0c-8d0e-3b7a8f3f5d11", "7f0a9c52-2f64-4a0c-8d0e-3b7a8f3f5d99")
	ok(t, tenant.DoDisable(sponsorID))
	c := examine()
	if len(c) != 1 {
		t.Fatalf("%+v", c)
	}
	wantLevel(t, c[0], entra.CheckWarn, "1 not in the tenant any more, 1 disabled; 2 guests are without")
}

// TestDoctorsFeatures is what scripts/entra-setup.sh --config asks for.
func TestDoctorsFeatures(t *testing.T) {
	t.Parallel()
	tenant, err := emulator.New(emulator.Config{Seed: 1})
	ok(t, err)
	st := &stage{dir: t.TempDir(), tenant: tenant}
	st.graph, err = tenant.Start(t.Context(), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	defer st.graph.Close() //nolint:errcheck // a test
	cfg, err := st.writeFiles()
	ok(t, err)
	file := filepath.Join(st.dir, "scimbridge.yaml")
	text, err := os.ReadFile(file)
	ok(t, err)
	for _, c := range []struct{ config, mapping, want string }{
		{"", "", "guests,groups,pim,packages,checks\n"},
		{"watch: {every: 10m}\nnotify: {sender: graph, from: b@contoso.example, key_file: notify.key}\n", "guest:\n  employeeLeaveDateTime: ${c.end}\n", "guests,groups,pim,packages,leave-date,activity,mail,checks\n"},
	} {
		ok(t, os.WriteFile(filepath.Join(st.dir, "notify.key"), bytes.Repeat([]byte("k"), 44), 0o600))
		ok(t, os.WriteFile(file, append([]byte(c.config), text...), 0o600))
		mapping := demoMapping
		if c.mapping != "" {
			mapping = strings.Replace(demoMapping, "guest:\n", c.mapping, 1)
		}
		ok(t, os.WriteFile(cfg.Mapping, []byte(mapping), 0o600))
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"doctor", "--features", "--config", file}, streams{nil, &out, &errs}); code != exitOK || out.String() != c.want {
			t.Errorf("exit %d: %q %s, want %q", code, out.String(), errs.String(), c.want)
		}
	}
}
