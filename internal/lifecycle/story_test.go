package lifecycle_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// event is one thing that happens in a story, as plain data: events can be left out, and what is left is a story still. Who and
// Pick mean whatever the kind takes from them, of as many people and choices as there are then.
type event struct {
	Kind happening
	Who  int
	Pick int
	Span time.Duration
}

func (e event) String() string {
	return fmt.Sprintf("%-9s who %d, pick %d, span %s", e.Kind, e.Who, e.Pick, e.Span)
}

// happening is a kind of event.
type happening string

const (
	hires   happening = "hires"   // a vendor sends a new contractor
	moves   happening = "moves"   // a vendor moves an end to a day to come
	passed  happening = "passed"  // a vendor moves an end into the past
	active  happening = "active"  // active false, or true again
	retitle happening = "retitle" // another title, and so another rule
	deletes happening = "deletes" // DELETE
	goesMad happening = "mad"     // a feed ends everybody
	wave    happening = "wave"    // a feed moves everybody's end
	rival   happening = "rival"   // a vendor tries another's record
	restart happening = "restart" // the bridge is stopped and started
	crash   happening = "crash"   // kill -9 in the middle of something
	dead    happening = "dead"    // the bridge is off for days
	away    happening = "away"    // Entra does not answer
	clock   happening = "clock"   // this machine's clock is wrong for a while
	stops   happening = "stops"   // an admin stops somebody, or lifts that
	extends happening = "extends" // an admin extends an engagement
	decides happening = "decides" // an admin decides a hold
	tampers happening = "tampers" // somebody changes a guest in the portal
	waits   happening = "waits"   // time passes
)

// chances are how often what happens, in a hundred events and a few.
func chances() []struct {
	kind happening
	of   int
} {
	return []struct {
		kind happening
		of   int
	}{
		{hires, 20}, {moves, 10}, {passed, 5}, {active, 9}, {retitle, 7}, {deletes, 5}, {goesMad, 2}, {wave, 3}, {rival, 2}, {restart, 4}, {crash, 6},
		{dead, 3}, {away, 4}, {clock, 3}, {stops, 4}, {extends, 3}, {decides, 4}, {tampers, 10}, {waits, 14},
	}
}

// random makes a story of n events.
func random(seed uint64, n int) []event {
	dice := rand.New(rand.NewPCG(seed, 2))
	total := 0
	for _, c := range chances() {
		total += c.of
	}
	story := make([]event, n)
	for i := range story {
		roll := dice.IntN(total)
		for _, c := range chances() {
			if roll < c.of {
				story[i].Kind = c.kind
				break
			}
			roll -= c.of
		}
		story[i].Who, story[i].Pick = dice.IntN(1000), dice.IntN(10_000)
		story[i].Span = time.Duration(dice.Int64N(int64(300 * 24 * time.Hour))).Truncate(time.Second)
	}
	story[0].Kind = hires
	return story
}

// simpler are events that say less.
func simpler(e event) (list []event) {
	for _, less := range []event{{e.Kind, 0, e.Pick, e.Span}, {e.Kind, e.Who, 0, e.Span}, {e.Kind, e.Who, e.Pick, 24 * time.Hour}, {e.Kind, e.Who, e.Pick, (e.Span / 2).Truncate(time.Hour)}} {
		if less != e && less.Span > 0 {
			list = append(list, less)
		}
	}
	return list
}

// model is the world of a story, with what the storyteller knows about it by itself.
type model struct {
	*world
	live   []string             // engagements that their vendor knows
	ends   map[string]time.Time // the end that the door acknowledged last, where one was sent
	deaths []time.Time          // of processes
	told   []string
}

func (m *model) say(format string, args ...any) {
	m.told = append(m.told, time.Now().Format("2006-01-02 15:04:05 ")+fmt.Sprintf(format, args...))
}

func soon(e event) time.Time { return time.Now().Add(e.Span).Truncate(time.Second) }

// happen makes one event happen.
func (m *model) happen(e event) {
	id := ""
	if len(m.live) > 0 {
		id = m.live[e.Who%len(m.live)]
	}
	switch e.Kind {
	case hires:
		m.hire(e)
	case restart:
		m.say("restart")
		m.restart()
	case dead:
		m.isDead(e)
	case away:
		d := e.Span / 1440
		m.say("Entra is away for %s", d)
		m.tenant.Outage(d, []int{0, 500, 503}[e.Pick%3])
		m.pass(d)
	case clock:
		m.isWrong(e)
	case tampers:
		m.tamper(e)
	case waits:
		m.say("%s pass", e.Span/5)
		m.pass(e.Span / 5)
	case goesMad:
		m.madFeed([]string{"acme", "kforce"}[e.Pick%2])
	case wave:
		m.waveOf([]string{"acme", "kforce"}[e.Pick%2], soon(e))
	case decides:
		m.decide(e)
	default:
		if id != "" {
			m.about(id, e)
		}
	}
}

// about is what happens to one engagement.
func (m *model) about(id string, e event) {
	switch e.Kind {
	case moves:
		m.say("%s: end %s", id[:8], soon(e))
		m.end(id, soon(e))
		m.ends[id] = soon(e)
	case passed:
		end := time.Now().Add(-e.Span / 15).Truncate(time.Second)
		m.say("%s: end %s, which has passed", id[:8], end)
		m.end(id, end)
		m.ends[id] = end
	case active:
		m.say("%s: active %v", id[:8], e.Pick%2 == 0)
		m.patch(id, "active", e.Pick%2 == 0)
	case retitle:
		title := []string{"Developer", "Accountant"}[e.Pick%2]
		m.say("%s: title %s", id[:8], title)
		m.patch(id, "title", title)
	case deletes:
		m.say("%s: deleted", id[:8])
		m.send(m.vendors[id], http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
		m.live = slices.DeleteFunc(m.live, func(s string) bool { return s == id })
	case rival:
		other := map[string]string{"acme": "kforce", "kforce": "acme"}[m.vendors[id]]
		m.say("%s: %s tries it", id[:8], other)
		m.send(other, http.MethodGet, "/Users/"+id, "", http.StatusNotFound)
		m.send(other, http.MethodDelete, "/Users/"+id, "", http.StatusNotFound)
	case crash:
		after := time.Duration(e.Pick%4000) * time.Millisecond
		m.say("%s: title Developer, and %s later the bridge is killed", id[:8], after)
		m.patch(id, "title", "Developer")
		m.pass(after)
		m.deaths = append(m.deaths, time.Now())
		m.crash()
	case stops:
		m.stop(id)
	case extends:
		m.say("%s: an admin extends it until %s", id[:8], soon(e))
		must(m.t, m.store.ExtendEngagement(m.t.Context(), eve(), id, soon(e), "test"))
		m.loop.Wake()
	}
}

// Two addresses belong to accounts that are not ours.
const (
	poolSize    = 7
	otherGuest  = "p5@acme.example"
	otherMember = "p6@acme.example"
)

func (m *model) hire(e event) {
	p := who{
		mail: fmt.Sprintf("p%d@acme.example", e.Who%poolSize), title: []string{"Developer", "Accountant"}[e.Pick/2%2],
		department: []string{"Finance", "Sales"}[e.Pick/4%2], end: soon(e).Add(24 * time.Hour),
	}
	if e.Pick/8%3 == 0 {
		p.start = time.Now().Add(e.Span / 15).Truncate(time.Second)
	}
	switch {
	case e.Pick%17 == 0:
		p.end = time.Time{} // no end, no access
	case e.Pick%19 == 0:
		p.sponsor = "nobody@contoso.example"
	}
	vendor := []string{"acme", "kforce"}[e.Pick%2]
	for _, id := range m.live { // a vendor has one user of a name
		if m.vendors[id] == vendor && m.send(vendor, http.MethodGet, "/Users/"+id, "", http.StatusOK)["userName"] == p.mail {
			return
		}
	}
	id := m.push(vendor, p)
	m.live = append(m.live, id)
	delete(m.ends, id) // of a life before: who was deleted and is sent again has the end that is sent now, if any
	if !p.end.IsZero() {
		m.ends[id] = p.end
	}
	m.say("%s: %s by %s, %s, %s, sponsor %q, from %s until %s", id[:8], p.mail, vendor, p.title, p.department, p.sponsor, p.start, p.end)
}

func (m *model) stop(id string) {
	p := m.personOf(id)
	if p.Block.At.IsZero() {
		m.say("%s: stopped by an admin", p.Email)
		must(m.t, m.store.BlockPerson(m.t.Context(), eve(), p.ID, "test"))
	} else {
		m.say("%s: released by an admin", p.Email)
		must(m.t, m.store.UnblockPerson(m.t.Context(), eve(), p.ID, "test"))
	}
	m.loop.Wake()
}

func (m *model) decide(e event) {
	holds, err := m.store.Holds(m.t.Context(), contractor.HoldQuery{})
	must(m.t, err)
	if len(holds) == 0 {
		return
	}
	h := holds[e.Who%len(holds)]
	m.say("an admin decides hold %d: %v", h.ID, e.Pick%2 == 0)
	_, err = m.store.DecideHold(m.t.Context(), eve(), h.ID, e.Pick%2 == 0, "test")
	must(m.t, err)
	m.loop.Wake()
}

func (m *model) madFeed(vendor string) {
	m.say("the feed of %s ends everybody", vendor)
	for _, id := range m.live {
		if m.vendors[id] == vendor {
			m.patch(id, "active", false)
		}
	}
}

func (m *model) waveOf(vendor string, end time.Time) {
	m.say("the feed of %s moves every end to %s", vendor, end)
	for _, id := range m.live {
		if m.vendors[id] == vendor {
			m.end(id, end)
			m.ends[id] = end
		}
	}
}

// tamper is what somebody does to a guest of ours in the portal; the delta queries tell the bridge.
func (m *model) tamper(e event) {
	var ours []emulator.UserState
	for _, u := range m.tenant.State().Users {
		if u.Guest && u.Mail != otherGuest && u.Deleted == nil {
			ours = append(ours, u)
		}
	}
	if len(ours) == 0 {
		return
	}
	u := ours[e.Who%len(ours)]
	what := []string{"added to finance", "taken out of base", "disabled", "enabled", "deleted", "kept in base for longer", "renamed"}[e.Pick%7]
	m.say("%s is %s by somebody", u.Mail, what)
	_ = []func() error{ // what cannot be done, such as removing who is no member, is not done
		func() error { return m.tenant.DoAddMember(groupFin, u.ID) },
		func() error { return m.tenant.DoRemoveMember(groupBase, u.ID) },
		func() error { return m.tenant.DoDisable(u.ID) },
		func() error { return m.tenant.DoEnable(u.ID) },
		func() error { return m.tenant.DoDelete(u.ID) },
		func() error { return m.tenant.DoExtendSchedule(groupBase, u.ID, time.Now().AddDate(0, 5, 0)) },
		func() error {
			return m.tenant.DoUpdate(u.ID, map[string]any{"companyName": "Nobody Ltd"})
		},
	}[e.Pick%7]()
	if strings.Contains(what, "longer") { // no delta query tells it: the daily look does
		m.pass(25 * time.Hour)
	}
}

// askForDrift lets the watch for drift ask twice: changes appear in delta queries with a delay. As Run does, it asks again
// where Entra had no time for it.
func (m *model) askForDrift() {
	watch := m.watchDrift()
	for asked, tries := 0, 0; asked < 2; tries++ {
		m.pass(time.Minute)
		err := watch.Once(m.t.Context())
		var f *contractor.Failure
		if errors.As(err, &f) && (f.Verdict == contractor.VerdictThrottled || f.Verdict == contractor.VerdictRetry) && tries < 20 {
			continue
		}
		must(m.t, err)
		asked++
	}
}

// pass lets time go by, and holds that the loop is not spinning: a person that is looked at every second for ever costs quota, and is
// a mistake, whatever the reason.
func (m *model) pass(d time.Duration) {
	m.t.Helper()
	const slice, most = 6 * time.Hour, 8000 // an outage has closing work tried every half minute, for a handful of people
	for ; d > 0; d -= slice {
		before := m.loop.Passes()
		m.world.pass(min(d, slice))
		if n := m.loop.Passes() - before; n > most {
			m.t.Fatalf("rule 0: %d passes in %s: somebody is looked at without end", n, min(d, slice))
		}
	}
}
