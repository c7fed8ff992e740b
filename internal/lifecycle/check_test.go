package lifecycle_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/entra/emulator"
)

// journal reads every event, through a connection of its own.
func (w *world) journal() []audit.Event {
	w.t.Helper()
	file, err := sql.Open("sqlite", "file:"+w.path+"?mode=ro")
	must(w.t, err)
	defer file.Close() //nolint:errcheck // read only
	rows, err := file.QueryContext(context.Background(), "SELECT leaf FROM journal ORDER BY seq")
	must(w.t, err)
	defer rows.Close() //nolint:errcheck // read to its end
	var events []audit.Event
	for rows.Next() {
		var leaf []byte
		must(w.t, rows.Scan(&leaf))
		var e audit.Event
		must(w.t, json.Unmarshal(leaf, &e))
		events = append(events, e)
	}
	must(w.t, rows.Err())
	return events
}

// checkTenant holds the tenant against the rules that always hold, at a moment when nothing is under way:
//
//   - at most one guest and one invitation for an address (guest fails on two);
//   - a guest whose people have no live engagement is disabled, and holds nothing;
//   - every membership and assignment of a guest of ours is in the journal with a rule;
//   - Entra's own end of a grant is never later than the engagements' end;
//   - no member was touched;
//   - the journal is whole.
func (w *world) checkTenant() {
	w.t.Helper()
	s := w.tenant.State()
	invited := map[string]int{}
	for _, i := range s.Invitations {
		invited[strings.ToLower(i.Address)]++
	}
	for address, n := range invited {
		if n > 1 {
			w.t.Errorf("%s was invited %d times\n%s", address, n, w.tell())
		}
	}
	reasons := w.reasons()
	for i := range s.Users {
		u := &s.Users[i]
		if !u.Guest || invited[strings.ToLower(u.Mail)] == 0 {
			continue
		}
		live, end := w.liveUntil(u.Mail)
		if u.Deleted == nil && !live && (u.Enabled || len(w.holds(u.Mail)) > 0) {
			w.t.Errorf("%s has no live engagement, and is enabled=%v with %v\n%s", u.Mail, u.Enabled, w.holds(u.Mail), w.tell())
		}
		if u.Deleted != nil && len(u.MemberOf) > 0 {
			w.t.Errorf("%s was deleted while it held %v: restored, it would hold that again", u.Mail, u.MemberOf)
		}
		for _, g := range u.MemberOf {
			if !reasons[u.ID+" "+g] && u.Deleted == nil && !fromPackage(s, u.ID, g) {
				w.t.Errorf("%s is in %s, and no event of the journal says why", u.Mail, g)
			}
		}
		for _, p := range s.Schedules {
			if p.User == u.ID && p.Active && (p.End == nil || p.End.After(end)) {
				w.t.Errorf("Entra keeps %s in %s until %v; the engagements end %s", u.Mail, p.Group, p.End, end)
			}
		}
		for _, a := range s.Assignments {
			if a.User == u.ID && a.Expired == nil && (a.End == nil || a.End.After(end)) {
				w.t.Errorf("Entra keeps %s's package until %v; the engagements end %s", u.Mail, a.End, end)
			}
		}
	}
	for _, c := range w.tenant.Calls() {
		for i := range s.Users {
			if u := &s.Users[i]; !u.Guest && c.Done && c.Method != http.MethodGet && strings.HasPrefix(strings.TrimPrefix(c.Path, "/v1.0"), "/users/"+u.ID) {
				w.t.Errorf("%s %s changed a member", c.Method, c.Path)
			}
		}
	}
	if _, _, err := w.store.VerifyJournal(w.t.Context()); err != nil {
		w.t.Error(err)
	}
}

func fromPackage(s emulator.State, user, group string) bool {
	for _, a := range s.Assignments {
		if a.User == user && slices.Contains(a.Groups, group) {
			return true
		}
	}
	return false
}

// reasons are the guest and group pairs that the journal has granted by a rule.
func (w *world) reasons() map[string]bool {
	guests := map[string]string{} // person -> guest id
	for _, p := range w.people() {
		guests[p.id] = p.guest
	}
	found := map[string]bool{}
	for _, e := range w.journal() {
		if e.Kind == "grant.added" && e.Rule != "" && e.Line > 0 && e.Engagement != "" {
			id := e.Entitlement[strings.LastIndexByte(e.Entitlement, '(')+1 : len(e.Entitlement)-1]
			found[guests[e.Person]+" "+id] = true
		}
	}
	return found
}

type personRow struct{ id, email, guest string }

func (w *world) people() []personRow {
	file, err := sql.Open("sqlite", "file:"+w.path+"?mode=ro")
	must(w.t, err)
	defer file.Close() //nolint:errcheck // read only
	rows, err := file.QueryContext(context.Background(), "SELECT id, email, coalesce(guest_id, '') FROM persons")
	must(w.t, err)
	defer rows.Close() //nolint:errcheck // read to its end
	var list []personRow
	for rows.Next() {
		var p personRow
		must(w.t, rows.Scan(&p.id, &p.email, &p.guest))
		list = append(list, p)
	}
	must(w.t, rows.Err())
	return list
}

// liveUntil asks the records, by the mapping, whether an address has a live engagement now, and until when any of its
// engagements may grant.
func (w *world) liveUntil(mail string) (live bool, end time.Time) {
	for _, row := range w.people() {
		if !strings.EqualFold(row.email, mail) {
			continue
		}
		p, err := w.store.Person(w.t.Context(), row.id)
		must(w.t, err)
		for i := range p.Engagements {
			v, ok := w.mapping.Vendor(p.Engagements[i].Vendor)
			if !ok {
				continue
			}
			period, err := p.Engagements[i].Period(v)
			if err != nil || period.NoEnd {
				continue
			}
			now := time.Now()
			live = live || now.Before(period.End) && !now.Before(period.Start.AddDate(0, 0, -2))
			if period.End.After(end) {
				end = period.End
			}
		}
	}
	return live, end
}
