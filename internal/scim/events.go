package scim

import (
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// event begins the journal's line of a vendor's write. Names and addresses go into Personal alone.
func (k *call) event(kind string, e *contractor.Engagement) audit.Event {
	ev := audit.Event{
		Time: k.now, Kind: kind, Actor: audit.Actor{Kind: audit.ActorVendor, Name: k.client.Vendor}, Outcome: audit.Done,
		Engagement: e.ID, Vendor: e.Vendor, Until: e.Standing.EffectiveEnd,
	}
	p := append(make([]byte, 0, 160), `{"userName":`...)
	p = appendString(p, e.Record.UserName)
	p = appendString(append(p, `,"email":`...), e.Record.Email)
	if n := fullName(&e.Record); n != "" {
		p = appendString(append(p, `,"name":`...), n)
	}
	ev.Personal = append(p, '}')
	return ev
}

func fullName(r *contractor.Record) string {
	switch {
	case r.DisplayName != "":
		return r.DisplayName
	case r.GivenName != "" && r.FamilyName != "":
		return r.GivenName + " " + r.FamilyName
	}
	return r.GivenName + r.FamilyName
}

// created, changed and deleted make the events of a write. Detail names the attributes that changed, never their values,
// and both ends.
func (k *call) created(e *contractor.Engagement, d *draft) audit.Event {
	ev := k.event(kindCreated, e)
	empty := value{kind: object}
	ev.Detail = k.detail(differing(k.names.t.root, &empty, &d.root, make([]string, 0, 48)), time.Time{}, e.Standing.EffectiveEnd)
	k.feed.decorate(&ev)
	return ev
}

func (k *call) changed(kind string, old, e *contractor.Engagement, end time.Time, was, is *draft) audit.Event {
	switch {
	case old.Record.Active && !e.Record.Active:
		kind = kindEnded
	case !old.Record.Active && e.Record.Active:
		kind = kindReactivated
	}
	ev := k.event(kind, e)
	ev.Detail = k.detail(differing(k.names.t.root, &was.root, &is.root, nil), end, e.Standing.EffectiveEnd)
	k.feed.decorate(&ev)
	return ev
}

func (k *call) deleted(old *contractor.Engagement) audit.Event {
	ev := k.event(kindDeleted, old)
	was, end := period(k.vendor, old).End, k.now
	if !was.IsZero() && was.Before(end) {
		end = was
	}
	ev.Until = end
	ev.Detail = k.detail(nil, was, end)
	return ev
}

func (k *call) detail(changed []string, from, to time.Time) []byte {
	b := append(make([]byte, 0, 2048), '{') // a create names some thirty attributes
	if k.client.TokenID != "" {
		b = appendString(append(b, `"token":`...), k.client.TokenID)
		b = append(b, ',')
	}
	b = append(b, `"changed":[`...)
	for i, name := range changed {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
	}
	b = append(b, ']')
	if !from.Equal(to) {
		b = append(b, `,"end":{`...)
		if !from.IsZero() {
			b = append(appendTime(append(b, `"from":"`...), from), '"')
		}
		if !to.IsZero() {
			if !from.IsZero() {
				b = append(b, ',')
			}
			b = append(appendTime(append(b, `"to":"`...), to), '"')
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// differing lists the paths of the attributes whose values differ, complex ones by their parts.
func differing(a *attribute, was, is *value, into []string) []string {
	for _, s := range a.subs {
		w, i := was.get(s.name), is.get(s.name)
		switch {
		case w == nil && i == nil:
		case s.typ == typeComplex && !s.multi:
			empty := value{kind: object}
			if w == nil {
				w = &empty
			}
			if i == nil {
				i = &empty
			}
			into = differing(s, w, i, into)
		case w == nil || i == nil || !w.equal(i):
			into = append(into, s.path())
		}
	}
	return into
}
