package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
)

// edit puts another mapping into force, as the daemon does: holds first, then the rules, then everybody is looked at.
func (w *world) edit(text string) {
	w.t.Helper()
	m, problems := mapper.Parse("mapping.yaml", []byte(text))
	must(w.t, problems.Err())
	var losses []contractor.Loss
	now := time.Now().UTC()
	for p, err := range w.store.People(w.t.Context()) {
		must(w.t, err)
		want := m.Desired(p, now)
		losses = append(losses, lifecycle.Losses(p, now, &want, w.formerRules)...)
	}
	bounds := func(name string) (g contractor.Guard) {
		if v, ok := m.Vendor(name); ok {
			g = v.Guard
		}
		return g
	}
	_, err := w.store.HoldRemovals(w.t.Context(), m.Revision(), losses, now, 7*24*time.Hour, bounds, m.Guard())
	must(w.t, err)
	w.install(m)
}

// install is edit without the look ahead: the guard is met pass by pass.
func (w *world) install(m *mapper.Mapping) {
	w.t.Helper()
	_, err := w.store.AddRevision(w.t.Context(), audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}, string(m.Source()), "test")
	must(w.t, err)
	w.former[w.mapping.Revision()] = w.mapping
	w.mapping = m
	_, err = w.store.WakeAll(w.t.Context(), time.Now(), 0)
	must(w.t, err)
	w.loop.Wake()
}

// people10 are ten people of acme with the finance group, of whom the first ends in ten days.
func people10(w *world, begin time.Time) (ids []string) {
	for i := range 10 {
		end := begin.AddDate(0, 0, 60)
		if i == 0 {
			end = begin.AddDate(0, 0, 10)
		}
		ids = append(ids, w.push("acme", who{mail: fmt.Sprintf("p%d@acme.example", i), department: "Finance", end: end}))
	}
	w.pass(5 * time.Minute)
	return ids
}

// finance counts those who have the finance group.
func (w *world) finance() (n int) {
	for i := range 10 {
		if slices.Contains(w.holds(fmt.Sprintf("p%d@acme.example", i)), "ext-finance") {
			n++
		}
	}
	return n
}

const noFinance = `  - name: finance
    when: c.department == "Finance"
    grant: {groups: [ext-finance]}
`

// TestMappingTakesTooMuch: an edit that takes access from more people than the guard allows takes it from nobody until somebody
// decides, and a date that passes ends all the same.
func TestMappingTakesTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, emulator.Config{Seed: 31}, withGuard(worldMapping))
		defer func() { w.stopRun() }()
		begin := time.Now()
		ids := people10(w, begin)
		if w.finance() != 10 {
			t.Fatalf("%d of 10 have the group\n%s", w.finance(), w.tell())
		}
		edited := strings.Replace(withGuard(worldMapping), noFinance, "", 1)
		w.edit(edited)
		w.pass(5 * time.Minute)
		holds, err := w.store.Holds(t.Context(), contractor.HoldQuery{})
		must(t, err)
		if len(holds) != 10 || w.finance() != 10 || w.enabled() != 10 {
			t.Fatalf("%d holds, %d with the group, %d with access: want 10 each\n%s", len(holds), w.finance(), w.enabled(), w.tell())
		}
		if h := holds[0]; h.Kind != contractor.HoldMapping || len(h.Loses) != 1 || !strings.Contains(h.Why, "the guard allows 3") {
			t.Errorf("the hold is %+v", h)
		}
		w.restart() // held is on disk
		w.edit(edited + "# a comment\n")
		w.pass(time.Hour)
		if again, err := w.store.Holds(t.Context(), contractor.HoldQuery{}); err != nil || len(again) != 10 || w.finance() != 10 {
			t.Fatalf("after an edit that takes the same: %d holds, %d with the group, %v", len(again), w.finance(), err)
		}
		w.until(begin.AddDate(0, 0, 2)) // Entra was written to again meanwhile, or not: the holding still names its mapping
		admin := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
		var approved, cancelled contractor.Hold
		for _, h := range holds {
			switch h.Engagement {
			case ids[1]:
				approved = h
			case ids[2]:
				cancelled = h
			}
		}
		_, err = w.store.DecideHold(t.Context(), admin, approved.ID, true, "meant so")
		must(t, err)
		_, err = w.store.DecideHold(t.Context(), admin, cancelled.ID, false, "needs it")
		must(t, err)
		w.loop.Wake()
		w.pass(5 * time.Minute)
		if has := w.holds("p1@acme.example"); slices.Contains(has, "ext-finance") || len(has) != 1 {
			t.Errorf("approved, and it has %v\n%s", has, w.tell())
		}
		if w.finance() != 9 || w.status(cancelled.Engagement) != "active" {
			t.Errorf("%d have the group, the cancelled is %s\n%s", w.finance(), w.status(cancelled.Engagement), w.tell())
		}
		w.pass(6 * 24 * time.Hour) // nobody decides about the rest
		if w.finance() != 1 {
			t.Errorf("undecided for a week, and %d have the group: want the cancelled one only\n%s", w.finance(), w.tell())
		}
		w.until(begin.AddDate(0, 0, 60).Add(5 * time.Minute))
		if w.enabled() != 0 || w.finance() != 0 {
			t.Errorf("all contracts are over: %d have access, %d the group", w.enabled(), w.finance())
		}
		if _, _, err := w.store.VerifyJournal(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestMappingShutsTheDoor: where the edit holds the engagements themselves, nothing about the guest changes until somebody
// decides; a contract that ends by its date ends.
func TestMappingShutsTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, emulator.Config{Seed: 33}, withGuard(worldMapping))
		defer func() { w.stopRun() }()
		begin := time.Now()
		ids := people10(w, begin)
		w.edit(withGuard(worldMapping) + "  - {name: nobody, when: c.supplier == \"ACME\", deny: no more}\n")
		w.until(begin.AddDate(0, 0, 3))
		if w.enabled() != 10 || w.finance() != 10 || w.status(ids[3]) != "held" {
			t.Fatalf("%d have access, %d the group, status %s\n%s", w.enabled(), w.finance(), w.status(ids[3]), w.tell())
		}
		w.patch(ids[4], "active", false) // the vendor ends one: no business of the mapping's guard
		w.pass(5 * time.Minute)
		if w.guest("p4@acme.example").Enabled {
			t.Errorf("ended by its vendor, and open\n%s", w.tell())
		}
		holds, err := w.store.Holds(t.Context(), contractor.HoldQuery{Vendor: "acme"})
		must(t, err)
		for _, h := range holds {
			_, err = w.store.DecideHold(t.Context(), audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}, h.ID, false, "a mistake in the file")
			must(t, err)
		}
		w.loop.Wake()
		w.until(begin.AddDate(0, 0, 10).Add(-time.Hour))
		if w.enabled() != 9 {
			t.Fatalf("cancelled, and %d have access\n%s", w.enabled(), w.tell())
		}
		w.until(begin.AddDate(0, 0, 10).Add(5 * time.Minute))
		if w.guest("p0@acme.example").Enabled || w.enabled() != 8 {
			t.Errorf("a date that passed was held by the mapping's guard\n%s", w.tell())
		}
		w.edit(withGuard(worldMapping)) // the file is mended
		w.pass(5 * time.Minute)
		if w.enabled() != 8 || w.status(ids[3]) != "active" {
			t.Errorf("mended: %d have access, status %s\n%s", w.enabled(), w.status(ids[3]), w.tell())
		}
	})
}

// TestMappingTakesLittle: what the guard allows is taken at once, beyond it is held pass by pass, and what the records take is
// no business of this guard.
func TestMappingTakesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, emulator.Config{Seed: 35}, withGuard(worldMapping))
		defer func() { w.stopRun() }()
		ids := people10(w, time.Now())
		for _, id := range ids[:2] {
			w.patch(id, "title", "Clerk")
		}
		w.edit(strings.Replace(withGuard(worldMapping), `c.department == "Finance"`, `c.department == "Finance" and c.title != "Clerk"`, 1))
		w.pass(5 * time.Minute)
		if w.finance() != 8 {
			t.Errorf("two of ten lose it, the guard allows three, and %d have it\n%s", w.finance(), w.tell())
		}
		for _, id := range ids[2:6] {
			w.patch(id, "title", "Clerk")
		}
		w.pass(5 * time.Minute)
		if w.finance() != 4 {
			t.Errorf("four more by their records: %d have it\n%s", w.finance(), w.tell())
		}
		m, problems := mapper.Parse("mapping.yaml", []byte(strings.Replace(withGuard(worldMapping), noFinance, "", 1)))
		must(t, problems.Err())
		w.install(m) // without the look ahead: one more is within the window's three
		w.pass(5 * time.Minute)
		if w.finance() != 3 {
			t.Errorf("the window has room for one more, and %d of 4 have it\n%s", w.finance(), w.tell())
		}
	})
}

// TestApprovedWithAPlan: exactly what a plan takes away passes the guard.
func TestApprovedWithAPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, emulator.Config{Seed: 37}, withGuard(worldMapping))
		defer func() { w.stopRun() }()
		people10(w, time.Now())
		text := strings.Replace(withGuard(worldMapping), noFinance, "", 1)
		m, problems := mapper.Parse("mapping.yaml", []byte(text))
		must(t, problems.Err())
		var losses []contractor.Loss
		for p, err := range w.store.People(t.Context()) {
			must(t, err)
			want := m.Desired(p, time.Now())
			losses = append(losses, lifecycle.Losses(p, time.Now(), &want, w.formerRules)...)
		}
		if len(losses) != 10 {
			t.Fatalf("%d losses", len(losses))
		}
		admin := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
		if err := w.store.ApproveRemovals(t.Context(), admin, "p", losses[:6], m.Revision(), ""); err == nil {
			t.Error("approved without a reason")
		}
		must(t, w.store.ApproveRemovals(t.Context(), admin, "p", losses[:6], m.Revision(), "reorganisation"))
		w.edit(text)
		w.pass(5 * time.Minute)
		if holds, err := w.store.Holds(t.Context(), contractor.HoldQuery{}); err != nil || len(holds) != 4 || w.finance() != 4 {
			t.Errorf("six of ten were approved: %d wait, %d have it, %v\n%s", len(holds), w.finance(), err, w.tell())
		}
	})
}
