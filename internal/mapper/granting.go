package mapper

import (
	"slices"

	"scimbridge/internal/contractor"
)

// Granting lists the names of the rules that grant an entitlement to whom they match, in the order of the file.
func (m *Mapping) Granting(key contractor.EntitlementKey) []string {
	var names []string
	for i := range m.rules {
		if slices.ContainsFunc(m.rules[i].grants, func(e contractor.Entitlement) bool { return e.Key() == key }) {
			names = append(names, m.rules[i].name)
		}
	}
	return names
}

// Longest is the longest time that an entitlement can be granted at once, by the limits of its rules and of the vendors; false
// if nothing limits it. Where several rules grant it the longest counts, since one of them may match alone.
func (m *Mapping) Longest(key contractor.EntitlementKey) (contractor.Span, bool) {
	vendors, bounded := m.longestEngagement()
	var longest contractor.Span
	for i := range m.rules {
		r := &m.rules[i]
		if !slices.ContainsFunc(r.grants, func(e contractor.Entitlement) bool { return e.Key() == key }) {
			continue
		}
		limit := vendors
		if !r.limit.IsZero() && (!bounded || r.limit.Approx() < limit.Approx()) {
			limit = r.limit
		} else if !bounded {
			return contractor.Span{}, false
		}
		if limit.Approx() > longest.Approx() {
			longest = limit
		}
	}
	return longest, true
}

// longestEngagement is the longest max_duration of all vendors; false if one of them has none.
func (m *Mapping) longestEngagement() (contractor.Span, bool) {
	var longest contractor.Span
	for _, v := range m.vendors {
		if v.MaxDuration.IsZero() {
			return contractor.Span{}, false
		}
		if v.MaxDuration.Approx() > longest.Approx() {
			longest = v.MaxDuration
		}
	}
	return longest, true
}

// Denial is a rule that denies.
type Denial struct {
	Rule   string
	Line   int
	Reason string // as it is told to the vendor, and stands in the status of whom it holds
}

// Denials lists the rules that deny, in the order of the file.
func (m *Mapping) Denials() []Denial {
	var list []Denial
	for i := range m.rules {
		if r := &m.rules[i]; r.deny != "" {
			list = append(list, Denial{r.name, r.line, r.deny})
		}
	}
	return list
}
