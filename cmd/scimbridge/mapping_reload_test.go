package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// TestReloadOfAProcess edits the mapping of a real process and sends it SIGHUP: a bad file leaves the old one in force, over a restart
// too, and that is told everywhere with its line; a good one comes into force.
func TestReloadOfAProcess(t *testing.T) {
	t.Parallel()
	v := newVictim(t, 3)
	defer v.kill()
	config := filepath.Join(v.dir, "scimbridge.yaml")
	command := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), append(args, "--config", config), streams{nil, &out, &errs}); code != want {
			t.Fatalf("scimbridge %v exited %d, want %d\n%s%s", args, code, want, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	status := func() (st adminStatus, up bool) {
		var out, errs bytes.Buffer
		run(t.Context(), []string{"status", "--json", "--config", config}, streams{nil, &out, &errs})
		return st, json.Unmarshal(out.Bytes(), &st) == nil
	}
	var first string
	eventually(t, 60*time.Second, "the process serves", func() bool {
		st, up := status()
		first = st.Mapping.Revision
		return up
	})
	write := func(old, text string) {
		t.Helper()
		name := filepath.Join(v.dir, "mapping.yaml")
		b, err := os.ReadFile(name)
		ok(t, err)
		ok(t, os.WriteFile(name, []byte(strings.Replace(string(b), old, text, 1)), 0o600))
	}
	const mistake = `contractor has no field "departmnt" (did you mean "department"?)`
	write("c.department", "c.departmnt")
	ok(t, v.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, 60*time.Second, "the refusal is told", func() bool { st, _ := status(); return st.Mapping.Refused != "" })
	for _, again := range []string{"after SIGHUP", "after a restart"} {
		st, _ := status()
		if st.Mapping.Revision != first || st.Healthy || len(st.Trouble) == 0 || !strings.Contains(st.Trouble[0], "mapping.yaml:") || !strings.Contains(st.Trouble[0], mistake) {
			t.Errorf("%s the status is %+v", again, st)
		}
		if out := command(2, "status"); !strings.Contains(out, "refused   ") || !strings.Contains(out, mistake) {
			t.Errorf("%s status prints\n%s", again, out)
		}
		if again == "after SIGHUP" {
			v.kill()
			v.start()
			eventually(t, 60*time.Second, "the process serves with the mapping that ran last", func() bool { _, up := status(); return up })
		}
	}
	if out := command(exitError, "reload"); !strings.Contains(out, mistake) || !strings.Contains(out, "stays in force") {
		t.Errorf("reload says\n%s", out)
	}
	if said := v.said(); strings.Count(said, "the mapping file was refused") != 3 {
		t.Errorf("the log says\n%s", said)
	}
	write("c.departmnt", "c.division")
	ok(t, v.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, 60*time.Second, "the good file is in force", func() bool { st, _ := status(); return st.Mapping.Revision != first && st.Mapping.Refused == "" })
	v.kill()
	store, err := db.Open(t.Context(), db.Config{Path: filepath.Join(v.dir, "scimbridge.db")})
	ok(t, err)
	defer store.Close() //nolint:errcheck // a test
	refused := 0
	for e, err := range store.Journal(t.Context(), contractor.JournalQuery{Kind: "mapping.refused"}) {
		ok(t, err)
		refused++
		if !strings.Contains(e.Reason, mistake) || e.Revision != first || e.Actor.Name == "" {
			t.Errorf("%+v", e)
		}
	}
	if refused != 3 {
		t.Errorf("%d refusals in the journal, want 3", refused)
	}
}

// TestRefusedReloadIsCounted holds the metrics of a refused file, and that it leaves the old one working.
func TestRefusedReloadIsCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 5)
	before := h.daemon.mapping.get()
	h.edit("c.department", "c.departmnt")
	if _, err := h.daemon.reload(t.Context(), "ann"); err == nil {
		t.Fatal("a file with a mistake was loaded")
	}
	if h.daemon.mapping.get() != before {
		t.Error("the mapping in force was replaced")
	}
	h.edit("c.departmnt", "c.department")
	if _, err := h.daemon.reload(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	families, err := h.daemon.metrics.registry.Gather()
	ok(t, err)
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "scimbridge_mapping_reloads_total" {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if got["refused"] != 1 || got["loaded"] != 1 {
		t.Errorf("reloads counted: %v", got)
	}
}

// TestEverybodyIsWokenInTheEnd holds that a process that dies between the revision and the waking wakes everybody at its next start.
func TestEverybodyIsWokenInTheEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 6)
	m := h.daemon.mapping.get()
	woken, err := h.daemon.store.Setting(t.Context(), wokenSetting)
	if err != nil || string(woken) != m.Revision() {
		t.Fatalf("woken for %q: %v", woken, err)
	}
	ok(t, h.daemon.store.SetSetting(t.Context(), wokenSetting, nil)) // as it stands after such a death
	if _, err := h.daemon.firstMapping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if woken, err = h.daemon.store.Setting(t.Context(), wokenSetting); err != nil || string(woken) != m.Revision() {
		t.Error(errors.Join(err, errors.New("nobody was woken")))
	}
}
