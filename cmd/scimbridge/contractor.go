package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newContractor(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "contractor",
		Short: "People: list, show, end, release, extend, adopt, merge, split",
		Long: `People. PERSON is a person's id, an e-mail address, a SCIM id or an Entra object id. These commands work on the database
and wake the daemon, so they work with it running or stopped.`,
	}
	cmd.AddCommand(contractorList(io), contractorShow(io), contractorEnd(io), contractorRelease(io), contractorExtend(io), contractorAdopt(io), contractorMerge(io), contractorSplit(io))
	return cmd
}

func contractorList(io streams) *cobra.Command {
	var file string
	var asJSON bool
	var q contractor.PersonQuery
	cmd := &cobra.Command{
		Use: "list", Short: "List people", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				people, err := s.ListPersons(cmd.Context(), q)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(io.out, views(people))
				}
				w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "PERSON\tE-MAIL\tPHASE\tSTATUS\tVENDORS\tENDS\tHOLDS\tNEEDS")
				for _, v := range views(people) {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", v.ID, v.Email, v.Phase, joinWords(v.Statuses), strings.Join(v.Vendors, ","), orWord(v.EndsAt, "-"), v.Holdings, v.needs())
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &file)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.StringVar(&q.Vendor, "vendor", "", "with an engagement of this vendor")
	f.StringVar((*string)(&q.Status), "status", "", "with an engagement of this status: scheduled, active, expiring, held, offboarding, removed")
	f.BoolVar(&q.Held, "held", false, "only those who wait for somebody")
	f.BoolVar(&q.Failing, "failing", false, "only those whose last pass failed")
	f.StringVar(&q.Text, "search", "", "part of an address, a name or a worker id")
	f.StringVar(&q.After, "after", "", "the last person of the page before")
	f.IntVar(&q.Limit, "limit", 100, "at most this many, up to 1000")
	return cmd
}

func joinWords[S ~string](words []S) string {
	var list []string
	for _, w := range words {
		list = append(list, string(w))
	}
	return strings.Join(list, ",")
}

// personView is a line of contractor list, and its JSON.
type personView struct {
	ID       string              `json:"id"`
	Email    string              `json:"email"`
	Name     string              `json:"name,omitempty"`
	Guest    string              `json:"entraObjectId,omitempty"`
	Phase    contractor.Phase    `json:"phase"`
	Statuses []contractor.Status `json:"statuses"`
	Vendors  []string            `json:"vendors"`
	EndsAt   time.Time           `json:"endsAt,omitzero"`
	Holdings int                 `json:"holdings"`
	Held     string              `json:"held,omitempty"`
	Error    string              `json:"lastError,omitempty"`
	NextAt   time.Time           `json:"nextAt,omitzero"`
}

func (v personView) needs() string {
	switch {
	case v.Held != "":
		return v.Held
	case v.Error != "":
		return v.Error
	}
	return "-"
}

func views(people []contractor.PersonSummary) []personView {
	list := []personView{}
	for _, s := range people {
		p := s.Person
		list = append(list, personView{p.ID, p.Email, s.Name, p.GuestID, p.Phase, s.Statuses, s.Vendors, s.EndsAt, s.Holdings, p.Held, p.LastError, p.NextAt})
	}
	return list
}

func contractorShow(io streams) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show PERSON", Short: "Everything about one person, and what was done", Args: cobra.ExactArgs(1),
		Long: `Everything about one person, and one line of time: what was done to them, by our journal, and what they did, by what is kept of
the tenant's sign-in and audit logs. Of each the last 1,000 entries are shown.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				life, err := lifeOf(ctx, s, p.ID)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(io.out, struct {
						*contractor.Person
						Timeline []happening `json:"timeline"`
					}{p, life})
				}
				return showPerson(io, p, life)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// onPerson opens the store and finds the person.
func onPerson(cmd *cobra.Command, io streams, file, key string, do func(context.Context, *db.Store, *contractor.Person) error) error {
	cfg, err := readConfig(file, io)
	if err != nil {
		return err
	}
	err = withStore(cmd.Context(), cfg, func(s *db.Store) error {
		p, err := s.FindPerson(cmd.Context(), key)
		if err != nil {
			return err
		}
		return do(cmd.Context(), s, p)
	})
	if err == nil {
		wakeDaemon(cmd.Context(), cfg)
	}
	return err
}

func showPerson(io streams, p *contractor.Person, life []happening) error {
	var b strings.Builder
	fmt.Fprintf(&b, "person   %s  %s\n", p.ID, p.Email)
	fmt.Fprintf(&b, "guest    %s  %s %s %s\n", orText(p.GuestID, "none"), p.Phase, p.Origin, p.GuestState)
	fmt.Fprintf(&b, "next     %s\n", orWord(p.NextAt, "nothing to do"))
	for _, line := range []struct{ name, text string }{{"held", p.Held}, {"error", p.LastError}} {
		if line.text != "" {
			fmt.Fprintf(&b, "%-8s %s\n", line.name, line.text)
		}
	}
	if !p.Block.At.IsZero() {
		fmt.Fprintf(&b, "stopped  %s by %s: %s\n", day(p.Block.At), p.Block.By, p.Block.Reason)
	}
	for i := range p.Engagements {
		e := &p.Engagements[i]
		fmt.Fprintf(&b, "\nengagement %s of %s: %s %s\n", e.ID, e.Vendor, orText(string(e.Standing.Status), "new"), e.Standing.Reason)
		fmt.Fprintf(&b, "  from %s to %s  (sent: start %q, end %q, active %v, deleted %v)\n", orWord(e.Standing.EffectiveStart, "-"), orWord(e.Standing.EffectiveEnd, "-"), e.Record.StartDate, e.Record.EndDate, e.Record.Active, e.Deleted)
		if !e.Extended.Until.IsZero() {
			fmt.Fprintf(&b, "  extended to %s by %s: %s\n", day(e.Extended.Until), e.Extended.By, e.Extended.Reason)
		}
	}
	for i := range p.Holdings {
		h := &p.Holdings[i]
		fmt.Fprintf(&b, "\nholds %s %s (%s) until %s, in Entra until %s\n  %s since %s, by rule %s (line %d), engagement %s\n",
			h.Entitlement.Kind, h.Entitlement.Name, h.Mechanism, day(h.End), orWord(h.EntraEnd, "the bridge ends it"), h.State, orWord(h.Since, "-"), h.Rule, h.Line, h.Engagement)
	}
	b.WriteString("\nwhat was done to them, and what they did (UTC)\n")
	if err := printLife(&b, life); err != nil {
		return err
	}
	_, err := fmt.Fprint(io.out, b.String())
	return err
}

func orText(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func contractorEnd(io streams) *cobra.Command {
	var file, reason string
	var now, yes bool
	cmd := &cobra.Command{
		Use: "end PERSON --now --reason TEXT", Short: "Close a person's door now, ahead of everything else", Args: cobra.ExactArgs(1),
		Long: `Close a person's door now: sign-in disabled, sessions revoked, groups and packages taken back, ahead of everything else.
It stays closed, whatever vendors send, until contractor release. The guest is not deleted while it is stopped.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !now {
				return &codeError{exitUsage, fmt.Errorf("say --now: this closes the door at once; a later end is the vendor's to send")}
			}
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				if err := confirm(io, yes, fmt.Sprintf("%s loses sign-in and everything it holds (%s), now.", p.Email, count(len(p.Holdings), "grant"))); err != nil {
					return err
				}
				if err := s.BlockPerson(ctx, admin(), p.ID, reason); err != nil {
					return err
				}
				_, err := fmt.Fprintf(io.out, "stopped; watch it with: scimbridge contractor show %s\n", p.ID)
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&now, "now", false, "at once (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	reasonFlag(cmd, &reason)
	return cmd
}

func contractorRelease(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "release PERSON --reason TEXT", Short: "Lift a stop: records and rules decide again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				return s.UnblockPerson(ctx, admin(), p.ID, reason)
			})
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	return cmd
}

func contractorExtend(io streams) *cobra.Command {
	var file, reason, until string
	cmd := &cobra.Command{
		Use: "extend ENGAGEMENT|PERSON --until DATE --reason TEXT", Short: "Give an engagement a later end, until its vendor sends another", Args: cobra.ExactArgs(1),
		Long: `Give an engagement a later end, until its vendor sends another. A PERSON with one engagement stands for it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			m, _, err := readMapping(cfg.Mapping)
			if err != nil {
				return setupError(err)
			}
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				var standing []*contractor.Engagement
				for i := range p.Engagements {
					if !p.Engagements[i].Deleted {
						standing = append(standing, &p.Engagements[i])
					}
				}
				named := slices.ContainsFunc(p.Engagements, func(e contractor.Engagement) bool { return e.ID == args[0] }) // deleted ones, too
				for _, e := range standing {
					if e.ID != args[0] && (named || len(standing) > 1) {
						continue
					}
					zone := time.UTC
					if v, ok := m.Vendor(e.Vendor); ok && v.Zone != nil {
						zone = v.Zone
					}
					end, err := contractor.ParseDate(until, nil, zone, contractor.EndOfDay)
					if err != nil || end.IsZero() || !end.After(time.Now()) {
						return &codeError{exitUsage, fmt.Errorf("--until %q is not a date to come; write YYYY-MM-DD", until)}
					}
					if err := s.ExtendEngagement(ctx, admin(), e.ID, end, reason); err != nil {
						return err
					}
					_, err = fmt.Fprintf(io.out, "engagement %s now ends %s\n", e.ID, day(end))
					return err
				}
				return fmt.Errorf("%s has %s; name the one to extend, as scimbridge contractor show %s lists them", args[0], count(len(standing), "engagement"), p.ID)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&until, "until", "", "the new end, YYYY-MM-DD (the day's last second) or RFC 3339 (required)")
	_ = cmd.MarkFlagRequired("until")
	reasonFlag(cmd, &reason)
	return cmd
}

func contractorAdopt(io streams) *cobra.Command {
	var file, reason string
	var yes bool
	cmd := &cobra.Command{
		Use: "adopt PERSON --reason TEXT", Short: "Hand the guest that has the person's address to scimbridge", Args: cobra.ExactArgs(1),
		Long: `Hand the guest that has the person's address to scimbridge. From then on it is changed as records and rules say, and in the
end deleted. A member, a holder of a directory role and an address that two accounts have are refused.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return onPerson(cmd, io, file, args[0], func(ctx context.Context, s *db.Store, p *contractor.Person) error {
				graph, err := openGraphOnce(cfg, io)
				if err != nil {
					return err
				}
				g, err := graph.FindGuest(ctx, p.Email)
				if err != nil {
					return err
				}
				if err := adoptable(g); err != nil {
					return err
				}
				evidence, err := evidenceOf(g)
				if err != nil {
					return err
				}
				if err := confirm(io, yes, fmt.Sprintf("Guest %s, made %s, will be scimbridge's to change and in the end to delete.", g.ID, day(g.Created))); err != nil {
					return err
				}
				return s.AdoptGuest(ctx, admin(), p.ID, g.ID, reason+"; found "+evidence)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	reasonFlag(cmd, &reason)
	return cmd
}

// evidenceOf is what the journal keeps of a guest that was adopted.
func evidenceOf(g *contractor.Guest) (string, error) {
	b, err := json.Marshal(map[string]any{"id": g.ID, "created": g.Created, "state": g.State})
	return string(b), err
}

func adoptable(g *contractor.Guest) error {
	switch {
	case g == nil || g.Deleted:
		return fmt.Errorf("no guest in the tenant has this address")
	case g.Type != "Guest":
		return fmt.Errorf("account %s is a member; scimbridge manages guests only", g.ID)
	case g.Privileged:
		return fmt.Errorf("guest %s holds a directory role or sits in a role-assignable group; take that away first", g.ID)
	}
	return nil
}
