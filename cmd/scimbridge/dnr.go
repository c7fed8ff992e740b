package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newDNR(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dnr",
		Short: "Do not rehire: add, remove, list, override",
		Long: `People who must not come back, by hashes of address, personId and securityId: the list tells nobody whom it is about. Who
matches is held, whatever vendor sends them, until an override or until the entry is removed. Who has access when an entry is
added keeps it until the contract ends, and gets nothing new; scimbridge contractor end closes the door at once. A vendor's own
rehireEligible is for the rules of the mapping.`,
	}
	cmd.AddCommand(dnrAdd(io), dnrRemove(io), dnrList(io), dnrOverride(io))
	return cmd
}

func dnrAdd(io streams) *cobra.Command {
	var file, reason, email, personID, vendor, securityID string
	cmd := &cobra.Command{
		Use: "add [PERSON] --reason TEXT", Short: "Put a person, an address or an id on the list", Args: cobra.MaximumNArgs(1),
		Long: `Put a person, an address or an id on the list. PERSON adds everything by which the person is known: addresses, personIds,
securityIds. Values may be given as "-", and are then read from standard input, which keeps them out of the shell's history.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			in := bufio.NewReader(io.in)
			keys, err := dnrKeys(in, email, personID, vendor, securityID)
			if err != nil {
				return err
			}
			if len(keys) == 0 && len(args) == 0 {
				return &codeError{exitUsage, errors.New("give a PERSON, --email, --person-id with --vendor, or --security-id")}
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				if len(args) == 1 {
					p, err := s.FindPerson(cmd.Context(), args[0])
					if err != nil {
						return err
					}
					keys = append(keys, contractor.NoRehireKeys(p)...)
				}
				added, err := s.AddNoRehire(cmd.Context(), admin(), keys, reason)
				if err != nil {
					return err
				}
				wakeDaemon(cmd.Context(), cfg)
				entries := "entries"
				if len(added) == 1 {
					entries = "entry"
				}
				_, err = fmt.Fprintf(io.out, "%d %s added\n", len(added), entries)
				return err
			})
		},
	}
	configFlag(cmd, &file)
	f := cmd.Flags()
	f.StringVar(&email, "email", "", "an address")
	f.StringVar(&personID, "person-id", "", "the personId that --vendor gives")
	f.StringVar(&vendor, "vendor", "", "whose personId it is")
	f.StringVar(&securityID, "security-id", "", "a securityId")
	reasonFlag(cmd, &reason)
	return cmd
}

func dnrKeys(in *bufio.Reader, email, personID, vendor, securityID string) (keys []contractor.NoRehireKey, err error) {
	if (personID == "") != (vendor == "") {
		return nil, &codeError{exitUsage, errors.New("--person-id and --vendor go together: a personId is the vendor's own")}
	}
	for _, k := range []contractor.NoRehireKey{
		{Kind: contractor.NoRehireEmail, Value: email},
		{Kind: contractor.NoRehirePersonID, Vendor: vendor, Value: personID},
		{Kind: contractor.NoRehireSecurityID, Value: securityID},
	} {
		if k.Value == "-" {
			line, err := in.ReadString('\n')
			if k.Value = strings.TrimSpace(line); k.Value == "" {
				return nil, fmt.Errorf("read the %s from standard input: %w", k.Kind, err)
			}
		}
		if k.Kind == contractor.NoRehireEmail && k.Value != "" {
			if k.Value = contractor.EmailKey(k.Value); !strings.Contains(k.Value, "@") {
				return nil, &codeError{exitUsage, errors.New("--email is not an address")}
			}
		}
		if k.Value != "" {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func dnrRemove(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "remove NUMBER --reason TEXT", Short: "Take an entry off the list", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return &codeError{exitUsage, fmt.Errorf("%q is not a number; scimbridge dnr list shows them", args[0])}
			}
			err = withStore(cmd.Context(), cfg, func(s *db.Store) error { return s.RemoveNoRehire(cmd.Context(), admin(), id, reason) })
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

func dnrList(io streams) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the entries; whom they are about is not kept", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				list, err := s.NoRehires(cmd.Context())
				switch {
				case err != nil:
					return err
				case asJSON && list == nil:
					return printJSON(io.out, []contractor.NoRehire{})
				case asJSON:
					return printJSON(io.out, list)
				case len(list) == 0:
					_, err := fmt.Fprintln(io.out, "the list is empty")
					return err
				}
				w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "NUMBER\tKIND\tVENDOR\tADDED\tBY\tREASON")
				for _, n := range list {
					fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", n.ID, n.Kind, orText(n.Vendor, "-"), day(n.At), n.By, n.Reason)
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func dnrOverride(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "override PERSON --reason TEXT", Short: "Let one person come back although the list has it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				return s.OverrideNoRehire(ctx, admin(), p.ID, reason)
			})
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	return cmd
}

func contractorMerge(io streams) *cobra.Command {
	var file, reason string
	var yes bool
	cmd := &cobra.Command{
		Use: "merge PERSON OTHER --reason TEXT", Short: "Make one of two records of one human", Args: cobra.ExactArgs(2),
		Long: `Make one of two records of one human. PERSON stays, unless only OTHER has a guest. Engagements of both then count for the one
guest; a second guest is closed at once and deleted thirty days later. Later records with either address reach the same person.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				other, err := s.FindPerson(ctx, args[1])
				if err != nil {
					return err
				}
				what := fmt.Sprintf("%s (%s) and %s (%s) become one.", p.Email, count(len(p.Engagements), "engagement"), other.Email, count(len(other.Engagements), "engagement"))
				if p.GuestID != "" && other.GuestID != "" {
					what += " The second guest is closed now."
				}
				if err := confirm(io, yes, what); err != nil {
					return err
				}
				left, err := s.MergePersons(ctx, admin(), p.ID, other.ID, reason)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(io.out, "merged into person %s\n", left)
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	reasonFlag(cmd, &reason)
	return cmd
}

func contractorSplit(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "split ENGAGEMENT --reason TEXT", Short: "Say that an engagement is of another human than it is taken for", Args: cobra.ExactArgs(1),
		Long: `Say that an engagement is of another human than it is taken for. One that was merged into somebody by its address gets a person
of its own; one that waits because it may be somebody else's is let through. The two are not taken for one again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, _ *contractor.Person) error {
				person, err := s.SplitEngagement(ctx, admin(), args[0], reason)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(io.out, "engagement %s is of person %s\n", args[0], person)
				return err
			})
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	return cmd
}
