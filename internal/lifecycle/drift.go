package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// driftStore is what the loop keeps about drift. *db.Store fits.
type driftStore interface {
	// DriftOf reads what is known of a person's drift, with the overrides in force.
	DriftOf(ctx context.Context, person string, now time.Time) (contractor.DriftSituation, error)
	// RecordDrift writes drift, and when it was looked for (zero: as it is), with its events in one transaction.
	RecordDrift(ctx context.Context, person string, list []contractor.Drift, looked time.Time, events ...audit.Event) error
	// SuspectSponsor makes the next check of sponsors look at the person's.
	SuspectSponsor(ctx context.Context, person string) error
}

// driftLook is one pass's look at what somebody changed behind our back. A kind is examined only where the pass has read what it
// takes; what is known of an examined kind and was not seen again is over.
type driftLook struct {
	contractor.DriftSituation
	loaded   bool
	looked   time.Time // what costs reads of its own was compared in this pass
	examined map[contractor.DriftKind]bool
	seen     map[string]bool // kind and object
	changed  map[string]*contractor.Drift
	events   []audit.Event
}

func driftKey(k contractor.DriftKind, object string) string { return string(k) + " " + object }

func (ps *pass) loadDrift(ctx context.Context) error {
	d := &ps.drift
	if d.loaded {
		return nil
	}
	var err error
	d.DriftSituation, err = ps.Store.DriftOf(ctx, ps.p.ID, ps.now)
	d.loaded = err == nil
	d.examined, d.seen, d.changed = map[contractor.DriftKind]bool{}, map[string]bool{}, map[string]*contractor.Drift{}
	return err
}

// deviates notes drift that the pass sees, and says whether it is to be repaired now. What is not sure at once (a replica that
// lags shows yesterday) is suspected, and counts when it is seen again after Settle.
func (ps *pass) deviates(k contractor.DriftKind, object, words string, sure bool) (repair bool) {
	d := &ps.drift
	if !d.loaded {
		return ps.Rules().Drift(k) == contractor.DriftRepair
	}
	key := driftKey(k, object)
	d.seen[key] = true
	is, isNew := ps.knownDrift(k, object)
	before := *is
	is.Mode, is.Words = ps.Rules().Drift(k), words
	if is.State == contractor.DriftSuspected && (sure || !isNew && ps.now.Sub(is.Found) >= ps.Settle) {
		is.State = contractor.DriftOpen
		d.events = append(d.events, ps.driftEvent("drift.found", audit.Done, is, words))
	}
	if is.State == contractor.DriftSuspected {
		ps.lookIn(ps.Settle)
	}
	allowed := contractor.DriftAllowed(d.Overrides, is)
	if allowed != nil {
		ps.looks = append(ps.looks, allowed.Until)
	}
	if is.State == contractor.DriftOpen && is.Mode == contractor.DriftAdopt && allowed == nil && !is.Asked {
		is.State = contractor.DriftAdopted
		d.events = append(d.events, ps.driftEvent("drift.adopted", audit.Done, is, "the mapping takes it for a decision"))
	}
	if is.Asked && is.State == contractor.DriftAdopted {
		is.State = contractor.DriftOpen
	}
	if is.State == contractor.DriftOpen && allowed == nil && (is.Mode == contractor.DriftRepair || is.Asked) {
		repair = ps.mayRepair(is)
	}
	if isNew || before != *is {
		d.changed[key] = is
	}
	return repair
}

// mayRepair reports whether a repair is to be sent now, and notes when to look again. What was sent a moment ago may not be shown
// yet; what does not take, or is undone by somebody again and again, is tried at doubling distances, and told.
func (ps *pass) mayRepair(is *contractor.Drift) bool {
	age := ps.now.Sub(is.Acted)
	if !is.Acted.IsZero() && is.Tries > 0 {
		limit := 24 * time.Hour
		if contractor.DriftMustEnd(is.Kind) {
			limit = 15 * time.Minute
		}
		wait := min(ps.Settle<<min(is.Tries-1, 16), limit)
		if is.Tries >= stubborn {
			ps.problems = append(ps.problems, is.Words+"; it was made as the mapping has it several times and did not stay so: find out who or what changes it, or let it stand with scimbridge drift allow")
		}
		if age < wait {
			next := wait - age
			if age < ps.Settle {
				next = min(next, ps.readBack(is.Acted))
			}
			ps.lookIn(max(next, lookSoon))
			return false
		}
	}
	is.Acted = ps.now
	is.Tries++
	ps.lookIn(lookSoon)
	return true
}

// stubborn is after how many repairs without effect somebody has to look.
const stubborn = 4

// knownDrift finds drift that was seen before, or begins it.
func (ps *pass) knownDrift(k contractor.DriftKind, object string) (is *contractor.Drift, isNew bool) {
	d := &ps.drift
	if c := d.changed[driftKey(k, object)]; c != nil {
		return c, c.ID == 0
	}
	for i := range d.Known {
		if d.Known[i].Kind == k && d.Known[i].Object == object {
			return &d.Known[i], false
		}
	}
	return &contractor.Drift{Person: ps.p.ID, Kind: k, Object: object, State: contractor.DriftSuspected, Found: ps.now}, true
}

// respected reports whether drift of the kind and object is taken for somebody's decision.
func (ps *pass) respected(k contractor.DriftKind, object string) bool {
	return slices.ContainsFunc(ps.drift.Known, func(d contractor.Drift) bool {
		return d.Kind == k && d.Object == object && d.State == contractor.DriftAdopted
	})
}

func (ps *pass) driftEvent(kind string, outcome audit.Outcome, d *contractor.Drift, reason string) audit.Event {
	e := ps.event(kind, outcome, reason)
	e.Actor, e.Entitlement = audit.Actor{Kind: audit.ActorBridge}, d.Object
	e.Detail = detail(map[string]any{"kind": d.Kind, "mode": d.Mode})
	return e
}

// settleDrift records what the pass has found, and what is over: repaired, where we wrote and now read it back, or gone by
// itself.
func (ps *pass) settleDrift(ctx context.Context) error {
	d := &ps.drift
	if !d.loaded {
		return nil
	}
	for i := range d.Known {
		is := &d.Known[i]
		if !d.examined[is.Kind] || d.seen[driftKey(is.Kind, is.Object)] {
			continue
		}
		is.Settled = ps.now
		switch {
		case is.State == contractor.DriftSuspected:
		case is.Acted.IsZero():
			is.State = contractor.DriftVanished
			d.events = append(d.events, ps.driftEvent("drift.disappeared", audit.Done, is, "it is as the mapping has it, without our doing"))
		default:
			is.State = contractor.DriftRepaired
			d.events = append(d.events, ps.driftEvent("drift.repaired", audit.Done, is, "read back: it is as the mapping has it"))
		}
		d.changed[driftKey(is.Kind, is.Object)] = is
	}
	if len(d.changed) == 0 && d.looked.IsZero() {
		return nil
	}
	list := make([]contractor.Drift, 0, len(d.changed))
	for _, c := range d.changed {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b contractor.Drift) int {
		return strings.Compare(driftKey(a.Kind, a.Object), driftKey(b.Kind, b.Object))
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	return ps.Store.RecordDrift(ctx, ps.p.ID, list, d.looked, d.events...)
}

// examine notes that the pass has read what tells of these kinds.
func (ps *pass) examine(kinds ...contractor.DriftKind) {
	if ps.drift.loaded {
		for _, k := range kinds {
			ps.drift.examined[k] = true
		}
	}
}

// disabledByOther deals with a guest at work whose sign-in somebody disabled.
func (ps *pass) disabledByOther(ctx context.Context) error {
	const words = "sign-in was disabled by somebody else"
	if !ps.deviates(contractor.DriftDisabled, "", words, true) {
		is, _ := ps.knownDrift(contractor.DriftDisabled, "")
		switch allowed := contractor.DriftAllowed(ps.drift.Overrides, is); {
		case !is.Acted.IsZero() && ps.now.Sub(is.Acted) < ps.Settle:
			return nil // enabled again a moment ago
		case allowed != nil:
			ps.hold(words + ", which " + allowed.By + " lets stand until " + allowed.Until.Format(time.RFC3339) + ": " + allowed.Reason)
		case is.State == contractor.DriftAdopted:
			ps.hold(words + ", which the mapping takes for a decision; enable the guest in Entra, or end the engagement")
		default: // somebody had a reason: access is not given back behind that person's back
			ps.problems = append(ps.problems, words+"; enable the guest in Entra, or end the engagement, or run scimbridge drift --repair")
		}
		ps.lookIn(time.Hour) // the watch sees it sooner
		return nil
	}
	r, err := ps.Directory.SetEnabled(ctx, ps.p.GuestID, true)
	if err != nil {
		return ps.tolerate(err)
	}
	return ps.record(ctx, nil, proven(ps.event("guest.enabled", audit.Done, words), r))
}

// deletedByOther reports whether the deleted guest of somebody at work has to stay deleted.
func (ps *pass) deletedByOther() (stays bool) {
	if ps.p.Phase != contractor.PhaseOpen {
		return false // our own doing
	}
	const words = "the guest was deleted by somebody else"
	if ps.deviates(contractor.DriftDeleted, "", words, true) {
		return false
	}
	ps.hold(words + "; restore it in Entra, or run scimbridge drift --repair")
	ps.lookIn(time.Hour)
	return true
}

// compareGuest compares the guest's properties and sponsors with what was last written. What attributes, which follows, will
// write anyway is not compared.
func (ps *pass) compareGuest(ctx context.Context) error {
	d := &ps.drift
	hash, err := hashOf(&ps.want)
	if err != nil || hash != ps.p.AttributesHash || ps.fresh || !d.loaded {
		return err
	}
	if err := ps.compareSponsors(ctx); err != nil {
		return err
	}
	d.examined[contractor.DriftProperty] = true
	changed := changedProperties(ps.guest, ps.want.Attributes)
	if len(changed) > 0 && ps.deviates(contractor.DriftProperty, "", "properties were changed by somebody else: "+strings.Join(changed, ", "), false) {
		ps.p.AttributesHash = ""
	}
	return nil
}

// sponsorEvery is how many daily looks make one look at the sponsors, which costs a read of its own.
const sponsorEvery = 7

// compareSponsors looks once a week, and again where something is known to be wrong.
func (ps *pass) compareSponsors(ctx context.Context) error {
	d := &ps.drift
	wrong := slices.ContainsFunc(d.Known, func(k contractor.Drift) bool {
		return k.Kind == contractor.DriftSponsor && k.State != contractor.DriftAdopted
	})
	if !wrong && ps.now.Sub(d.Looked) < sponsorEvery*ps.DriftEvery-time.Minute {
		return nil
	}
	d.looked = ps.now
	if ps.p.SponsorID == "" {
		return nil
	}
	sponsors, err := ps.Directory.Sponsors(ctx, ps.p.GuestID)
	if err != nil {
		return ps.tolerate(err)
	}
	d.examined[contractor.DriftSponsor] = true
	if slices.ContainsFunc(sponsors, func(s string) bool { return strings.EqualFold(s, ps.p.SponsorID) }) {
		return nil
	}
	s, err := ps.Directory.Sponsor(ctx, ps.p.SponsorID)
	if err != nil {
		return ps.tolerate(err)
	}
	if !s.Exists || !s.Enabled { // nobody took the sponsor off: it left, and the check of sponsors finds who follows
		return ps.Store.SuspectSponsor(ctx, ps.p.ID)
	}
	const words = "the sponsor was taken off the guest by somebody else"
	if !ps.deviates(contractor.DriftSponsor, "", words, false) {
		return nil
	}
	r, err := ps.Directory.SetSponsors(ctx, ps.p.GuestID, []string{ps.p.SponsorID})
	if f := refusal(err); f != nil {
		if is, _ := ps.knownDrift(contractor.DriftSponsor, ""); is.Tries < stubborn { // else it is told already
			ps.problem(f)
		}
		return nil // tried again when mayRepair says so
	}
	if err != nil {
		return err
	}
	e := proven(ps.event("guest.sponsored", audit.Done, words), r)
	e.Detail = sponsorDetail(ps.p.SponsorID)
	return ps.record(ctx, nil, e)
}

// changedProperties names the properties that the mapping writes and that are another now. Those that Graph does not show, or
// shows in another form, are left out.
func changedProperties(g *contractor.Guest, want map[string]string) (changed []string) {
	for name, value := range want {
		if strings.HasPrefix(name, "extension_") || strings.HasPrefix(name, "employeeHireDate") || strings.HasPrefix(name, "employeeLeaveDateTime") || value == "" {
			continue
		}
		if strings.TrimSpace(g.Attributes[name]) != strings.TrimSpace(value) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed
}

// compareSchedules compares the ends that Entra enforces with those that were written, before the planner looks. A repair makes
// the planner see the end as it is, and so move it.
func (ps *pass) compareSchedules(s *scene) {
	if !ps.drift.loaded || ps.fresh {
		return
	}
	ps.drift.examined[contractor.DriftExtended], ps.drift.examined[contractor.DriftShortened] = true, true
	for _, h := range s.holdings {
		if h.State != contractor.HoldingHeld || h.EntraEnd.IsZero() {
			continue
		}
		if ps.now.Sub(h.WrittenAt) < ps.Settle { // nothing is known yet
			ps.drift.seen[driftKey(contractor.DriftExtended, objectName(h))] = true
			ps.drift.seen[driftKey(contractor.DriftShortened, objectName(h))] = true
			continue
		}
		end, shown := entraEnd(&s.access, h.Entitlement.Key())
		object := objectName(h)
		if !shown && ps.respected(contractor.DriftShortened, object) {
			ps.drift.seen[driftKey(contractor.DriftShortened, object)] = true
		}
		if !shown || sameInstant(end, h.EntraEnd) {
			continue
		}
		switch {
		case end.IsZero() || end.After(h.End.Add(time.Second)):
			if ps.deviates(contractor.DriftExtended, object, "somebody else made Entra keep it "+untilWords(end)+"; the grant ends "+h.End.UTC().Format(time.RFC3339), false) {
				h.EntraEnd = end
			}
		case end.Before(h.EntraEnd):
			if ps.deviates(contractor.DriftShortened, object, "somebody else made Entra end it "+end.UTC().Format(time.RFC3339)+"; the grant ends "+h.End.UTC().Format(time.RFC3339), false) {
				h.EntraEnd = end
			}
		default: // later than was written, and within the grant: no drift, but what a grant that is shortened now has to move
			h.EntraEnd = end
		}
	}
}

func untilWords(end time.Time) string {
	if end.IsZero() {
		return "for ever"
	}
	return "until " + end.UTC().Format(time.RFC3339)
}

func objectName(h *contractor.Holding) string {
	return fmt.Sprintf("%s %s (%s)", h.Entitlement.Kind, h.Entitlement.Name, strings.ToLower(h.Entitlement.ID))
}

// entraEnd is the end that Entra shows for an entitlement that it will end by itself.
func entraEnd(a *contractor.Access, key contractor.EntitlementKey) (end time.Time, shown bool) {
	if key.Kind == contractor.KindGroup {
		for _, g := range a.Groups {
			if g.GroupID == key.ID && g.ScheduleID != "" {
				return g.ScheduleEnd, true
			}
		}
		return end, false
	}
	for _, p := range a.Packages {
		if p.PackageID == key.ID && p.AssignmentID != "" {
			return p.End, true
		}
	}
	return end, false
}

// compareMembers takes out of the plan what is not to be granted again although it was taken away, and puts in the removal of
// what was added.
func (ps *pass) compareMembers(ctx context.Context, s *scene, steps []step) []step {
	if !ps.drift.loaded || ps.fresh || !ps.want.Open {
		return steps
	}
	ps.drift.examined[contractor.DriftRemoved], ps.drift.examined[contractor.DriftAdded] = true, true
	for _, h := range s.holdings { // granted again a moment ago: whether it stays is not known yet
		if h.State != contractor.HoldingEnded && ps.now.Sub(h.WrittenAt) < ps.Settle && !s.look(h.Entitlement.Key()).there {
			ps.drift.seen[driftKey(contractor.DriftRemoved, objectName(h))] = true
		}
	}
	steps = slices.DeleteFunc(steps, func(st step) bool {
		h := st.holding
		if st.op != opGrant || h == nil || h.State != contractor.HoldingHeld || st.why != missingInEntra {
			return false
		}
		object := objectName(h)
		if ps.respected(contractor.DriftShortened, object) {
			return true // it ran out at the end that was adopted
		}
		if !h.EntraEnd.IsZero() && !ps.now.Before(h.EntraEnd) {
			return false // it ran out, as Entra was told, and goes on
		}
		return !ps.deviates(contractor.DriftRemoved, object, "it was taken away by somebody else", true)
	})
	return append(ps.added(ctx, s), steps...)
}

// added are the removals of memberships in groups of the catalog that nobody wants and that we did not give, nor an access package
// that the guest has.
func (ps *pass) added(ctx context.Context, s *scene) (steps []step) {
	ours := map[contractor.EntitlementKey]bool{}
	for _, h := range s.holdings {
		ours[h.Entitlement.Key()] = true
	}
	for i := range ps.want.Grants { // also those that a hold keeps from being given
		ours[ps.want.Grants[i].Entitlement.Key()] = true
	}
	catalog := ps.Rules().Catalog()
	for _, g := range s.access.Groups {
		key := contractor.EntitlementKey{Kind: contractor.KindGroup, ID: g.GroupID}
		i := slices.IndexFunc(catalog, func(e contractor.Entitlement) bool { return e.Key() == key })
		if i < 0 || ours[key] || g.Dynamic {
			continue
		}
		object := objectName(&contractor.Holding{Entitlement: catalog[i]})
		if came, known := ps.withPackage(ctx, s, g); came || !known {
			if !known { // neither found nor over
				ps.drift.seen[driftKey(contractor.DriftAdded, object)] = true
			}
			continue
		}
		if !ps.deviates(contractor.DriftAdded, object, "somebody else put the guest into the group", false) {
			continue
		}
		mechanism := contractor.MechanismMember
		if g.ScheduleID != "" {
			mechanism = contractor.MechanismSchedule
		}
		steps = append(steps, step{op: opRemove, mechanism: mechanism, key: key, handle: g.ScheduleID, foreign: true, why: "somebody else put the guest into the group, and no rule does"})
	}
	return steps
}

// withPackage reports whether a membership came with an access package of the guest; known is false where what a package holds
// cannot be read now.
func (ps *pass) withPackage(ctx context.Context, s *scene, g contractor.GroupMembership) (came, known bool) {
	if g.ScheduleID != "" {
		return false, true
	}
	known = true
	for _, p := range s.access.Packages {
		groups, err := ps.Directory.PackageGroups(ctx, p.PackageID)
		if err != nil {
			known = false
		}
		if slices.ContainsFunc(groups, func(id string) bool { return strings.EqualFold(id, g.GroupID) }) {
			return true, true
		}
	}
	return false, known
}
