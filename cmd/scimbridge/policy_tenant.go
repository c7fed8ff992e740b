package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/policy"
)

// policyTenant is the tenant as the policy commands need it. *entra.Client fits.
type policyTenant interface {
	CAPolicies(ctx context.Context) ([]contractor.CAPolicy, error)
	NamedLocations(ctx context.Context) ([]contractor.NamedLocation, error)
	Strengths(ctx context.Context) ([]contractor.AuthenticationStrength, error)
	TenantTrusts(ctx context.Context) ([]contractor.TenantTrust, error)
	CAGroup(ctx context.Context, id string) (contractor.CAGroup, error)
	CanSignIn(ctx context.Context, id string) (enabled, found bool, err error)

	CreatePolicy(ctx context.Context, p contractor.CAPolicy) (contractor.Receipt, error)
	UpdatePolicy(ctx context.Context, p contractor.CAPolicy, clear []string) (contractor.Receipt, error)
	DeletePolicy(ctx context.Context, id string) (contractor.Receipt, error)
	CreateLocation(ctx context.Context, l contractor.NamedLocation) (contractor.Receipt, error)
	UpdateLocation(ctx context.Context, l contractor.NamedLocation) (contractor.Receipt, error)
	DeleteLocation(ctx context.Context, id string) (contractor.Receipt, error)
	SetTrust(ctx context.Context, t contractor.TenantTrust) (contractor.Receipt, error)
}

// policyStore is what the policy commands remember. *db.Store fits.
type policyStore interface {
	ManagedPolicies(ctx context.Context) ([]contractor.CAManaged, error)
	RecordPolicy(ctx context.Context, m *contractor.CAManaged, events ...audit.Event) error
	ForgetPolicy(ctx context.Context, kind, name string, events ...audit.Event) error
	SignIns(ctx context.Context, since time.Time, limit int) ([]contractor.Activity, error)
	WatchedGuests(ctx context.Context, ids []string, now time.Time) (map[string]contractor.WatchedGuest, error)
}

const (
	// policyTries is how often a call that may come right by itself is made, at policyPause and twice that each time.
	policyTries = 6
	policyPause = 2 * time.Second
)

// patiently repeats what may come right by itself: throttling has no Retry-After here. What may have happened is not repeated.
func patiently(ctx context.Context, do func() error) error {
	pause := policyPause
	for try := 1; ; try++ {
		err := do()
		var f *contractor.Failure
		if !errors.As(err, &f) || f.Verdict != contractor.VerdictRetry && f.Verdict != contractor.VerdictThrottled || try == policyTries {
			return err
		}
		if err := pauseFor(ctx, max(pause, f.RetryAfter)); err != nil {
			return err
		}
		pause *= 2
	}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// readTenant reads what a plan has to know. The groups and users are those that the declared set names.
func readTenant(ctx context.Context, t policyTenant, want *contractor.ConditionalAccess) (have policy.Tenant, err error) {
	get := func(do func() error) {
		if err == nil {
			err = patiently(ctx, do)
		}
	}
	get(func() (err error) { have.Policies, err = t.CAPolicies(ctx); return err })
	get(func() (err error) { have.Locations, err = t.NamedLocations(ctx); return err })
	if err != nil || want == nil {
		return have, err
	}
	if slices.ContainsFunc(want.Policies, func(p contractor.CAPolicy) bool { return p.Grant.Strength != "" }) {
		get(func() (err error) { have.Strengths, err = t.Strengths(ctx); return err })
	}
	if len(want.Tenants) > 0 {
		get(func() (err error) { have.Trusts, err = t.TenantTrusts(ctx); return err })
	}
	have.Groups, have.Users = map[string]contractor.CAGroup{}, map[string]bool{}
	for _, id := range namedGroups(want) {
		get(func() error {
			g, err := t.CAGroup(ctx, id)
			var f *contractor.Failure
			if errors.As(err, &f) && f.Verdict == contractor.VerdictRefused {
				return nil // left out: the plan says that it could not be read
			}
			have.Groups[id] = g
			return err
		})
	}
	for _, id := range want.BreakGlassUsers {
		get(func() error {
			enabled, found, err := t.CanSignIn(ctx, id)
			if found {
				have.Users[id] = enabled
			}
			return err
		})
	}
	return have, err
}

func namedGroups(want *contractor.ConditionalAccess) []string {
	ids := slices.Clone(want.BreakGlassGroups)
	for _, p := range want.Policies {
		ids = append(ids, p.Users.IncludeGroups...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// maxHits bounds how many recent sign-ins a plan is held against.
const maxHits = 100_000

// recentSignIns are the sign-ins that worked, of our guests, with the groups they hold now.
func recentSignIns(ctx context.Context, s policyStore, since, now time.Time) ([]policy.SignIn, error) {
	entries, err := s.SignIns(ctx, since, maxHits)
	if err != nil {
		return nil, err
	}
	var ids []string
	seen := map[string]bool{}
	for _, a := range entries {
		if !seen[a.Guest] {
			seen[a.Guest] = true
			ids = append(ids, a.Guest)
		}
	}
	guests, err := s.WatchedGuests(ctx, ids, now)
	if err != nil {
		return nil, err
	}
	var out []policy.SignIn
	for _, a := range entries {
		if a.OK {
			out = append(out, policy.FromLog(a, lowerAll(guests[a.Guest].Groups)))
		}
	}
	return out, nil
}

func lowerAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}
