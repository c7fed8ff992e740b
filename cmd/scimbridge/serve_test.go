package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/scim"
)

// TestServeRefuses holds that each thing that is wrong at the start has a message that says what, where and what to do, and an
// exit code by which systemd knows whether trying again can help.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { _ = busy.Close() }) // after the parallel subtests
	for name, tc := range map[string]struct {
		edit func(t *testing.T, st *stage)
		code int
		want string
	}{
		"PortInUse":  {func(t *testing.T, st *stage) { replace(t, st, "listen: 127.0.0.1:0", "listen: "+busy.Addr().String()) }, exitError, "is in use by another process; stop it"},
		"UnknownKey": {func(t *testing.T, st *stage) { replace(t, st, "database:", "databse:") }, exitSetup, `scimbridge.yaml:2:1: unknown key "databse" (did you mean "database"?)`},
		"BadMapping": {func(t *testing.T, st *stage) {
			write(t, st, "mapping.yaml", strings.Replace(demoMapping, "c.department", "c.departmnt", 1))
		}, exitSetup, `(did you mean "department"?)`},
		"NoMapping":        {func(t *testing.T, st *stage) { ok(t, os.Remove(filepath.Join(st.dir, "mapping.yaml"))) }, exitSetup, "the mapping file cannot be read; name it in scimbridge.yaml"},
		"NoSecret":         {func(t *testing.T, st *stage) { ok(t, os.Remove(filepath.Join(st.dir, "secret"))) }, exitSetup, "secret"},
		"PlainOffLoopback": {func(t *testing.T, st *stage) { replace(t, st, "listen: 127.0.0.1:0", "listen: 192.0.2.1:8080") }, exitSetup, "add tls with cert_file and key_file"},
		"SecondDaemon": {func(t *testing.T, st *stage) {
			s, err := db.Open(t.Context(), db.Config{Path: filepath.Join(st.dir, "scimbridge.db")})
			ok(t, err)
			release, err := s.Lead(t.Context())
			ok(t, err)
			t.Cleanup(func() { release(); _ = s.Close() })
		}, exitError, "another"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := &stage{dir: t.TempDir()}
			st.tenant, err = emulator.New(emulator.Config{})
			ok(t, err)
			st.graph = &emulator.Server{GraphURL: "http://127.0.0.1:1/v1.0", LoginURL: "https://127.0.0.1:1", CAPEM: testCA(t)}
			_, err := st.writeFiles()
			ok(t, err)
			tc.edit(t, st)
			var errs bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			code := run(ctx, []string{"serve", "--config", filepath.Join(st.dir, "scimbridge.yaml")}, streams{nil, &errs, &errs})
			if code != tc.code || !strings.Contains(errs.String(), tc.want) {
				t.Errorf("exit %d, want %d; said:\n%s\nwant in it: %s", code, tc.code, errs.String(), tc.want)
			}
		})
	}
}

func replace(t testing.TB, st *stage, old, text string) {
	t.Helper()
	name := filepath.Join(st.dir, "scimbridge.yaml")
	data, err := os.ReadFile(name)
	ok(t, err)
	write(t, st, "scimbridge.yaml", strings.Replace(string(data), old, text, 1))
}

func write(t testing.TB, st *stage, name, text string) {
	t.Helper()
	ok(t, os.WriteFile(filepath.Join(st.dir, name), []byte(text), 0o600))
}

// testCA is some root certificate.
func testCA(t *testing.T) []byte {
	t.Helper()
	e, err := emulator.New(emulator.Config{})
	ok(t, err)
	srv, err := e.Start(t.Context(), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	defer srv.Close() //nolint:errcheck // a test
	return srv.CAPEM
}

// TestUnreachableGraph: the vendor door goes on, status says what is wrong, and the work is done once Entra is back.
func TestUnreachableGraph(t *testing.T) {
	t.Parallel()
	tenant, err := emulator.New(emulator.Config{Seed: 4, Throttle: -1, ServerError: -1})
	ok(t, err)
	ok(t, seedTenant(tenant))
	st := &stage{dir: t.TempDir(), tenant: tenant}
	st.graph, err = tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	defer st.graph.Close() //nolint:errcheck // a test
	cfg, err := st.writeFiles()
	ok(t, err)
	tenant.Outage(time.Hour, 0)
	d, err := start(t.Context(), options{config: cfg, log: newLogger(cfg.Log, streams{nil, testWriter{t}, testWriter{t}})})
	ok(t, err)
	defer func() { ok(t, d.stop(context.WithoutCancel(t.Context()))) }()
	token := scim.NewToken()
	_, err = d.store.AddToken(t.Context(), admin(), contractor.Token{Vendor: "okta", Hash: scim.HashToken(token)}, "test")
	ok(t, err)
	v := &vendorClient{name: "okta", base: "http://" + d.scimAddr.String() + "/scim/v2", token: token, mime: "application/json", http: &http.Client{}}
	if _, err := v.create(t.Context(), bo, okta(bo, "Bo", "Diaz", "Developer", time.Now().AddDate(0, 0, 30))); err != nil {
		t.Fatalf("Entra is away, and the vendor is not served: %v", err)
	}
	var status *adminStatus
	eventually(t, 10*time.Second, "status says that Entra does not answer", func() bool {
		ok(t, callAdmin(t.Context(), cfg.AdminSocket, http.MethodGet, "/v1/status", &status))
		return !status.Healthy && strings.Contains(strings.Join(status.Trouble, "\n"), "Entra")
	})
	tenant.ClearFaults()
	eventually(t, 40*time.Second, "the guest is there", func() bool { return guestOf(tenant.State(), bo) != nil })
	eventually(t, 10*time.Second, "status is well again", func() bool {
		ok(t, callAdmin(t.Context(), cfg.AdminSocket, http.MethodGet, "/v1/status", &status))
		return status.Healthy
	})
}

// TestRootsDatabase: what root makes before the daemon ever ran belongs to the folder's owner.
func TestRootsDatabase(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files for others")
	}
	dir := t.TempDir()
	ok(t, os.Chown(dir, 12345, 12346))
	cfg := &config.Config{Database: filepath.Join(dir, "new.db")}
	ok(t, withStore(t.Context(), cfg, func(*db.Store) error { return nil }))
	info, err := os.Stat(cfg.Database)
	ok(t, err)
	if owner, is := info.Sys().(*syscall.Stat_t); !is || owner.Uid != 12345 || owner.Gid != 12346 {
		t.Errorf("the new database belongs to %+v", owner)
	}
}

// eventually polls a condition of the real world.
func eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %s still not: %s", limit, what)
		}
	}
}
