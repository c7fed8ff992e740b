package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/mapper"
	"scimbridge/internal/policy"
)

const (
	// maxSponsorChecks bounds how many sponsors are looked up: one read each.
	maxSponsorChecks = 500
	// maxSponsoredGuests bounds how many guests are read to find them.
	maxSponsoredGuests = 100_000
	// certificateSoon is how long before its end a certificate is worth a word.
	certificateSoon = 30 * 24 * time.Hour
)

// sponsorChecks looks up everybody who answers for an open guest.
func sponsorChecks(ctx context.Context, cfg *config.Config, graph *entra.Client) []entra.Check {
	ctx = contractor.WithPriority(ctx, contractor.PrioritySweep)
	c := entra.Check{Area: "sponsors", Level: entra.CheckFail, Found: "the sponsors of the guests cannot be read from the database"}
	guests := map[string]int{} // by sponsor
	err := withStore(ctx, cfg, func(s *db.Store) error {
		list, err := s.SponsoredGuests(ctx, time.Now().AddDate(1, 0, 0), maxSponsoredGuests)
		for _, g := range list {
			guests[g.Sponsor]++
		}
		return err
	})
	if err != nil {
		c.Action = err.Error()
		return []entra.Check{c}
	}
	if len(guests) == 0 {
		return nil
	}
	ids := make([]string, 0, len(guests))
	for id := range guests {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return guests[b] - guests[a] }) // those who answer for most first
	var gone, disabled, orphans int
	for _, id := range ids[:min(len(ids), maxSponsorChecks)] {
		s, err := graph.Sponsor(ctx, id)
		switch {
		case err != nil:
			c.Found, c.Action = "a sponsor cannot be looked up", err.Error()
			return []entra.Check{c}
		case !s.Exists:
			gone, orphans = gone+1, orphans+guests[id]
		case !s.Enabled:
			disabled, orphans = disabled+1, orphans+guests[id]
		}
	}
	c.Found = countOf(len(ids), "sponsor of open guests", "sponsors of open guests")
	if len(ids) > maxSponsorChecks {
		c.Found += fmt.Sprintf(", of whom the %d with most guests were looked up", maxSponsorChecks)
	}
	if orphans == 0 {
		c.Level = entra.CheckOK
		c.Found += ": in the tenant and enabled"
		return []entra.Check{c}
	}
	c.Level = entra.CheckWarn
	c.Found += fmt.Sprintf(": %d not in the tenant any more, %d disabled; %s without anybody who answers", gone, disabled, countOf(orphans, "guest is", "guests are"))
	c.Action = "see scimbridge report review; with notify: in the configuration the manager or defaults.sponsor.fallback takes over by itself"
	return []entra.Check{c}
}

// accessChecks asks what conditional access makes of a contractor, and how our own policies stand.
func accessChecks(ctx context.Context, cfg *config.Config, m *mapper.Mapping, graph *entra.Client) []entra.Check {
	const area = "conditional access"
	var policies []contractor.CAPolicy
	var locations []contractor.NamedLocation
	err := patiently(ctx, func() (err error) { policies, err = graph.CAPolicies(ctx); return err })
	if err == nil {
		err = patiently(ctx, func() (err error) { locations, err = graph.NamedLocations(ctx); return err })
	}
	if err != nil {
		return []entra.Check{{Area: area, Level: entra.CheckWarn, Found: "the policies cannot be read", Action: "grant Policy.Read.All to have this checked"}}
	}
	checks := []entra.Check{sessionCheck(policies), strengthCheck(policies, locations)}
	if m.ConditionalAccess() == nil {
		return checks
	}
	err = withStore(ctx, cfg, func(s *db.Store) error {
		run := &policyRun{tenant: graph, store: s, want: m.ConditionalAccess(), revision: m.Revision(), say: func(string, ...any) {}}
		plan, _, err := run.plan(ctx)
		if err == nil {
			checks = append(checks, planCheck(plan))
		}
		return err
	})
	if err != nil {
		checks = append(checks, entra.Check{Area: area, Level: entra.CheckFail, Found: "our policies cannot be compared with the tenant", Action: err.Error()})
	}
	return checks
}

// sessionCheck asks whether conditional access bounds what a guest's session outlives its contract by: disabling sign-in stops
// new tokens, and a session is asked again only where a sign-in frequency says so.
func sessionCheck(policies []contractor.CAPolicy) entra.Check {
	c := entra.Check{Area: "conditional access", Name: "sessions", Level: entra.CheckWarn}
	frequency, enforced := policy.SignInFrequency(policies)
	if !enforced {
		c.Found = "no enforced policy makes every guest sign in again after a while: a session may outlive its contract by days"
		c.Action = "see docs/conditional-access.md and configs/baseline-conditional-access.yaml"
		return c
	}
	c.Level, c.Found = entra.CheckOK, "every guest signs in again after "+frequency.String()
	return c
}

// strengthCheck plays a guest who comes with a password alone, by browser and by an old protocol, from an address that no
// policy knows.
func strengthCheck(policies []contractor.CAPolicy, locations []contractor.NamedLocation) entra.Check {
	c := entra.Check{Area: "conditional access", Name: "multifactor", Level: entra.CheckOK, Found: "a guest with a password alone is asked for more, or not let in"}
	for _, app := range []string{"browser", "mobileAppsAndDesktopClients", "other"} {
		guest := policy.SignIn{At: time.Now(), UserID: "00000000-0000-0000-0000-000000000001", External: "b2bCollaborationGuest", AppID: "00000003-0000-0ff1-ce00-000000000000",
			ClientApp: app, IP: netip.MustParseAddr("192.0.2.1"), Platform: "windows", Risk: "none", UserRisk: "none"}
		if policy.Evaluate(policies, locations, guest).Verdict == policy.Granted {
			c.Level, c.Found = entra.CheckWarn, "a guest with a password alone gets in (client: "+app+")"
			c.Action = "have a policy ask guests for multifactor authentication: docs/conditional-access.md, configs/baseline-conditional-access.yaml"
			return c
		}
	}
	return c
}

// planCheck tells how the policies that the mapping declares stand in the tenant.
func planCheck(plan policy.Result) entra.Check {
	c := entra.Check{Area: "conditional access", Name: "ours", Level: entra.CheckOK, Found: countOf(len(plan.Policies), "declared policy stands", "declared policies stand") + " as declared"}
	drift, watched := 0, 0
	for _, s := range plan.Policies {
		if s.Drift != "" {
			drift++
		}
		if s.State == contractor.CAReportOnly {
			watched++
		}
	}
	switch {
	case len(plan.Refusals) > 0:
		c.Level, c.Found, c.Action = entra.CheckFail, countOf(len(plan.Refusals), "declared policy or part of one", "declared policies or parts of them")+" would lock people out and is refused", "see scimbridge policy plan"
	case drift > 0:
		c.Level, c.Found, c.Action = entra.CheckWarn, countOf(drift, "of our policies was", "of our policies were")+" changed by somebody else", "see scimbridge policy plan; scimbridge policy apply undoes it"
	case len(plan.Changes) > 0:
		c.Level, c.Found, c.Action = entra.CheckWarn, countOf(len(plan.Changes), "change waits", "changes wait"), "see scimbridge policy plan, then scimbridge policy apply"
	case watched > 0:
		c.Found += fmt.Sprintf("; %d in report-only", watched)
	}
	return c
}

// quotaCheck asks the running daemon how much of Entra's write quota is left.
func quotaCheck(ctx context.Context, cfg *config.Config) entra.Check {
	c := entra.Check{Area: "quota", Name: "daemon", Level: entra.CheckOK}
	var st adminStatus
	err := callAdmin(ctx, cfg.AdminSocket, "GET", "/v1/status", &st)
	switch q := st.Entra.Quota; {
	case errors.Is(err, errNoDaemon):
		c.Found = "no daemon runs: nothing is written"
	case err != nil:
		c.Level, c.Found, c.Action = entra.CheckWarn, "the daemon's use of the quota cannot be read", err.Error()
	case q.OldestWait > 60:
		c.Level, c.Found = entra.CheckWarn, fmt.Sprintf("%d of %d writes used in 150 s; %s, the oldest for %.0f s", q.Used, q.Allowed, countOf(q.Waiting, "call waits", "calls wait"), q.OldestWait)
		c.Action = "nothing, if many contracts begin or end today: doors are shut first; else look at what the feeds send (scimbridge status)"
	case q.Allowed < q.Documented:
		c.Level, c.Found = entra.CheckWarn, fmt.Sprintf("%d of %d writes used in 150 s; Entra's answers have brought the limit down from %d", q.Used, q.Allowed, q.Documented)
		c.Action = "see whether another program uses the same application"
	default:
		c.Found = fmt.Sprintf("%d of %d writes used in 150 s, %s", q.Used, q.Allowed, countOf(q.Waiting, "call waits", "calls wait"))
	}
	return c
}

// quotaOf is the daemon's side of it.
func quotaOf(s entra.Stats) quotaUse {
	q := quotaUse{Used: s.WritesUsed, Allowed: s.WritesAllowed, Documented: s.WritesLimit, OldestWait: s.OldestWait.Seconds()}
	for _, n := range s.Waiting {
		q.Waiting += n
	}
	return q
}

// doorCertificate looks at the end of the vendor door's certificate.
func doorCertificate(path string, now time.Time) entra.Check {
	c := entra.Check{Area: "certificate", Name: "vendor door", Level: entra.CheckFail}
	end, err := certificateEnd(path)
	switch {
	case err != nil:
		c.Found, c.Action = "cannot be read: "+err.Error(), "mend tls.cert_file in the configuration"
	case !now.Before(end):
		c.Found, c.Action = "expired on "+end.UTC().Format(time.DateOnly), "renew it: vendors cannot reach the door"
	case end.Sub(now) < certificateSoon:
		c.Level, c.Found, c.Action = entra.CheckWarn, "expires on "+end.UTC().Format(time.DateOnly), "renew it in time"
	default:
		c.Level, c.Found = entra.CheckOK, "expires on "+end.UTC().Format(time.DateOnly)
	}
	return c
}

// certificateEnd is when the first certificate of a PEM file ends.
func certificateEnd(path string) (time.Time, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return time.Time{}, err
			}
			return cert.NotAfter, nil
		}
	}
	return time.Time{}, errors.New("no PEM certificate in " + path)
}
