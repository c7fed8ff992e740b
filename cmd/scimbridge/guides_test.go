package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/config"
	"scimbridge/internal/entra/emulator"
)

// guideTenant is an emulated tenant with what the guides' mappings name.
func guideTenant(t testing.TB) *stage {
	t.Helper()
	tenant, err := emulator.New(emulator.Config{Seed: 9, Throttle: -1, ServerError: -1, Lag: -1})
	ok(t, err)
	ok(t, seedTenant(tenant))
	st := &stage{dir: t.TempDir(), tenant: tenant, vendors: map[string]*vendorClient{}}
	st.graph, err = tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	t.Cleanup(func() { _ = st.graph.Close() })
	return st
}

// guide is a page with its paths below dir, so that its commands touch nothing of this machine. Each of swap stands for another.
func guide(t *testing.T, page, dir string, swap ...string) string {
	t.Helper()
	for _, folder := range []string{"etc", "backup"} {
		ok(t, os.MkdirAll(filepath.Join(dir, folder), 0o700))
	}
	swap = append(swap, "/etc/scimbridge", dir+"/etc", "/var/lib/scimbridge-backup", dir+"/backup", "/usr/share/doc/scimbridge/entra-setup.sh", dir+"/entra-setup.sh")
	text := strings.NewReplacer(swap...).Replace(read(t, page))
	// What a machine has and a test has not: a package manager and systemd. Everything else is the real thing.
	tools := "```sh\n" + `program() { ` + asProgram + `=1 "$SELF" "$@"; }
scimbridge() {
  case "$1 ${2-}" in
  "version "*|"audit check-proof") program "$@" ;;
  "doctor "*|"hold list"|"attest list"|"drift "*|"orphans "*|"plan "*) program "$@" --config "$DIR/etc/scimbridge.yaml" || [ $? -eq 2 ] ;; # 2: something is worth a look
  "validate new.yaml") program "$@" ;;
  *) program "$@" --config "$DIR/etc/scimbridge.yaml" ;;
  esac
}
dpkg() { [ "$1" = -i ]; }
systemctl() {
  case "$1" in
  enable) ( export ` + asProgram + `=1; exec "$SELF" serve --config "$DIR/etc/scimbridge.yaml" ) & trap "kill $! 2>/dev/null" EXIT
    until scimbridge status >/dev/null 2>&1; do sleep 0.1; done ;;
  restart) ;;
  esac
}
` + "```\n"
	file := filepath.Join(dir, "page.md")
	ok(t, os.WriteFile(file, []byte(tools+text), 0o600))
	self, err := os.Executable()
	ok(t, err)
	work := filepath.Join(dir, "work")
	ok(t, os.MkdirAll(work, 0o700))
	return runPage(t, file, work, "SELF="+self, "DIR="+dir)
}

// TestQuickStart follows the page from an empty machine to a contractor's end, against an emulated tenant.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	st := guideTenant(t)
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ok(t, err)
		defer l.Close() //nolint:errcheck // it is only for its number
		return l.Addr().String()
	}
	ok(t, os.WriteFile(filepath.Join(st.dir, "entra-setup.sh"), []byte("exit 0\n"), 0o600)) // tested where it is at home
	ok(t, os.MkdirAll(filepath.Join(st.dir, "etc"), 0o700))
	ok(t, os.WriteFile(filepath.Join(st.dir, "etc", "secret"), []byte(emulator.DefaultClientSecret), 0o600))
	ok(t, os.WriteFile(filepath.Join(st.dir, "etc", "ca.pem"), st.graph.CAPEM, 0o600))
	out := guide(t, "../../docs/quick-start.md", st.dir,
		"127.0.0.1:8080", free(), "127.0.0.1:8090", free(),
		"72f988bf-86f1-41af-91ab-2d7cd011db47", st.tenant.Config().TenantID, "9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8", st.tenant.Config().ClientID,
		"credential: {kind: certificate, file: scimbridge.pem}\n", fmt.Sprintf("credential: {kind: secret, file: ./secret}\n  graph_url: %s\n  login_url: %s\n  ca_file: ca.pem\ndatabase: scimbridge.db\nadmin_socket: admin.sock\npatience: {invite_settle: 100ms}\n", st.graph.GraphURL, st.graph.LoginURL))
	for _, want := range []string{`"id"`, "ext-base", "guest.invited", "the trial is over", "guest.disabled", "WHOLE"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing printed %q:\n%s", want, out)
		}
	}
	if g := guestOf(st.tenant.State(), "ann.lee@acme.example"); g == nil || g.Enabled {
		t.Errorf("at the end of the page the guest is %+v", g)
	}
}

// guideStage is a running daemon with one contractor of okta, whose end was put off so far that it is held.
func guideStage(t *testing.T) *stage {
	t.Helper()
	st := guideTenant(t)
	dir := st.dir
	st.dir = filepath.Join(dir, "etc")
	ok(t, os.MkdirAll(st.dir, 0o700))
	_, err := st.writeFiles()
	ok(t, err)
	replace(t, st, "console: {listen: 127.0.0.1:0}\n", "")
	write(t, st, "mapping.yaml", strings.Replace(demoMapping, "  missing_end: hold\n", "  missing_end: hold\n  max_move: 90d\n", 1))
	cfg, problems := config.Load(st.configAt)
	ok(t, problems.Err())
	st.daemon, err = start(t.Context(), options{config: cfg, log: newLogger(cfg.Log, streams{nil, testWriter{t}, testWriter{t}})})
	ok(t, err)
	d := st.daemon
	t.Cleanup(func() { _ = d.stop(context.Background()) })
	ok(t, st.addVendors(t.Context()))
	v, end := st.vendors["okta"], time.Now().AddDate(0, 0, 30)
	id, err := v.create(t.Context(), guided, okta(guided, "Bo", "Diaz", "Developer", end))
	ok(t, err)
	eventually(t, 30*time.Second, "the guest is there", func() bool { return guestOf(st.tenant.State(), guided) != nil })
	status, _, err := v.do(t.Context(), "PUT", "/Users/"+id, okta(guided, "Bo", "Diaz", "Developer", end.AddDate(0, 0, 200)))
	if ok(t, err); status != 200 {
		t.Fatalf("putting the end off answered %d", status)
	}
	eventually(t, 20*time.Second, "the move is held", func() bool {
		holds, err := d.store.HoldCounts(t.Context())
		return err == nil && len(holds) == 1
	})
	st.dir = dir
	return st
}

const guided = "bo.diaz@kforce.example"

// TestAdminGuide runs every command of the page against a running daemon.
func TestAdminGuide(t *testing.T) {
	t.Parallel()
	st := guideStage(t)
	out := guide(t, "../../docs/admin.md", st.dir)
	for _, want := range []string{"defaults.max_move", "approved", "now ends", guided, "every guest is explained by a record", "whole", "nothing differs"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing printed %q:\n%s", want, out)
		}
	}
}

// TestAuditorGuide runs every command of the page against a running daemon.
func TestAuditorGuide(t *testing.T) {
	t.Parallel()
	st := guideStage(t)
	out := guide(t, "../../docs/auditor.md", st.dir)
	for _, want := range []string{"PROVEN", "ext-base", guided, "guest.invited", "hold."} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing printed %q:\n%s", want, out)
		}
	}
}
