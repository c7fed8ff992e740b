package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/mapper"
)

func newApply(io streams) *cobra.Command {
	var file, reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply PLAN --reason TEXT",
		Short: "Put a planned mapping into force, with exactly the removals of the plan approved",
		Long: `Put the mapping of a plan into force: write it to the file that the configuration names, and have the daemon reload it.
Exactly what the plan takes away is approved; whatever else the guard would hold is held. If the mapping in force, the people or
their records have changed since in a way that the plan depends on, nothing is done and it is said what changed.

Exit codes: 0 in force (or, with no daemon running, at its next start), 1 refused or failed, 64 nobody could be asked (add --yes).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				return apply(cmd.Context(), io, cfg, s, args[0], reason, yes)
			})
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func apply(ctx context.Context, io streams, cfg *config.Config, s *db.Store, id, reason string, yes bool) error {
	p, err := s.Plan(ctx, id)
	if err != nil {
		return err
	}
	m, problems := mapper.Parse("the plan's mapping", []byte(p.Text))
	if err := problems.Err(); err != nil {
		return err
	}
	changed, losses, err := staleness(ctx, s, p, m)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		for _, c := range changed {
			fmt.Fprintln(io.err, c)
		}
		return fmt.Errorf("the world has changed since plan %s was made; make another with scimbridge plan", p.ID[:12])
	}
	var t tally
	if err := json.Unmarshal(p.Summary, &t); err != nil {
		return err
	}
	if err := t.printCounts(io.out); err != nil {
		return err
	}
	if err := printLosing(io.out, losses); err != nil {
		return err
	}
	question := fmt.Sprintf("Mapping %.12s comes into force: %s, %d of which lose access that they hold now.", p.After, people(t.Changed)+" change", len(losses))
	if err := confirm(io, yes, question); err != nil {
		return err
	}
	if err := s.ApproveRemovals(ctx, admin(), p.ID, losses, p.After, reason); err != nil {
		return err
	}
	if err := writeMapping(cfg.Mapping, []byte(p.Text)); err != nil {
		return err
	}
	var answer struct{ Revision string }
	switch err := callAdmin(ctx, cfg.AdminSocket, "POST", "/v1/reload", &answer); {
	case errors.Is(err, errNoDaemon):
		_, err = fmt.Fprintf(io.out, "mapping %.12s is written to %s and comes into force at the daemon's next start\n", p.After, cfg.Mapping)
		return err
	case err != nil:
		return err
	case answer.Revision != p.After:
		return fmt.Errorf("the daemon loaded mapping %.12s, not %.12s: another file than %s, or somebody edited it meanwhile", answer.Revision, p.After, cfg.Mapping)
	}
	_, err = fmt.Fprintf(io.out, "mapping %.12s is in force\n", p.After)
	return err
}

// maxTold bounds how many changes a refusal lists.
const maxTold = 20

// staleness computes the plan again and says what is not as it was. Time alone makes no plan stale: what ended since by its date
// needs no approval. Somebody whom the plan does not change may have changed, if the plan still does not.
func staleness(ctx context.Context, s *db.Store, p *db.Plan, m *mapper.Mapping) (changed []string, losses []contractor.Loss, err error) {
	revision, before, err := inForce(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	if revision != p.Before {
		return []string{fmt.Sprintf("the mapping in force is %.12s, and was %.12s", orText(revision, "none"), orText(p.Before, "none"))}, nil, nil
	}
	c, err := newComparison(before, m, newFormer(s).rules, time.Now().UTC().Truncate(time.Microsecond))
	if err != nil {
		return nil, nil, err
	}
	told := 0
	tell := func(format string, args ...any) {
		if told++; told <= maxTold {
			changed = append(changed, fmt.Sprintf(format, args...))
		}
	}
	seen := 0
	err = c.population(ctx, s, func(batch []outcome) error {
		for i := range batch {
			o := &batch[i]
			x, planned, err := s.PlanPerson(ctx, p, o.person)
			if err != nil {
				return err
			}
			if planned {
				seen++
			}
			if err := compareOutcome(o, &x, planned, tell); err != nil {
				return err
			}
			losses = append(losses, o.losses...)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if told > maxTold {
		changed = append(changed, fmt.Sprintf("and %d more", told-maxTold))
	}
	return changed, losses, nil
}

func compareOutcome(o *outcome, x *db.PlanPerson, planned bool, tell func(string, ...any)) error {
	switch {
	case planned && o.digest == "": // nothing changes any more: by time, or by a record
		return nil
	case planned && o.digest != x.Digest:
		tell("person %s: the records, or what was decided about the person, changed", o.person)
		return nil
	case planned:
		var was []mapper.Change
		if err := json.Unmarshal(x.Changes, &was); err != nil {
			return err
		}
		if len(o.changes) > len(was) && !sameEffect(o.changes, was) {
			tell("person %s: the plan would change more", o.person)
		}
		return nil
	case len(o.losses) > 0 || !sameEffect(o.changes, nil):
		tell("person %s: is new, or changed, and the mapping now changes something for the person", o.person)
	}
	return nil
}

// writeMapping replaces the mapping file whole, keeping its mode and owner, or leaves it as it is if it says that already.
func writeMapping(name string, text []byte) error {
	old, err := os.ReadFile(name)
	if err == nil && bytes.Equal(old, text) {
		return nil
	}
	mode := os.FileMode(0o640)
	if info, err := os.Stat(name); err == nil {
		mode = info.Mode().Perm()
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".mapping-*")
	if err != nil {
		return fmt.Errorf("the mapping cannot be written beside %s; run this as a user who may: %w", name, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone once renamed
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close(), keepOwner(f.Name(), name))
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("the mapping %s was not replaced: %w", name, err)
	}
	return nil
}
