package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// reviewed is a configuration with a database in which one contractor, whose name would like to be a formula, holds a group.
func reviewed(t *testing.T) (config string, person *contractor.Person) {
	t.Helper()
	dir := t.TempDir()
	config = filepath.Join(dir, "scimbridge.yaml")
	text := `database: scimbridge.db
admin_socket: admin.sock
entra:
  tenant_id: 7e57ab1e-0000-4000-8000-00000000c0de
  client_id: 5c1b1d9e-0000-4000-8000-00000000c1e7
  credential: {kind: secret, file: ./secret}
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := db.Open(t.Context(), db.Config{Path: filepath.Join(dir, "scimbridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	e, err := s.Create(t.Context(), contractor.Engagement{
		ID: "5d0f7a52-2f64-4a0c-8d0e-3b7a8f3f5d10", Vendor: "acme", Version: 1, Created: now, Modified: now, Resource: json.RawMessage(`{"userName":"wanda"}`),
		Record: contractor.Record{UserName: "wanda", Email: "wanda@acme.example", Active: true, DisplayName: "=<b>Wanda</b>", SponsorEmail: "boss@corp.example", EndDate: "2027-06-30"},
	}, 0, audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done, Personal: json.RawMessage(`{"email":"wanda@acme.example"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if person, err = s.Person(t.Context(), e.Person); err != nil {
		t.Fatal(err)
	}
	person.GuestID, person.Phase, person.InvitedAt, person.GuestState = "7f0a9c52-2f64-4a0c-8d0e-3b7a8f3f5d10", contractor.PhaseOpen, now, "PendingAcceptance"
	h := &contractor.Holding{
		Entitlement: contractor.Entitlement{Kind: contractor.KindGroup, Name: "ext-base", ID: "3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01", Expiry: contractor.ExpiryEntra},
		Mechanism:   contractor.MechanismSchedule, State: contractor.HoldingHeld, Since: now, End: now.Add(20 * 24 * time.Hour), Rule: "everyone", Line: 41, Revision: "9f86d081884c7d65",
		Engagement: e.ID, Vendor: "acme",
	}
	err = s.Record(t.Context(), &contractor.Change{
		Person: person, Holdings: []*contractor.Holding{h},
		Standings: map[string]contractor.Standing{e.ID: {Status: contractor.StatusActive, EffectiveEnd: h.End}},
	}, audit.Event{
		Kind: "grant.added", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Person: person.ID, Engagement: e.ID, Vendor: "acme",
		Entitlement: fmt.Sprintf("group ext-base (%s)", h.Entitlement.ID), Rule: "everyone", Line: 41, Revision: h.Revision, Until: h.End,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return config, person
}

// command runs scimbridge and answers what it wrote.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, streams{nil, &out, &errs})
	return out.String(), errs.String(), code
}

func TestReportsInEveryForm(t *testing.T) {
	config, person := reviewed(t)
	for _, name := range []string{"access", "expiring", "overdue", "held", "without-sponsor", "never-signed-in"} {
		listed := name != "overdue" && name != "held"
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"table", "csv", "json", "html"} {
				out, errs, code := command(t, "report", name, "--format", format, "--config", config)
				if code != exitOK {
					t.Fatalf("%s: exit code %d: %s", format, code, errs)
				}
				if strings.Contains(out, "wanda@acme.example") != listed {
					t.Errorf("%s: listed is not %v:\n%s", format, listed, out)
				}
				if out, _, _ := command(t, "report", name, "--no-names", "--format", format, "--config", config); strings.Contains(out, "Wanda") || strings.Contains(out, "@acme") || strings.Contains(out, "@corp") {
					t.Errorf("%s: without names:\n%s", format, out)
				}
				switch format {
				case "csv":
					rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
					if err != nil || len(rows) < 1 || listed && (len(rows) != 2 || rows[1][0] != "'=<b>Wanda</b>") {
						t.Errorf("%v, %v", rows, err)
					}
				case "json":
					var r struct {
						Report, JournalHash string
						JournalEvent        int64
						Data                map[string]any
					}
					if err := json.Unmarshal([]byte(out), &r); err != nil || r.Report != name || r.JournalEvent != 2 || len(r.JournalHash) != 64 || len(r.Data) == 0 {
						t.Errorf("%+v, %v", r, err)
					}
				case "html":
					if strings.Contains(out, "<b>Wanda") {
						t.Errorf("a name is markup:\n%s", out)
					}
					for _, outside := range []string{"<script", "src=", "href=", "http://", "https://", "@import", "url("} {
						if strings.Contains(out, outside) {
							t.Errorf("the page does not stand by itself: %s", outside)
						}
					}
				}
			}
		})
	}
	t.Run("AccessNamesRuleLineAndEvent", func(t *testing.T) {
		out, _, _ := command(t, "report", "access", "--person", "wanda@acme.example", "--group", "ext-base", "--vendor", "acme", "--config", config)
		for _, part := range []string{"1 grant held by 1 person", "group ext-base", "everyone (line 41 of 9f86d081)", "boss@corp.example", person.ID, "Entra"} {
			if !strings.Contains(out, part) {
				t.Errorf("%q is not in:\n%s", part, out)
			}
		}
	})
	t.Run("BeforeTheGrantThereWasNone", func(t *testing.T) {
		out, _, code := command(t, "report", "access", "--at", "1d", "--config", config)
		if code != exitOK || !strings.Contains(out, "0 grants") {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	})
	for name, args := range map[string][]string{
		"ATimeToCome":     {"access", "--at", "2999-01-01"},
		"NoTime":          {"access", "--at", "soon"},
		"NoFormat":        {"access", "--format", "pdf"},
		"NoSpan":          {"expiring", "--within", "soon"},
		"GroupAndPackage": {"access", "--group", "a", "--package", "b"},
		"Nobody":          {"access", "--person", "nobody@acme.example"},
	} {
		t.Run(name+"IsRefused", func(t *testing.T) {
			out, errs, code := command(t, append([]string{"report", "--config", config}, args...)...)
			if code == exitOK || errs == "" || out != "" {
				t.Errorf("exit code %d, %q, %q", code, out, errs)
			}
		})
	}
}

func TestErase(t *testing.T) {
	config, person := reviewed(t)
	if out, _, _ := command(t, "audit", "tail", "--personal", "--config", config); !strings.Contains(out, "wanda@acme.example") {
		t.Fatalf("no address in the journal, so this proves nothing:\n%s", out)
	}
	if _, errs, code := command(t, "audit", "checkpoint", "-o", filepath.Join(t.TempDir(), "checkpoint"), "--config", config); code != exitOK {
		t.Fatal(errs)
	}
	if _, errs, code := command(t, "audit", "erase", "wanda@acme.example", "--config", config); code == exitOK || !strings.Contains(errs, "reason") {
		t.Errorf("without a reason: %d, %s", code, errs)
	}
	out, errs, code := command(t, "audit", "erase", "wanda@acme.example", "--reason", "request 17", "--config", config)
	if code != exitOK || !strings.Contains(out, "1 event lost") || !strings.Contains(out, "erase again") {
		t.Fatalf("%d, %s, %s", code, out, errs)
	}
	if out, _, _ := command(t, "audit", "tail", "--personal", "--config", config); strings.Contains(out, "wanda@acme.example") || !strings.Contains(out, "person.erased") || !strings.Contains(out, "request 17") {
		t.Errorf("after it:\n%s", out)
	}
	if out, _, _ := command(t, "audit", "show", "1", "--config", config); !strings.Contains(out, "erased; their salted hash is") {
		t.Errorf("the event:\n%s", out)
	}
	if out, errs, code := command(t, "audit", "verify", "--config", config); code != exitOK || !strings.Contains(out, "erased     the personal fields of 1 event") {
		t.Errorf("%d, %s, %s", code, out, errs)
	}
	if out, _, _ := command(t, "audit", "tail", "--person", person.ID, "--json", "--config", config); strings.Count(out, "\n") < 2 {
		t.Errorf("the person's events:\n%s", out)
	}
}

// TestReportCost counts the guests of a month, and what they had.
func TestReportCost(t *testing.T) {
	t.Parallel()
	config, _ := reviewed(t)
	report := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"report", "cost", "--config", config}, args...), streams{nil, &out, &errs}); code != want {
			t.Fatalf("exit %d, want %d\n%s%s", code, want, out.String(), errs.String())
		}
		return out.String()
	}
	out := report(exitOK)
	for _, want := range []string{"1 guest stood, 1 guest had something", "ext-base", "add --online", "monthly active guests are not known"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
	if out := report(exitOK, "--month", "2020-01"); !strings.Contains(out, "0 guests stood, 0 guests had something") || strings.Contains(out, "ext-base") {
		t.Errorf("before anything was:\n%s", out)
	}
	report(exitUsage, "--month", "never")
}
