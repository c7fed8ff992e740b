package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/db/pgtest"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/scim"
)

// bridgeNode is one of several bridges over one PostgreSQL database: a process of its own.
type bridgeNode struct {
	cmd     *exec.Cmd
	config  string
	metrics string
	client  *vendorClient
	said    string // file
}

// role asks /readyz; "" if it does not answer.
func (p *bridgeNode) role(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.metrics+"/readyz", nil)
	if err != nil {
		return ""
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close() //nolint:errcheck // read
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSpace(string(b)), "ok ")
}

func (p *bridgeNode) start(t *testing.T) {
	t.Helper()
	exe, err := os.Executable()
	ok(t, err)
	log, err := os.OpenFile(p.said, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ok(t, err)
	defer log.Close() //nolint:errcheck // the child has it
	p.cmd = exec.Command(exe, "serve", "--config", p.config)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = log
	ok(t, p.cmd.Start())
	t.Cleanup(p.kill)
}

func (p *bridgeNode) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// TestNodes runs three bridges over one database: one works on the tenant, all serve vendors, and whatever becomes of the one,
// another goes on, without a second invitation.
func TestNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("a frozen leader is noticed after ten seconds of real time")
	}
	server, err := pgtest.Start(t.Context())
	if errors.Is(err, pgtest.ErrMissing) {
		t.Skip(err)
	}
	ok(t, err)
	t.Cleanup(func() { ok(t, server.Stop()) })
	database, err := server.Database(t.Context(), "")
	ok(t, err)
	tenant, peers := startPeers(t, server.URL(database))
	leader := func() *bridgeNode {
		for _, p := range peers {
			if p.cmd != nil && p.role(t.Context()) == string(roleLeader) {
				return p
			}
		}
		return nil
	}
	eventually(t, 60*time.Second, "all serve, and one leads", func() bool {
		ready := 0
		for _, p := range peers {
			if p.role(t.Context()) != "" {
				ready++
			}
		}
		return ready == len(peers) && leader() != nil
	})
	invited := func(mail string) func() bool {
		return func() bool { return guestOf(tenant.State(), mail) != nil }
	}
	first := leader()
	for i, p := range peers {
		push(t, p, fmt.Sprintf("at%d@kforce.example", i))
	}
	eventually(t, 30*time.Second, "the leader invites whom any node was told of", func() bool {
		return invited("at0@kforce.example")() && invited("at1@kforce.example")() && invited("at2@kforce.example")()
	})

	killed := time.Now()
	first.kill()
	eventually(t, 20*time.Second, "another one leads", func() bool { return leader() != nil })
	t.Logf("killed: another leads after %s", time.Since(killed).Round(time.Millisecond))
	second := leader()
	first.start(t)

	ok(t, second.cmd.Process.Signal(syscall.SIGSTOP))
	frozen := time.Now()
	var third *bridgeNode
	eventually(t, 30*time.Second, "another one leads", func() bool {
		for _, p := range peers {
			if p != second && p.role(t.Context()) == string(roleLeader) {
				third = p
			}
		}
		return third != nil
	})
	if took := time.Since(frozen); took > 20*time.Second {
		t.Errorf("frozen: another leads after %s", took)
	} else {
		t.Logf("frozen: another leads after %s", took.Round(time.Millisecond))
	}
	push(t, third, "late@kforce.example") // vendors are served meanwhile
	ok(t, second.cmd.Process.Signal(syscall.SIGCONT))
	eventually(t, 30*time.Second, "the frozen one stands by", func() bool { return second.role(t.Context()) == string(roleStandby) })
	eventually(t, 30*time.Second, "the work goes on", invited("late@kforce.example"))

	state := tenant.State()
	guests := map[string]int{}
	for _, u := range state.Users {
		if u.Guest {
			guests[u.Mail]++
		}
	}
	if len(state.Invitations) != 4 || len(guests) != 4 {
		t.Errorf("%d invitations, guests %v: want four, one each", len(state.Invitations), guests)
	}
	store, err := db.Open(t.Context(), db.Config{Path: server.URL(database)})
	ok(t, err)
	defer store.Close() //nolint:errcheck // a test
	if _, _, err := store.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		for i, p := range peers {
			b, _ := os.ReadFile(p.said)
			t.Logf("node %d said:\n%s", i, b[max(0, len(b)-3000):])
		}
	}
}

// push creates a contractor at a node.
func push(t *testing.T, p *bridgeNode, mail string) {
	t.Helper()
	given, _, _ := strings.Cut(mail, "@")
	body := strings.NewReplacer("00uj1y4nGd7uJ5rUQ0g4", "id-"+given, "KF-20017", "KF-"+given).Replace(okta(mail, "Ada", given, "Developer", time.Now().Add(240*time.Hour)))
	status, doc, err := p.client.do(t.Context(), http.MethodPost, "/Users", body)
	if err != nil || status != http.StatusCreated {
		t.Fatalf("create %s: HTTP %d %v, %v", mail, status, doc, err)
	}
}

func startPeers(t *testing.T, address string) (*emulator.Emulator, []*bridgeNode) {
	t.Helper()
	dir := t.TempDir()
	tenant, err := emulator.New(emulator.Config{Seed: 9, Lag: 200 * time.Millisecond, EntitlementDelay: 100 * time.Millisecond})
	ok(t, err)
	ok(t, seedTenant(tenant))
	st := &stage{dir: dir, tenant: tenant}
	st.graph, err = tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	t.Cleanup(func() { _ = st.graph.Close() })
	_, err = st.writeFiles()
	ok(t, err)
	plain, err := os.ReadFile(st.configAt)
	ok(t, err)
	token := scim.NewToken()
	var peers []*bridgeNode
	for i := range 3 {
		door, metrics := freeAddr(t), freeAddr(t)
		p := &bridgeNode{config: filepath.Join(dir, fmt.Sprintf("node%d.yaml", i)), metrics: metrics, said: filepath.Join(dir, fmt.Sprintf("said%d", i))}
		text := strings.NewReplacer("console: {listen: 127.0.0.1:0}\n", "", "listen: 127.0.0.1:0", "listen: "+door+"\nmetrics: {listen: "+metrics+"}", "database: scimbridge.db", "database: "+address+"\nstate: .",
			"admin.sock", fmt.Sprintf("admin%d.sock", i)).Replace(string(plain))
		ok(t, os.WriteFile(p.config, []byte(text), 0o600))
		if i == 0 {
			cfg, err := readConfig(p.config, streams{err: io.Discard})
			ok(t, err)
			ok(t, withStore(t.Context(), cfg, func(s *db.Store) error {
				_, err := s.AddToken(t.Context(), admin(), contractor.Token{Vendor: "okta", Hash: scim.HashToken(token)}, "test")
				return err
			}))
		}
		p.client = &vendorClient{name: "okta", base: "http://" + door + "/scim/v2", token: token, mime: "application/json", http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
		p.start(t)
		peers = append(peers, p)
	}
	return tenant, peers
}
