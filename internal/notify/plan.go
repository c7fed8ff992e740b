package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"scimbridge/internal/contractor"
)

// plan looks through the live engagements for what sponsors have to be told, and ends the access of whom nobody confirmed.
func (n *Notifier) plan(ctx context.Context, now time.Time) error {
	rules := n.Rules()
	next := n.digestAt(now, 1)
	after := ""
	asked := map[string]bool{}
	for {
		list, err := n.Store.LiveEngagements(ctx, now, after, batch)
		if err != nil || len(list) == 0 {
			return err
		}
		var notices []contractor.SponsorNotice
		for i := range list {
			e := &list[i]
			notices = append(notices, n.about(rules, e, next)...)
			if asked[e.Person] {
				continue
			}
			asked[e.Person] = true
			a, err := n.attest(ctx, rules, e, now)
			if err != nil {
				return err
			}
			notices = append(notices, a...)
		}
		if _, err := n.Store.QueueNotices(ctx, notices); err != nil {
			return err
		}
		after = list[len(list)-1].Engagement
	}
}

// about is what to tell about one engagement: its end, a hold, a new sponsor. next is when the next digest is made: what is due
// before that is told now, so that a notice comes early rather than late.
func (n *Notifier) about(rules Rules, e *contractor.LiveEngagement, next time.Time) []contractor.SponsorNotice {
	base := contractor.SponsorNotice{Sponsor: e.Sponsor, Person: e.Person, Engagement: e.Engagement, Until: e.End}
	var out []contractor.SponsorNotice
	if span, due := dueNotice(rules, e, next); due {
		ending := base
		ending.Kind, ending.Key = contractor.NoticeEnding, fmt.Sprintf("ending %s %d %s", e.Engagement, e.End.UnixMicro(), span)
		out = append(out, ending)
	}
	if e.Held != "" {
		held := base
		sum := sha256.Sum256([]byte(e.Held))
		held.Kind, held.Words, held.Key = contractor.NoticeHold, e.Held, "hold "+e.Person+" "+hex.EncodeToString(sum[:8])
		out = append(out, held)
	}
	if e.Told != e.Sponsor {
		moved := base
		moved.Kind = contractor.NoticeSponsor
		if e.Told != "" { // the first sponsor is named by the record: no news to anybody
			moved.Key = fmt.Sprintf("sponsor %s %s %s", e.Person, e.Told, e.Sponsor)
		}
		out = append(out, moved)
	}
	return out
}

// dueNotice is the shortest of the mapping's notices that is due before next: of several that are, only the last counts.
func dueNotice(rules Rules, e *contractor.LiveEngagement, next time.Time) (contractor.Span, bool) {
	var shortest contractor.Span
	if e.End.IsZero() {
		return shortest, false
	}
	zone := time.UTC
	if v, ok := rules.Vendor(e.Vendor); ok && v.Zone != nil {
		zone = v.Zone
	}
	due := false
	for _, s := range rules.Notify() {
		if before(e.End, s, zone).Before(next) && (!due || s.Approx() < shortest.Approx()) {
			shortest, due = s, true
		}
	}
	return shortest, due
}

// before is t minus the span, days counted by the calendar of zone.
func before(t time.Time, s contractor.Span, zone *time.Location) time.Time {
	if s.Days != 0 {
		t = t.In(zone).AddDate(0, 0, -s.Days)
	}
	return t.Add(-s.Exact)
}

// attest asks for a confirmation that is due, or ends the access where one was asked for, by a mail that was sent, and the grace
// is over. A mail that never left ends nobody's access.
func (n *Notifier) attest(ctx context.Context, rules Rules, e *contractor.LiveEngagement, now time.Time) ([]contractor.SponsorNotice, error) {
	r := rules.Attest()
	if r.Every.IsZero() || e.Overdue {
		return nil, nil
	}
	since := e.Confirmed
	if since.IsZero() {
		since = e.Invited
	}
	lost := e.AskedSent.IsZero() && !e.Asked.IsZero() && !now.Before(r.Grace.After(e.Asked, n.Zone)) // the mail never left: ask again
	if e.Asked.IsZero() || lost {
		if now.Before(r.Every.After(since, n.Zone)) {
			return nil, nil
		}
		return []contractor.SponsorNotice{{
			Key: fmt.Sprintf("attest %s %d %d %s", e.Person, since.UnixMicro(), max(0, e.Asked.UnixMicro()), e.Sponsor), Kind: contractor.NoticeAttest,
			Sponsor: e.Sponsor, Person: e.Person, Engagement: e.Engagement, Until: r.Grace.After(now, n.Zone),
		}}, nil
	}
	if e.AskedSent.IsZero() || now.Before(r.Grace.After(e.AskedSent, n.Zone)) || n.clockDoubt() != "" {
		return nil, nil
	}
	stopped, err := n.Store.StopUnconfirmed(ctx, e.Person, "its sponsor did not confirm within "+r.Grace.String()+" that it is still needed; a confirmation gives access back (scimbridge attest confirm)")
	if stopped && n.Wake != nil {
		n.Wake()
	}
	return nil, err
}
