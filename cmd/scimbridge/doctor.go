package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"scimbridge/internal/config"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/mapper"
)

func newDoctor(io streams) *cobra.Command {
	var file string
	var asJSON, features bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at everything that the bridge depends on, and say what to do", Args: cobra.NoArgs,
		Long: `Look at everything that the bridge depends on: token, permissions needed and those beyond need, clock, groups, PIM caps,
packages, licences and what is billed, sponsors, conditional access, quota, database, disk, certificates. Nothing is changed.

With --features it prints only what configuration and mapping use, in the words of scripts/entra-setup.sh, and asks nobody.

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
			if features {
				d := doctorConfig(cfg, m)
				used := make([]string, 0, len(entra.Features()))
				for _, f := range d.Features() {
					used = append(used, string(f))
				}
				_, err := fmt.Fprintln(io.out, strings.Join(used, ","))
				return err
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
	cmd.Flags().BoolVar(&features, "features", false, "print the features in use, for scripts/entra-setup.sh --features")
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
	graph, closeIdle, err := dialGraph(graphOptions{config: cfg, log: newLogger(cfg.Log, io), untouchable: func() []string { return breakGlass(m) }})
	if err != nil {
		return []entra.Check{{Area: "token", Level: entra.CheckFail, Found: err.Error(), Action: "mend the section entra in the configuration"}}
	}
	defer closeIdle()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	d := doctorConfig(cfg, m)
	d.NotAfter = credential.NotAfter()
	checks := graph.Doctor(ctx, d)
	if slices.ContainsFunc(checks, func(c entra.Check) bool { return c.Area == "token" && c.Level == entra.CheckFail }) {
		return checks // without a token there is nothing more to ask
	}
	checks = append(checks, sponsorChecks(ctx, cfg, graph)...)
	return append(checks, accessChecks(ctx, cfg, m, graph)...)
}

// doctorConfig says which features configuration and mapping use.
func doctorConfig(cfg *config.Config, m *mapper.Mapping) entra.DoctorConfig {
	d := entra.DoctorConfig{
		Catalog: m.Catalog(), LeaveDate: m.Writes("employeeLeaveDateTime"), Activity: cfg.Watch != nil, Policies: m.ConditionalAccess() != nil,
	}
	if f := m.SponsorFallback(); f != "" {
		d.Sponsors = []string{f}
	}
	if cfg.Notify != nil && cfg.Notify.Sender == config.SendGraph {
		d.Mailbox = cfg.Notify.From
	}
	return d
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
			checks = append(checks, entra.Check{Area: "people", Level: entra.CheckWarn, Found: countOf(stats.Held, "person waits", "people wait"), Action: "see scimbridge contractor list --held"})
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
	if cfg.TLS != nil {
		checks = append(checks, doorCertificate(cfg.TLS.CertFile.Path(), time.Now()))
	}
	return append(checks, quotaCheck(ctx, cfg))
}
