package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newAttest(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attest",
		Short: "Confirmations by sponsors: list, confirm, export",
		Long: `Sponsors confirm every so often (defaults.attest of the mapping) that their contractors are still needed. Whom nobody
confirms within the grace loses access; a confirmation, by the sponsor's link or by you, gives it back.`,
	}
	cmd.AddCommand(attestList(io), attestConfirm(io), attestExport(io))
	return cmd
}

// attestLimit bounds a listing.
const attestLimit = 200_000

// readAttestations reads the list; open leaves out those that nobody waits for.
func readAttestations(cmd *cobra.Command, io streams, file string, open bool, do func([]contractor.Attestation) error) error {
	cfg, err := readConfig(file, io)
	if err != nil {
		return err
	}
	return withStore(cmd.Context(), cfg, func(s *db.Store) error {
		list, err := s.Attestations(cmd.Context(), time.Now(), attestLimit)
		if err != nil {
			return err
		}
		kept := []contractor.Attestation{}
		for _, a := range list {
			if !open || a.Stopped || !a.Asked.IsZero() {
				kept = append(kept, a)
			}
		}
		return do(kept)
	})
}

// attestWord is where a confirmation stands.
func attestWord(a contractor.Attestation) string {
	switch {
	case a.Stopped:
		return "stopped"
	case !a.Asked.IsZero() && a.Sent.IsZero():
		return "asked, mail not sent"
	case !a.Asked.IsZero():
		return "asked"
	case a.Sponsor == "":
		return "no sponsor to ask"
	case a.Confirmed.IsZero():
		return "not yet due"
	}
	return "confirmed"
}

func attestList(io streams) *cobra.Command {
	var file string
	var asJSON, all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List what sponsors were asked and have not answered", Args: cobra.NoArgs,
		Long: "List what sponsors were asked and have not answered; with --all everybody.\n\nExit codes: 0 nothing waits, 1 failed, 2 something waits.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return readAttestations(cmd, io, file, !all, func(list []contractor.Attestation) error {
				var err error
				switch {
				case asJSON:
					err = printJSON(io.out, list)
				case len(list) == 0:
					_, err = fmt.Fprintln(io.out, "nothing waits for a confirmation")
				default:
					w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
					fmt.Fprintln(w, "PERSON\tEMAIL\tVENDOR\tSTATE\tASKED\tCONFIRMED\tENDS")
					for _, a := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.Person, a.Email, a.Vendor, attestWord(a), orWord(a.Asked, "-"), orWord(a.Confirmed, "never"), orWord(a.End, "-"))
					}
					err = w.Flush()
				}
				if err == nil && len(list) > 0 && !all {
					return &codeError{2, errors.New("")}
				}
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "everybody with a live engagement")
	return cmd
}

func attestConfirm(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "confirm PERSON --reason TEXT", Short: "Confirm a person in the sponsor's place", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				if err := s.ConfirmPerson(ctx, admin(), p.ID, reason); err != nil {
					return err
				}
				_, err := fmt.Fprintf(io.out, "person %s confirmed\n", p.ID)
				return err
			})
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	return cmd
}

func attestExport(io streams) *cobra.Command {
	var file string
	var asCSV bool
	cmd := &cobra.Command{
		Use: "export --csv", Short: "Write where every confirmation stands, for an audit", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asCSV {
				return &codeError{exitUsage, errors.New("say --csv: it is the one form there is")}
			}
			return readAttestations(cmd, io, file, false, func(list []contractor.Attestation) error {
				w := csv.NewWriter(io.out)
				rows := [][]string{{"person", "email", "vendor", "sponsor", "state", "end", "asked", "mail_sent", "confirmed", "confirmed_by"}}
				stamp := func(t time.Time) string {
					if t.IsZero() {
						return ""
					}
					return t.UTC().Format(time.RFC3339)
				}
				for _, a := range list {
					rows = append(rows, []string{a.Person, plainCell(a.Email), plainCell(a.Vendor), a.Sponsor, attestWord(a), stamp(a.End), stamp(a.Asked), stamp(a.Sent), stamp(a.Confirmed), plainCell(a.By)})
				}
				return w.WriteAll(rows)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asCSV, "csv", false, "write comma-separated values")
	return cmd
}

// plainCell keeps a spreadsheet from taking a vendor's text for a formula.
func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
