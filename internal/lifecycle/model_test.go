package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// TestModel lets random feeds of two vendors, an admin, faults, outages, restarts and the years pass over a handful of people,
// and after every event compares the tenant with what records and rules say, and with the rules that always hold. A seed that
// fails prints its story. SCIMBRIDGE_ROUNDS and SCIMBRIDGE_SEED as everywhere.
func TestModel(t *testing.T) {
	n, base := rounds(t, 6)
	for i := range n {
		seed := base + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &model{world: newWorld(t, emulator.Config{Seed: seed, Throttle: 0.05, ServerError: 0.03, Lag: 3 * time.Second}), dice: rand.New(rand.NewPCG(seed, 2))}
				defer func() { m.stopRun() }()
				for range 25 {
					m.event()
					m.pass(35 * time.Minute)
					m.check()
					if t.Failed() {
						t.Fatalf("seed %d, the story so far:\n%s\n%s", seed, strings.Join(m.story, "\n"), m.tell())
					}
				}
			})
		})
	}
}

type model struct {
	*world
	dice  *rand.Rand
	live  []string // engagements that their vendor knows
	story []string
}

func (m *model) say(format string, args ...any) {
	m.story = append(m.story, time.Now().Format("2006-01-02 15:04:05 ")+fmt.Sprintf(format, args...))
}

// days is a random instant within so many days, to the second.
func (m *model) days(from, to int) time.Time {
	d := time.Duration(from)*24*time.Hour + time.Duration(m.dice.Int64N(int64(time.Duration(to-from)*24*time.Hour)))
	return time.Now().Add(d).Truncate(time.Second)
}

func (m *model) pick() (string, bool) {
	if len(m.live) == 0 {
		return "", false
	}
	return m.live[m.dice.IntN(len(m.live))], true
}

func (m *model) event() {
	id, known := m.pick()
	roll := m.dice.IntN(100)
	switch {
	case !known || roll < 22:
		m.create()
	case roll < 34:
		end := m.days(0, 400)
		m.say("%s: end %s", id[:8], end)
		m.end(id, end)
	case roll < 40:
		end := m.days(-20, 0)
		m.say("%s: end %s, which has passed", id[:8], end)
		m.end(id, end)
	case roll < 50:
		active := m.dice.IntN(2) == 0
		m.say("%s: active %v", id[:8], active)
		m.patch(id, "active", active)
	case roll < 58:
		title := []string{"Developer", "Accountant"}[m.dice.IntN(2)]
		m.say("%s: title %s", id[:8], title)
		m.patch(id, "title", title)
	case roll < 64:
		m.say("%s: deleted", id[:8])
		m.send(m.vendors[id], http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
		m.live = slices.DeleteFunc(m.live, func(s string) bool { return s == id })
	case roll < 70:
		m.say("restart")
		m.restart()
	case roll < 74:
		d := time.Duration(1+m.dice.IntN(300)) * time.Minute
		m.say("Entra is away for %s", d)
		m.tenant.Outage(d, []int{0, 500, 503}[m.dice.IntN(3)])
		m.pass(d)
	case roll < 80:
		m.admin(id)
	default:
		d := time.Duration(m.dice.IntN(60*24)) * time.Hour
		m.say("%s pass", d)
		m.pass(d)
	}
}

func (m *model) create() {
	p := who{mail: fmt.Sprintf("p%d@acme.example", m.dice.IntN(5)), end: m.days(1, 300), title: []string{"Developer", "Accountant"}[m.dice.IntN(2)], department: []string{"Finance", "Sales"}[m.dice.IntN(2)]}
	if m.dice.IntN(3) == 0 {
		p.start = m.days(0, 20)
		if !p.start.Before(p.end) {
			p.end = p.start.AddDate(0, 1, 0)
		}
	}
	vendor := []string{"acme", "kforce"}[m.dice.IntN(2)]
	for _, id := range m.live { // a vendor has one user of a name
		if m.vendors[id] == vendor && m.send(vendor, http.MethodGet, "/Users/"+id, "", http.StatusOK)["userName"] == p.mail {
			return
		}
	}
	id := m.push(vendor, p)
	m.live = append(m.live, id)
	m.say("%s: %s by %s, %s, %s, from %s until %s", id[:8], p.mail, vendor, p.title, p.department, p.start, p.end)
}

// admin stops somebody, or lifts a stop.
func (m *model) admin(id string) {
	p, err := m.store.FindPerson(m.t.Context(), id)
	must(m.t, err)
	actor := audit.Actor{Kind: audit.ActorAdmin, Name: "eve"}
	if p.Block.At.IsZero() {
		m.say("%s: stopped by an admin", p.Email)
		must(m.t, m.store.BlockPerson(m.t.Context(), actor, p.ID, "test"))
	} else {
		m.say("%s: released by an admin", p.Email)
		must(m.t, m.store.UnblockPerson(m.t.Context(), actor, p.ID, "test"))
	}
	m.loop.Wake()
}

// check compares the tenant with what records, rules and the admin say should stand now.
func (m *model) check() {
	m.t.Helper()
	for _, row := range m.people() {
		p, err := m.store.Person(m.t.Context(), row.id)
		must(m.t, err)
		want := m.mapping.Desired(p, time.Now())
		if !p.Block.At.IsZero() {
			want.Open, want.Grants = false, nil
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
		got := m.holds(p.Email)
		g := m.guest(p.Email)
		switch {
		case !want.Open && g != nil && g.Deleted == nil && (g.Enabled || len(got) > 0):
			m.t.Errorf("%s should be closed: enabled=%v, %v", p.Email, g.Enabled, got)
		case want.Open && (g == nil || g.Deleted != nil || !g.Enabled):
			m.t.Errorf("%s should be open: %+v, held %q, error %q", p.Email, g != nil && g.Enabled, p.Held, p.LastError)
		case want.Open && fmt.Sprint(got) != fmt.Sprint(expected) && !m.aroundADate(want):
			m.t.Errorf("%s holds %v, should hold %v", p.Email, got, expected)
		}
		if g != nil && g.Deleted != nil && len(g.MemberOf) > 0 {
			m.t.Errorf("%s was deleted while it held %v", p.Email, g.MemberOf)
		}
	}
	invited := map[string]int{}
	for _, i := range m.tenant.State().Invitations {
		invited[i.Address]++
		// A guest that Entra purged after its thirty days is invited again: that is no second mail to a living guest.
		if limit := 1 + int(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))/(60*24*time.Hour)); invited[i.Address] > limit {
			m.t.Errorf("%s was invited %d times", i.Address, invited[i.Address])
		}
	}
	if _, _, err := m.store.VerifyJournal(m.t.Context()); err != nil {
		m.t.Error(err)
	}
}

// aroundADate reports whether a start or an end lies within a minute.
func (m *model) aroundADate(want contractor.Desired) bool {
	for _, g := range want.Grants {
		if time.Until(g.End) < time.Minute || time.Since(g.Start) < time.Minute {
			return true
		}
	}
	return false
}
