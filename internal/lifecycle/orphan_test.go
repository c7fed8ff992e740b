package lifecycle_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
)

// TestOrphans: guests that no record explains are found, those that one explains are not, and one that was looked at stays away.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 67})
		defer func() { w.stopRun() }()
		old, err := w.tenant.AddUser(emulator.UserSeed{Guest: true, Mail: "old@acme.example", Name: "Old Guest"})
		must(t, err)
		_, err = w.tenant.AddUser(emulator.UserSeed{Guest: true, Mail: "waits@acme.example", Name: "Waiting Guest"})
		must(t, err)
		w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 30)})
		waits := w.push("acme", who{mail: "waits@acme.example", end: time.Now().AddDate(0, 0, 30)})
		w.pass(5 * time.Minute)
		log := slog.New(slog.DiscardHandler)
		graph, err := entra.New(entra.Config{GraphURL: graphURL, Credential: &token{transport: w.tenant.Transport(), cfg: w.tenant.Config()}, Transport: w.tenant.Transport(), Logger: log})
		must(t, err)
		orphans := func(ignored bool) map[string]contractor.Orphan {
			t.Helper()
			seen := 0
			list, err := lifecycle.Orphans(t.Context(), w.store, graph, ignored, true, func(what string, n, _ int) {
				if what == lifecycle.GuestsRead {
					seen = n
				}
			})
			must(t, err)
			if seen != 3 {
				t.Errorf("%d guests seen, want 3", seen)
			}
			byMail := map[string]contractor.Orphan{}
			for _, o := range list {
				byMail[o.Mail] = o
			}
			return byMail
		}
		got := orphans(false)
		if len(got) != 2 || got["old@acme.example"].ID != old || got["old@acme.example"].Person != "" || got["waits@acme.example"].Person != w.personOf(waits).ID {
			t.Fatalf("%+v", got)
		}
		must(t, w.store.IgnoreOrphan(t.Context(), eve(), old, "the auditors' guest", true))
		if got := orphans(false); len(got) != 1 {
			t.Errorf("ignored, and listed: %+v", got)
		}
		if got := orphans(true); len(got) != 2 || got["old@acme.example"].Ignored != "the auditors' guest (admin eve)" {
			t.Errorf("all: %+v", got)
		}
		must(t, w.store.AdoptGuest(t.Context(), eve(), w.personOf(waits).ID, got["waits@acme.example"].ID, "known since 2019"))
		must(t, w.store.IgnoreOrphan(t.Context(), eve(), old, "the audit is over", false))
		if got := orphans(false); len(got) != 1 || got["old@acme.example"].ID != old {
			t.Errorf("adopted, and listed: %+v", got)
		}
	})
}
