package mapper

import (
	"slices"

	"scimbridge/internal/contractor"
)

// ChangeKind is what an edit of the mapping does to one grant, one engagement or one guest.
type ChangeKind string

// The kinds of change, in the order in which Compare lists them.
const (
	Granted   ChangeKind = "granted"
	Extended  ChangeKind = "extended"
	Shortened ChangeKind = "shortened"
	Removed   ChangeKind = "removed"
	Held      ChangeKind = "held"
	Released  ChangeKind = "released"
	Updated   ChangeKind = "updated" // properties of the guest
)

// Change is one difference between two answers for the same person.
type Change struct {
	Kind        ChangeKind             `json:"kind"`
	Entitlement contractor.Entitlement `json:"entitlement,omitzero"` // granted, extended, shortened, removed
	Before      *contractor.Grant      `json:"before,omitempty"`     // with the rule that grants it; nil if granted
	After       *contractor.Grant      `json:"after,omitempty"`      // nil if removed
	ToCome      bool                   `json:"toCome,omitempty"`     // the grant has not begun: nobody holds it yet
	Engagement  string                 `json:"engagement,omitempty"` // held, released
	Vendor      string                 `json:"vendor,omitempty"`     // held, released
	Reason      string                 `json:"reason,omitempty"`     // why it is held, or was
	Properties  []string               `json:"properties,omitempty"` // updated
}

// Compare says what changes between two answers for one person, such as those of the mapping in force and of an edited one at
// the same instant. Grants that stand and grants to come are compared, each by its latest end; a grant that only another rule
// now gives, to the same end, is no change.
func Compare(before, after contractor.Desired) []Change {
	var changes []Change
	old, fresh := planned(before), planned(after)
	for i := range old {
		b := &old[i]
		a := find(fresh, b.Entitlement.Key())
		switch {
		case a == nil:
			changes = append(changes, Change{Kind: Removed, Entitlement: b.Entitlement, Before: b, ToCome: before.At.Before(b.Start)})
		case a.End.After(b.End):
			changes = append(changes, Change{Kind: Extended, Entitlement: a.Entitlement, Before: b, After: a, ToCome: after.At.Before(a.Start)})
		case a.End.Before(b.End):
			changes = append(changes, Change{Kind: Shortened, Entitlement: a.Entitlement, Before: b, After: a, ToCome: after.At.Before(a.Start)})
		}
	}
	for i := range fresh {
		if a := &fresh[i]; find(old, a.Entitlement.Key()) == nil {
			changes = append(changes, Change{Kind: Granted, Entitlement: a.Entitlement, After: a, ToCome: after.At.Before(a.Start)})
		}
	}
	changes = append(changes, compareHolds(before, after)...)
	if properties := comparedProperties(before.Attributes, after.Attributes); len(properties) > 0 && before.Open && after.Open {
		changes = append(changes, Change{Kind: Updated, Properties: properties})
	}
	slices.SortStableFunc(changes, func(x, y Change) int { return rankOf(x.Kind) - rankOf(y.Kind) })
	return changes
}

func rankOf(k ChangeKind) int {
	return slices.Index([]ChangeKind{Granted, Extended, Shortened, Removed, Held, Released, Updated}, k)
}

// planned is the union of the grants that stand or are to come, each with its latest end.
func planned(d contractor.Desired) []contractor.Grant {
	var out []contractor.Grant
	for i := range d.Evaluations {
		for _, g := range d.Evaluations[i].Grants {
			if !d.At.Before(g.End) {
				continue
			}
			switch known := find(out, g.Entitlement.Key()); {
			case known == nil:
				out = append(out, g)
			case g.End.After(known.End):
				start := known.Start
				*known = g
				known.Start = earlier(start, g.Start)
			case g.Start.Before(known.Start):
				known.Start = g.Start
			}
		}
	}
	slices.SortStableFunc(out, func(x, y contractor.Grant) int { return compareEntitlements(x.Entitlement, y.Entitlement) })
	return out
}

func find(grants []contractor.Grant, key contractor.EntitlementKey) *contractor.Grant {
	for i := range grants {
		if grants[i].Entitlement.Key() == key {
			return &grants[i]
		}
	}
	return nil
}

func compareHolds(before, after contractor.Desired) []Change {
	var changes []Change
	for i := range before.Evaluations {
		b := &before.Evaluations[i]
		k := slices.IndexFunc(after.Evaluations, func(a contractor.Evaluation) bool { return a.Engagement == b.Engagement })
		if k < 0 {
			continue
		}
		a := &after.Evaluations[k]
		switch was, is := b.Status == contractor.StatusHeld, a.Status == contractor.StatusHeld; {
		case !was && is && b.Status != contractor.StatusOffboarding:
			changes = append(changes, Change{Kind: Held, Engagement: a.Engagement, Vendor: a.Vendor, Reason: a.Reason})
		case was && !is && a.Status != contractor.StatusOffboarding:
			changes = append(changes, Change{Kind: Released, Engagement: a.Engagement, Vendor: a.Vendor, Reason: b.Reason})
		}
	}
	return changes
}

// comparedProperties lists the properties that differ, in alphabetical order.
func comparedProperties(before, after map[string]string) []string {
	var names []string
	for name, v := range after {
		if before[name] != v {
			names = append(names, name)
		}
	}
	for name, v := range before {
		if _, still := after[name]; !still && v != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
