package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// pass is one look at one person. now is taken once; everything the pass decides is decided for that instant.
type pass struct {
	*Loop
	now    time.Time
	p      *contractor.Person
	want   contractor.Desired
	guest  *contractor.Guest // as read in this pass; nil if there is none
	access contractor.Access // as read in this pass
	fresh  bool              // the guest was invited in this pass: it holds nothing, and reads may not find it yet

	clock    contractor.ClockDoubt
	doubt    string      // why the clock must not end anything now
	looks    []time.Time // when to look again, besides what the mapping says
	problems []string    // what a person must see to; no personal data
	failure  *contractor.Failure
	held     string // why the person waits
	drift    driftLook
	told     string // what vendors read of held; "": held
	ended    bool   // every wish is fulfilled and nothing is left to look for

	// restWaits: the door was shut just now, and other people's doors wait. Theirs come before this one's groups and packages, whose
	// calls have narrower quotas; the next look does the rest.
	restWaits bool

	kept    map[contractor.EntitlementKey]string // what stands against the mapping in force: the revision that grants it
	asItWas bool                                 // the mapping has no say about the guest's properties now
}

// Reconcile makes Entra agree with the records about one person, as far as it can now, and returns the next time to look
// (zero: never). It is idempotent, holds nothing between calls, and may be called for a person who is not due.
func (l *Loop) Reconcile(ctx context.Context, person string) (next time.Time, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	p, err := l.Store.Person(ctx, person)
	if err != nil {
		return time.Time{}, err
	}
	if p.NextAt.IsZero() || p.NextAt.After(now) {
		return p.NextAt, nil // offered twice: not due any more
	}
	ps := &pass{Loop: l, now: now, p: p}
	ps.askClock()
	if err := ps.guard(ctx); err != nil {
		return p.NextAt, err
	}
	if err := ps.moves(ctx); err != nil {
		return p.NextAt, err
	}
	if err := ps.waves(ctx); err != nil {
		return p.NextAt, err
	}
	ps.want = l.Rules().Desired(p, now)
	if err := ps.keepLosses(ctx); err != nil {
		return p.NextAt, err
	}
	if merged, err := ps.identity(ctx); err != nil || merged {
		l.Wake()
		return time.Time{}, err
	}
	ps.blocked()
	priority := contractor.PriorityOpen
	if !ps.want.Open {
		priority = contractor.PriorityClose
	}
	runCtx := contractor.WithVendor(contractor.WithPriority(ctx, priority), ps.vendor())
	runCtx, leave := l.running.enter(runCtx, p.ID, ps.closes(), ps.deadline())
	err = ps.run(runCtx)
	interrupted := runCtx.Err() != nil && ctx.Err() == nil
	leave()
	var failure *contractor.Failure
	switch {
	case err == nil:
	case interrupted:
		ps.lookIn(0) // the next date came, or closing work did: look again with the eyes of that instant
	case errors.As(err, &failure):
		ps.retry(failure)
	default:
		return p.NextAt, err
	}
	return ps.finish(ctx)
}

// vendor is whose work the pass is in Entra's quota: a live engagement's, else the last one's.
func (ps *pass) vendor() string {
	name := ""
	for _, ev := range ps.want.Evaluations {
		name = ev.Vendor
		if ev.Status == contractor.StatusActive || ev.Status == contractor.StatusExpiring {
			break
		}
	}
	return name
}

// closes reports whether the pass is closing work, which nothing may interrupt.
func (ps *pass) closes() bool { return !ps.want.Open }

// deadline is when what an open person's pass decided may stop being true: the next date of the mapping's answer. A call that
// waits for Entra's quota or for its next try must not grant anything after that, nor keep an end waiting. Zero: none.
func (ps *pass) deadline() time.Time {
	if ps.closes() || ps.want.Next.IsZero() {
		return time.Time{}
	}
	return ps.want.Next
}

// run does the work in the order that closes doors first. A *contractor.Failure ends the pass and is retried.
func (ps *pass) run(ctx context.Context) error {
	if err := ps.loadDrift(ctx); err != nil {
		return err
	}
	here, err := ps.settleGuest(ctx)
	if err != nil || !here {
		return err
	}
	ps.askClock() // Entra has just been heard: its clock is known now
	if ps.guest.Type != "Guest" || ps.guest.Privileged {
		ps.hold("the account became a member or holds a directory role; scimbridge does not touch such accounts: take the role away, or release the person")
		ps.lookIn(time.Hour)
		return nil
	}
	ps.p.GuestState = ps.guest.State
	if err := ps.door(ctx); err != nil || ps.restWaits {
		return err
	}
	if err := ps.readdress(ctx); err != nil {
		return err
	}
	if ps.want.Open && ps.held == "" && !ps.asItWas {
		if err := ps.compareGuest(ctx); err != nil {
			return err
		}
		if err := ps.attributes(ctx); err != nil {
			return err
		}
	}
	if err := ps.grants(ctx); err != nil {
		return err
	}
	return ps.farewell(ctx)
}

// retry turns a failed call into the next look. Ends are retried at short intervals for as long as it takes: a reconciler
// never gives up.
func (ps *pass) retry(f *contractor.Failure) {
	ps.p.Failures++
	wait := backoff(ps.p.Failures, ps.closing())
	switch f.Verdict {
	case contractor.VerdictUnknown:
		wait = min(wait, 2*time.Second) // look soon whether it happened
	case contractor.VerdictRefused, contractor.VerdictPermanent:
		wait = max(wait, time.Minute)
	}
	ps.looks = append(ps.looks, ps.now.Add(max(wait, f.RetryAfter)))
	ps.problem(f)
}

// backoff doubles from half a second: to half a minute where a door waits to be closed, to a quarter of an hour elsewhere.
func backoff(failures int, closing bool) time.Duration {
	limit := 15 * time.Minute
	if closing {
		limit = 30 * time.Second
	}
	d := 500 * time.Millisecond << min(max(failures-1, 0), 12)
	return min(d, limit)
}

func (ps *pass) closing() bool {
	return !ps.want.Open && ps.p.GuestID != "" && ps.p.Phase != contractor.PhaseGone
}

// problem keeps a failed call for the end of the pass. Its ids go into the event, not into the sentence, so that the same
// trouble met again is the same sentence.
func (ps *pass) problem(f *contractor.Failure) {
	sentence := f.Op + ": " + f.Message
	if f.Status != 0 {
		sentence = fmt.Sprintf("%s (HTTP %d %s)", sentence, f.Status, f.Code)
	}
	ps.problems = append(ps.problems, sentence)
	ps.failure = f
}

// worthTelling keeps what passes by itself within a few tries out of the journal.
func (ps *pass) worthTelling() bool {
	if f := ps.failure; f != nil && ps.p.Failures < 3 {
		return f.Verdict == contractor.VerdictRefused || f.Verdict == contractor.VerdictPermanent
	}
	return true
}

func (ps *pass) hold(reason string) {
	if ps.held == "" {
		ps.held = reason
	}
}

func (ps *pass) lookIn(d time.Duration) { ps.looks = append(ps.looks, ps.now.Add(d)) }

// record commits what was just done, or is about to be, with its events.
func (ps *pass) record(ctx context.Context, holdings []*contractor.Holding, events ...audit.Event) error {
	// What Entra has done must reach the journal even while the daemon is being stopped.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	return ps.Store.Record(ctx, &contractor.Change{Person: ps.p, Holdings: holdings}, events...)
}

// recordTimeout bounds a commit; a store that takes longer is broken, and the pass is made again.
const recordTimeout = 30 * time.Second

// event fills in what every event of the pass has in common.
func (ps *pass) event(kind string, outcome audit.Outcome, reason string) audit.Event {
	return audit.Event{
		Kind: kind, Outcome: outcome, Reason: reason, Actor: ps.actor(),
		Person: ps.p.ID, Revision: ps.want.Revision,
	}
}

// actor is the clock where a date that passed is the cause, else the bridge, which acts on what a record, a rule or an admin says.
func (ps *pass) actor() audit.Actor {
	if ps.p.Block.At.IsZero() && !ps.want.Open && !ps.want.CloseAt.IsZero() && !ps.now.Before(ps.want.CloseAt) && !allEndedByVendor(ps.p) {
		return audit.Actor{Kind: audit.ActorClock}
	}
	return audit.Actor{Kind: audit.ActorBridge}
}

func proven(e audit.Event, r contractor.Receipt) audit.Event {
	e.RequestID, e.ClientID = r.RequestID, r.ClientRequestID
	if r.Call != "" {
		told := map[string]any{}
		_ = json.Unmarshal(e.Detail, &told) // none yet, or an object of ours
		told["call"] = r.Call
		e.Detail = detail(told)
	}
	if r.AlreadySo {
		e.Reason += " (Entra had it so already)"
	}
	return e
}

// finish writes the end of the pass: what every engagement's vendor may read, what went wrong, and the next look.
func (ps *pass) finish(ctx context.Context) (time.Time, error) {
	p := ps.p
	if err := ps.settleDrift(ctx); err != nil {
		return p.NextAt, fmt.Errorf("drift was not recorded: %w", err)
	}
	lastError := strings.Join(ps.problems, "; ")
	var events []audit.Event
	if lastError != "" && (lastError != p.LastError || p.Failures == 3) && ps.worthTelling() {
		e := ps.event("pass.failed", audit.Failed, lastError)
		if ps.failure != nil {
			e.RequestID, e.ClientID = ps.failure.RequestID, ps.failure.ClientRequestID
		}
		events = append(events, e)
	}
	if lastError == "" {
		p.Failures = 0
	}
	if ps.doubt != "" && ps.held == "" && !ps.want.Open && p.Phase == contractor.PhaseOpen {
		ps.hold(ps.doubt)
	}
	if ps.held != p.Held {
		if ps.held != "" {
			events = append(events, ps.event("person.held", audit.Held, ps.held))
		} else {
			events = append(events, ps.event("person.released", audit.Done, "the reason for the hold is gone"))
		}
	}
	p.LastError, p.Held = lastError, ps.held
	p.NextAt = ps.next()
	p.Urgent = ps.urgentAt(p.NextAt)
	ps.tell(ctx)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	change := &contractor.Change{Person: p, Holdings: ps.confirmed(), Standings: ps.standings(), Finish: true}
	if err := ps.Store.Record(ctx, change, events...); err != nil {
		return p.NextAt, fmt.Errorf("the outcome of a pass was not recorded: %w", err)
	}
	return p.NextAt, nil
}

// next is the earliest of everything that can change the answer. Nothing is ever due in the past: what could not be done now
// has said when to try again.
func (ps *pass) next() time.Time {
	times := append([]time.Time{ps.want.Next}, ps.looks...)
	if !ps.ended && ps.p.GuestID != "" {
		times = append(times, ps.now.Add(ps.DriftEvery))
	}
	var next time.Time
	for _, t := range times {
		if t.IsZero() {
			continue
		}
		if !t.After(ps.now) {
			t = ps.now.Add(100 * time.Millisecond)
		}
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next
}

// urgentAt reports whether what is due at t closes access.
func (ps *pass) urgentAt(t time.Time) bool {
	if ps.closing() && ps.p.EmptyAt.IsZero() {
		return true
	}
	if ps.want.Open && !ps.want.CloseAt.IsZero() && !t.Before(ps.want.CloseAt) {
		return true
	}
	for i := range ps.p.Holdings {
		if h := &ps.p.Holdings[i]; h.State != contractor.HoldingEnded && !t.Before(h.End) {
			return true
		}
	}
	return false
}

// standings works out what changed in the vendors' view of the person's engagements.
func (ps *pass) standings() map[string]contractor.Standing {
	held := map[contractor.EntitlementKey]bool{}
	for i := range ps.p.Holdings {
		if h := &ps.p.Holdings[i]; h.State == contractor.HoldingHeld {
			held[h.Entitlement.Key()] = true
		}
	}
	changed := map[string]contractor.Standing{}
	for _, ev := range ps.want.Evaluations {
		s := contractor.Standing{
			Status: ev.Status, Reason: ev.Reason,
			EffectiveStart: ev.Period.Start, EffectiveEnd: ev.Period.End,
		}
		live := ev.Status == contractor.StatusActive || ev.Status == contractor.StatusExpiring || ev.Status == contractor.StatusScheduled
		switch {
		case ps.held != "" && (live || ps.p.Phase == contractor.PhaseOpen): // ended, but the end waits: so it is told
			s.Status, s.Reason = contractor.StatusHeld, cmp.Or(ps.told, ps.held)
		case ev.Status == contractor.StatusOffboarding && (ps.p.GuestID == "" || ps.p.Phase == contractor.PhaseGone):
			s.Status = contractor.StatusRemoved
		}
		if ps.p.Phase != contractor.PhaseGone {
			s.EntraObjectID, s.EntraUserState = ps.p.GuestID, ps.p.GuestState
		}
		for _, g := range ev.Grants {
			if held[g.Entitlement.Key()] && live && !ps.now.Before(g.Start) {
				s.Access = append(s.Access, g.Entitlement.Name)
			}
		}
		if !sameStanding(ps.standing(ev.Engagement), s) {
			changed[ev.Engagement] = s
		}
	}
	return changed
}

func sameStanding(a, b contractor.Standing) bool {
	return a.Status == b.Status && a.Reason == b.Reason && a.EffectiveStart.Equal(b.EffectiveStart) && a.EffectiveEnd.Equal(b.EffectiveEnd) &&
		a.EntraObjectID == b.EntraObjectID && a.EntraUserState == b.EntraUserState && slices.Equal(a.Access, b.Access)
}

func (ps *pass) standing(engagement string) contractor.Standing {
	for i := range ps.p.Engagements {
		if ps.p.Engagements[i].ID == engagement {
			return ps.p.Engagements[i].Standing
		}
	}
	return contractor.Standing{}
}
