package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newHold(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "What waits for a person: list, approve, cancel",
		Long: `Changes of a vendor that wait for a person: more sudden ends, or more ends moved to another day, than its guard allows, or
an end put later by more than defaults.max_move. Approving lets the change take effect; cancelling ignores it until the vendor sends another. What nobody
decides within seven days is decided for less access: the sudden end takes effect, the later end is ignored.`,
	}
	cmd.AddCommand(holdList(io), holdDecide(io, true), holdDecide(io, false))
	return cmd
}

func holdList(io streams) *cobra.Command {
	var file string
	var asJSON bool
	var q contractor.HoldQuery
	cmd := &cobra.Command{
		Use: "list", Short: "List what waits", Args: cobra.NoArgs,
		Long: "List what waits.\n\nExit codes: 0 nothing waits, 1 failed, 2 something waits.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				holds, err := s.Holds(cmd.Context(), q)
				if err != nil {
					return err
				}
				losses, err := lossesOf(cmd.Context(), s, holds)
				if err != nil {
					return err
				}
				if asJSON {
					if holds == nil {
						holds = []contractor.Hold{}
					}
					err = printJSON(io.out, holds)
				} else {
					err = printHolds(io, holds, losses)
				}
				if err == nil && len(holds) > 0 && !q.All {
					return &codeError{2, errors.New("")}
				}
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&q.All, "all", false, "decided ones, too")
	cmd.Flags().StringVar(&q.Vendor, "vendor", "", "of this vendor only")
	return cmd
}

func printHolds(io streams, holds []contractor.Hold, losses *holdLosses) error {
	if len(holds) == 0 {
		_, err := fmt.Fprintln(io.out, "nothing waits")
		return err
	}
	if err := losses.print(io.out); err != nil {
		return err
	}
	fmt.Fprintln(io.out, "\nby person")
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tSTATE\tVENDOR\tPERSON\tENGAGEMENT\tSINCE\tDECIDED AT\tLOSES\tWHY")
	for _, h := range holds {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, h.State, h.Vendor, h.Person, h.Engagement, day(h.Opened), orWord(h.Expires, "never"),
			orText(strings.Join(h.Loses, ", "), "-"), h.Why)
	}
	return w.Flush()
}

func holdDecide(io streams, approve bool) *cobra.Command {
	var file, reason, vendor string
	var yes bool
	use, short, verb := "cancel [NUMBER…]", "Ignore held changes until the vendor sends others", "ignored: the end that was in force before holds"
	if approve {
		use, short, verb = "approve [NUMBER…]", "Let held changes take effect", "put into effect now"
	}
	cmd := &cobra.Command{
		Use: use, Short: short,
		Long: short + ". Give numbers from hold list, or --vendor for all of a vendor's.",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				ids, err := holdNumbers(cmd.Context(), s, args, vendor)
				if err != nil {
					return err
				}
				if approve {
					if err := tellLosses(cmd.Context(), io, s, ids); err != nil {
						return err
					}
				}
				if err := confirm(io, yes, fmt.Sprintf("%s will be %s.", count(len(ids), "held change"), verb)); err != nil {
					return err
				}
				for _, id := range ids {
					if _, err := s.DecideHold(cmd.Context(), admin(), id, approve, reason); err != nil {
						return err
					}
				}
				wakeDaemon(cmd.Context(), cfg)
				_, err = fmt.Fprintln(io.out, count(len(ids), "hold")+" decided")
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&vendor, "vendor", "", "all open holds of this vendor")
	reasonFlag(cmd, &reason)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// tellLosses prints what approving takes away, before somebody is asked.
func tellLosses(ctx context.Context, io streams, s *db.Store, ids []int64) error {
	all, err := s.Holds(ctx, contractor.HoldQuery{Limit: 100_000})
	if err != nil {
		return err
	}
	holds := slices.DeleteFunc(all, func(h contractor.Hold) bool { return !slices.Contains(ids, h.ID) })
	losses, err := lossesOf(ctx, s, holds)
	if err != nil {
		return err
	}
	if err := losses.print(io.out); err != nil {
		return err
	}
	var who []contractor.Loss
	for _, h := range holds {
		if len(h.Loses) > 0 {
			who = append(who, contractor.Loss{Person: h.Person, Vendor: h.Vendor, Engagement: h.Engagement, Loses: h.Loses})
		}
	}
	return printLosing(io.out, who)
}

func holdNumbers(ctx context.Context, s *db.Store, args []string, vendor string) (ids []int64, err error) {
	if (len(args) == 0) == (vendor == "") {
		return nil, &codeError{exitUsage, errors.New("give numbers from scimbridge hold list, or --vendor, not both")}
	}
	for _, a := range args {
		id, err := strconv.ParseInt(a, 10, 64)
		if err != nil {
			return nil, &codeError{exitUsage, fmt.Errorf("%q is not a number; scimbridge hold list shows them", a)}
		}
		ids = append(ids, id)
	}
	if vendor == "" {
		return ids, nil
	}
	holds, err := s.Holds(ctx, contractor.HoldQuery{Vendor: vendor, Limit: 100_000})
	for _, h := range holds {
		ids = append(ids, h.ID)
	}
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("nothing of vendor %s waits", vendor)
	}
	return ids, err
}

// reasonFlag is wanted by every verb that changes what somebody has.
func reasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, for the journal (required)")
	_ = cmd.MarkFlagRequired("reason")
}

// confirm says what will be done and asks, unless --yes was given. Without a terminal there is nobody to ask.
func confirm(io streams, yes bool, what string) error {
	if yes {
		return nil
	}
	in, ok := io.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return &codeError{exitUsage, errors.New(what + " Nobody can be asked here: add --yes")}
	}
	fmt.Fprint(io.err, what+" Go on? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); err != nil || a != "y" && a != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}

// wakeDaemon makes a running daemon look now. Without one, or without the right to its socket, its next start or its minute
// poll sees the change.
func wakeDaemon(ctx context.Context, cfg *config.Config) {
	var answer struct{ Woken bool }
	_ = callAdmin(ctx, cfg.AdminSocket, "POST", "/v1/wake", &answer)
}
