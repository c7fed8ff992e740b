package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/intake"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
)

// startPulls reads the vendors' servers in the background, where any is configured.
func (d *daemon) startPulls(ctx context.Context, door *scim.Door) error {
	if len(d.config.Pull) == 0 {
		return nil
	}
	puller, err := newPuller(d.config, d.store, door, d.mapping.get, d.log.With("component", "pull"))
	if err != nil {
		return setupError(err)
	}
	for _, name := range puller.Names() {
		if _, ok := d.mapping.get().Vendor(name); !ok {
			d.log.Warn("pull names a vendor that the mapping does not have; its server is not asked", "vendor", name)
		}
	}
	d.metrics.registry.MustRegister(newPullMetrics(d.store.PullStates))
	d.alone(ctx, "pull", puller.Run)
	return nil
}

// pullTrouble names the vendors' servers that cannot be read.
func (d *daemon) pullTrouble(ctx context.Context) ([]contractor.PullState, []string, error) {
	if len(d.config.Pull) == 0 {
		return nil, nil, nil
	}
	states, err := d.store.PullStates(ctx)
	var names []string
	for name := range d.config.Pull {
		names = append(names, name)
	}
	return states, intake.Overdue(states, names), err
}

func newPuller(cfg *config.Config, store *db.Store, door *scim.Door, mapping func() *mapper.Mapping, log *slog.Logger) (*intake.Puller, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	c := intake.PullConfig{
		Store: store, Paused: store.Paused, Logger: log, By: fmt.Sprintf("pull of process %d on %s", os.Getpid(), host), Sources: map[string]*intake.Source{},
		Vendors: func(name string) (*contractor.Vendor, bool) { return mapping().Vendor(name) },
		Overall: func() contractor.Guard { return mapping().Guard() },
		Feed:    func(vendor string, a audit.Actor, dry bool) (intake.Feed, error) { return door.Feed(vendor, a, dry) },
	}
	for name, p := range cfg.Pull {
		if p == nil {
			continue
		}
		if c.Sources[name], err = newSource(p); err != nil {
			return nil, fmt.Errorf("pull.%s: %w", name, err)
		}
	}
	return intake.NewPuller(c)
}

// newSource opens what a source needs of the disk but its secrets, which are read when they are used.
func newSource(p *config.Pull) (*intake.Source, error) {
	transport, err := entra.NewTransport(p.CAFile)
	if err != nil {
		return nil, err
	}
	if cc := p.ClientCertificate; cc != nil {
		cert, err := tls.LoadX509KeyPair(cc.CertFile.Path(), cc.KeyFile.Path())
		if err != nil {
			return nil, fmt.Errorf("the client certificate cannot be used: %w", err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{cert}
	}
	s := &intake.Source{
		URL: p.URL, Transport: transport, Filter: p.Filter, ByID: p.Key == config.KeyID, Absent: p.Absent == config.AbsentEnd,
		Page: p.PageSize, Max: p.MaxRecords, Timeout: p.Timeout, Every: p.Every, FullEvery: p.FullEvery,
	}
	switch {
	case p.Bearer != nil:
		s.Auth.Bearer = secretOf(p.Bearer.File)
	case p.Basic != nil:
		s.Auth.Basic = &intake.Basic{Username: p.Basic.Username, Password: secretOf(p.Basic.File)}
	case p.OAuth2 != nil:
		s.Auth.OAuth2 = &intake.OAuth2{
			TokenURL: p.OAuth2.TokenURL, ClientID: p.OAuth2.ClientID, Secret: secretOf(p.OAuth2.File), Scopes: p.OAuth2.Scopes, InBody: p.OAuth2.InBody,
		}
	}
	return s, nil
}

func secretOf(f config.CredentialFile) intake.Secret {
	return func() (string, error) {
		s, err := f.Read()
		if err != nil {
			return "", err
		}
		return s.Reveal(), nil
	}
}

func newPull(io streams) *cobra.Command {
	var file, vendor string
	var round intake.Round
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pull [--vendor V]",
		Short: "Ask vendors' own SCIM servers now",
		Long: `Ask vendors' own SCIM servers now, as the daemon does by itself: those that pull: in scimbridge.yaml names, or one. What
comes goes the way that the vendor's push would go. A server that cannot be read ends nobody; who is missing from it is ended
only where absent: end says so, after a whole reading beyond doubt, and under the guard. docs/intake.md has the whole.

Exit codes: 0 done, 1 failed, 2 read, and records were refused, ends are held or the list is in doubt, 64 the command line is
wrong, 78 the configuration is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return pullNow(cmd.Context(), io, file, vendor, round, asJSON)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&vendor, "vendor", "", "of this vendor only")
	cmd.Flags().BoolVar(&round.Full, "full", false, "a whole reading, although only what changed would do")
	cmd.Flags().BoolVar(&round.Dry, "dry-run", false, "show what would happen, and write nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func pullNow(ctx context.Context, io streams, file, vendor string, round intake.Round, asJSON bool) error {
	cfg, err := readConfig(file, io)
	if err != nil {
		return err
	}
	m, _, err := readMapping(cfg.Mapping)
	if err != nil {
		return setupError(err)
	}
	round.By = admin()
	var reports []*intake.RoundReport
	err = withStore(ctx, cfg, func(s *db.Store) error {
		log := newLogger(cfg.Log, io)
		door, err := scim.New(scim.Config{Store: s, Wake: func() {}, Logger: log, Vendors: m.Vendor, Names: m.Vendors, Groups: m.Catalog, PublicURL: cfg.PublicURL})
		if err != nil {
			return err
		}
		puller, err := newPuller(cfg, s, door, func() *mapper.Mapping { return m }, log)
		if err != nil {
			return setupError(err)
		}
		names := puller.Names()
		if len(names) == 0 {
			return errors.New("scimbridge.yaml names no server: add pull:; docs/intake.md shows how")
		}
		if vendor != "" {
			names = []string{vendor}
		}
		var errs []error
		for _, name := range names {
			r, err := puller.Pull(ctx, name, round)
			if r != nil {
				reports = append(reports, r)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(errs...)
	})
	if len(reports) > 0 {
		if !round.Dry {
			wakeDaemon(ctx, cfg)
		}
		if perr := printPulls(io.out, reports, asJSON); perr != nil {
			err = errors.Join(err, perr)
		}
	}
	partly := false
	for _, r := range reports {
		if r.Error != "" && err == nil {
			err = errors.New("") // told in the report
		}
		partly = partly || r.Counts.Refused > 0 || r.Held != "" || r.Doubt != ""
	}
	if err == nil && partly {
		return &codeError{exitPartly, errors.New("")}
	}
	return err
}

func printPulls(w io.Writer, reports []*intake.RoundReport, asJSON bool) error {
	if asJSON {
		return printJSON(w, reports)
	}
	var b strings.Builder
	for i, r := range reports {
		if i > 0 {
			b.WriteString("\n")
		}
		how := map[string]string{"full": "read whole", "delta": "what changed since the last time", "unchanged": "the server says that nothing changed"}[r.Mode]
		fmt.Fprintf(&b, "%s from %s: %s\n", r.Vendor, r.URL, orText(how, "not read"))
		if r.DryRun {
			b.WriteString("nothing was written\n")
		}
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "  User %s: %s\n", p.ID, p.Message)
		}
		printFeedCounts(&b, &r.Counts, r.DryRun)
		switch {
		case r.Error != "":
			fmt.Fprintf(&b, "FAILED: %s\nnobody is ended by that\n", r.Error)
		case r.Doubt != "":
			fmt.Fprintf(&b, "nobody was ended for being missing: %s\n", r.Doubt)
		case r.Held != "":
			fmt.Fprintf(&b, "%d are missing; all their ends are held: %s\nsee scimbridge hold list\n", r.Absent, r.Held)
		case r.Absent > 0:
			fmt.Fprintf(&b, "%d were missing\n", r.Absent)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printPullStates tells how far the vendors' servers were read.
func printPullStates(w io.Writer, states []contractor.PullState) {
	for i := range states {
		st := &states[i]
		fmt.Fprintf(w, "pull      %s: %s at %s, %d read of %d, whole at %s", st.Vendor, orText(st.Mode, "failed"), day(st.Started), st.Counts.Read, st.Total, orWord(st.Full, "never"))
		if st.Error != "" {
			fmt.Fprintf(w, "; FAILING since %s: %s", day(st.Since), st.Error)
		}
		if st.Doubt != "" {
			fmt.Fprintf(w, "; nobody is ended for being missing: %s", st.Doubt)
		}
		fmt.Fprintln(w)
	}
}
