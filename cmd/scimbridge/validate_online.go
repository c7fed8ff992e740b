package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
	"scimbridge/internal/mapper"
	"scimbridge/internal/policy"
)

// finding is something about the tenant that validate --online tells.
type finding struct {
	text    string
	warning bool
}

// online looks up every id of a mapping in the tenant once. It reads only.
func online(ctx context.Context, io streams, cfg *config.Config, file string, m *mapper.Mapping) ([]finding, error) {
	graph, err := openGraphOnce(cfg, io)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(contractor.WithPriority(ctx, contractor.PrioritySweep), 5*time.Minute)
	defer cancel()
	var catalog []contractor.Entitlement
	seen := map[contractor.EntitlementKey]bool{}
	for _, e := range m.Catalog() {
		if !seen[e.Key()] {
			seen[e.Key()] = true
			catalog = append(catalog, e)
		}
	}
	d := entra.DoctorConfig{Catalog: catalog}
	if f := m.SponsorFallback(); f != "" {
		d.Sponsors = []string{f}
	}
	byName := map[string]contractor.Entitlement{}
	for _, e := range catalog {
		byName[string(e.Kind)+" "+e.Name] = e
	}
	var out []finding
	tell := func(warning bool, format string, args ...any) {
		out = append(out, finding{file + ": tenant " + cfg.Entra.TenantID + ": " + fmt.Sprintf(format, args...), warning})
	}
	about := func(e contractor.Entitlement) func(bool, string, ...any) { // at the entitlement's place in the catalog
		line, column := m.Place(e.Key())
		return func(warning bool, format string, args ...any) {
			what := fmt.Sprintf("%s:%d:%d: tenant %s: %s %s (%s", file, line, column, cfg.Entra.TenantID, kindOf(e.Kind), e.Name, e.ID)
			if e.Policy != "" {
				what += ", policy " + e.Policy
			}
			out = append(out, finding{what + ")" + fmt.Sprintf(format, args...), warning})
		}
	}
	for _, c := range graph.Doctor(ctx, d) {
		bad := c.Level == entra.CheckFail
		switch c.Area {
		case "token":
			if bad {
				return nil, fmt.Errorf("the tenant cannot be asked: %s; %s", c.Found, c.Action)
			}
		case "group":
			e := byName[string(contractor.KindGroup)+" "+c.Name]
			switch tell := about(e); {
			case bad:
				tell(false, " %s", groupTrouble(c))
			case e.Expiry == contractor.ExpiryBridge:
				tell(true, ": its grants depend on the bridge to end (expiry: bridge)")
			case c.Level == entra.CheckWarn:
				tell(true, ": %s; %s", c.Found, c.Action)
			default:
				capTrouble(m, e, c.Longest, tell)
			}
		case "package":
			e := byName[string(contractor.KindAccessPackage)+" "+c.Name]
			tell := about(e)
			if c.Level != entra.CheckOK {
				tell(!bad, ": %s; %s", c.Found, c.Action)
			}
			if !bad {
				capTrouble(m, e, c.Longest, tell)
			}
		case "sponsor":
			if bad {
				tell(false, "sponsor %s %s; %s", c.Name, c.Found, c.Action)
			}
		}
	}
	for _, r := range onlinePolicies(ctx, graph, m, tell) {
		place := file + ": "
		if r.Line > 0 {
			place = fmt.Sprintf("%s:%d: ", file, r.Line)
		}
		out = append(out, finding{place + "tenant " + cfg.Entra.TenantID + ": conditional_access: " + r.Words, false})
	}
	return out, nil
}

// onlinePolicies looks up the emergency accounts, groups and authentication strengths that conditional_access names. What else
// stands in the way of its policies, policy plan says.
func onlinePolicies(ctx context.Context, tenant policyTenant, m *mapper.Mapping, tell func(bool, string, ...any)) (unknown []policy.Refusal) {
	want := m.ConditionalAccess()
	if want == nil || len(want.Policies) == 0 {
		return nil
	}
	have, err := readTenant(ctx, tenant, want)
	if err != nil {
		tell(true, "what conditional_access names could not be looked up: %v", err)
		return nil
	}
	for _, r := range policy.Plan(want, have, policy.Options{}).Refusals {
		switch r.Code {
		case policy.BreakGlassGone, policy.UnknownStrength, policy.GroupNotKept, policy.IncludesMembers:
			unknown = append(unknown, r)
		}
	}
	return unknown
}

// groupTrouble says of a group what stands in the way of managing its members.
func groupTrouble(c entra.Check) string {
	_, why, found := strings.Cut(c.Action, "cannot be used: ")
	if !found {
		if strings.Contains(c.Action, "is not in the tenant") {
			return "is not in the tenant, or is no group; correct the mapping's catalog"
		}
		return c.Found + ": " + c.Action
	}
	why, _, _ = strings.Cut(why, "; take it out")
	switch {
	case strings.HasPrefix(why, "its membership is dynamic"):
		return "has dynamic membership; members cannot be added"
	case strings.HasPrefix(why, "it "):
		return strings.TrimPrefix(why, "it ")
	}
	return "cannot be used: " + why
}

// capTrouble warns of an entitlement that Entra lets be assigned for less time than its rules may grant it.
func capTrouble(m *mapper.Mapping, e contractor.Entitlement, limit time.Duration, tell func(bool, string, ...any)) {
	longest, bounded := m.Longest(e.Key())
	if limit == 0 || bounded && longest.Approx() <= limit {
		return
	}
	grants := "rules grant it without a limit"
	if bounded {
		grants = "rules grant it for up to " + longest.String()
	}
	if e.Kind == contractor.KindAccessPackage {
		tell(true, ": its policy allows assignments of at most %s, and %s; give the rules or vendors a max_duration that fits, or raise the limit in the policy's lifecycle", spanOf(limit), grants)
		return
	}
	tell(true, ": PIM allows assignments of at most %s at a time, and %s; the bridge has to renew them, or raise the limit in the group's PIM settings", spanOf(limit), grants)
}

// spanOf writes a duration as the mapping file does.
func spanOf(d time.Duration) string {
	if d >= 24*time.Hour && d%(24*time.Hour) == 0 {
		return contractor.Span{Days: int(d / (24 * time.Hour))}.String()
	}
	return d.String()
}

// tellOnline prints the findings; an error says that some are mistakes.
func tellOnline(io streams, findings []finding, strict bool) error {
	errs, warnings := 0, 0
	for _, f := range findings {
		if f.warning {
			warnings++
			fmt.Fprintln(io.err, f.text+" [warning]")
		} else {
			errs++
			fmt.Fprintln(io.err, f.text)
		}
	}
	switch {
	case errs > 0 || strict && warnings > 0:
		return errors.New("in the tenant: " + count(errs, "error") + ", " + count(warnings, "warning"))
	case warnings > 0:
		fmt.Fprintln(io.out, "in the tenant: "+count(warnings, "warning"))
	default:
		fmt.Fprintln(io.out, "ok: everything that the mapping names is in the tenant")
	}
	return nil
}
