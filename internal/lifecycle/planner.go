package lifecycle

import (
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// minSchedule is the shortest assignment that PIM for Groups takes (five minutes, graph.md 2.3) with a margin for the way there.
const minSchedule = 5*time.Minute + 30*time.Second

// op is what a step does to one entitlement of one person.
type op string

const (
	opGrant  op = "grant"  // make it stand in Entra
	opMove   op = "move"   // change the end that Entra enforces
	opRemove op = "remove" // take it away
	opSeen   op = "seen"   // no call: Entra was seen to hold what an intent announced
	opGone   op = "gone"   // no call: Entra was seen not to hold it any more
	opNote   op = "note"   // no call: end or rule changed, and Entra has nothing to be told
)

// step is one change of one entitlement. The planner makes steps, run carries them out in order.
type step struct {
	op        op
	holding   *contractor.Holding // nil for something new, or something that is not ours
	grant     *contractor.Grant   // nil where nothing is granted any more
	mechanism contractor.Mechanism
	key       contractor.EntitlementKey
	entraEnd  time.Time // the end for Entra to enforce
	handle    string    // schedule or assignment id as read
	isNew     bool      // the holding was made for this step
	foreign   bool      // not granted by us: taken away only from somebody who leaves
	why       string
}

// scene is what the planner looks at. It is pure: no call, no clock.
type scene struct {
	now      time.Time
	want     contractor.Desired
	holdings []*contractor.Holding // not ended
	access   contractor.Access
	settle   time.Duration
	native   time.Duration                           // grace for Entra's own expiry
	removed  func(contractor.EntitlementKey) removal // when it was sent
	caps     map[string]time.Duration                // group id -> longest PIM assignment; 0 or absent: no bound known
	mayEnd   func(engagement string) bool            // false: only the clock says so, and the clock is in doubt

	// Found by the planner:
	problems []string    // what a person must see to
	looks    []time.Time // when to look again
	waits    []time.Time // removals that Entra may not show yet
}

// missingInEntra is why something that stood is granted again.
const missingInEntra = "it was missing in Entra"

// plan compares what should stand with what stands. Steps that take away come first. waits are ages of writes that Entra may
// not show yet: the pass looks again.
func (s *scene) plan() (steps []step, waits []time.Time) {
	byKey := map[contractor.EntitlementKey]*contractor.Holding{}
	for _, h := range s.holdings {
		byKey[h.Entitlement.Key()] = h
	}
	wanted := map[contractor.EntitlementKey]bool{}
	var adds []step
	for i := range s.want.Grants {
		g := &s.want.Grants[i]
		if !s.want.Open || s.now.Before(g.Start) || !s.now.Before(g.End) {
			continue
		}
		wanted[g.Entitlement.Key()] = true
		st, wait := s.forGrant(g, byKey[g.Entitlement.Key()])
		adds = append(adds, st...)
		waits = append(waits, wait...)
	}
	for _, h := range s.holdings {
		if wanted[h.Entitlement.Key()] {
			continue
		}
		st, wait := s.forLeftover(h)
		steps = append(steps, st...)
		waits = append(waits, wait...)
	}
	if !s.want.Open {
		steps = append(steps, s.forForeign(byKey)...)
	}
	return append(steps, adds...), append(waits, s.waits...)
}

// forGrant is what a wanted grant needs.
func (s *scene) forGrant(g *contractor.Grant, h *contractor.Holding) ([]step, []time.Time) {
	seen := s.look(g.Entitlement.Key())
	if h == nil {
		seen.failed = false // somebody's old, failed request is no reason not to try ours
	}
	mechanism, entraEnd := s.mechanism(g)
	grant := step{op: opGrant, holding: h, grant: g, mechanism: mechanism, key: g.Entitlement.Key(), entraEnd: entraEnd, handle: seen.handle}
	young := h != nil && s.now.Sub(h.WrittenAt) < s.settle
	switch {
	case h == nil:
		return []step{grant}, nil
	case h.State == contractor.HoldingGranting && seen.there:
		seenStep := grant
		seenStep.op = opSeen
		return []step{seenStep}, nil
	case seen.failed:
		s.problems = append(s.problems, "access package "+g.Entitlement.Name+" was not delivered: look at its request in Entra, mend the cause and reprocess it there")
		return nil, []time.Time{h.WrittenAt}
	case young && (h.State != contractor.HoldingHeld || !seen.there):
		return nil, []time.Time{h.WrittenAt} // sent a moment ago: Entra may not show it yet
	case !seen.there:
		grant.why = missingInEntra
		return []step{grant}, nil
	case h.State == contractor.HoldingRemoving:
		grant.why = "wanted again while it was being taken away"
		return []step{grant}, nil
	}
	return s.forChange(g, h, seen, grant)
}

// forChange is what a standing grant needs whose end or rule is another now.
func (s *scene) forChange(g *contractor.Grant, h *contractor.Holding, seen sight, grant step) ([]step, []time.Time) {
	move, note := grant, grant
	move.op, move.mechanism, note.op, note.mechanism = opMove, h.Mechanism, opNote, h.Mechanism
	changed := !sameGrant(h, g)
	switch h.Mechanism {
	case contractor.MechanismMember:
		if grant.mechanism == contractor.MechanismSchedule {
			grant.why = "long enough now for Entra to end it"
			return []step{grant}, nil
		}
	case contractor.MechanismSchedule:
		move.entraEnd = s.scheduleEnd(g)
		if g.End.Sub(s.now) >= minSchedule && s.mustMove(h, g, move.entraEnd) { // PIM cannot be told a nearer end: the loop keeps it
			return []step{move}, nil
		}
	case contractor.MechanismPackage:
		if !sameInstant(h.EntraEnd, g.End) {
			if !seen.movable {
				return nil, []time.Time{h.WrittenAt} // being delivered: there is no assignment to move yet
			}
			return []step{move}, nil
		}
		if h.Handle != seen.handle && seen.handle != "" {
			changed = true
		}
	}
	if changed {
		return []step{note}, nil
	}
	return nil, nil
}

// sameGrant reports whether a holding is described by the grant as it is now.
func sameGrant(h *contractor.Holding, g *contractor.Grant) bool {
	return sameInstant(h.End, g.End) && h.Rule == g.Rule && h.Engagement == g.Engagement
}

// mustMove reports whether Entra's end of a schedule has to change now. One that the policy's cap keeps short of the grant's
// end is moved on when a quarter of the cap, at most two weeks, is left: rarely, yet long before it runs out.
func (s *scene) mustMove(h *contractor.Holding, g *contractor.Grant, target time.Time) bool {
	switch {
	case h.EntraEnd.IsZero() || h.EntraEnd.After(g.End.Add(time.Second)):
		return true
	case !target.After(h.EntraEnd.Add(time.Second)):
		return false
	case sameInstant(target, g.End):
		return true
	}
	return !s.now.Before(h.EntraEnd.Add(-s.renewWindow(g.Entitlement.ID)))
}

func (s *scene) renewWindow(group string) time.Duration {
	return min(s.caps[group]/4, 14*24*time.Hour)
}

// mechanism chooses how Entra is to hold a grant, and the end it can enforce.
func (s *scene) mechanism(g *contractor.Grant) (contractor.Mechanism, time.Time) {
	switch {
	case g.Entitlement.Kind == contractor.KindAccessPackage:
		return contractor.MechanismPackage, g.End
	case g.Entitlement.Expiry == contractor.ExpiryBridge, g.End.Sub(s.now) < minSchedule:
		return contractor.MechanismMember, time.Time{}
	}
	return contractor.MechanismSchedule, s.scheduleEnd(g)
}

// scheduleEnd is the grant's end, or as near to it as the group's policy lets a schedule reach.
func (s *scene) scheduleEnd(g *contractor.Grant) time.Time {
	if bound := s.caps[g.Entitlement.ID]; bound > 0 && g.End.Sub(s.now) > bound {
		return s.now.Add(bound - time.Minute) // a minute for clocks that differ and calls that wait
	}
	return g.End
}

// forLeftover is what a holding needs that nothing wants any more.
func (s *scene) forLeftover(h *contractor.Holding) ([]step, []time.Time) {
	seen := s.look(h.Entitlement.Key())
	young := !h.WrittenAt.IsZero() && s.now.Sub(h.WrittenAt) < s.settle
	remove := step{op: opRemove, holding: h, mechanism: h.Mechanism, key: h.Entitlement.Key(), handle: seen.handle, why: leftoverReason(h, s.now)}
	switch {
	case !seen.there && young && h.State != contractor.HoldingRemoving:
		return nil, []time.Time{h.WrittenAt} // granted a moment ago: it may yet appear
	case !seen.there:
		remove.op = opGone
		return []step{remove}, nil
	case !s.mayEnd(h.Engagement) && !s.now.Before(h.End):
		return nil, nil
	case h.State == contractor.HoldingRemoving && s.sent(h.Entitlement.Key(), h.Entitlement.Name):
		return nil, nil
	case h.State == contractor.HoldingRemoving && young:
		return nil, []time.Time{h.WrittenAt}
	case !s.want.Open && !h.EntraEnd.IsZero() && !s.now.Before(h.EntraEnd) && s.now.Sub(h.EntraEnd) < s.native:
		return nil, []time.Time{h.EntraEnd} // the door is shut; Entra's own expiry takes it for free
	case h.Mechanism == contractor.MechanismPackage && !seen.movable:
		return nil, []time.Time{h.WrittenAt} // being delivered: there is no assignment to remove yet
	}
	return []step{remove}, nil
}

// sent reports whether a removal was sent so lately that it is not sent again. One that does not take is told.
func (s *scene) sent(key contractor.EntitlementKey, name string) bool {
	if s.removed == nil {
		return false
	}
	r := s.removed(key)
	again := r.again(s.now, s.settle)
	if !s.now.Before(again) {
		return false
	}
	if r.stubborn() {
		s.problems = append(s.problems, string(key.Kind)+" "+name+" was taken away, and Entra shows it still: look at the guest in Entra, and take it away there")
		s.looks = append(s.looks, again)
	} else {
		s.waits = append(s.waits, r.last)
	}
	return true
}

func leftoverReason(h *contractor.Holding, now time.Time) string {
	if !now.Before(h.End) {
		return "its end, " + h.End.UTC().Format(time.RFC3339) + ", has passed"
	}
	return "no rule grants it any more"
}

// forForeign takes from somebody who leaves what others gave: a deleted guest that is restored would have it again.
func (s *scene) forForeign(ours map[contractor.EntitlementKey]*contractor.Holding) []step {
	var steps []step
	const why = "the person leaves, and with everything that somebody else gave"
	for _, g := range s.access.Groups {
		key := contractor.EntitlementKey{Kind: contractor.KindGroup, ID: g.GroupID}
		if g.Dynamic || ours[key] != nil || len(s.access.Packages) > 0 && g.ScheduleID == "" {
			continue // a membership that came with a package goes with it; what is left then is looked at then
		}
		if s.sent(key, g.GroupID) {
			continue
		}
		mechanism := contractor.MechanismMember
		if g.ScheduleID != "" {
			mechanism = contractor.MechanismSchedule
		}
		steps = append(steps, step{op: opRemove, mechanism: mechanism, key: key, handle: g.ScheduleID, foreign: true, why: why})
	}
	for _, a := range s.access.Packages {
		key := contractor.EntitlementKey{Kind: contractor.KindAccessPackage, ID: a.PackageID}
		if ours[key] != nil || a.AssignmentID == "" {
			continue
		}
		if s.sent(key, a.PackageID) {
			continue
		}
		steps = append(steps, step{op: opRemove, mechanism: contractor.MechanismPackage, key: key, handle: a.AssignmentID, foreign: true, why: why})
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(string(a.key.Kind)+a.key.ID, string(b.key.Kind)+b.key.ID) })
	return steps
}

// sight is how an entitlement looks in what was read.
type sight struct {
	there   bool
	handle  string
	movable bool // packages: there is an assignment to change or remove
	failed  bool // packages: Entra could not deliver it, or somebody denied it
}

func (s *scene) look(key contractor.EntitlementKey) sight {
	if key.Kind == contractor.KindGroup {
		for _, g := range s.access.Groups {
			if g.GroupID == key.ID {
				return sight{there: g.Member || g.ScheduleID != "", handle: g.ScheduleID, movable: true}
			}
		}
		return sight{}
	}
	for _, a := range s.access.Packages {
		if a.PackageID == key.ID {
			failed := a.State == "deliveryFailed" || a.State == "denied" || a.State == "canceled"
			return sight{there: !failed, failed: failed, handle: a.AssignmentID, movable: a.AssignmentID != ""}
		}
	}
	return sight{}
}

// sameInstant compares ends as Entra keeps them: to the second.
func sameInstant(a, b time.Time) bool {
	return a.Truncate(time.Second).Equal(b.Truncate(time.Second))
}
