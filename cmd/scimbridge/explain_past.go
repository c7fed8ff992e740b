package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
)

// moment is everything that is known about a person at an instant: the records as they were, what admins, sponsors and guards had
// decided by then, and what the journal says up to it.
type moment struct {
	at     time.Time
	person *contractor.Person
	record *db.PastPerson
	holds  []contractor.Hold // that waited
	events []audit.Event     // up to at, oldest first
	waits  string            // why the person waited
	failed string            // what the last pass could not do
	gaps   []string          // what is not known any more
}

// maxHistory bounds the events that are read about one person.
const maxHistory = 10_000

// momentOf reads a moment. For now (past false) what was decided comes from where the loop reads it, else from the journal.
func momentOf(ctx context.Context, s *db.Store, p *contractor.Person, m *mapper.Mapping, at time.Time, past bool) (*moment, error) {
	x := &moment{at: at}
	var err error
	if x.record, err = s.PersonAt(ctx, p.ID, at); err != nil {
		return nil, err
	}
	x.person = x.record.Person
	if err := x.journal(ctx, s, p.ID); err != nil {
		return nil, err
	}
	if past {
		x.decided()
	} else {
		x.person.Block, x.waits, x.failed = p.Block, p.Held, p.LastError
		for i := range x.person.Engagements {
			for k := range p.Engagements {
				if e := &x.person.Engagements[i]; e.ID == p.Engagements[k].ID {
					e.Extended, e.Stopped = p.Engagements[k].Extended, p.Engagements[k].Stopped
				}
			}
		}
	}
	all, err := s.Holds(ctx, contractor.HoldQuery{Person: p.ID, All: true})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if h := &all[i]; !h.Opened.After(at) && (h.State == contractor.HoldOpen || h.Decided.After(at)) {
			x.holds = append(x.holds, *h)
		}
	}
	for i := range x.person.Engagements {
		e := &x.person.Engagements[i]
		if v, known := vendorOf(m, e.Vendor); known {
			e.KeptUntil = lifecycle.KeptUntil(e, v, all, at)
		}
	}
	for id, since := range x.record.Lost {
		x.gap("what the record of engagement %s said then is not kept any more; it is since %s", id, day(since))
	}
	slices.Sort(x.gaps)
	return x, nil
}

func vendorOf(m *mapper.Mapping, name string) (*contractor.Vendor, bool) {
	if m == nil {
		return nil, false
	}
	return m.Vendor(name)
}

func (x *moment) gap(format string, args ...any) {
	x.gaps = append(x.gaps, fmt.Sprintf(format, args...))
}

// journal reads what was done and decided about the person up to the instant.
func (x *moment) journal(ctx context.Context, s *db.Store, person string) error {
	n := 0
	for e, err := range s.Journal(ctx, contractor.JournalQuery{Person: person, To: x.at.Add(time.Microsecond), Limit: maxHistory, Descending: true}) {
		if err != nil {
			return err
		}
		n++
		x.events = append(x.events, e)
	}
	slices.Reverse(x.events)
	if n == maxHistory {
		x.gap("only the last %d events before that time were read", maxHistory)
	}
	for e, err := range s.Journal(ctx, contractor.JournalQuery{Limit: 1}) {
		if err != nil {
			return err
		}
		if e.Seq > 1 && slices.ContainsFunc(x.person.Engagements, func(g contractor.Engagement) bool { return g.Created.Before(e.Time) }) {
			x.gap("events before %s were archived; what was decided earlier is in the archives", day(e.Time))
		}
	}
	return nil
}

// decided replays the decisions in the journal.
func (x *moment) decided() {
	engagements := map[string]*contractor.Engagement{}
	for i := range x.person.Engagements {
		engagements[x.person.Engagements[i].ID] = &x.person.Engagements[i]
	}
	x.person.Block = contractor.Block{}
	bridge := "" // the kind of event that lifts the bridge's own stop
	for i := range x.events {
		ev := &x.events[i]
		e := engagements[ev.Engagement]
		switch ev.Kind {
		case "person.blocked":
			x.person.Block, bridge = contractor.Block{At: ev.Time, By: ev.Actor.Name, Reason: ev.Reason}, ""
		case "attestation.overdue":
			x.person.Block, bridge = contractor.Block{At: ev.Time, By: "the bridge", Reason: ev.Reason}, "attestation.confirmed"
		case "sponsor.missing":
			x.person.Block, bridge = contractor.Block{At: ev.Time, By: "the bridge", Reason: ev.Reason}, "guest.sponsored"
		case "person.unblocked", bridge:
			x.person.Block, bridge = contractor.Block{}, ""
		case "person.held":
			x.waits = ev.Reason
		case "person.released":
			x.waits = ""
		case "pass.failed":
			x.failed = ev.Reason
		case "engagement.extended":
			if e != nil {
				e.Extended = contractor.Extension{Until: ev.Until, At: ev.Time, By: ev.Actor.Name, Reason: ev.Reason}
			}
		case "engagement.stopped":
			if e != nil {
				e.Stopped = contractor.Block{At: ev.Time, By: "its sponsor", Reason: ev.Reason}
			}
		case "engagement.restarted":
			if e != nil {
				e.Stopped = contractor.Block{}
			}
		}
		if strings.HasPrefix(ev.Kind, "guest.") || strings.HasPrefix(ev.Kind, "grant.") {
			x.failed = "" // a pass came further
		}
	}
}

// eventAt is the number of the event that made an engagement what it was from an instant on; 0 if it is not known.
func (x *moment) eventAt(engagement string, since time.Time) int64 {
	for i := range x.events {
		if e := &x.events[i]; e.Engagement == engagement && strings.HasPrefix(e.Kind, "engagement.") && e.Time.Sub(since).Abs() < time.Second {
			return e.Seq
		}
	}
	return 0
}
