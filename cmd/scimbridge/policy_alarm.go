package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

func newAlarm(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alarm",
		Short: "What the watch found: list, acknowledge",
		Long: `What the watch found in the tenant's sign-in and audit logs and somebody has to look at. What happens again is counted in
the alarm that is open; once it is acknowledged, a new one is raised. docs/activity.md explains each kind.`,
	}
	cmd.AddCommand(alarmList(io), alarmAck(io))
	return cmd
}

func alarmList(io streams) *cobra.Command {
	var file string
	var asJSON bool
	var q contractor.AlarmQuery
	cmd := &cobra.Command{
		Use: "list", Short: "List alarms, the newest first", Args: cobra.NoArgs,
		Long: "List alarms, the newest first.\n\nExit codes: 0 none is open, 1 failed, 2 some are open.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				list, err := s.Alarms(cmd.Context(), q)
				if err != nil {
					return err
				}
				if list == nil {
					list = []contractor.Alarm{}
				}
				open := 0
				for _, a := range list {
					if a.Acknowledged.IsZero() {
						open++
					}
				}
				if asJSON {
					err = printJSON(io.out, list)
				} else {
					err = printAlarms(io.out, list)
				}
				if err == nil && open > 0 {
					return &codeError{2, errors.New("")}
				}
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&q.All, "all", false, "the acknowledged ones, too")
	cmd.Flags().StringVar(&q.Person, "person", "", "of this person only, by id")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "at most this many")
	return cmd
}

func printAlarms(w io.Writer, list []contractor.Alarm) error {
	for _, a := range list {
		state := string(a.Severity)
		if !a.Acknowledged.IsZero() {
			state = "acknowledged by " + a.By
		}
		fmt.Fprintf(w, "%s  %s  %s, %s\n    %s\n", a.ID, day(a.Raised), state, countOf(a.Count, "time", "times"), a.Words)
		for i, e := range a.Evidence {
			if i == 3 {
				fmt.Fprintf(w, "    and %d more\n", a.Count-3)
				break
			}
			fmt.Fprintf(w, "    - %s", e.Words)
			if e.ID != "" {
				fmt.Fprintf(w, " [%s %s]", e.Log, e.ID)
			}
			fmt.Fprintln(w)
		}
		if a.Acknowledged.IsZero() {
			fmt.Fprintf(w, "    next: %s\n", a.Next)
		}
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "no alarm is open")
	}
	return nil
}

func alarmAck(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "ack ALARM-ID…", Short: "Note that you have looked at alarms", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				for _, id := range args {
					if _, err := s.AcknowledgeAlarm(cmd.Context(), admin(), id, reason); err != nil {
						return err
					}
				}
				_, err := fmt.Fprintln(io.out, count(len(args), "alarm")+" acknowledged")
				return err
			})
		},
	}
	configFlag(cmd, &file)
	reasonFlag(cmd, &reason)
	return cmd
}

func newActivity(io streams) *cobra.Command {
	var file string
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use: "activity PERSON", Short: "What the tenant's logs say about a contractor", Args: cobra.ExactArgs(1),
		Long: `What the tenant's sign-in and audit logs say about a contractor (an id, or the address), the newest first, as far as it is kept.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				p, err := s.FindPerson(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				list, err := s.Activity(cmd.Context(), p.ID, time.Time{}, limit)
				if err != nil {
					return err
				}
				if list == nil {
					list = []contractor.Activity{}
				}
				if asJSON {
					return printJSON(io.out, list)
				}
				w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "WHEN\tLOG\tWHAT\tRESULT\tFROM\tBY")
				for _, a := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.At.UTC().Format("2006-01-02 15:04:05"), a.Log, a.What, activityResult(a), activityFrom(a), orText(a.By.Name, a.By.ID))
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many entries")
	return cmd
}

func activityResult(a contractor.Activity) string {
	if a.OK {
		return "ok"
	}
	if a.Code != 0 {
		return fmt.Sprintf("AADSTS%d", a.Code)
	}
	return orText(a.Reason, "failed")
}

func activityFrom(a contractor.Activity) string {
	if a.Log != contractor.LogSignIns {
		return ""
	}
	from := orText(a.Country, "?") + " " + a.IP + " " + a.ClientApp
	if a.Risk != "" && a.Risk != "none" {
		from += ", risk " + a.Risk
	}
	return from
}
