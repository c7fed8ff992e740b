package lifecycle_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// The rules of docs and README that always hold, as the model checks them after every event. A broken one is told by its number.
//
//	1 access ends even if the bridge is dead          isDead, entraEnds
//	2 the union of live engagements, nothing more     asWanted
//	3 closed in order, deleted after the retention    asWanted, order
//	4 nothing is done to an account that is not ours  others
//	5 no write without a reason                       reasons
//	6 acknowledged is on disk, no second invitation   acknowledged
//	7 a bad feed cannot empty the tenant              window
//	8 a wrong clock cannot end contracts              isWrong
//	9 a vendor reaches only its own                   the event rival, otherwise the door's own tests
//	10 unsure means no access                         asWanted (no end, no sponsor)
//	11 what is advertised works                       scripts and the door's own tests
func (m *model) checkRules() {
	m.t.Helper()
	state := m.tenant.State()
	for _, row := range m.people() {
		p, err := m.store.Person(m.t.Context(), row.id)
		must(m.t, err)
		m.keepHeld(p)
		if p.Email == otherGuest || p.Email == otherMember {
			if p.GuestID != "" {
				m.broken(4, "%s took the account %s", p.Email, p.GuestID)
			}
			continue
		}
		m.asWanted(p, state)
		m.entraEnds(p, state)
	}
	m.others(state)
	m.reasons()
	m.acknowledged(state)
	m.window()
	if _, _, err := m.store.VerifyJournal(m.t.Context()); err != nil {
		m.broken(5, "the journal is not whole: %v", err)
	}
}

func (m *model) broken(rule int, format string, args ...any) {
	m.t.Errorf("rule %d: "+format, append([]any{rule}, args...)...)
}

// keepHeld does to a person what the guard does: an end that is held, or was decided against, leaves the former one in force.
func (m *model) keepHeld(p *contractor.Person) {
	holds, err := m.store.Holds(m.t.Context(), contractor.HoldQuery{Person: p.ID, All: true})
	must(m.t, err)
	for i := range p.Engagements {
		e := &p.Engagements[i]
		v, _ := m.mapping.Vendor(e.Vendor)
		for _, h := range holds {
			if h.Engagement != e.ID || !h.SetAt.Equal(e.EndSetAt) || h.State != contractor.HoldOpen && h.State != contractor.HoldCancelled {
				continue
			}
			former := e.PrevEnd
			if period, err := e.Period(v); err == nil && e.EndedAt.IsZero() && (time.Now().Before(period.End) || period.End.Sub(e.EndSetAt) >= 24*time.Hour) && !e.Standing.EffectiveEnd.IsZero() {
				e.KeptUntil = e.Standing.EffectiveEnd // it was moved to a day to come
				continue
			}
			running := *e
			running.EndedAt = time.Time{}
			if period, err := running.Period(v); err == nil && !e.EndedAt.IsZero() && period.End.After(former) {
				former = period.End
			}
			e.KeptUntil = former
		}
	}
}

// asWanted compares a guest with what the records, the rules and the admin say should stand now.
func (m *model) asWanted(p *contractor.Person, state emulator.State) {
	want := m.mapping.Desired(p, time.Now())
	if !p.Block.At.IsZero() {
		want.Open, want.Grants, want.DeleteAt = false, nil, time.Time{}
	}
	expected := []string{}
	for _, g := range want.Grants {
		if !want.Open || !time.Now().Before(g.End.Add(-time.Minute)) || time.Since(g.Start) < time.Minute {
			continue // a minute around a date is the loop's to settle
		}
		name := g.Entitlement.Name
		if g.Entitlement.Kind == contractor.KindAccessPackage {
			name = "package delivered"
		}
		expected = append(expected, name)
	}
	slices.Sort(expected)
	got, g := m.holds(p.Email), m.guest(p.Email)
	here := g != nil && g.Deleted == nil
	nobody := want.Open && g == nil && p.GuestID == "" && p.Held != "" && !slices.Contains(want.Sponsors, "sponsor@contoso.example")
	switch {
	case !want.Open && here && (g.Enabled || len(got) > 0):
		m.broken(3, "%s should be closed: enabled=%v, %v; held %q, error %q", p.Email, g.Enabled, got, p.Held, p.LastError)
	case nobody: // rule 10: no sponsor, no guest
	case want.Open && (!here || !g.Enabled):
		m.broken(2, "%s should be open: here %v; held %q, error %q", p.Email, here, p.Held, p.LastError)
	case want.Open && !slices.Equal(got, expected) && !aroundADate(want) && (p.Held == "" || !within(got, expected)):
		m.broken(2, "%s holds %v, should hold %v; held %q, error %q", p.Email, got, expected, p.Held, p.LastError)
	case g != nil && !here && len(g.MemberOf) > 0:
		m.broken(3, "%s was deleted while it held %v: restored, it would hold that again", p.Email, g.MemberOf)
	case here && !want.DeleteAt.IsZero() && p.Held == "" && time.Since(want.DeleteAt) > 24*time.Hour && time.Since(p.ClosedAt) > 24*time.Hour:
		m.broken(3, "%s should have been deleted at %s; error %q", p.Email, want.DeleteAt, p.LastError)
	}
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// aroundADate reports whether a start or an end lies within a minute.
func aroundADate(want contractor.Desired) bool {
	return slices.ContainsFunc(want.Grants, func(g contractor.Grant) bool {
		return time.Until(g.End).Abs() < time.Minute || time.Since(g.Start).Abs() < time.Minute
	})
}

// entraEnds holds what Entra itself will end against the ends that the records allow.
func (m *model) entraEnds(p *contractor.Person, state emulator.State) {
	latest := map[string]time.Time{} // by Entra id
	for _, g := range m.mapping.Desired(p, time.Now()).Grants {
		latest[g.Entitlement.ID] = g.End
	}
	check := func(name, id string, end *time.Time) {
		allowed, granted := latest[id]
		if granted && (end == nil || end.After(allowed.Add(time.Second))) {
			m.broken(1, "Entra keeps %s in %s until %v, and the engagements grant it until %s; held %q, error %q", p.Email, name, end, allowed, p.Held, p.LastError)
		}
	}
	for _, s := range state.Schedules {
		if s.User == p.GuestID && s.Active && s.Status != "Revoked" {
			check("group", s.Group, s.End)
		}
	}
	for _, a := range state.Assignments {
		if a.User == p.GuestID && a.Expired == nil {
			check("package", a.Package, a.End)
		}
	}
}

// isDead switches the bridge off for days, and looks at what Entra has ended by itself meanwhile.
func (m *model) isDead(e event) {
	ends := map[string]map[string]time.Time{} // mail, entitlement
	for _, row := range m.people() {
		p, err := m.store.Person(m.t.Context(), row.id)
		must(m.t, err)
		m.keepHeld(p)
		ends[p.Email] = map[string]time.Time{}
		for _, g := range m.mapping.Desired(p, time.Now()).Grants {
			name := g.Entitlement.Name
			if g.Entitlement.Kind == contractor.KindAccessPackage {
				name = "package delivered"
			}
			if g.Entitlement.Expiry != contractor.ExpiryBridge && time.Until(g.End) > 6*time.Minute { // PIM takes no shorter ones
				ends[p.Email][name] = g.End
			}
		}
	}
	m.say("the bridge is off for %s", e.Span/8)
	m.stopRun()
	m.pass(e.Span / 8)
	for mail, grants := range ends {
		for _, name := range m.holds(mail) {
			if end, known := grants[name]; known && time.Since(end) > time.Minute {
				m.broken(1, "the bridge is dead, and %s has %s still, which ended %s", mail, name, end)
			}
		}
	}
	m.start()
}

// isWrong sets this machine's clock against Entra's: nothing may close by date meanwhile.
func (m *model) isWrong(e event) {
	skew := []time.Duration{-2 * time.Hour, 3 * time.Hour}[e.Pick%2]
	d := e.Span / 300
	m.say("for %s Entra's clock says %s", d, skew)
	open := map[string]bool{}
	for _, u := range m.tenant.State().Users {
		open[u.ID] = u.Guest && u.Enabled && u.Deleted == nil
	}
	m.tenant.SkewClock(skew)
	m.pass(d)
	for _, u := range m.tenant.State().Users {
		if open[u.ID] && (!u.Enabled || u.Deleted != nil) {
			m.broken(8, "the clock is wrong by %s, and %s was closed", skew, u.Mail)
		}
	}
	m.tenant.SkewClock(0)
	m.pass(25 * time.Hour)
}

// others are accounts that are not ours: nothing was written to them.
func (m *model) others(state emulator.State) {
	for i := range state.Users {
		u := &state.Users[i]
		if u.Guest && u.Mail != otherGuest {
			continue
		}
		if u.Mail == otherGuest && (!u.Enabled || u.Deleted != nil || !slices.Equal(u.MemberOf, []string{groupFin})) {
			m.broken(4, "somebody else's guest was changed: enabled=%v, deleted=%v, %v", u.Enabled, u.Deleted, u.MemberOf)
		}
		for _, c := range m.tenant.Calls() {
			if c.Done && c.Method != http.MethodGet && strings.HasPrefix(strings.TrimPrefix(c.Path, "/v1.0"), "/users/"+u.ID) {
				m.broken(4, "%s %s changed an account that is not ours", c.Method, c.Path)
			}
		}
	}
}

// reasons: every call that took effect and was answered is in the journal with its request id, and every grant with rule, line,
// engagement and revision. What a killed process was told may have died with it.
func (m *model) reasons() {
	known := map[string]bool{}
	for _, e := range m.journal() {
		known[e.RequestID] = true
		if e.Kind == "grant.added" && (e.Rule == "" || e.Line == 0 || e.Engagement == "" || e.Revision == "" || e.Until.IsZero()) {
			m.broken(5, "%s without a reason: %+v", e.Kind, e)
		}
	}
	for _, c := range m.tenant.Calls() {
		switch c.Operation {
		case "invitation.create", "user.delete", "group.members.add", "em.request.create":
		default:
			continue
		}
		killed := slices.ContainsFunc(m.deaths, func(d time.Time) bool { return d.Sub(c.Time).Abs() < time.Minute })
		if c.Done && c.Fault == "" && c.Status < 300 && !killed && !known[c.RequestID] {
			m.broken(5, "%s %s at %s is in no event of the journal", c.Method, c.Path, c.Time)
		}
	}
}

// acknowledged: what a vendor was answered is still so, and nobody was invited twice.
func (m *model) acknowledged(state emulator.State) {
	for _, id := range m.live {
		doc := m.send(m.vendors[id], http.MethodGet, "/Users/"+id, "", http.StatusOK)
		ext, _ := doc[contractor.ExtensionURN].(map[string]any)
		end, sent := m.ends[id]
		if got := fmt.Sprint(ext["endDate"]); sent && got != end.UTC().Format(time.RFC3339) {
			m.broken(6, "%s: the acknowledged end %s is %s now", id, end.UTC().Format(time.RFC3339), got)
		}
	}
	invited := map[string]time.Time{}
	for _, i := range state.Invitations {
		if last, again := invited[i.Address]; again && i.Time.Sub(last) < 29*24*time.Hour { // Entra purges a deleted guest after thirty days
			m.broken(6, "%s was invited twice, at %s and %s", i.Address, last, i.Time)
		}
		invited[i.Address] = i.Time
	}
}

// window: the guard of acme lets three sudden ends through within a day.
func (m *model) window() {
	file, err := sql.Open("sqlite", "file:"+m.path+"?mode=ro")
	must(m.t, err)
	defer file.Close() //nolint:errcheck // read only
	var worst int
	err = file.QueryRowContext(context.Background(), `SELECT coalesce(max((SELECT count(*) FROM holds b WHERE b.kind = 'mass_end' AND b.why = '' AND b.state = 'admitted' AND b.vendor = 'acme'
		AND b.opened <= a.opened AND b.opened > a.opened - 86400000000)), 0) FROM holds a WHERE a.kind = 'mass_end' AND a.why = '' AND a.state = 'admitted' AND a.vendor = 'acme'`).Scan(&worst)
	must(m.t, err)
	if worst > 3 {
		m.broken(7, "%d sudden ends of one vendor took effect within a day", worst)
	}
}
