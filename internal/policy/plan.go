package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// planner holds what one Plan works on.
type planner struct {
	checks
	opts  Options
	names Names
	now   places            // the tenant's locations
	then  places            // after the plan
	ids   map[string]string // declared location -> id, or new:name
	kept  map[string]bool   // ids of tenant objects that are declared
	out   Result

	locations, policies, trusts, deletedPolicies, deletedLocations []Change
}

// Plan says what has to be done so that the tenant has what is declared, and refuses what must not be done. A nil want declares
// nothing.
func Plan(want *contractor.ConditionalAccess, have Tenant, opts Options) Result {
	if want == nil {
		want = &contractor.ConditionalAccess{}
	}
	p := &planner{
		checks: checks{want: want, have: have}, opts: opts, names: NamesOf(want, have),
		now: places{}, then: places{}, ids: map[string]string{}, kept: map[string]bool{},
	}
	for _, l := range have.Locations {
		p.now[l.ID], p.then[l.ID] = l, l
	}
	if opts.EnforceNow != "" && len(strings.TrimSpace(opts.EnforceNow)) < minReason {
		p.refuse(WithoutReason, KindPolicy, "", 0, "the reason %q says too little for an auditor; write why this cannot wait", opts.EnforceNow)
	}
	if len(want.Policies) > 0 {
		p.breakGlass()
	}
	for _, l := range want.Locations {
		p.planLocation(l)
	}
	for _, d := range want.Policies {
		p.planPolicy(d)
	}
	p.planTrust()
	p.planDeletions()
	p.limits()
	r := &p.out
	r.Changes = slices.Concat(p.locations, p.trusts, p.policies, p.deletedPolicies, p.deletedLocations)
	if r.Changes == nil {
		r.Changes = []Change{}
	}
	if r.Policies == nil {
		r.Policies = []Standing{}
	}
	r.Refusals = p.refusals
	return *r
}

// managed is what the store remembers of an object, zero if nothing.
func (p *planner) managed(kind Kind, name string) contractor.CAManaged {
	for _, m := range p.opts.Managed {
		if m.Kind == string(kind) && m.Name == name {
			return m
		}
	}
	return contractor.CAManaged{}
}

// find looks for our object in the tenant: by the id that the store remembers, then by the display name. adopt: by name alone.
func find[T any](list []T, id func(T) string, name func(T) string, remembered, display string) (found *T, adopt bool, twins int) {
	for i := range list {
		if remembered != "" && id(list[i]) == remembered {
			return &list[i], false, 1
		}
	}
	for i := range list {
		if name(list[i]) == display {
			twins++
			if found == nil {
				found = &list[i]
			}
		}
	}
	return found, found != nil, twins
}

func (p *planner) planLocation(l contractor.NamedLocation) {
	p.location(l)
	m := p.managed(KindLocation, l.Name)
	want := normalLocation(l)
	want.Name, want.Line = DisplayName(l.Name), 0
	have, adopt, twins := find(p.have.Locations, func(l contractor.NamedLocation) string { return l.ID },
		func(l contractor.NamedLocation) string { return l.Name }, m.ID, want.Name)
	if twins > 1 {
		p.refuse(TwoOfAName, KindLocation, l.Name, l.Line, "the tenant has %d locations named %q; delete or rename all but one in the Entra admin center", twins, want.Name)
	}
	if have == nil {
		p.ids[l.Name] = newMark + l.Name
		p.then[newMark+l.Name] = want
		c := Change{Action: Create, Kind: KindLocation, Name: l.Name, Line: l.Line, Location: &want, Words: "new location " + locationList(want)}
		if m.ID != "" {
			c.Drift = "somebody deleted the location " + m.ID
		}
		p.locations = append(p.locations, c)
		return
	}
	want.ID = have.ID
	p.ids[l.Name], p.kept[have.ID] = have.ID, true
	if have.Kind != want.Kind {
		p.refuse(LocationKindSet, KindLocation, l.Name, l.Line, "the location %q is in the tenant with %s and cannot take %s; give it another name", l.Name, have.Kind, want.Kind)
		return
	}
	p.then[have.ID] = want
	fields := compareLocations(*have, want)
	if len(fields) == 0 && !adopt {
		return
	}
	c := Change{
		Action: Update, Kind: KindLocation, Name: l.Name, ID: have.ID, Line: l.Line, Location: &want, Fields: fields, Adopt: adopt,
		Words: "location " + locationList(want),
	}
	if old, ok := written[contractor.NamedLocation](m); ok {
		c.Drift = driftWords(compareLocations(old, *have))
	}
	p.locations = append(p.locations, c)
}

// locationList says the name and what is in it.
func locationList(l contractor.NamedLocation) string {
	list := l.Countries
	if l.Kind == contractor.LocationRanges {
		list = l.Ranges
	}
	words := strings.Join(list, ", ")
	if len(list) > 4*maxListed {
		words = fmt.Sprintf("%s and %d more", strings.Join(list[:maxListed], ", "), len(list)-maxListed)
	}
	return strings.TrimPrefix(l.Name, Prefix) + ": " + words
}

func written[T any](m contractor.CAManaged) (T, bool) {
	var v T
	if len(m.Written) == 0 || json.Unmarshal(m.Written, &v) != nil {
		return v, false
	}
	return v, true
}

// driftWords says what somebody else changed; "" if nothing.
func driftWords(fields []Field) string {
	var list []string
	for _, f := range fields {
		list = append(list, fmt.Sprintf("%s from %s to %s", f.Path, f.From, f.To))
	}
	if len(list) == 0 {
		return ""
	}
	return "somebody changed " + strings.Join(list, "; ")
}

// target is the declared policy as it would stand in the tenant, but for its state.
func (p *planner) target(d contractor.CAPolicy) contractor.CAPolicy {
	t := d
	t.Name, t.Line, t.ID = DisplayName(d.Name), 0, ""
	locate := func(list []string) []string {
		return each(list, func(s string) string {
			if id := p.ids[s]; id != "" {
				return id
			}
			return s
		})
	}
	t.Locations = contractor.CAIncludes{Include: locate(d.Locations.Include), Exclude: locate(d.Locations.Exclude)}
	t.Users.ExcludeGroups = append(slices.Clone(d.Users.ExcludeGroups), p.want.BreakGlassGroups...)
	t.Users.ExcludeUsers = append(slices.Clone(d.Users.ExcludeUsers), p.want.BreakGlassUsers...)
	for _, s := range p.have.Strengths {
		if strings.EqualFold(s.ID, d.Grant.Strength) || strings.EqualFold(s.Name, d.Grant.Strength) {
			t.Grant.Strength = strings.ToLower(s.ID)
		}
	}
	return normal(t)
}

func (p *planner) planPolicy(d contractor.CAPolicy) {
	m := p.managed(KindPolicy, d.Name)
	want := p.target(d)
	p.policy(d, want)
	have, adopt, twins := find(p.have.Policies, func(c contractor.CAPolicy) string { return c.ID },
		func(c contractor.CAPolicy) string { return c.Name }, m.ID, want.Name)
	if twins > 1 {
		p.refuse(TwoOfAName, KindPolicy, d.Name, d.Line, "the tenant has %d policies named %q; delete or rename all but one in the Entra admin center", twins, want.Name)
	}
	st := Standing{Name: d.Name, Line: d.Line, Words: Describe(want, p.names), Declared: d.State, Warnings: p.warnings(want)}
	defer func() {
		want.ID, st.Planned = st.ID, want.State
		st.Resolved = want
		p.out.Policies = append(p.out.Policies, st)
	}()
	old, known := written[contractor.CAPolicy](m)
	// What was enforced in this very form, and was changed by somebody else, may be enforced again at once.
	was := known && old.State == contractor.CAOn && sameContent(old, want) && !p.touched(want)
	if have == nil {
		if m.ID != "" {
			st.Drift = "somebody deleted the policy " + m.ID
		}
		want.State = p.stateOf(d, nil, true, was, m, &st)
		made := want
		p.policies = append(p.policies, Change{
			Action: Create, Kind: KindPolicy, Name: d.Name, Line: d.Line, Policy: &made, Drift: st.Drift, Watched: st.Watched,
			Stricter: want.State == contractor.CAOn, Words: words(want, st),
		})
		return
	}
	p.kept[have.ID] = true
	st.ID, st.State = have.ID, have.State
	if known {
		st.Drift = driftWords(comparePolicies(old, *have, p.names))
	}
	harder := stricter(*have, want, p.now, p.then)
	want.State = p.stateOf(d, have, harder, was, m, &st)
	if harder && !was && have.State == contractor.CAOn && want.State == contractor.CAOn && p.opts.EnforceNow == "" {
		p.refuse(NotWatched, KindPolicy, d.Name, d.Line,
			"policy %q is enforced, and its new form would hit sign-ins that it does not hit now; declare the new form beside it under another name with state: report-only and watch it, or run policy apply --enforce-now with a reason", d.Name)
	}
	fields := comparePolicies(*have, want, p.names)
	if len(fields) == 0 && !adopt {
		if harder {
			p.restart(want)
		}
		return
	}
	made := want
	made.ID = have.ID
	p.policies = append(p.policies, Change{
		Action: Update, Kind: KindPolicy, Name: d.Name, ID: have.ID, Line: d.Line, Policy: &made, Fields: fields, Adopt: adopt, Drift: st.Drift,
		Stricter: harder || have.State != contractor.CAOn && want.State == contractor.CAOn, Words: words(want, st), Watched: st.Watched,
		Clear: have.Other,
	})
}

// restart tells the location changes that touch the policy that its watch begins anew with them.
func (p *planner) restart(want contractor.CAPolicy) {
	for i := range p.locations {
		c := &p.locations[i]
		id := or(c.ID, newMark+c.Name)
		if slices.Contains(want.Locations.Include, id) || slices.Contains(want.Locations.Exclude, id) {
			c.Restarts, c.Stricter = append(c.Restarts, strings.TrimPrefix(want.Name, Prefix)), true
		}
	}
}

// sameContent compares without the state.
func sameContent(a, b contractor.CAPolicy) bool {
	a.State, b.State = "", ""
	return SamePolicy(a, b)
}

// touched reports whether a location of the policy is changed by this plan.
func (p *planner) touched(want contractor.CAPolicy) bool {
	return slices.ContainsFunc(append(slices.Clone(want.Locations.Include), want.Locations.Exclude...), func(id string) bool {
		a, ok := p.now[id]
		b, still := p.then[id]
		return ok != still || ok && len(compareLocations(a, b)) > 0
	})
}

// words is what a change says: the sentence and the state.
func words(want contractor.CAPolicy, st Standing) string {
	w := st.Words
	switch {
	case !st.Waits.IsZero():
		w += fmt.Sprintf(" (report-only; declared on, which it may be from %s)", st.Waits.UTC().Format("2006-01-02 15:04 MST"))
	case want.State != contractor.CAOn:
		w += " (" + string(want.State) + ")"
	default:
		w += " (enforced)"
	}
	return w
}

// stateOf is the state that the policy may have now. fresh: its form was not watched yet; was: it was enforced in this form
// before. It fills in the watch of st.
func (p *planner) stateOf(d contractor.CAPolicy, have *contractor.CAPolicy, fresh, was bool, m contractor.CAManaged, st *Standing) contractor.CAState {
	if was || !fresh && have != nil && have.State != contractor.CAOff && have.ID == m.ID {
		st.Watched = m.Watched
	}
	if d.State != contractor.CAOn {
		return d.State
	}
	if was || p.opts.EnforceNow != "" || have != nil && have.State == contractor.CAOn {
		return contractor.CAOn
	}
	from := st.Watched
	if from.IsZero() {
		from = p.opts.Now
	}
	if until := from.Add(p.want.ReportOnlyFor); until.After(p.opts.Now) || st.Watched.IsZero() {
		st.Waits = until
		return contractor.CAReportOnly
	}
	return contractor.CAOn
}

// warnings are what does not lock anybody out for sure, but may.
func (p *planner) warnings(want contractor.CAPolicy) []string {
	var list []string
	if want.Grant.Strength != "" {
		list = append(list, "guests who sign in by e-mail code, Google or SAML cannot show an authentication strength and will be blocked; use require: {mfa: true} for them")
	}
	if len(want.SignInRisk) > 0 && !slices.Contains(want.Grant.Controls, contractor.CABlock) {
		list = append(list, "a guest who has not yet registered for multifactor authentication here is blocked at a risky sign-in; the condition needs a P2 licence")
	}
	if want.Devices.Mode != "" {
		list = append(list, "devices of guests are mostly not registered here: comparisons with a positive operator never hold for them")
	}
	if slices.ContainsFunc(want.Locations.Exclude, func(id string) bool {
		l := p.then[id]
		return l.Kind == contractor.LocationCountries && !l.IncludeUnknown
	}) {
		list = append(list, "addresses of no known country, such as some mobile and IPv6 ones, count as outside; include_unknown: true lets them in")
	}
	return list
}
