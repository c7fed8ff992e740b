package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// The exit codes of every command.
const (
	exitOK    = 0
	exitError = 1  // it failed, or what was checked is wrong
	exitUsage = 64 // the command line itself is wrong (sysexits EX_USAGE)
	exitSetup = 78 // configuration or mapping is wrong: starting again cannot help (EX_CONFIG)
)

// exitError carries another exit code than 1; an empty message was already told.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

func setupError(err error) error { return &codeError{exitSetup, err} }

// run is the whole program but for signals and os.Exit, so that tests can call it.
func run(ctx context.Context, args []string, io streams) int {
	root := newRoot(io)
	root.SetArgs(args)
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	// What fails before a command's own work has begun is the command line: arguments, flags that must be there.
	began := false
	notice(root, &began)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitError
	if !began {
		code = exitUsage
	}
	if ce, ok := errors.AsType[*codeError](err); ok {
		code = ce.code
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintln(io.err, "scimbridge: "+msg)
	}
	return code
}

// notice makes a command and those below it say that their work began.
func notice(cmd *cobra.Command, began *bool) {
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*began = true
			return work(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		notice(c, began)
	}
}

func newRoot(io streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "scimbridge",
		Short: "Contractors' access to Entra that ends when the contract does",
		Long: `scimbridge takes contractor records from vendors over SCIM 2.0, maps them to Microsoft Entra guests
whose groups and access packages carry an end date, and takes everything back on that date, with proof.

Exit codes: 0 done, 1 failed or found wrong, 64 the command line is wrong, 78 the configuration is wrong.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &codeError{exitUsage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Run it:", []*cobra.Command{
			newServe(io),
			newStatus(io),
			newDoctor(io),
			newReload(io),
			newConsole(io),
			newBackup(io),
			newRestore(io),
			newDB(io),
		}},
		{"People and what waits:", []*cobra.Command{
			newContractor(io),
			newHold(io),
			newExplain(io),
			newDrift(io),
			newOrphans(io),
			newDNR(io),
			newSponsor(io),
			newAttest(io),
		}},
		{"The mapping:", []*cobra.Command{
			newValidate(io),
			newTry(io),
			newPlan(io),
			newApply(io),
			newMapping(io),
			newSchema(io),
			newPolicy(io),
		}},
		{"Vendors:", []*cobra.Command{
			newVendor(io),
			newImport(io),
			newPull(io),
		}},
		{"Proof and what was seen:", []*cobra.Command{
			newAudit(io),
			newReport(io),
			newAlarm(io),
			newActivity(io),
		}},
		{"Try it without a tenant:", []*cobra.Command{
			newDemo(io),
			newEmulator(io),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
	}
	root.AddCommand(
		newMan(io),
		newVersion(io),
	)
	return root
}

func newVersion(io streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(io.out, "scimbridge "+version())
			return err
		},
	}
}

// version is the module version that go install stamps, or the revision a checkout was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
