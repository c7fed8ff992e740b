package db_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func testAdmin(t *testing.T, open opener) {
	t.Run("Tokens", func(t *testing.T) { testTokens(t, open) })
	t.Run("Vendors", func(t *testing.T) { testVendors(t, open) })
	t.Run("Members", func(t *testing.T) { testMembers(t, open) })
	t.Run("HoldingsAt", func(t *testing.T) { testHoldingsAt(t, open) })
	t.Run("Stats", func(t *testing.T) { testStats(t, open) })
	t.Run("Mapping", func(t *testing.T) { testMapping(t, open) })
	t.Run("Settings", func(t *testing.T) { testSettings(t, open) })
}

func root() audit.Actor { return audit.Actor{Kind: audit.ActorAdmin, Name: "root"} }

func addToken(t testing.TB, s *db.Store, vendor, secret string, expires time.Time) contractor.Token {
	t.Helper()
	token, err := s.AddToken(t.Context(), root(), contractor.Token{Vendor: vendor, Hash: sha256.Sum256([]byte(secret)), Expires: expires}, "first")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func testTokens(t *testing.T, open opener) {
	s := open(t)
	now := time.Now().UTC()
	signIn := func(secret string, at time.Time) (contractor.Client, error) {
		return s.Authenticate(t.Context(), sha256.Sum256([]byte(secret)), at)
	}
	a := addToken(t, s, "acme", "a", time.Time{})
	b := addToken(t, s, "acme", "b", now.Add(time.Hour))
	t.Run("BothOfTwoLetIn", func(t *testing.T) {
		for secret, token := range map[string]contractor.Token{"a": a, "b": b} {
			for range 3 {
				client, err := signIn(secret, now)
				if diff := gocmp.Diff(contractor.Client{Vendor: "acme", TokenID: token.ID}, client); diff != "" || err != nil {
					t.Errorf("error %v\n%s", err, diff)
				}
			}
		}
	})
	t.Run("NobodyElse", func(t *testing.T) {
		_, err := signIn("c", now)
		wantCode(t, err, contractor.CodeUnauthorized)
	})
	t.Run("NoThird", func(t *testing.T) {
		_, err := s.AddToken(t.Context(), root(), contractor.Token{Vendor: "acme", Hash: sha256.Sum256([]byte("c"))}, "")
		wantCode(t, err, contractor.CodeConflict)
		addToken(t, s, "other", "o", time.Time{})
	})
	t.Run("NotTwiceTheSame", func(t *testing.T) {
		_, err := s.AddToken(t.Context(), root(), contractor.Token{Vendor: "other", Hash: sha256.Sum256([]byte("a"))}, "")
		wantCode(t, err, contractor.CodeConflict)
		_, err = s.AddToken(t.Context(), root(), contractor.Token{Vendor: "other"}, "")
		wantCode(t, err, contractor.CodeInvalid)
	})
	t.Run("ExpiredIsOut", func(t *testing.T) {
		_, err := signIn("b", now.Add(time.Hour))
		wantCode(t, err, contractor.CodeUnauthorized)
	})
	t.Run("RevokedIsOutAtOnce", func(t *testing.T) {
		if _, err := signIn("a", now); err != nil {
			t.Fatal(err)
		}
		if err := s.RevokeToken(t.Context(), root(), a.ID, "rotated"); err != nil {
			t.Fatal(err)
		}
		_, err := signIn("a", now)
		wantCode(t, err, contractor.CodeUnauthorized)
		wantCode(t, s.RevokeToken(t.Context(), root(), a.ID, "again"), contractor.CodeNotFound)
		addToken(t, s, "acme", "c", time.Time{})
	})
	t.Run("UseIsNotedNowAndThen", func(t *testing.T) {
		used := func() time.Time {
			if err := s.AppendEvents(t.Context(), event("test.barrier")); err != nil { // the note went before
				t.Fatal(err)
			}
			vendors, err := s.ListVendors(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, token := range vendors[0].Tokens {
				if token.Hash == sha256.Sum256([]byte("c")) {
					return token.LastUsed
				}
			}
			t.Fatal("the token is not listed")
			return time.Time{}
		}
		at := now.Truncate(time.Microsecond)
		for _, c := range []struct{ at, want time.Time }{
			{at, at}, {at.Add(5 * time.Minute), at}, {at.Add(20 * time.Minute), at.Add(20 * time.Minute)},
		} {
			if _, err := signIn("c", c.at); err != nil {
				t.Fatal(err)
			}
			if got := used(); !got.Equal(c.want) {
				t.Errorf("used at %v is noted as %v", c.at, got)
			}
		}
	})
	t.Run("PausedIsTold", func(t *testing.T) {
		for _, paused := range []bool{true, true, false} {
			if err := s.PauseVendor(t.Context(), root(), "acme", paused, "a bad feed"); err != nil {
				t.Fatal(err)
			}
			if client, err := signIn("c", now); err != nil || client.Paused != paused {
				t.Errorf("paused %v, error %v", client.Paused, err)
			}
			if got, err := s.Paused(t.Context(), "acme"); err != nil || got != paused {
				t.Errorf("the vendor is paused: %v, error %v", got, err)
			}
		}
		wantCode(t, s.PauseVendor(t.Context(), root(), "nobody", true, ""), contractor.CodeNotFound)
		if got, err := s.Paused(t.Context(), "nobody"); err != nil || got {
			t.Errorf("a vendor without tokens is paused: %v, error %v", got, err)
		}
		if err := s.AddVendor(t.Context(), "nobody"); err != nil {
			t.Fatal(err)
		}
		if err := s.PauseVendor(t.Context(), root(), "nobody", true, ""); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Paused(t.Context(), "nobody"); err != nil || !got {
			t.Errorf("once it is known: paused %v, error %v", got, err)
		}
	})
	t.Run("AllIsJournaled", func(t *testing.T) {
		var kinds []string
		for _, e := range journal(t, s, contractor.JournalQuery{Vendor: "acme"}) {
			kinds = append(kinds, e.Kind)
		}
		want := []string{"token.added", "token.added", "token.revoked", "token.added", "vendor.paused", "vendor.resumed"}
		if diff := gocmp.Diff(want, kinds); diff != "" {
			t.Error(diff)
		}
	})
}

func testVendors(t *testing.T, open opener) {
	s := open(t)
	list := fill(t, s, "beta", 5)
	fill(t, s, "acme", 2)
	addToken(t, s, "acme", "a", time.Time{})
	if err := s.Delete(t.Context(), "beta", list[0].ID, 0, noon, event("engagement.deleted")); err != nil {
		t.Fatal(err)
	}
	list[1].Record.Active, list[1].EndedAt, list[1].Modified = false, noon, noon.Add(time.Hour)
	if _, err := s.Update(t.Context(), list[1], event("engagement.updated")); err != nil {
		t.Fatal(err)
	}
	got, err := s.ListVendors(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("%d vendors, error %v", len(got), err)
	}
	acme, beta := got[0], got[1]
	if acme.Name != "acme" || acme.Total != 2 || acme.Live != 2 || len(acme.Tokens) != 1 || acme.Paused || acme.Created.IsZero() {
		t.Errorf("acme is %+v", acme)
	}
	if beta.Name != "beta" || beta.Total != 4 || beta.Live != 3 || len(beta.Tokens) != 0 || !beta.LastPush.Equal(noon.Add(time.Hour)) {
		t.Errorf("beta is %+v", beta)
	}
}

func testMembers(t *testing.T, open opener) {
	s := open(t)
	a, b := worker("acme", "ann"), worker("acme", "bob")
	a.Record.DisplayName, b.Record.GivenName = "Ann Lee", "Bob"
	a, b = create(t, s, a), create(t, s, b)
	second := worker("acme", "ann-2")
	second.Record.Email = a.Record.Email
	second = create(t, s, second)
	shared := worker("other", "ann")
	shared.Record.Email = a.Record.Email
	shared = create(t, s, shared)
	grant(t, s, a, "g1")
	grant(t, s, b, "g1")
	grant(t, s, b, "g2")
	removed := grant(t, s, a, "g3")
	removed.State, removed.EndedAt = contractor.HoldingEnded, noon
	if err := s.Record(t.Context(), &contractor.Change{Person: personOf(t, s, a), Holdings: []*contractor.Holding{removed}}); err != nil {
		t.Fatal(err)
	}
	check := func(vendor, group string, want ...contractor.Member) {
		t.Helper()
		got, err := s.Members(t.Context(), vendor, contractor.EntitlementKey{Kind: contractor.KindGroup, ID: group})
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s of %s: error %v\n%s", group, vendor, err, diff)
		}
	}
	ann, bob := contractor.Member{ID: a.ID, Display: "Ann Lee"}, contractor.Member{ID: b.ID, Display: "Bob"}
	check("acme", "g1", ann, bob)
	check("acme", "g2", bob)
	check("acme", "g3")
	check("acme", "g4")
	check("other", "g1") // its person holds it because of acme: no business of other
	// Both of a person's engagements grant it, the holding names the one that ends last.
	standing := contractor.Standing{Status: contractor.StatusActive, Access: []string{"name-g1"}}
	err := s.Record(t.Context(), &contractor.Change{Person: personOf(t, s, a), Standings: map[string]contractor.Standing{second.ID: standing, shared.ID: standing}})
	if err != nil {
		t.Fatal(err)
	}
	check("acme", "g1", ann, bob, contractor.Member{ID: second.ID, Display: "ann-2"})
	check("other", "g1", contractor.Member{ID: shared.ID, Display: "ann"})
	if err := s.Delete(t.Context(), "acme", b.ID, 0, noon, event("engagement.deleted")); err != nil {
		t.Fatal(err)
	}
	check("acme", "g2")
}

func testHoldingsAt(t *testing.T, open opener) {
	s := open(t)
	a, b := create(t, s, worker("acme", "ann")), create(t, s, worker("other", "bob"))
	first := grant(t, s, a, "g1") // since noon
	grant(t, s, b, "g1")
	intent := holding("g2")
	intent.Since, intent.State = time.Time{}, contractor.HoldingGranting
	first.State, first.EndedAt = contractor.HoldingEnded, noon.Add(time.Hour)
	p := personOf(t, s, a)
	p.SponsorID = "sponsor"
	if err := s.Record(t.Context(), &contractor.Change{Person: p, Holdings: []*contractor.Holding{first, intent}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    contractor.HoldingQuery
		want []string
	}{
		{contractor.HoldingQuery{At: noon.Add(-time.Second)}, nil},
		{contractor.HoldingQuery{At: noon}, []string{"ann@acme.example g1 sponsor", "bob@acme.example g1 "}},
		{contractor.HoldingQuery{At: noon.Add(time.Hour - time.Microsecond)}, []string{"ann@acme.example g1 sponsor", "bob@acme.example g1 "}},
		{contractor.HoldingQuery{At: noon.Add(time.Hour)}, []string{"bob@acme.example g1 "}},
		{contractor.HoldingQuery{At: noon, Person: b.Person}, []string{"bob@acme.example g1 "}},
		{contractor.HoldingQuery{At: noon, Vendor: "acme"}, []string{"ann@acme.example g1 sponsor"}},
		{contractor.HoldingQuery{At: noon, Key: contractor.EntitlementKey{Kind: contractor.KindGroup, ID: "g2"}}, nil},
	} {
		var got []string
		for h, err := range s.HoldingsAt(t.Context(), c.q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s %s", h.Email, h.Holding.Entitlement.ID, h.SponsorID))
		}
		if diff := gocmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v:\n%s", c.q, diff)
		}
	}
}

func testStats(t *testing.T, open opener) {
	s := open(t)
	list := fill(t, s, "acme", 6)
	end := func(i int, status contractor.Status, at time.Time, change func(*contractor.Person)) {
		t.Helper()
		p := personOf(t, s, list[i])
		p.NextAt = noon.Add(time.Duration(i) * time.Hour)
		change(p)
		err := s.Record(t.Context(), &contractor.Change{Person: p, Finish: true, Standings: map[string]contractor.Standing{
			list[i].ID: {Status: status, EffectiveEnd: at}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	end(0, contractor.StatusActive, noon.Add(3*time.Hour), func(p *contractor.Person) { p.Phase = contractor.PhaseOpen })
	end(1, contractor.StatusActive, noon.Add(2*time.Hour), func(p *contractor.Person) { p.Phase, p.Failures = contractor.PhaseOpen, 1 })
	end(2, contractor.StatusHeld, noon.Add(-time.Hour), func(p *contractor.Person) { p.Held = "no sponsor" })
	end(3, contractor.StatusOffboarding, noon.Add(5*time.Hour), func(p *contractor.Person) { p.Phase, p.Urgent = contractor.PhaseClosed, true })
	grant(t, s, list[0], "g1")
	if err := s.Delete(t.Context(), "acme", list[5].ID, 0, noon, event("engagement.deleted")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Stats(t.Context(), noon.Add(time.Minute), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := contractor.Stats{
		At: noon.Add(time.Minute), People: 6,
		Phases: map[contractor.Phase]int{contractor.PhaseNew: 3, contractor.PhaseOpen: 2, contractor.PhaseClosed: 1},
		Held:   1, Failing: 1, Engagements: 5, Live: 4,
		Statuses: map[contractor.Status]int{"": 1, contractor.StatusActive: 2, contractor.StatusHeld: 1, contractor.StatusOffboarding: 1},
		Holdings: map[contractor.Mechanism]int{contractor.MechanismSchedule: 1}, Journal: 7,
		Due: 3, OldestDue: noon, NextDue: noon.Add(time.Hour),
		NextEnds: []contractor.NextEnd{
			{Person: list[1].Person, Engagement: list[1].ID, Vendor: "acme", EndsAt: noon.Add(2 * time.Hour)},
			{Person: list[0].Person, Engagement: list[0].ID, Vendor: "acme", EndsAt: noon.Add(3 * time.Hour)},
		},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	create(t, s, worker("acme", "late"))
	if got, err = s.Stats(t.Context(), noon.Add(2*time.Minute), time.Hour); err != nil || got.People != 6 || got.Due != 4 {
		t.Errorf("within the age: %d people, %d due, error %v", got.People, got.Due, err)
	}
	if got, err = s.Stats(t.Context(), noon.Add(2*time.Minute), 0); err != nil || got.People != 7 {
		t.Errorf("afresh: %d people, error %v", got.People, err)
	}
}

func testMapping(t *testing.T, open opener) {
	s := open(t)
	_, err := s.Revision(t.Context(), "")
	wantCode(t, err, contractor.CodeNotFound)
	for _, text := range []string{"version: 1", "version: 1 # b", "version: 1 # b", "version: 1"} {
		r, err := s.AddRevision(t.Context(), root(), text, "reload")
		if err != nil {
			t.Fatal(err)
		}
		if last, err := s.Revision(t.Context(), ""); err != nil || last != r || last.Text != text || last.Who != "root" {
			t.Errorf("last is %+v, error %v", last, err)
		}
		if same, err := s.Revision(t.Context(), r.Hash); err != nil || same.Text != text {
			t.Errorf("by hash %+v, error %v", same, err)
		}
	}
	if events := journal(t, s, contractor.JournalQuery{Kind: "mapping.loaded"}); len(events) != 3 {
		t.Errorf("%d events, want 3: nothing is said where nothing changed", len(events))
	}
}

func testSettings(t *testing.T, open opener) {
	s := open(t)
	read := func() string {
		t.Helper()
		v, err := s.Setting(t.Context(), "watermark")
		if err != nil {
			t.Fatal(err)
		}
		return string(v)
	}
	for _, value := range []string{"1", "2"} {
		if err := s.SetSetting(t.Context(), "watermark", []byte(value), event("setting.changed")); err != nil || read() != value {
			t.Errorf("error %v, reads %q", err, read())
		}
	}
	if err := s.SetSetting(t.Context(), "watermark", nil); err != nil || read() != "" {
		t.Errorf("error %v, reads %q", err, read())
	}
	wantCode(t, s.SetSetting(t.Context(), "cursor_key", []byte("x")), contractor.CodeInternal)
	if err := s.SetSetting(t.Context(), "watermark", []byte("3"), event("")); err == nil || read() != "" {
		t.Errorf("without its event: error %v, reads %q", err, read())
	}
}

func TestBackup(t *testing.T) {
	s := openSQLite(t)
	list := fill(t, s, "acme", 30)
	path := filepath.Join(t.TempDir(), "copy.db")
	events, err := s.Backup(t.Context(), path)
	if err != nil || events != 30 {
		t.Fatalf("%d events, error %v", events, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v, error %v", info.Mode(), err)
	}
	t.Run("IsAStoreOfItsOwn", func(t *testing.T) {
		c := reopen(t, path)
		if e := get(t, c, "acme", list[3].ID); e.Record.UserName != list[3].Record.UserName {
			t.Errorf("read %+v", e)
		}
		create(t, c, worker("acme", "only-in-the-copy"))
		if page := listAll(t, s, contractor.Query{}); page.Total != 30 {
			t.Errorf("the original has %d", page.Total)
		}
	})
	t.Run("DoesNotOverwrite", func(t *testing.T) {
		_, err := s.Backup(t.Context(), path)
		wantCode(t, err, contractor.CodeConflict)
	})
	t.Run("LeavesNothingWhereItFails", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "no", "copy.db")
		if _, err := s.Backup(t.Context(), missing); err == nil {
			t.Error("no error")
		}
		if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left %v", err)
		}
	})
}
