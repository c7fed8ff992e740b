package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// grants reads what the guest holds, plans, and carries the plan out.
func (ps *pass) grants(ctx context.Context) error {
	s := &scene{
		now: ps.now, want: ps.want, settle: ps.Settle, native: ps.NativeGrace,
		removed: func(key contractor.EntitlementKey) removal { return ps.removals.of(ps.p.GuestID, key) },
		mayEnd:  func(engagement string) bool { return ps.doubt == "" || endedByVendor(ps.p, engagement) },
	}
	if ps.held != "" { // nothing opens while somebody has to decide; what ends, ends
		s.want.Grants = standing(s.want.Grants, ps.p.Holdings)
	}
	for i := range ps.p.Holdings {
		if h := &ps.p.Holdings[i]; h.State != contractor.HoldingEnded {
			s.holdings = append(s.holdings, h)
		}
	}
	if ps.want.Open && len(s.want.Grants) == 0 && len(s.holdings) == 0 && ps.fresh {
		return nil // nothing to compare
	}
	if !ps.fresh {
		access, err := ps.Directory.Access(ctx, ps.p.GuestID, ps.usesSchedules(s), ps.usesPackages(s))
		if err != nil {
			return err
		}
		ps.access = access
	}
	s.access = ps.access
	ps.compareSchedules(s)
	if err := ps.caps(ctx, s); err != nil {
		return err
	}
	steps, waits := s.plan()
	steps = ps.compareMembers(ctx, s, steps)
	ps.problems, ps.looks = append(ps.problems, s.problems...), append(ps.looks, s.looks...)
	for _, w := range waits {
		ps.looks = append(ps.looks, ps.now.Add(ps.readBack(w)))
	}
	defer ps.keepNew(steps)
	for i := range steps {
		if err := ps.carryOut(ctx, &steps[i]); err != nil {
			return err
		}
	}
	ps.renewals(s)
	return nil
}

// keepNew adds what was granted in this pass to the person, who is looked at again before the pass ends.
func (ps *pass) keepNew(steps []step) {
	for i := range steps {
		if h := steps[i].holding; h != nil && steps[i].isNew {
			ps.p.Holdings = append(ps.p.Holdings, *h)
		}
	}
}

// standing keeps the grants that are held already.
func standing(grants []contractor.Grant, holdings []contractor.Holding) []contractor.Grant {
	var kept []contractor.Grant
	for _, g := range grants {
		for i := range holdings {
			if holdings[i].Entitlement.Key() == g.Entitlement.Key() && holdings[i].State == contractor.HoldingHeld {
				kept = append(kept, g)
			}
		}
	}
	return kept
}

// usesSchedules and usesPackages spare tenants without the licence the reads that need it. Somebody who leaves is searched
// for everything that the mapping could have given anybody.
func (ps *pass) usesSchedules(s *scene) bool {
	return ps.uses(s, func(k contractor.Kind, e contractor.Expiry, m contractor.Mechanism) bool {
		return m == contractor.MechanismSchedule || (m == "" && k == contractor.KindGroup && e != contractor.ExpiryBridge)
	})
}

func (ps *pass) usesPackages(s *scene) bool {
	return ps.uses(s, func(k contractor.Kind, _ contractor.Expiry, _ contractor.Mechanism) bool {
		return k == contractor.KindAccessPackage
	})
}

func (ps *pass) uses(s *scene, is func(contractor.Kind, contractor.Expiry, contractor.Mechanism) bool) bool {
	for _, g := range s.want.Grants {
		if is(g.Entitlement.Kind, g.Entitlement.Expiry, "") {
			return true
		}
	}
	for _, h := range s.holdings {
		if is(h.Entitlement.Kind, h.Entitlement.Expiry, h.Mechanism) {
			return true
		}
	}
	if !ps.want.Open {
		for _, e := range ps.Rules().Catalog() {
			if is(e.Kind, e.Expiry, "") {
				return true
			}
		}
	}
	return false
}

// caps asks for the longest assignment of the groups whose schedule may have to be made or moved.
func (ps *pass) caps(ctx context.Context, s *scene) error {
	s.caps = map[string]time.Duration{}
	for i := range s.want.Grants {
		g := &s.want.Grants[i]
		e := g.Entitlement
		if e.Kind != contractor.KindGroup || e.Expiry == contractor.ExpiryBridge || ps.now.Before(g.Start) {
			continue
		}
		settled := false
		for _, h := range s.holdings {
			settled = settled || h.Entitlement.Key() == e.Key() && sameInstant(h.EntraEnd, g.End)
		}
		if settled {
			continue
		}
		bound, err := ps.Directory.GroupCap(ctx, e.ID)
		if err != nil {
			return err
		}
		s.caps[e.ID] = bound
	}
	return nil
}

// renewals notes when a schedule that the policy keeps short of its grant's end has to be moved on.
func (ps *pass) renewals(s *scene) {
	for _, h := range s.holdings {
		if h.Mechanism == contractor.MechanismSchedule && h.State == contractor.HoldingHeld && h.EntraEnd.Before(h.End.Add(-time.Second)) {
			ps.looks = append(ps.looks, h.EntraEnd.Add(-s.renewWindow(h.Entitlement.ID)))
		}
	}
}

// carryOut makes one step: the intent on disk, the call, the outcome on disk with its event.
func (ps *pass) carryOut(ctx context.Context, st *step) error {
	h := ps.holdingFor(st)
	switch st.op {
	case opSeen:
		h.State, h.Handle = contractor.HoldingHeld, st.handle
		if h.Since.IsZero() {
			h.Since = ps.now
		}
		return ps.recordHolding(ctx, h, ps.grantEvent("grant.added", st, h, "seen in Entra after its answer was lost"))
	case opGone:
		ps.removals.done(ps.p.GuestID, st.key)
		h.State, h.EndedAt = contractor.HoldingEnded, ps.now
		if h.Since.IsZero() {
			return ps.record(ctx, []*contractor.Holding{h}) // it never stood
		}
		return ps.recordHolding(ctx, h, ps.grantEvent("grant.gone", st, h, "read back: not held any more; "+st.why))
	case opNote:
		if h.Handle == st.handle || st.handle == "" || !sameGrant(h, st.grant) {
			e := ps.moved(st, h)
			ps.describe(h, st)
			return ps.recordHolding(ctx, h, e)
		}
		h.Handle = st.handle // the package was delivered: its assignment has an id now
		return ps.record(ctx, []*contractor.Holding{h})
	}
	if st.op == opGrant {
		ps.describe(h, st)
		h.Mechanism, h.State = st.mechanism, contractor.HoldingGranting
	} else if st.op == opRemove && h != nil {
		h.State = contractor.HoldingRemoving
	}
	if h != nil && st.op != opMove {
		h.WrittenAt = ps.now
		if err := ps.record(ctx, []*contractor.Holding{h}); err != nil {
			return err
		}
	}
	r, err := ps.call(ctx, st)
	if err != nil {
		return ps.stepFailed(ctx, st, h, err)
	}
	if st.op == opRemove {
		ps.removals.note(ps.p.GuestID, st.key, ps.now)
	}
	ps.lookAfter(st)
	switch st.op {
	case opGrant:
		h.State, h.EntraEnd, h.Handle = contractor.HoldingHeld, st.entraEnd, r.Handle
		if h.Since.IsZero() {
			h.Since = ps.now
		}
		return ps.recordHolding(ctx, h, proven(ps.grantEvent("grant.added", st, h, st.why), r))
	case opMove:
		e := proven(ps.moved(st, h), r)
		ps.describe(h, st)
		h.EntraEnd, h.WrittenAt = st.entraEnd, ps.now
		if r.Handle != "" {
			h.Handle = r.Handle
		}
		return ps.recordHolding(ctx, h, e)
	}
	if st.foreign {
		return ps.record(ctx, nil, proven(ps.grantEvent("foreign.remove_sent", st, nil, st.why), r))
	}
	return ps.recordHolding(ctx, h, proven(ps.grantEvent("grant.remove_sent", st, h, st.why), r))
}

// holdingFor is the step's holding, a new one for something new, nil for what is not ours.
func (ps *pass) holdingFor(st *step) *contractor.Holding {
	if st.holding == nil && st.grant != nil {
		st.holding, st.isNew = &contractor.Holding{}, true
	}
	return st.holding
}

// describe takes the grant's side of a holding from the grant in force.
func (ps *pass) describe(h *contractor.Holding, st *step) {
	g := st.grant
	h.Entitlement, h.End = g.Entitlement, g.End
	h.Rule, h.Line, h.Revision, h.Engagement, h.Vendor = g.Rule, g.Line, ps.want.Revision, g.Engagement, g.Vendor
	if by, stays := ps.kept[g.Entitlement.Key()]; stays {
		h.Revision = by
	}
}

func (ps *pass) recordHolding(ctx context.Context, h *contractor.Holding, e audit.Event) error {
	return ps.record(ctx, []*contractor.Holding{h}, e)
}

// lookAfter plans the reading back of a change. A plain grant that Entra acknowledged is believed until the next look; what was
// taken away, and a package that is being delivered, is read back soon.
func (ps *pass) lookAfter(st *step) {
	if st.op == opRemove && ps.removals.of(ps.p.GuestID, st.key).stubborn() {
		ps.lookIn(time.Minute)
		return
	}
	if st.op == opRemove || st.op == opGrant && st.mechanism == contractor.MechanismPackage {
		ps.lookIn(lookSoon)
	}
}

// stepFailed sorts a failed step: looked at again soon, or told and left while the rest of the pass goes on.
func (ps *pass) stepFailed(ctx context.Context, st *step, h *contractor.Holding, err error) error {
	var f *contractor.Failure
	if !errors.As(err, &f) {
		return err
	}
	if f.Verdict != contractor.VerdictUnknown && h != nil && st.op != opMove {
		h.WrittenAt = time.Time{} // known not to have happened: nothing to wait for
		if err := ps.record(ctx, []*contractor.Holding{h}); err != nil {
			return err
		}
	}
	return ps.tolerate(err)
}

// call makes the step's one call to Entra.
func (ps *pass) call(ctx context.Context, st *step) (contractor.Receipt, error) {
	priority := contractor.PriorityOpen
	if st.op == opRemove {
		priority = contractor.PriorityClose
	}
	ctx = contractor.WithPriority(ctx, priority)
	a := contractor.Assignment{GuestID: ps.p.GuestID, AssignmentID: st.handle, End: st.entraEnd, Justification: ps.justify(st)}
	if st.key.Kind == contractor.KindGroup {
		a.GroupID = st.key.ID
	} else {
		a.PackageID = st.key.ID
	}
	if st.grant != nil {
		a.PolicyID = st.grant.Entitlement.Policy
	}
	d := ps.Directory
	switch st.mechanism {
	case contractor.MechanismMember:
		if st.op == opGrant {
			return d.AddMember(ctx, a.GroupID, a.GuestID)
		}
		return d.RemoveMember(ctx, a.GroupID, a.GuestID)
	case contractor.MechanismSchedule:
		switch st.op {
		case opGrant:
			return d.AssignGroup(ctx, a)
		case opMove:
			return d.MoveGroup(ctx, a)
		}
		return d.UnassignGroup(ctx, a)
	}
	switch st.op {
	case opGrant:
		return d.AssignPackage(ctx, a)
	case opMove:
		return d.MovePackage(ctx, a)
	}
	return d.UnassignPackage(ctx, a)
}

// justify is what Entra's own log keeps of the reason.
func (ps *pass) justify(st *step) string {
	if st.grant != nil {
		return fmt.Sprintf("scimbridge: rule %s, engagement %s, vendor %s", st.grant.Rule, st.grant.Engagement, st.grant.Vendor)
	}
	return "scimbridge: " + st.why
}

// grantEvent tells what happened to one entitlement, by which rule and because of which engagement.
func (ps *pass) grantEvent(kind string, st *step, h *contractor.Holding, why string) audit.Event {
	e := ps.event(kind, audit.Done, why)
	e.Entitlement = string(st.key.Kind) + " " + st.key.ID
	if h != nil {
		e.Entitlement = fmt.Sprintf("%s %s (%s)", st.key.Kind, h.Entitlement.Name, st.key.ID)
		e.Rule, e.Line, e.Engagement, e.Vendor, e.Until = h.Rule, h.Line, h.Engagement, h.Vendor, h.End
		if h.Revision != "" { // the file in which the line is
			e.Revision = h.Revision
		}
		if st.op == opGrant || st.op == opSeen {
			e.Detail = detail(map[string]any{"mechanism": h.Mechanism, "entraEnd": st.entraEnd})
		}
	}
	return e
}

// moved tells how a standing grant changed; it reads the holding as it was before.
func (ps *pass) moved(st *step, h *contractor.Holding) audit.Event {
	kind, why := "grant.rerouted", "granted by another rule or engagement now"
	switch {
	case st.grant.End.After(h.End.Add(time.Second)):
		kind, why = "grant.extended", "the engagement or its rule ends later now"
	case st.grant.End.Before(h.End.Add(-time.Second)):
		kind, why = "grant.shortened", "the engagement or its rule ends sooner now"
	case st.op == opMove:
		kind, why = "grant.renewed", "the end that Entra enforces was moved on towards the grant's"
	}
	before := h.End
	after := *h
	ps.describe(&after, st)
	e := ps.grantEvent(kind, st, &after, why)
	e.Detail = detail(map[string]any{"endBefore": before, "endAfter": st.grant.End, "entraEnd": st.entraEnd})
	return e
}

func detail(v map[string]any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}
