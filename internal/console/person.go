package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

const (
	momentsShown = 60
	activityMax  = 200
)

type personView struct {
	Person      *contractor.Person
	Name        string
	Phase       string
	Desired     contractor.Desired
	Engagements []engagementView
	Grants      []grantView
	WhyNot      []whyNot
	Moments     []moment
	Older       string // URL; "" if there is nothing older
	Newer       string
	Alarms      []contractor.Alarm
	Holds       []contractor.Hold
	Picture     picture
	Revision    string
}

type engagementView struct {
	contractor.Engagement
	Evaluation contractor.Evaluation
	Fields     []field
	Ignored    string
	Missed     []contractor.RuleResult
	Matched    []contractor.RuleResult
	Over       bool
}

type field struct{ Name, Value string }

type grantView struct {
	contractor.Holding
	Bridge bool // only the bridge ends it
	Wanted bool // the rules still want it
}

// whyNot is something that the mapping can grant and the person does not have.
type whyNot struct {
	Entitlement contractor.Entitlement
	Why         []string
}

// moment is one thing on the person's line of time: what was done, or what the person did.
type moment struct {
	At       time.Time
	Event    *audit.Event
	Activity *contractor.Activity
	Ahead    bool // it lies in the future
	Words    string
}

func displayName(p *contractor.Person) string {
	name := ""
	for i := range p.Engagements {
		r := &p.Engagements[i].Record
		if r.DisplayName != "" {
			name = r.DisplayName
		} else if n := strings.TrimSpace(r.GivenName + " " + r.FamilyName); n != "" {
			name = n
		}
	}
	if name == "" {
		name = p.Email
	}
	if name == "" {
		name = p.ID
	}
	return name
}

func notFound(err error) bool {
	var ce *contractor.Error
	return errors.As(err, &ce) && ce.Code == contractor.CodeNotFound
}

func (c *Console) person(w http.ResponseWriter, r *http.Request, s *session) error {
	now := time.Now().UTC()
	p, err := c.store.FindPerson(r.Context(), r.PathValue("person"))
	if err != nil {
		return err
	}
	m := c.bridge.Mapping()
	v := personView{Person: p, Name: displayName(p), Desired: m.Desired(p, now), Revision: m.Revision()}
	for i := range p.Engagements {
		v.Engagements = append(v.Engagements, showEngagement(m, &p.Engagements[i], now))
	}
	slices.Reverse(v.Engagements) // the newest first
	for i := range p.Holdings {
		h := p.Holdings[i]
		wanted := slices.ContainsFunc(v.Desired.Grants, func(g contractor.Grant) bool { return g.Entitlement.Key() == h.Entitlement.Key() })
		v.Grants = append(v.Grants, grantView{h, h.EntraEnd.IsZero() && h.Mechanism == contractor.MechanismMember, wanted})
	}
	v.WhyNot = whyNots(m, p, v.Engagements)
	v.Picture = draw(p, now)
	if v.Alarms, err = c.store.Alarms(r.Context(), contractor.AlarmQuery{Person: p.ID, Limit: 20}); err != nil {
		return err
	}
	holds, err := c.store.Holds(r.Context(), contractor.HoldQuery{Person: p.ID, Limit: 50})
	if err != nil {
		return err
	}
	v.Holds = holds
	if err := c.moments(r, &v, now); err != nil {
		return err
	}
	return c.page(w, r, s, "person", v.Name, v)
}

func showEngagement(m *mapper.Mapping, e *contractor.Engagement, now time.Time) engagementView {
	v := engagementView{Engagement: *e, Evaluation: m.Evaluate(e, now), Fields: fieldsOf(&e.Record), Ignored: indented(e.Unused)}
	v.Over = e.Deleted || !e.Standing.EffectiveEnd.IsZero() && !e.Standing.EffectiveEnd.After(now)
	for _, x := range v.Evaluation.Rules {
		if x.Outcome == mapper.Matched {
			v.Matched = append(v.Matched, x)
		} else {
			v.Missed = append(v.Missed, x)
		}
	}
	return v
}

// fieldsOf lists what the vendor sent, in the order of the record, as the mapping file names it. securityId is never shown.
func fieldsOf(r *contractor.Record) (list []field) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return list
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return list
		}
		name, _ := key.(string)
		text := ""
		switch x := value.(type) {
		case string:
			text = x
		case bool:
			text = strconv.FormatBool(x)
		case []any:
			var parts []string
			for _, y := range x {
				if str, ok := y.(string); ok {
					parts = append(parts, str)
				}
			}
			text = strings.Join(parts, ", ")
		}
		if name == "securityId" {
			text = "(kept, not shown)"
		}
		if text != "" {
			list = append(list, field{name, text})
		}
	}
	return list
}

func indented(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// whyNots says, for everything in the catalog that the person does not hold, why. What no rule could give is left out.
func whyNots(m *mapper.Mapping, p *contractor.Person, engagements []engagementView) (list []whyNot) {
	for _, e := range m.Catalog() {
		held := slices.ContainsFunc(p.Holdings, func(h contractor.Holding) bool { return h.Entitlement.Key() == e.Key() })
		rules := m.Granting(e.Key())
		if held || len(rules) == 0 {
			continue
		}
		x := whyNot{Entitlement: e}
		for i := range engagements {
			ev := &engagements[i].Evaluation
			if engagements[i].Over {
				continue
			}
			if ev.Status == contractor.StatusHeld {
				x.Why = append(x.Why, ev.Vendor+": held, "+ev.Reason)
				continue
			}
			for _, g := range ev.Grants {
				if g.Entitlement.Key() == e.Key() {
					x.Why = append(x.Why, "rule "+g.Rule+" grants it from "+g.Start.Format("2006-01-02 15:04")+"; it is not in Entra yet")
				}
			}
			for _, rule := range ev.Rules {
				if slices.Contains(rules, rule.Rule) && rule.Outcome != mapper.Matched {
					x.Why = append(x.Why, "rule "+rule.Rule+" "+rule.Outcome+": "+rule.Detail)
				}
			}
		}
		if len(x.Why) > 0 {
			list = append(list, x)
		}
	}
	return list
}

// moments reads a page of the person's line of time: the journal, with what the tenant's logs say in between.
func (c *Console) moments(r *http.Request, v *personView, now time.Time) error {
	var before int64
	if text := r.FormValue("before"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return contractor.Errorf(contractor.CodeInvalid, "%q is not the number of an event.", text)
		}
		before = n
		v.Newer = "/contractors/" + v.Person.ID
	}
	var events []audit.Event
	for e, err := range c.store.Journal(r.Context(), contractor.JournalQuery{Person: v.Person.ID, Descending: true, After: before, Limit: momentsShown + 1}) {
		if err != nil {
			return err
		}
		events = append(events, e)
	}
	oldest := time.Time{}
	if len(events) > momentsShown {
		events = events[:momentsShown]
		v.Older = "/contractors/" + v.Person.ID + "?before=" + strconv.FormatInt(events[momentsShown-1].Seq, 10)
		oldest = events[momentsShown-1].Time
	}
	newest := now.Add(time.Hour)
	if before > 0 && len(events) > 0 {
		newest = events[0].Time
	}
	activity, err := c.store.Activity(r.Context(), v.Person.ID, newest, activityMax)
	if err != nil {
		return err
	}
	for i := range events {
		v.Moments = append(v.Moments, moment{At: events[i].Time, Event: &events[i]})
	}
	for i := range activity {
		if activity[i].At.After(oldest) {
			v.Moments = append(v.Moments, moment{At: activity[i].At, Activity: &activity[i]})
		}
	}
	if before == 0 {
		v.Moments = append(v.Moments, ahead(v, now)...)
	}
	slices.SortStableFunc(v.Moments, func(a, b moment) int { return b.At.Compare(a.At) })
	return nil
}

// ahead is what is known to come.
func ahead(v *personView, now time.Time) (list []moment) {
	add := func(t time.Time, words string) {
		if t.After(now) {
			list = append(list, moment{At: t, Ahead: true, Words: words})
		}
	}
	add(v.Desired.CloseAt, "The last contract ends: sign-in disabled, sessions revoked, everything taken back")
	add(v.Desired.DeleteAt, "The guest is deleted")
	for i := range v.Engagements {
		e := &v.Engagements[i]
		if !e.Over {
			add(e.Standing.EffectiveStart, "The contract of "+e.Vendor+" begins")
			if !e.Standing.EffectiveEnd.Equal(v.Desired.CloseAt) {
				add(e.Standing.EffectiveEnd, "The contract of "+e.Vendor+" ends")
			}
		}
	}
	return list
}

// picture is a person's contracts and grants over time.
type picture struct {
	Lanes  []lane
	Ticks  []tick
	Now    string
	Anchor string // of the word "now", so that it stays within the picture
	Height int
}

type lane struct {
	Label, Words, Class, X, W string
	Y                         int
}

// draw shows contracts and grants from the first start to the last end.
func draw(p *contractor.Person, now time.Time) (pic picture) {
	win := window{now, now}
	see := func(t time.Time) {
		if t.IsZero() {
			return
		}
		if t.Before(win.from) {
			win.from = t
		}
		if t.After(win.to) {
			win.to = t
		}
	}
	for i := range p.Engagements {
		see(p.Engagements[i].Standing.EffectiveStart)
		see(p.Engagements[i].Standing.EffectiveEnd)
	}
	for i := range p.Holdings {
		see(p.Holdings[i].Since)
		see(p.Holdings[i].End)
	}
	if win.to.Sub(win.from) < 24*time.Hour {
		win.to = win.from.Add(24 * time.Hour)
	}
	margin := win.to.Sub(win.from) / 50
	win = window{win.from.Add(-margin), win.to.Add(margin)}
	add := func(label, class string, from, to time.Time) {
		if from.IsZero() || to.IsZero() {
			return
		}
		a, b := win.x(from), win.x(to)
		pic.Lanes = append(pic.Lanes, lane{
			Label: label, Class: class, X: percent(a), W: percent(max(b-a, 0.004)), Y: len(pic.Lanes) * rowHeight,
			Words: label + ": from " + from.Format("2006-01-02") + " to " + to.Format("2006-01-02"),
		})
	}
	for i := range p.Engagements {
		e := &p.Engagements[i]
		add("contract, "+e.Vendor, "bar "+string(e.Standing.Status), e.Standing.EffectiveStart, e.Standing.EffectiveEnd)
	}
	for i := range p.Holdings {
		h := &p.Holdings[i]
		add(h.Entitlement.Name, "bar grant", h.Since, h.End)
	}
	pic.Anchor = "middle"
	if at := win.x(now); at > 0.9 {
		pic.Anchor = "end"
	} else if at < 0.1 {
		pic.Anchor = "start"
	}
	pic.Height, pic.Now, pic.Ticks = len(pic.Lanes)*rowHeight, win.percent(now), besideNow(ticks(win), win, now)
	return pic
}

func (c *Console) explain(w http.ResponseWriter, r *http.Request, s *session) error {
	p, err := c.store.FindPerson(r.Context(), r.PathValue("person"))
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := c.bridge.Explain(r.Context(), p.ID, &b); err != nil {
		return err
	}
	return c.page(w, r, s, "explain", "Explain "+displayName(p), struct{ ID, Name, Text string }{p.ID, displayName(p), b.String()})
}
