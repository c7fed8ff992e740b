package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/lifecycle"
)

func newOrphans(io streams) *cobra.Command {
	var file string
	var asJSON, all, noSignIns bool
	cmd := &cobra.Command{
		Use: "orphans", Short: "Guests of the tenant that no record explains", Args: cobra.NoArgs,
		Long: `Guests of the tenant that no record explains, oldest first, with the last sign-in where it may be read (AuditLog.Read.All and
Entra ID P1). Nothing is changed. A guest whose address belongs to a person that waits for one can be handed over with
scimbridge contractor adopt PERSON; one that is to stay as it is can be left alone with scimbridge orphans ignore.

Exit codes: 0 none, 1 failed, 2 there are some.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			graph, err := openGraphOnce(cfg, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				list, err := lifecycle.Orphans(cmd.Context(), s, graph, all, !noSignIns, progress(io))
				clearProgress(io.err)
				if err != nil {
					return err
				}
				return printOrphans(io, list, asJSON)
			})
		},
	}
	configFlag(cmd, &file)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&all, "all", false, "those that are left alone, too")
	f.BoolVar(&noSignIns, "no-sign-ins", false, "do not read last sign-ins: a call less for each guest")
	cmd.AddCommand(orphansIgnore(io, true), orphansIgnore(io, false))
	return cmd
}

// progress counts on a terminal, and is silent elsewhere.
func progress(io streams) func(what string, done, of int) {
	if terminalWidth(io.err) == 0 {
		return func(string, int, int) {}
	}
	return func(what string, done, of int) {
		line := fmt.Sprintf("%d %s", done, what)
		if of > 0 {
			line = fmt.Sprintf("%d of %d %s", done, of, what)
		}
		fmt.Fprint(io.err, "\r\x1b[K"+line)
	}
}

func printOrphans(io streams, list []contractor.Orphan, asJSON bool) error {
	unread := ""
	switch {
	case asJSON && list == nil:
		return printJSON(io.out, []contractor.Orphan{})
	case asJSON:
		if err := printJSON(io.out, list); err != nil {
			return err
		}
	case len(list) == 0:
		_, err := fmt.Fprintln(io.out, "every guest is explained by a record")
		return err
	default:
		w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "GUEST\tMAIL\tCREATED\tENABLED\tSTATE\tLAST SIGN-IN\tNEXT")
		for _, o := range list {
			next := "scimbridge orphans ignore " + o.ID
			if o.Person != "" {
				next = "scimbridge contractor adopt " + o.Person
			}
			if o.Ignored != "" {
				next = "left alone: " + o.Ignored
			}
			seen := orWord(o.LastSeen, "never")
			if o.Unread != "" {
				seen, unread = "unreadable", o.Unread
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%s\t%s\t%s\n", o.ID, o.Mail, day(o.Created), o.Enabled, orText(o.State, "-"), seen, next)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if unread != "" {
		fmt.Fprintln(io.err, "last sign-ins could not be read: "+unread)
	}
	if len(list) > 0 {
		return &codeError{2, fmt.Errorf("")}
	}
	return nil
}

func orphansIgnore(io streams, ignore bool) *cobra.Command {
	var file, reason string
	use, short := "notice GUEST --reason TEXT", "Take back orphans ignore"
	if ignore {
		use, short = "ignore GUEST --reason TEXT", "Leave a guest alone that no record explains"
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				return s.IgnoreOrphan(cmd.Context(), admin(), args[0], reason, ignore)
			})
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	return cmd
}
