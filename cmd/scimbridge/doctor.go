package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"scimbridge/internal/config"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/mapper"
	"scimbridge/internal/policy"
)

func newDoctor(io streams) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at everything that the bridge depends on, and say what to do", Args: cobra.NoArgs,
		Long: `Look at everything that the bridge depends on: token, permissions needed and those beyond need, clock, groups, PIM caps,
packages, sponsors, conditional access, database, disk, certificates. Nothing is changed.

Exit codes: 0 all is well, 1 something fails, 2 something is worth a look.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			m, _, err := readMapping(cfg.Mapping)
			if err != nil {
				return setupError(err)
			}
			checks := append(localChecks(cmd.Context(), cfg), graphChecks(cmd.Context(), cfg, m, io)...)
			if asJSON {
				err = printJSON(io.out, checks)
			} else {
				err = printChecks(io, checks)
			}
			return errors.Join(err, verdict(checks))
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// verdict is the exit code of a list of findings.
func verdict(checks []entra.Check) error {
	worst := entra.CheckOK
	for _, c := range checks {
		if c.Level == entra.CheckFail || c.Level == entra.CheckWarn && worst == entra.CheckOK {
			worst = c.Level
		}
	}
	switch worst {
	case entra.CheckFail:
		return &codeError{exitError, errors.New("")}
	case entra.CheckWarn:
		return &codeError{2, errors.New("")}
	}
	return nil
}

func printChecks(io streams, checks []entra.Check) error {
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		line := c.Found
		if c.Action != "" {
			line += "; " + c.Action
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Level, c.Area, orText(c.Name, "-"), line)
	}
	return w.Flush()
}

// graphChecks looks at the tenant.
func graphChecks(ctx context.Context, cfg *config.Config, m *mapper.Mapping, io streams) []entra.Check {
	credential, err := newCredential(cfg.Entra)
	if err != nil {
		return []entra.Check{{Area: "token", Level: entra.CheckFail, Found: err.Error(), Action: "mend entra.credential in the configuration"}}
	}
	graph, closeIdle, err := dialGraph(cfg, newLogger(cfg.Log, io), nil, func() []string { return breakGlass(m) })
	if err != nil {
		return []entra.Check{{Area: "token", Level: entra.CheckFail, Found: err.Error(), Action: "mend the section entra in the configuration"}}
	}
	defer closeIdle()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	checks := graph.Doctor(ctx, entra.DoctorConfig{Catalog: m.Catalog(), NotAfter: credential.NotAfter(), Activity: cfg.Watch != nil})
	return append(checks, sessionCheck(ctx, graph))
}

// sessionCheck asks whether conditional access bounds what a guest's session outlives its contract by: disabling sign-in stops
// new tokens, and a session is asked again only where a sign-in frequency says so.
func sessionCheck(ctx context.Context, graph *entra.Client) entra.Check {
	c := entra.Check{Area: "conditional access", Level: entra.CheckWarn}
	policies, err := graph.CAPolicies(ctx)
	if err != nil {
		c.Found, c.Action = "the policies cannot be read", "grant Policy.Read.All to have this checked"
		return c
	}
	frequency, enforced := policy.SignInFrequency(policies)
	if !enforced {
		c.Found = "no enforced policy makes every guest sign in again after a while: a session may outlive its contract by days"
		c.Action = "see docs/conditional-access.md and configs/baseline-conditional-access.yaml"
		return c
	}
	c.Level, c.Found = entra.CheckOK, "every guest signs in again after "+frequency.String()
	return c
}

// minFree is the free disk below which an operator should act, in bytes: a day's journal of a large installation fits often.
const minFree = 1 << 30

// localChecks looks at this machine: database and disk.
func localChecks(ctx context.Context, cfg *config.Config) []entra.Check {
	var checks []entra.Check
	err := withStore(ctx, cfg, func(s *db.Store) error {
		count, _, err := s.VerifyJournal(ctx)
		if err != nil {
			return err
		}
		stats, err := s.Stats(ctx, time.Now(), 0)
		if err != nil {
			return err
		}
		checks = append(checks, entra.Check{Area: "database", Name: cfg.Database, Level: entra.CheckOK, Found: fmt.Sprintf("%d people, %d engagements, a whole journal of %d events", stats.People, stats.Engagements, count)})
		if stats.Held > 0 {
			checks = append(checks, entra.Check{Area: "people", Level: entra.CheckWarn, Found: count2(stats.Held, "person waits", "people wait"), Action: "see scimbridge contractor list --held"})
		}
		return nil
	})
	if err != nil {
		checks = append(checks, entra.Check{Area: "database", Name: cfg.Database, Level: entra.CheckFail, Found: err.Error(), Action: "see docs/audit.md if the journal is at fault"})
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(cfg.Database), &fs); err == nil {
		free := fs.Bavail * uint64(fs.Bsize) //nolint:gosec // a block size is positive
		c := entra.Check{Area: "disk", Name: filepath.Dir(cfg.Database), Level: entra.CheckOK, Found: fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))}
		if free < minFree {
			c.Level, c.Action = entra.CheckWarn, "make room: a full disk stops the vendor door"
		}
		checks = append(checks, c)
	}
	return checks
}

func count2(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
