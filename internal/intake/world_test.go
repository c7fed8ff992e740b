package intake_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/intake"
	"scimbridge/internal/scim"
)

// world is a bridge's store and its SCIM door, with the vendor acme.
type world struct {
	t      testing.TB
	store  *db.Store
	door   *scim.Door
	acme   *contractor.Vendor
	wakes  atomic.Int64
	server *httptest.Server
}

func newWorld(t testing.TB) *world {
	t.Helper()
	store, err := db.Open(context.Background(), db.Config{Path: filepath.Join(t.TempDir(), "scimbridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, store: store, acme: &contractor.Vendor{
		Name: "acme", EmailDomains: []string{"acme.example"}, Zone: time.UTC, MissingEnd: contractor.MissingEndHold, DateLayouts: []string{"01/02/2006"}, RatePerSec: -1,
	}}
	w.door, err = scim.New(scim.Config{
		Store: store, Wake: func() { w.wakes.Add(1) }, Logger: slog.New(slog.DiscardHandler),
		Vendors: func(name string) (*contractor.Vendor, bool) { return w.acme, name == "acme" },
		Names:   func() []string { return []string{"acme"} },
		Groups:  func() []contractor.Entitlement { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.door.Handler())
	t.Cleanup(w.server.Close)
	return w
}

func root() audit.Actor { return audit.Actor{Kind: audit.ActorAdmin, Name: "root"} }

func (w *world) feed(dry bool) *scim.Feed {
	w.t.Helper()
	f, err := w.door.Feed("acme", root(), dry)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// file writes a file of lines.
func (w *world) file(lines ...string) string {
	w.t.Helper()
	name := filepath.Join(w.t.TempDir(), "workers.csv")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return name
}

// imports imports a file; edit changes how.
func (w *world) imports(name string, edit func(*intake.ImportConfig)) (*intake.Report, error) {
	w.t.Helper()
	c := intake.ImportConfig{
		Store: w.store, Vendor: w.acme, Actor: root(), Fields: scim.FieldNames(), Path: scim.FieldPath, Layout: w.acme.CSV,
	}
	if edit != nil {
		edit(&c)
	}
	if c.Feed == nil {
		c.Feed = w.feed(c.Dry)
	}
	m, err := intake.NewImporter(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return m.Import(w.t.Context(), name)
}

// imported imports a file and wants no error.
func (w *world) imported(name string, edit func(*intake.ImportConfig)) *intake.Report {
	w.t.Helper()
	r, err := w.imports(name, edit)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// engagements are acme's, by externalId.
func (w *world) engagements() map[string]contractor.Engagement {
	w.t.Helper()
	all := map[string]contractor.Engagement{}
	for e, err := range w.store.ListEngagements(w.t.Context(), "acme") {
		if err != nil {
			w.t.Fatal(err)
		}
		all[e.Record.ExternalID] = e
	}
	return all
}

// journal lists the events of a kind.
func (w *world) journal(kind string) (all []audit.Event) {
	w.t.Helper()
	for e, err := range w.store.Journal(w.t.Context(), contractor.JournalQuery{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// live tells the store that the loop has given everybody access.
func (w *world) live() {
	w.t.Helper()
	for _, e := range w.engagements() {
		p, err := w.store.FindPerson(w.t.Context(), e.Record.Email)
		if err != nil {
			w.t.Fatal(err)
		}
		s := e.Standing
		s.Status = contractor.StatusActive
		if err := w.store.Record(w.t.Context(), &contractor.Change{Person: p, Standings: map[string]contractor.Standing{e.ID: s}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// active lists who has not ended, by externalId.
func (w *world) active() (names []string) {
	for name, e := range w.engagements() {
		if e.EndedAt.IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// workers is a file of n contracts.
func workers(n int) []string {
	lines := []string{"Worker ID,First name,Last name,E-mail,Start date,End date"}
	for i := range n {
		lines = append(lines, fmt.Sprintf("W-%04d,Ann,Lee,ann%d@acme.example,2026-01-01,2099-12-31", i, i))
	}
	return lines
}
