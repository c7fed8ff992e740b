package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"scimbridge/internal/audit"
	"scimbridge/internal/db"
	"scimbridge/internal/siem"
	"scimbridge/internal/strictyaml"
)

// lockedBuffer is written to by a command while the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTailFollows(t *testing.T) {
	config, _ := reviewed(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"audit", "tail", "-f", "-n", "1", "--vendor", "acme", "--config", config}, streams{nil, &out, &errs})
	}()
	see := func(what string, times int) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for strings.Count(out.String(), what) < times {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%q was not seen %d times in:\n%s%s", what, times, out.String(), errs.String())
			}
		}
	}
	see("grant.added", 1)
	s, err := db.Open(t.Context(), db.Config{Path: filepath.Join(filepath.Dir(config), "scimbridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, vendor := range []string{"acme", "other", "acme"} {
		err := s.AppendEvents(t.Context(), audit.Event{Kind: "vendor.paused", Actor: audit.Actor{Kind: audit.ActorAdmin, Name: "ann"}, Outcome: audit.Done, Vendor: vendor, Reason: "of " + vendor})
		if err != nil {
			t.Fatal(err)
		}
	}
	see("vendor.paused", 2)
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	if got := out.String(); strings.Contains(got, "of other") || strings.Count(got, "\n") != 3 {
		t.Errorf("showed:\n%s", got)
	}
}

func TestKeyAmongSystemdsCredentials(t *testing.T) {
	config, _ := reviewed(t)
	credentials := t.TempDir()
	key, err := audit.MakeKey(filepath.Join(credentials, "audit-key"), "scimbridge/test", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(credentials, "audit-key"), 0o440); err != nil { // as systemd may have it
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	if out, errs, _ := command(t, "audit", "key", "--config", config); strings.TrimSpace(out) != key.Public() {
		t.Errorf("%q, %q", out, errs)
	}
	if out, errs, code := command(t, "audit", "rekey", "--reason", "x", "--config", config); code == exitOK || !strings.Contains(errs, "LoadCredential") {
		t.Errorf("%q, %q", out, errs)
	}
	// The command line without the credential does not make a second key.
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if out, errs, code := command(t, "audit", "checkpoint", "--config", config); code == exitOK || !strings.Contains(errs, key.Public()) {
		t.Errorf("%q, %q", out, errs)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(config), "scimbridge.db.audit-key")); err == nil {
		t.Error("a second key was made")
	}
}

func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"2026-11-24": "2026-11-24T00:00:00Z", "2026-11-24 15:04": "2026-11-24T15:04:00Z", "2026-11-24T15:04:05+02:00": "2026-11-24T13:04:05Z",
		"7d": "2026-11-17T12:00:00Z", "90m": "2026-11-24T10:30:00Z",
	} {
		if got, err := parseWhen("at", in, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "soon", "24.11.2026", "-7d"} {
		if got, err := parseWhen("at", in, now); err == nil {
			t.Errorf("%q was read as %s", in, got)
		}
	}
}

// The page says what works: its configuration is one, and its commands and their flags are there.
func TestAuditPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(yaml)?\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	commands, configs := 0, 0
	for _, b := range blocks {
		if b[1] == "yaml" {
			configs++
			var c struct {
				Audit siem.Settings `yaml:"audit"`
			}
			doc, problems := strictyaml.Parse("docs/audit.md", []byte(b[2]))
			if problems = append(problems, doc.Decode(&c)...); len(problems) > 0 {
				t.Error(problems)
			}
			if problems := c.Audit.Check(); len(problems) > 0 || len(c.Audit.Export) == 0 {
				t.Errorf("%v in %+v", problems, c.Audit)
			}
			continue
		}
		for line := range strings.Lines(b[2]) {
			line, _, _ = strings.Cut(line, " #")
			if args, ok := strings.CutPrefix(line, "scimbridge "); ok && strings.ContainsAny(args, " ") {
				commands++
				checkCommand(t, strings.Fields(strings.NewReplacer("[", "", "]", "", "|", "", "…", "x").Replace(args)))
			}
		}
	}
	if commands < 5 || configs != 1 {
		t.Errorf("%d commands and %d configurations were found", commands, configs)
	}
}

func checkCommand(t *testing.T, args []string) {
	t.Helper()
	cmd, rest, err := newRoot(streams{}).Find(args)
	if err != nil || !cmd.Runnable() {
		t.Errorf("%v is no command: %v", args, err)
		return
	}
	for _, a := range rest {
		var flag *pflag.Flag
		if name, ok := strings.CutPrefix(a, "--"); ok {
			flag = cmd.Flags().Lookup(name)
		} else if name, ok := strings.CutPrefix(a, "-"); ok {
			flag = cmd.Flags().ShorthandLookup(name)
		} else {
			continue
		}
		if flag == nil {
			t.Errorf("%s has no flag %s", cmd.CommandPath(), a)
		}
	}
}
