package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/mapper"
	"scimbridge/internal/policy"
)

func newPolicy(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Conditional access for contractors: plan, apply, show",
		Long: `Conditional access for contractors, as the mapping declares it under conditional_access. These commands talk to Entra
themselves and work with the daemon running or stopped; the daemon changes no policy. They need the application permissions
Policy.Read.All and Policy.ReadWrite.ConditionalAccess, which may be those of another application than the daemon's.

Entra takes one such call a second: a plan takes some seconds, an apply some more for each change.`,
	}
	cmd.AddCommand(policyPlan(io), policyApply(io), policyShow(io))
	return cmd
}

// policySetup is what every policy command begins with.
type policySetup struct {
	cfg     *config.Config
	mapping *mapper.Mapping
	run     *policyRun
}

// onPolicies reads configuration and mapping, opens store and tenant, and calls do.
func onPolicies(ctx context.Context, io streams, file string, do func(context.Context, policySetup) error) error {
	cfg, err := readConfig(file, io)
	if err != nil {
		return err
	}
	m, _, err := readMapping(cfg.Mapping)
	if err != nil {
		return setupError(err)
	}
	graph, err := openGraphOnce(cfg, io)
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, func(s *db.Store) error {
		return do(ctx, policySetup{cfg, m, &policyRun{
			tenant: graph, store: s, want: m.ConditionalAccess(), actor: admin(), revision: m.Revision(),
			say: func(format string, args ...any) { fmt.Fprintf(io.err, format+"\n", args...) },
		}})
	})
}

// report plans and says whom it would have hit since an instant.
func (s policySetup) report(ctx context.Context, since time.Duration) (*policyReport, error) {
	plan, have, err := s.run.plan(ctx)
	if err != nil {
		return nil, err
	}
	r := &policyReport{Mapping: s.cfg.Mapping, Revision: s.mapping.Revision(), Result: plan}
	if len(plan.Policies) == 0 || since <= 0 {
		return r, nil
	}
	now := time.Now().UTC()
	r.HitsFrom = now.Add(-since)
	signIns, err := recentSignIns(ctx, s.run.store, r.HitsFrom, now)
	if err != nil {
		return nil, err
	}
	r.SignIns = len(signIns)
	if len(signIns) > 0 {
		r.Hits = policy.Hits(plan.Policies, policy.Places(plan, have), signIns)
	}
	return r, nil
}

// recentDefault is how far back a plan looks for sign-ins that it would have hit.
const recentDefault = 7 * 24 * time.Hour

func policyPlan(io streams) *cobra.Command {
	var file string
	var asJSON, detailed bool
	var since time.Duration
	cmd := &cobra.Command{
		Use: "plan", Short: "Say what apply would change in the tenant, and whom it would have hit", Args: cobra.NoArgs,
		Long: `Say what apply would change in the tenant, in words, and whom each policy would have hit by the sign-ins that the daemon
has read. Nothing is changed. What would lock people out is refused, with what to do instead.

Exit codes: 0 planned, 1 failed or refused; with --detailed-exitcode 2 when there is something to change.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onPolicies(cmd.Context(), io, file, func(ctx context.Context, s policySetup) error {
				r, err := s.report(ctx, since)
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(io.out, r)
				} else {
					err = r.print(io.out)
				}
				switch {
				case err != nil:
					return err
				case len(r.Refusals) > 0:
					return &codeError{exitError, errors.New(countOf(len(r.Refusals), "refusal", "refusals"))}
				case detailed && len(r.Changes) > 0:
					return &codeError{2, errors.New("")}
				}
				return nil
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there is something to change")
	cmd.Flags().DurationVar(&since, "since", recentDefault, "hold the policies against the sign-ins of this long; 0: none")
	return cmd
}

func policyApply(io streams) *cobra.Command {
	var file, why string
	var yes, enforce bool
	cmd := &cobra.Command{
		Use: "apply", Short: "Change our policies in the tenant to what is declared", Args: cobra.NoArgs,
		Long: `Change our policies, named locations and trusts in the tenant to what the mapping declares. Others are never touched.
A policy that is declared on begins in report-only and is switched on by an apply after conditional_access.report_only_for;
--enforce-now with a reason does without. What somebody else changed in one of our policies is put back.

Every change is read back and written to the journal. A run that was broken off is finished by the next.

Exit codes: 0 the tenant is as declared, 1 failed or refused.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if enforce != (why != "") {
				return &codeError{exitUsage, errors.New("--enforce-now and --reason belong together: enforcing what was never watched wants a reason")}
			}
			return onPolicies(cmd.Context(), io, file, func(ctx context.Context, s policySetup) error {
				s.run.enforce = why
				r, err := s.report(ctx, recentDefault)
				if err != nil {
					return err
				}
				if err := r.print(io.out); err != nil {
					return err
				}
				switch {
				case len(r.Refusals) > 0:
					return errors.New("nothing was done: " + countOf(len(r.Refusals), "refusal", "refusals"))
				case len(r.Changes) > 0:
					if err := confirm(io, yes, fmt.Sprintf("%s will be made in the tenant.", count(len(r.Changes), "change"))); err != nil {
						return err
					}
					if err := s.run.apply(ctx, r.Result); err != nil {
						return err
					}
				}
				if err := s.run.confirmed(ctx); err != nil {
					return err
				}
				_, err = fmt.Fprintln(io.out, "the tenant is as declared")
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&enforce, "enforce-now", false, "enforce what is declared on, without the report-only period")
	cmd.Flags().StringVar(&why, "reason", "", "why --enforce-now, for the journal")
	return cmd
}

func policyShow(io streams) *cobra.Command {
	var file string
	var asJSON, all bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show our policies as they stand in the tenant", Args: cobra.NoArgs,
		Long: `Show our policies as they stand in the tenant, what each means, what somebody else changed, and whether the vendors' own
multifactor authentication counts. --all shows the policies of others, too.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onPolicies(cmd.Context(), io, file, func(ctx context.Context, s policySetup) error {
				plan, have, err := s.run.plan(ctx)
				if err != nil {
					return err
				}
				shown := showPolicies(plan, have, s.run.want, all)
				if asJSON {
					return printJSON(io.out, shown)
				}
				return shown.print(io.out)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "the policies of others, too")
	return cmd
}

func showPolicies(plan policy.Result, have policy.Tenant, want *contractor.ConditionalAccess, all bool) *policyShown {
	shown := &policyShown{Policies: []shownPolicy{}, Trusts: plan.Trusts}
	names := policy.NamesOf(want, have)
	for _, st := range plan.Policies {
		words := st.Words
		if i := slices.IndexFunc(have.Policies, func(p contractor.CAPolicy) bool { return p.ID == st.ID && st.ID != "" }); i >= 0 {
			words = policy.Describe(have.Policies[i], names)
		}
		shown.Policies = append(shown.Policies, shownPolicy{
			Name: st.Name, ID: st.ID, Ours: true, Declared: st.Declared, State: st.State, Words: words, Waits: st.Waits, Watched: st.Watched, Drift: st.Drift,
		})
	}
	for _, p := range have.Policies {
		if slices.ContainsFunc(plan.Policies, func(st policy.Standing) bool { return st.ID == p.ID }) || !all && !strings.HasPrefix(p.Name, policy.Prefix) {
			continue
		}
		shown.Policies = append(shown.Policies, shownPolicy{Name: p.Name, ID: p.ID, State: p.State, Words: policy.Describe(p, names)})
	}
	if d, ok := policy.SignInFrequency(have.Policies); ok {
		shown.Frequency = d.String()
	}
	return shown
}
