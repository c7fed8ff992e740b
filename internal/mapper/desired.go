package mapper

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// Desired says what should stand in Entra for a person at now: the union of the engagements that are neither held nor ended.
// Test engagements are ignored. The evaluations list the rules that did not miss; Evaluate lists all.
//
// Open is true from the earliest invitation of a contributing engagement to the last end; a guest is wanted (Guest) while Open,
// and, where the person has one, after that until DeleteAt. DeleteAt is zero while an engagement is still to come, and while
// one is held for a reason that may yet be settled: nothing is deleted while unsure.
func (m *Mapping) Desired(p *contractor.Person, now time.Time) contractor.Desired {
	d := contractor.Desired{At: now, Revision: m.revision}
	decisions := make([]decision, 0, len(p.Engagements))
	for i := range p.Engagements {
		if e := &p.Engagements[i]; !e.Test {
			decisions = append(decisions, m.decide(e, now, false))
		}
	}
	d.Evaluations = make([]contractor.Evaluation, len(decisions))
	for i := range decisions {
		d.Evaluations[i] = decisions[i].Evaluation
	}
	m.door(&d, p, decisions, now)
	d.Grants = union(decisions, now)
	if d.Open {
		m.profile(&d, p, decisions, now)
	}
	d.Next = next(&d, decisions, now)
	return d
}

// door works out Guest, Open, CloseAt and DeleteAt.
func (m *Mapping) door(d *contractor.Desired, p *contractor.Person, decisions []decision, now time.Time) {
	waiting := false // something may still open the door, or keep what is behind it
	var lastOpen, lastEnd time.Time
	var zone *time.Location
	stages := m.offboarding
	for i := range decisions {
		x := &decisions[i]
		switch {
		case x.open(now):
			d.Open = true
			lastOpen = later(lastOpen, x.Period.End)
		case x.contributes(), x.Status == contractor.StatusHeld && !x.final:
			waiting = true
		case x.Status == contractor.StatusOffboarding:
			if zone == nil || x.Period.End.After(lastEnd) {
				lastEnd, zone = x.Period.End, x.Period.Zone
				stages = m.offboarding
				if own, has := m.vendorsLeave[x.Vendor]; has {
					stages = own
				}
			}
		}
	}
	if d.Open {
		d.CloseAt = lastOpen
	} else if d.CloseAt = lastEnd; !lastEnd.IsZero() && !waiting {
		d.DeleteAt = stages.DeleteAfter.After(lastEnd, zone)
		if stages.UnsponsorAfter != nil {
			d.UnsponsorAt = stages.UnsponsorAfter.After(lastEnd, zone)
		}
	}
	has := p.GuestID != "" && p.Phase != contractor.PhaseGone
	d.Guest = d.Open || has && (d.DeleteAt.IsZero() || now.Before(d.DeleteAt))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// union takes for each entitlement in force the grant with the latest end; of equal ends the one of the older engagement.
func union(decisions []decision, now time.Time) []contractor.Grant {
	var out []contractor.Grant
	for i := range decisions {
		if !decisions[i].contributes() {
			continue
		}
		for _, g := range decisions[i].Grants {
			if now.Before(g.Start) || !now.Before(g.End) {
				continue
			}
			k := slices.IndexFunc(out, func(o contractor.Grant) bool { return o.Entitlement.Key() == g.Entitlement.Key() })
			switch {
			case k < 0:
				out = append(out, g)
			case g.End.After(out[k].End):
				out[k] = g
			}
		}
	}
	slices.SortStableFunc(out, func(x, y contractor.Grant) int { return compareEntitlements(x.Entitlement, y.Entitlement) })
	return out
}

// profile fills in attributes, sponsors and the invitation of an open guest. The engagement that ends last speaks first; of
// equal ends the one that began last, then the one with the smaller id.
func (m *Mapping) profile(d *contractor.Desired, p *contractor.Person, decisions []decision, now time.Time) {
	var open []*decision
	for i := range decisions {
		if decisions[i].open(now) {
			open = append(open, &decisions[i])
		}
	}
	slices.SortStableFunc(open, func(x, y *decision) int {
		return cmp.Or(y.Period.End.Compare(x.Period.End), y.Period.Start.Compare(x.Period.Start), strings.Compare(x.Engagement, y.Engagement))
	})
	d.Attributes = open[0].Attributes
	d.SponsorManages = m.sponsor.asManager
	for _, x := range open {
		d.SponsorMust = d.SponsorMust || x.required
		for _, s := range x.Sponsors {
			if s != m.sponsor.fallback && !slices.Contains(d.Sponsors, s) {
				d.Sponsors = append(d.Sponsors, s)
			}
		}
	}
	if m.sponsor.fallback != "" {
		d.Sponsors = append(d.Sponsors, m.sponsor.fallback)
	}
	d.Invite = contractor.Invitation{
		Email: p.Email, DisplayName: d.Attributes["displayName"],
		RedirectURL: m.invitation.RedirectURL, SendMail: m.invitation.SendMail, Language: m.invitation.Language,
	}
	if d.Invite.DisplayName == "" {
		d.Invite.DisplayName = recordName(p, open[0].Engagement)
	}
}

// recordName is the name to invite by where the mapping gives none: as the vendor displays it, else given and family name.
func recordName(p *contractor.Person, engagement string) string {
	for i := range p.Engagements {
		if r := &p.Engagements[i].Record; p.Engagements[i].ID == engagement {
			return left(cmp.Or(tidy(r.DisplayName), tidy(r.GivenName+" "+r.FamilyName)), 256)
		}
	}
	return ""
}

// next is the first instant after now at which the answer can change by time alone.
func next(d *contractor.Desired, decisions []decision, now time.Time) time.Time {
	var first time.Time
	note := func(t time.Time) {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for i := range decisions {
		x := &decisions[i]
		if !x.Period.NoEnd {
			note(x.Period.End)
		}
		if !x.contributes() {
			continue
		}
		note(x.InviteAt)
		note(x.Period.Start)
		note(x.noticeAt)
		for _, g := range x.Grants {
			note(g.End)
		}
	}
	note(d.DeleteAt)
	note(d.UnsponsorAt)
	return first
}
