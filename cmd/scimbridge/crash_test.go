package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/scim"
)

// TestKilled kills serve, a real process, with -9 at random moments of the story, starts it again, and in the end asks the
// emulator: one guest, one invitation, nothing left after the end, and nothing that was acknowledged lost.
// SCIMBRIDGE_ROUNDS and SCIMBRIDGE_SEED say how often, and from which seed.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("each round takes seconds of real time")
	}
	n, base := 2, uint64(time.Now().UnixNano())
	if s := os.Getenv("SCIMBRIDGE_ROUNDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("SCIMBRIDGE_SEED"); s != "" {
		base, _ = strconv.ParseUint(s, 10, 64)
	}
	for i := range n {
		seed := base + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			killedRound(t, seed)
		})
	}
}

// victim is a bridge that is killed again and again.
type victim struct {
	t      *testing.T
	dice   *rand.Rand
	tenant *emulator.Emulator
	dir    string
	addr   string
	cmd    *exec.Cmd
	log    *os.File // what the processes say
	client *vendorClient
	kills  int

	backups sync.WaitGroup // that are being made
	mu      sync.Mutex
	made    []string // backups, whole by their own word
}

func killedRound(t *testing.T, seed uint64) {
	v := newVictim(t, seed)
	defer v.kill()
	const mail = "ada@kforce.example"
	id, end := v.create(mail)
	v.liveDangerously(time.Until(end) + 1500*time.Millisecond)
	if !v.running() {
		v.start()
	}
	// The story's second half: ended, taken back, deleted after a second.
	deadline := time.Now().Add(120 * time.Second)
	for time.Now().Before(deadline) {
		g := guestOf(v.tenant.State(), mail)
		if g != nil && g.Deleted != nil {
			break
		}
		if g == nil && time.Since(end) > 10*time.Second {
			break // killed before every invitation until the end had passed: nobody was invited, and nobody must be now
		}
		if v.dice.IntN(6) == 0 && v.kills < 30 {
			v.kill()
			v.start()
		}
		time.Sleep(100 * time.Millisecond)
	}
	v.finish(id)
	v.check(mail, id)
	v.checkBackups()
	if t.Failed() {
		t.Logf("seed %d, %d kills; the last process said:\n%s", seed, v.kills, v.said())
	}
}

func newVictim(t *testing.T, seed uint64) *victim {
	v := &victim{t: t, dice: rand.New(rand.NewPCG(seed, 9)), dir: t.TempDir()}
	var err error
	v.log, err = os.Create(filepath.Join(v.dir, "said"))
	ok(t, err)
	t.Cleanup(func() { _ = v.log.Close() })
	v.tenant, err = emulator.New(emulator.Config{Seed: seed, Lag: 500 * time.Millisecond, EntitlementDelay: 300 * time.Millisecond})
	ok(t, err)
	ok(t, seedTenant(v.tenant))
	st := &stage{dir: v.dir, tenant: v.tenant}
	st.graph, err = v.tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	t.Cleanup(func() { _ = st.graph.Close() })
	cfg, err := st.writeFiles()
	ok(t, err)
	v.addr = freeAddr(t)
	v.rewrite("listen: 127.0.0.1:0", "listen: "+v.addr)
	token := scim.NewToken()
	ok(t, withStore(t.Context(), cfg, func(s *db.Store) error {
		_, err := s.AddToken(t.Context(), admin(), contractor.Token{Vendor: "okta", Hash: scim.HashToken(token)}, "test")
		return err
	}))
	v.client = &vendorClient{name: "okta", base: "http://" + v.addr + "/scim/v2", token: token, mime: "application/json", http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	v.start()
	return v
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// freeAddr is a loopback address that stays the same over restarts.
func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close() //nolint:errcheck // a test
	return l.Addr().String()
}

func (v *victim) rewrite(old, text string) {
	name := filepath.Join(v.dir, "scimbridge.yaml")
	data, err := os.ReadFile(name)
	ok(v.t, err)
	ok(v.t, os.WriteFile(name, []byte(strings.Replace(string(data), old, text, 1)), 0o600))
}

func (v *victim) start() {
	v.t.Helper()
	exe, err := os.Executable()
	ok(v.t, err)
	v.cmd = exec.Command(exe, "serve", "--config", filepath.Join(v.dir, "scimbridge.yaml"))
	v.cmd.Env = append(os.Environ(), asProgram+"=1")
	v.cmd.Stderr = v.log
	ok(v.t, v.cmd.Start())
}

// said is the end of what the processes said.
func (v *victim) said() string {
	data, err := os.ReadFile(v.log.Name())
	ok(v.t, err)
	return string(data[max(0, len(data)-4000):])
}

func (v *victim) running() bool { return v.cmd != nil }

func (v *victim) kill() {
	if v.cmd == nil {
		return
	}
	_ = v.cmd.Process.Signal(syscall.SIGKILL)
	err := v.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() { // it had ended by itself: that is a finding
		v.t.Errorf("serve exited by itself with %d:\n%s", exit.ExitCode(), v.said())
	}
	v.cmd, v.kills = nil, v.kills+1
}

// meddle does what may be under way when a process is killed: it reads a mapping that was edited, or backs up. In the long form alone.
func (v *victim) meddle() {
	if os.Getenv("SCIMBRIDGE_ROUNDS") == "" {
		return
	}
	switch v.dice.IntN(3) {
	case 0:
		name := filepath.Join(v.dir, "mapping.yaml")
		data, err := os.ReadFile(name)
		ok(v.t, err)
		ok(v.t, os.WriteFile(name, append(data, fmt.Sprintf("# edited before kill %d\n", v.kills)...), 0o600))
		_ = v.cmd.Process.Signal(syscall.SIGHUP) // one that does not listen yet dies of it
	case 1:
		exe, err := os.Executable()
		ok(v.t, err)
		file := filepath.Join(v.dir, fmt.Sprintf("backup-%d.db", v.kills))
		cmd := exec.Command(exe, "backup", file, "--config", filepath.Join(v.dir, "scimbridge.yaml"))
		cmd.Env = append(os.Environ(), asProgram+"=1")
		ok(v.t, cmd.Start())
		timer := time.AfterFunc(time.Duration(v.dice.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		v.backups.Go(func() {
			defer timer.Stop()
			if cmd.Wait() == nil { // it was made, and said so
				v.mu.Lock()
				defer v.mu.Unlock()
				v.made = append(v.made, file)
			}
		})
	}
}

// checkBackups opens every backup that was made.
func (v *victim) checkBackups() {
	v.t.Helper()
	v.backups.Wait()
	for _, file := range v.made {
		store, err := db.Open(v.t.Context(), db.Config{Path: file})
		ok(v.t, err)
		if _, _, err := store.VerifyJournal(v.t.Context()); err != nil {
			v.t.Errorf("backup %s: %v", file, err)
		}
		ok(v.t, store.Close())
	}
	v.t.Logf("%d kills, %d backups", v.kills, len(v.made))
}

// liveDangerously kills and starts the process for d.
func (v *victim) liveDangerously(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if !v.running() {
			v.start()
		}
		time.Sleep(time.Duration(v.dice.IntN(700)) * time.Millisecond)
		v.meddle()
		time.Sleep(time.Duration(v.dice.IntN(50)) * time.Millisecond)
		v.kill()
	}
}

// create posts until it is acknowledged, as a client does whose server is killed under it; a 409 is an earlier try that was
// stored and not answered. It returns the SCIM id and the latest end that can have been stored.
func (v *victim) create(mail string) (id string, end time.Time) {
	if v.dice.IntN(2) == 0 {
		process := v.cmd.Process // a frozen process answers nobody, and is killed like that
		timer := time.AfterFunc(time.Duration(v.dice.IntN(400))*time.Millisecond, func() { _ = process.Signal(syscall.SIGSTOP) })
		defer timer.Stop()
	}
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		end = time.Now().Add(4 * time.Second).UTC().Truncate(time.Second)
		body := strings.Replace(okta(mail, "Ada", "Byron", "Developer", end), `"endDate": "`+end.Format("2006-01-02")+`"`, `"endDate": "`+end.Format(time.RFC3339)+`"`, 1)
		ctx, cancel := context.WithTimeout(v.t.Context(), 3*time.Second)
		status, doc, err := v.client.do(ctx, http.MethodPost, "/Users", body)
		cancel()
		switch {
		case err != nil && time.Now().Before(deadline):
			if v.cmd.ProcessState == nil && v.dice.IntN(3) == 0 {
				v.kill()
				v.start()
			}
		case status == http.StatusCreated:
			id, _ := doc["id"].(string)
			return id, end
		case status == http.StatusConflict:
			_, doc, err := v.client.do(v.t.Context(), http.MethodGet, "/Users?filter=userName+eq+%22"+mail+"%22", "")
			ok(v.t, err)
			b, err := json.Marshal(doc["Resources"])
			ok(v.t, err)
			var found []struct{ ID string }
			ok(v.t, json.Unmarshal(b, &found))
			if len(found) != 1 {
				v.t.Fatalf("a conflict, and %d users", len(found))
			}
			return found[0].ID, end
		default:
			v.t.Fatalf("create: HTTP %d %v", status, doc)
		}
	}
	v.t.Fatalf("the create was never acknowledged\n%s", v.said())
	return "", end
}

// finish lets the last start do what is left, until the vendor reads that the engagement is over and nothing of it remains.
func (v *victim) finish(id string) {
	if !v.running() {
		v.start()
	}
	eventually(v.t, 90*time.Second, "the vendor reads removed", func() bool {
		_, doc, err := v.client.do(v.t.Context(), http.MethodGet, "/Users/"+id, "")
		if err != nil {
			return false // still starting
		}
		ext, _ := doc[contractor.ExtensionURN].(map[string]any)
		return ext["status"] == string(contractor.StatusRemoved)
	})
}

// check asks the emulator, and the journal of a store that was closed by kill -9 only.
func (v *victim) check(mail, id string) {
	v.t.Helper()
	v.kill()
	state := v.tenant.State()
	guests, invited := 0, len(state.Invitations)
	for _, u := range state.Users {
		if u.Guest {
			guests++
		}
	}
	g := guestOf(state, mail)
	if guests != invited || g != nil && (g.Deleted == nil || g.Enabled) {
		v.t.Errorf("%d guests, enabled=%v deleted=%v: want as many as invitations, disabled and deleted", guests, g != nil && g.Enabled, g != nil && g.Deleted != nil)
	}
	if invited > 1 {
		v.t.Errorf("%d invitations, want one at most", invited)
	}
	if c := nothingLeft(state); !c.holds {
		v.t.Error(c.text)
	}
	store, err := db.Open(v.t.Context(), db.Config{Path: filepath.Join(v.dir, "scimbridge.db")})
	ok(v.t, err)
	defer store.Close() //nolint:errcheck // a test
	if _, _, err := store.VerifyJournal(v.t.Context()); err != nil {
		v.t.Error(err)
	}
	defer func() {
		if !v.t.Failed() {
			return
		}
		for e, err := range store.Journal(v.t.Context(), contractor.JournalQuery{}) {
			v.t.Logf("%4d %s %-22s %-8s %s %s %v", e.Seq, e.Time.Format("05.000"), e.Kind, e.Outcome, e.Entitlement, e.Reason, err)
		}
		if p, err := store.FindPerson(v.t.Context(), mail); err == nil {
			p.Engagements = nil
			v.t.Logf("%+v", *p)
		}
		v.t.Logf("assignments %+v\nrequests %+v", state.Assignments, state.Requests)
	}()
	if e, err := store.Get(v.t.Context(), "okta", id); err != nil || e.Standing.Status != contractor.StatusRemoved {
		v.t.Error(fmt.Errorf("the acknowledged record: %q, %w", e.Standing.Status, err))
	}
}
