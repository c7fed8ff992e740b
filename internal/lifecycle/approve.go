package lifecycle

import (
	"context"
	"slices"
	"time"

	"scimbridge/internal/contractor"
)

// kept is a grant that an edit of the mapping takes away and that stands until somebody decides.
type kept struct {
	grant    contractor.Grant
	revision string // of the mapping that grants it
}

// Losses are what the rules in force take from a person although neither a date nor a change of a record does: what it holds,
// has not ended, and the mapping by which it was granted would still grant to the records of today. former finds that mapping by
// its revision; one that is unknown is believed to grant what it granted. One Loss for each vendor, by name.
func Losses(p *contractor.Person, now time.Time, want *contractor.Desired, former func(revision string) (Rules, bool)) []contractor.Loss {
	losses, _ := losses(p, now, want, former)
	return losses
}

func losses(p *contractor.Person, now time.Time, want *contractor.Desired, former func(revision string) (Rules, bool)) ([]contractor.Loss, map[string][]kept) {
	var found []contractor.Loss
	keeps := map[string][]kept{} // by vendor
	desired := map[string]*contractor.Desired{}
	for i := range p.Holdings {
		h := &p.Holdings[i]
		if h.Revision == want.Revision || h.State == contractor.HoldingEnded || h.State == contractor.HoldingRemoving || !now.Before(h.End) ||
			hasGrant(want.Grants, h.Entitlement.Key()) {
			continue
		}
		g, stands := formerGrant(p, now, h, former, desired)
		if !stands {
			continue
		}
		k := slices.IndexFunc(found, func(l contractor.Loss) bool { return l.Vendor == g.Vendor })
		if k < 0 {
			k = len(found)
			found = append(found, contractor.Loss{Person: p.ID, Vendor: g.Vendor, Engagement: g.Engagement})
		}
		found[k].Loses = append(found[k].Loses, contractor.LossOf(h.Entitlement))
		keeps[g.Vendor] = append(keeps[g.Vendor], kept{g, h.Revision})
	}
	for i := range found {
		slices.Sort(found[i].Loses)
	}
	slices.SortFunc(found, func(a, b contractor.Loss) int {
		if a.Vendor < b.Vendor {
			return -1
		}
		return 1
	})
	return found, keeps
}

func hasGrant(grants []contractor.Grant, key contractor.EntitlementKey) bool {
	return slices.ContainsFunc(grants, func(g contractor.Grant) bool { return g.Entitlement.Key() == key })
}

// formerGrant is the grant of a holding by the mapping that made it, as that mapping has it for the records of today.
func formerGrant(p *contractor.Person, now time.Time, h *contractor.Holding, former func(string) (Rules, bool), desired map[string]*contractor.Desired) (contractor.Grant, bool) {
	d, asked := desired[h.Revision]
	if !asked {
		if former != nil {
			if rules, known := former(h.Revision); known {
				v := rules.Desired(p, now)
				d = &v
			}
		}
		desired[h.Revision] = d
	}
	if d != nil {
		for _, g := range d.Grants {
			if g.Entitlement.Key() == h.Entitlement.Key() {
				return g, true
			}
		}
		return contractor.Grant{}, false
	}
	// Unknown rules: it stands as long as its engagement does.
	for i := range p.Engagements {
		if e := &p.Engagements[i]; e.ID == h.Engagement && !e.Deleted && (e.EndedAt.IsZero() || now.Before(e.EndedAt)) {
			return contractor.Grant{Entitlement: h.Entitlement, Start: h.Since, End: h.End, Rule: h.Rule, Line: h.Line, Engagement: h.Engagement, Vendor: h.Vendor}, true
		}
	}
	return contractor.Grant{}, false
}

// keepLosses asks the guard about everything that an edit of the mapping takes from the person. What is held, or was decided to
// stay, is wanted as before, so that the planner sees grants that go on; ends that are due by date come all the same.
func (ps *pass) keepLosses(ctx context.Context) error {
	found, keeps := losses(ps.p, ps.now, &ps.want, ps.Former)
	rules := ps.Rules()
	for _, l := range found {
		var own contractor.Guard
		if v, known := rules.Vendor(l.Vendor); known {
			own = v.Guard
		}
		h, err := ps.Store.AdmitRemoval(ctx, contractor.RemovalRequest{
			Loss: l, Revision: ps.want.Revision, Now: ps.now, Bounds: own, Overall: rules.Guard(), Undecided: ps.Undecided, Clock: ps.clock,
		})
		if err != nil {
			return err
		}
		switch h.State {
		case contractor.HoldOpen:
			ps.keep(keeps[l.Vendor])
			ps.hold("what the mapping takes away is held: " + h.Why + "; decide with scimbridge hold approve or hold cancel")
			ps.lookAtExpiry(h)
		case contractor.HoldCancelled:
			ps.keep(keeps[l.Vendor])
		}
	}
	return nil
}

// keep makes the pass want these grants, and the open door that they need.
func (ps *pass) keep(grants []kept) {
	if ps.kept == nil {
		ps.kept = map[contractor.EntitlementKey]string{}
	}
	for _, k := range grants {
		ps.kept[k.grant.Entitlement.Key()] = k.revision
		ps.want.Grants = append(ps.want.Grants, k.grant)
		ps.looks = append(ps.looks, k.grant.End)
		if ps.want.Open {
			if ps.want.CloseAt.Before(k.grant.End) {
				ps.want.CloseAt = k.grant.End
			}
			continue
		}
		// The mapping shuts the door as well: everything about the guest stays as it is.
		ps.want.Open, ps.want.Guest, ps.want.CloseAt, ps.want.DeleteAt = true, true, k.grant.End, time.Time{}
		ps.asItWas = true
	}
}

// confirmed moves holdings on to the mapping in force, with the line that their rule has in it: from now on, what takes them away
// without another edit is the records.
func (ps *pass) confirmed() []*contractor.Holding {
	var moved []*contractor.Holding
	for i := range ps.p.Holdings {
		h := &ps.p.Holdings[i]
		if h.State != contractor.HoldingHeld || h.Revision == ps.want.Revision || ps.kept[h.Entitlement.Key()] != "" {
			continue
		}
		for j := range ps.want.Grants {
			if g := &ps.want.Grants[j]; g.Entitlement.Key() == h.Entitlement.Key() && sameGrant(h, g) {
				h.Line, h.Revision = g.Line, ps.want.Revision
				moved = append(moved, h)
			}
		}
	}
	return moved
}
