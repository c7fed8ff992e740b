package mapper

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"scimbridge/internal/contractor"
)

// The outcomes of a rule for an engagement.
const (
	Matched = "matched"
	Missed  = "missed"
	Denied  = "denied"
	Failed  = "failed"
)

// Evaluate says what the mapping gives one engagement at now. Rules holds every rule's outcome, with the reason of each miss,
// unless the engagement never came to its rules: it has ended, has no end, or its vendor or a date is unknown.
func (m *Mapping) Evaluate(e *contractor.Engagement, now time.Time) contractor.Evaluation {
	v := m.decide(e, now, true)
	return v.Evaluation
}

// decision is an evaluation with what Desired needs beside it.
type decision struct {
	contractor.Evaluation
	noticeAt time.Time // from when it counts as expiring; zero: never
	final    bool      // held for good: a rule denies it, nothing is unsure
	required bool      // a sponsor is required
}

// contributes reports whether the engagement can keep a guest open and grant something, now or later.
func (d *decision) contributes() bool {
	return d.Status == contractor.StatusScheduled || d.Status == contractor.StatusActive || d.Status == contractor.StatusExpiring
}

// open reports whether the guest's door is open because of this engagement.
func (d *decision) open(now time.Time) bool { return d.contributes() && !now.Before(d.InviteAt) }

// decide works out everything about one engagement. trace asks for every rule's outcome with its reason; without it only rules
// that did not miss are listed.
func (m *Mapping) decide(e *contractor.Engagement, now time.Time, trace bool) decision {
	d := decision{Evaluation: contractor.Evaluation{Engagement: e.ID, Vendor: e.Vendor}}
	v, known := m.vendors[e.Vendor]
	if !known {
		v = &contractor.Vendor{Name: e.Vendor, Zone: m.zone}
	}
	p, err := e.Period(v)
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	if err != nil && !e.EndedAt.IsZero() {
		p = contractor.Period{Start: e.Created.UTC(), End: e.EndedAt.UTC(), Zone: p.Zone, Note: "ended by the vendor"}
	}
	d.Period = p
	ended := !p.NoEnd && !p.End.IsZero() && !now.Before(p.End)
	switch {
	case ended:
		d.Status, d.Reason = contractor.StatusOffboarding, p.Note
		return d
	case !known:
		return d.hold("vendor %q is not in the mapping file", e.Vendor)
	case err != nil:
		return d.hold("%s", dateProblem(err))
	case p.NoEnd || p.End.IsZero():
		return d.hold("%s", p.Note)
	case !p.Start.Before(p.End):
		return d.hold("the end does not lie after the start")
	}
	d.InviteAt = before(p.Start, m.early, p.Zone)
	if len(m.notify) > 0 {
		d.noticeAt = before(p.End, m.notify[0], p.Zone)
	}
	m.applyRules(&d, e, v, trace)
	if d.Status == contractor.StatusHeld {
		return d
	}
	d.Reason = p.Note
	switch {
	case now.Before(p.Start):
		d.Status = contractor.StatusScheduled
	case !d.noticeAt.IsZero() && !now.Before(d.noticeAt):
		d.Status = contractor.StatusExpiring
	default:
		d.Status = contractor.StatusActive
	}
	return d
}

// hold takes everything away from the decision and says why.
func (d *decision) hold(format string, args ...any) decision {
	d.Status, d.Reason = contractor.StatusHeld, fmt.Sprintf(format, args...)
	d.InviteAt, d.Grants, d.Attributes, d.Sponsors = time.Time{}, nil, nil, nil
	return *d
}

// maxReason bounds a reason that repeats what a vendor sent, in characters.
const maxReason = 300

// dateProblem is the sentence of a date that could not be read.
func dateProblem(err error) string {
	if r := []rune(err.Error()); len(r) > maxReason {
		return string(r[:maxReason]) + "…"
	}
	return err.Error()
}

// before is t minus the span, days counted by the calendar of zone.
func before(t time.Time, s contractor.Span, zone *time.Location) time.Time {
	if s.Days != 0 {
		t = t.In(zone).AddDate(0, 0, -s.Days)
	}
	return t.Add(-s.Exact).UTC()
}

// applyRules runs the rules, and works out grants, attributes and sponsors, or the hold.
func (m *Mapping) applyRules(d *decision, e *contractor.Engagement, v *contractor.Vendor, trace bool) {
	machine, _ := m.machines.Get().(*machine)
	defer m.machines.Put(machine)
	machine.load(m.language, e, v, d.Period)
	clear(machine.answers)
	matched, failure, denial := m.matchRules(d, machine, trace)
	switch {
	case denial != nil:
		d.final = true
		d.hold("%s", denial.deny)
		return
	case failure != "":
		d.hold("%s", failure)
		return
	}
	m.grant(d, e, matched)
	if len(d.Grants) == 0 {
		d.hold("no rule grants anything to this engagement")
		return
	}
	for _, t := range m.guest {
		s, err := t.render(machine)
		if err != nil {
			d.hold("%v", err)
			return
		}
		if s == "" && t.property.must {
			continue
		}
		if d.Attributes == nil {
			d.Attributes = make(map[string]string, len(m.guest))
		}
		d.Attributes[t.property.name] = s
	}
	if err := m.findSponsors(d, machine, matched); err != nil {
		d.hold("%v", err)
	}
}

// matchRules asks every rule. It returns those that matched, the first failure, and the first rule that denies.
func (m *Mapping) matchRules(d *decision, machine *machine, trace bool) (matched []*rule, failure string, denial *rule) {
	for i := range m.rules {
		r := &m.rules[i]
		outcome, detail := Matched, ""
		for _, part := range r.parts {
			a := machine.ask(&m.conjuncts[part], part)
			if a.err != nil {
				outcome, detail = Failed, a.err.Error()
				if failure == "" {
					failure = fmt.Sprintf("rule %q (line %d) could not be worked out: %v", r.name, r.line, a.err)
				}
				break
			}
			if !a.holds {
				outcome = Missed
				if trace {
					detail = m.whyMissed(part, machine)
				}
				break
			}
		}
		switch {
		case outcome == Matched && r.deny != "":
			outcome, detail = Denied, r.deny
			if denial == nil {
				denial = r
			}
		case outcome == Matched:
			matched = append(matched, r)
		}
		if trace || outcome != Missed {
			d.Rules = append(d.Rules, contractor.RuleResult{Rule: r.name, Line: r.line, Outcome: outcome, Detail: detail})
		}
	}
	return matched, failure, denial
}

// grant adds up what the matched rules grant. The shortest limit wins for each entitlement; a rule with a limit and no grant
// limits everything.
func (m *Mapping) grant(d *decision, e *contractor.Engagement, matched []*rule) {
	p := d.Period
	all := p.End
	for _, r := range matched {
		if len(r.grants) == 0 {
			all = earlier(all, r.end(p))
		}
	}
	for _, r := range matched {
		end := earlier(all, r.end(p))
		for _, ent := range r.grants {
			i := slices.IndexFunc(d.Grants, func(g contractor.Grant) bool { return g.Entitlement.Key() == ent.Key() })
			switch {
			case i < 0:
				d.Grants = append(d.Grants, contractor.Grant{
					Entitlement: ent, Start: p.Start, End: end, Rule: r.name, Line: r.line, Engagement: e.ID, Vendor: e.Vendor,
				})
			case end.Before(d.Grants[i].End):
				d.Grants[i].End, d.Grants[i].Rule, d.Grants[i].Line = end, r.name, r.line
			}
		}
	}
	// A stop date before the start leaves a grant that never stands.
	d.Grants = slices.DeleteFunc(d.Grants, func(g contractor.Grant) bool { return !g.Start.Before(g.End) })
	slices.SortStableFunc(d.Grants, func(x, y contractor.Grant) int { return compareEntitlements(x.Entitlement, y.Entitlement) })
}

// end is when the rule's own limits end what it grants, never after the period.
func (r *rule) end(p contractor.Period) time.Time {
	end := p.End
	if !r.limit.IsZero() {
		end = earlier(end, r.limit.After(p.Start, p.Zone))
	}
	if !r.until.IsZero() {
		end = earlier(end, r.until)
	}
	return end
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// findSponsors lists the candidates: those of the matched rules in the order of the file, then the defaults', then the
// fallback group.
func (m *Mapping) findSponsors(d *decision, machine *machine, matched []*rule) error {
	d.required = m.sponsor.required
	add := func(from []*expression, where string) error {
		for _, x := range from {
			s, err := machine.text(x)
			if err != nil {
				return fmt.Errorf("the sponsor of %s could not be worked out: %w", where, err)
			}
			if s = tidy(s); s != "" && !slices.Contains(d.Sponsors, s) {
				d.Sponsors = append(d.Sponsors, s)
			}
		}
		return nil
	}
	for _, r := range matched {
		d.required = d.required || r.required
		if err := add(r.sponsors, fmt.Sprintf("rule %q (line %d)", r.name, r.line)); err != nil {
			return err
		}
	}
	if err := add(m.sponsor.from, "defaults.sponsor.from"); err != nil {
		return err
	}
	if m.sponsor.fallback != "" {
		d.Sponsors = append(d.Sponsors, m.sponsor.fallback)
	}
	if d.required && len(d.Sponsors) == 0 {
		return errors.New("a sponsor is required, and the record names none")
	}
	return nil
}
