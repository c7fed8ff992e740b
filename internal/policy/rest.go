package policy

import (
	"fmt"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// planTrust shows the trust in the vendors' own multifactor authentication, and changes it only where the mapping says so.
func (p *planner) planTrust() {
	byDefault := false
	for _, t := range p.have.Trusts {
		if t.Tenant == "" && t.MFA != nil {
			byDefault = *t.MFA
		}
	}
	for _, v := range p.want.Tenants {
		own := contractor.TenantTrust{Tenant: v.ID}
		for _, t := range p.have.Trusts {
			if t.Tenant == v.ID {
				own = t
			}
		}
		t := Trust{Name: v.Name, Tenant: v.ID, MFA: byDefault, Inherited: own.MFA == nil, Declared: v.TrustMFA}
		if own.MFA != nil {
			t.MFA = *own.MFA
		}
		t.Words = trustWords(v.Name, t.MFA)
		p.out.Trusts = append(p.out.Trusts, t)
		if v.TrustMFA == nil || *v.TrustMFA == t.MFA {
			continue
		}
		next := own
		next.MFA = v.TrustMFA
		action := Update
		if !own.Partner {
			action = Create
		}
		p.trusts = append(p.trusts, Change{
			Action: action, Kind: KindTrust, Name: v.Name, ID: v.ID, Line: v.Line, Trust: &next, Words: trustWords(v.Name, *v.TrustMFA),
			Fields: []Field{{"inboundTrust.isMfaAccepted", fmt.Sprint(t.MFA), fmt.Sprint(*v.TrustMFA)}}, Stricter: !*v.TrustMFA,
		})
	}
}

func trustWords(name string, trusted bool) string {
	if trusted {
		return "multifactor authentication done at " + name + " counts here"
	}
	return "multifactor authentication done at " + name + " does not count here: its people register and are asked again"
}

// planDeletions deals with what is in the tenant, looks like ours, and is not declared.
func (p *planner) planDeletions() {
	gone := map[string]bool{}
	for _, c := range p.have.Policies {
		m, mine := p.byID(KindPolicy, c.ID)
		switch {
		case p.kept[c.ID]:
		case mine && m.Mine:
			gone[c.ID] = true
			p.deletedPolicies = append(p.deletedPolicies, Change{
				Action: Delete, Kind: KindPolicy, Name: m.Name, ID: c.ID, Words: "no longer: " + Describe(c, p.names) + " (" + string(c.State) + ")",
			})
		case mine || strings.HasPrefix(c.Name, Prefix):
			p.left(KindPolicy, c.ID, c.Name)
		}
	}
	for _, l := range p.have.Locations {
		m, mine := p.byID(KindLocation, l.ID)
		switch {
		case p.kept[l.ID]:
		case mine && m.Mine:
			if user := p.userOf(l.ID, gone); user != "" {
				p.refuse(LocationInUse, KindLocation, m.Name, 0, "the location %q cannot be deleted: the policy %q still names it; declare the location again, or change that policy first", m.Name, user)
				continue
			}
			p.deletedLocations = append(p.deletedLocations, Change{Action: Delete, Kind: KindLocation, Name: m.Name, ID: l.ID, Location: &l, Words: "no longer: location " + locationList(l)})
		case mine || strings.HasPrefix(l.Name, Prefix):
			p.left(KindLocation, l.ID, l.Name)
		}
	}
	p.forget()
}

func (p *planner) byID(kind Kind, id string) (contractor.CAManaged, bool) {
	for _, m := range p.opts.Managed {
		if m.Kind == string(kind) && m.ID == id {
			return m, true
		}
	}
	return contractor.CAManaged{}, false
}

func (p *planner) left(kind Kind, id, name string) {
	p.out.Left = append(p.out.Left, Refusal{
		Code: NotMade, Kind: kind, Name: name, ID: id,
		Words: fmt.Sprintf("%s %q is not declared, and this scimbridge did not make it: it is left alone. Declare it under that name, or delete it in the Entra admin center", kind, name),
	})
}

// userOf names a policy that would still refer to the location after the plan, "" if none.
func (p *planner) userOf(location string, gone map[string]bool) string {
	names := func(c contractor.CAPolicy) bool {
		return slices.Contains(c.Locations.Include, location) || slices.Contains(c.Locations.Exclude, location)
	}
	for _, c := range p.have.Policies {
		if gone[c.ID] {
			continue
		}
		after := c
		for _, ch := range p.policies {
			if ch.ID == c.ID {
				after = *ch.Policy
			}
		}
		if names(after) {
			return c.Name
		}
	}
	return ""
}

// forget lists rows of the store that stand for nothing any more.
func (p *planner) forget() {
	for _, m := range p.opts.Managed {
		declared := slices.ContainsFunc(p.want.Policies, func(d contractor.CAPolicy) bool { return m.Kind == string(KindPolicy) && d.Name == m.Name }) ||
			slices.ContainsFunc(p.want.Locations, func(l contractor.NamedLocation) bool { return m.Kind == string(KindLocation) && l.Name == m.Name })
		there := slices.ContainsFunc(p.have.Policies, func(c contractor.CAPolicy) bool { return c.ID == m.ID }) ||
			slices.ContainsFunc(p.have.Locations, func(l contractor.NamedLocation) bool { return l.ID == m.ID })
		if !declared && !there {
			p.out.Forget = append(p.out.Forget, m)
		}
	}
}

func (p *planner) limits() {
	count := func(kind Kind, have, limit int, changes ...[]Change) {
		for _, c := range slices.Concat(changes...) {
			switch c.Action {
			case Create:
				have++
			case Delete:
				have--
			}
		}
		if have > limit {
			p.refuse(TooMany, kind, "", 0, "the tenant would have %d of %s; Entra takes at most %d", have, kind, limit)
		}
	}
	count(KindPolicy, len(p.have.Policies), maxPolicies, p.policies, p.deletedPolicies)
	count(KindLocation, len(p.have.Locations), maxLocations, p.locations, p.deletedLocations)
}
