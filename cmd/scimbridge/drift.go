package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/lifecycle"
)

func newDrift(io streams) *cobra.Command {
	var file, reason string
	var asJSON, repair, yes bool
	var q contractor.DriftQuery
	cmd := &cobra.Command{
		Use: "drift [PERSON]", Short: "What somebody changed in Entra behind the bridge's back", Args: cobra.MaximumNArgs(1),
		Long: `What somebody changed in Entra behind the bridge's back: found within minutes by delta queries, and by a daily look at everybody.
defaults.drift in the mapping says for each kind whether it is reported, repaired or adopted. --repair has what is open repaired,
whatever the mapping says; what drift allow lets stand is left.

Exit codes: 0 nothing is open, or the repair was asked for; 1 failed; 2 something is open.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			if repair && reason == "" {
				return &codeError{exitUsage, fmt.Errorf("--repair changes what people have: say why with --reason")}
			}
			err = withStore(cmd.Context(), cfg, func(s *db.Store) error {
				if len(args) == 1 {
					p, err := s.FindPerson(cmd.Context(), args[0])
					if err != nil {
						return err
					}
					q.Person = p.ID
				}
				if repair {
					return askRepair(cmd.Context(), io, s, q.Person, reason, yes)
				}
				list, err := s.Drift(cmd.Context(), q, time.Now())
				if err != nil {
					return err
				}
				return printDrift(io, list, asJSON)
			})
			if err == nil && repair {
				wakeDaemon(cmd.Context(), cfg)
			}
			return err
		},
	}
	configFlag(cmd, &file)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&q.All, "all", false, "what is over, too")
	f.BoolVar(&repair, "repair", false, "have what is open repaired")
	f.BoolVar(&yes, "yes", false, "do not ask")
	f.StringVar(&reason, "reason", "", "why, for the journal (required with --repair)")
	cmd.AddCommand(driftAllow(io, true), driftAllow(io, false))
	return cmd
}

func askRepair(ctx context.Context, io streams, s *db.Store, person, reason string, yes bool) error {
	list, err := s.Drift(ctx, contractor.DriftQuery{Person: person, Limit: 100_000}, time.Now())
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(d contractor.Drift) bool { return !d.AllowedUntil.IsZero() })
	if len(list) == 0 {
		_, err := fmt.Fprintln(io.out, "nothing is open")
		return err
	}
	if err := confirm(io, yes, fmt.Sprintf("%s will be repaired.", count(len(list), "change"))); err != nil {
		return err
	}
	n, err := s.AskRepair(ctx, admin(), person, reason)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, count(n, "repair")+" asked for; scimbridge drift --all shows how they go")
	return err
}

func printDrift(io streams, list []contractor.Drift, asJSON bool) error {
	open := slices.ContainsFunc(list, func(d contractor.Drift) bool { return d.State == contractor.DriftOpen && d.AllowedUntil.IsZero() })
	switch {
	case asJSON && list == nil:
		return printJSON(io.out, []contractor.Drift{})
	case asJSON:
		if err := printJSON(io.out, list); err != nil {
			return err
		}
	case len(list) == 0:
		_, err := fmt.Fprintln(io.out, "nothing was changed behind our back")
		return err
	default:
		w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "PERSON\tKIND\tSTATE\tMODE\tFOUND\tALLOWED UNTIL\tWHAT")
		for _, d := range list {
			what := d.Words
			if d.Object != "" {
				what = d.Object + ": " + what
			}
			if d.AllowedReason != "" {
				what += " (" + d.AllowedReason + ")"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Person, d.Kind, d.State, d.Mode, day(d.Found), orWord(d.AllowedUntil, "-"), what)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if open {
		return &codeError{2, fmt.Errorf("")}
	}
	return nil
}

func driftAllow(io streams, allow bool) *cobra.Command {
	var file, reason, object, until string
	use, short := "disallow PERSON KIND --reason TEXT", "Take back drift allow"
	if allow {
		use, short = "allow PERSON KIND --until DATE --reason TEXT", "Let drift stand until a day"
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(2),
		Long: short + ".\n\nKIND is one of " + fmt.Sprint(contractor.DriftKinds()) + ".",
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := contractor.DriftKind(args[1])
			if !slices.Contains(contractor.DriftKinds(), kind) {
				return &codeError{exitUsage, fmt.Errorf("%q is no kind of drift; write one of %v", args[1], contractor.DriftKinds())}
			}
			o := contractor.DriftOverride{Kind: kind, Object: object, Reason: reason}
			if allow {
				end, err := contractor.ParseDate(until, nil, time.UTC, contractor.EndOfDay)
				if err != nil || !end.After(time.Now()) {
					return &codeError{exitUsage, fmt.Errorf("--until %q is not a date to come; write YYYY-MM-DD", until)}
				}
				o.Until = end
			}
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				o.Person = p.ID
				return s.AllowDrift(ctx, admin(), o)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&object, "object", "", "object id of the group or access package; all of them if not given")
	if allow {
		cmd.Flags().StringVar(&until, "until", "", "the last day on which it may stand, YYYY-MM-DD (required)")
		_ = cmd.MarkFlagRequired("until")
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// startDriftWatch begins to ask Entra what was changed.
func (d *daemon) startDriftWatch(ctx context.Context) error {
	watch, err := lifecycle.NewDriftWatch(lifecycle.DriftWatchConfig{
		Store: d.store, Directory: d.graph, Wake: d.loop.Wake, Logger: d.log.With("component", "drift"),
		Catalog: func() []contractor.Entitlement { return d.mapping.get().Catalog() },
	})
	if err != nil {
		return err
	}
	if d.config.OnPostgres() {
		d.alone(ctx, "watch for drift", watch.Run)
		return nil
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	d.parts.Go(func() {
		defer close(done)
		if err := watch.Run(runCtx); err != nil {
			d.fail(fmt.Errorf("the watch for drift stopped: %w", err))
		}
	})
	d.stops.add("drift", func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
		case <-ctx.Done():
		}
		return nil
	})
	return nil
}
