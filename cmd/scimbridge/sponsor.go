package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"scimbridge/internal/db"
)

func newSponsor(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sponsor",
		Short: "Mails to sponsors and what they decided by link: mails, restart",
	}
	cmd.AddCommand(sponsorMails(io), sponsorRestart(io))
	return cmd
}

func sponsorMails(io streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "mails", Short: "Count the mails to sponsors by state", Args: cobra.NoArgs,
		Long: "Count the mails to sponsors by state.\n\nExit codes: 0 fine, 1 failed, 2 some could not be sent.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				counts, err := s.MailCounts(cmd.Context())
				if err != nil {
					return err
				}
				if len(counts) == 0 {
					fmt.Fprintln(io.out, "no mail yet")
				}
				for _, state := range slices.Sorted(maps.Keys(counts)) {
					fmt.Fprintf(io.out, "%-8s %d\n", state, counts[state])
				}
				if counts["failed"] > 0 {
					return &codeError{2, errors.New("some mails could not be sent; the journal says why: scimbridge audit search --kind mail.failed")}
				}
				return nil
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func sponsorRestart(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "restart ENGAGEMENT --reason TEXT", Short: "Take back that a sponsor ended an engagement: its vendor's dates hold again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			err = withStore(cmd.Context(), cfg, func(s *db.Store) error {
				return s.RestartEngagement(cmd.Context(), admin(), args[0], reason)
			})
			if err == nil {
				wakeDaemon(cmd.Context(), cfg)
			}
			return err
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	return cmd
}
