package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/strictyaml"
)

func newValidate(io streams) *cobra.Command {
	var file string
	var strict, ask bool
	cmd := &cobra.Command{
		Use:   "validate [MAPPING…]",
		Short: "Check the configuration and the mapping without running anything",
		Long: `Check scimbridge.yaml and the mapping that it names, or only the mapping files given. Every mistake is told at once,
with file:line:column. The mapping's own tests are run. With --online every id is looked up in the tenant, too, with the
configuration's credential: it exists, is of the right kind and can be managed, and PIM allows assignments that are long enough.

Exit codes: 0 fine (warnings do not fail, unless --strict), 1 mistakes.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var all strictyaml.Problems
			files := args
			var cfg *config.Config
			if len(files) == 0 {
				var problems strictyaml.Problems
				cfg, problems = config.Load(file)
				all = append(all, problems...)
				if cfg != nil {
					files = []string{cfg.Mapping}
				}
			}
			var failed []string
			for _, f := range files {
				m, problems, err := readMapping(f)
				all = append(all, problems...)
				if m != nil && cfg != nil {
					all = append(all, together(cfg, m)...)
				}
				if err != nil && len(problems) == 0 {
					failed = append(failed, err.Error())
				}
			}
			if err := tellProblems(io, all, failed, files, strict); err != nil || !ask {
				return err
			}
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			for _, f := range files {
				m, _, err := readMapping(f)
				if err != nil {
					return err
				}
				findings, err := online(cmd.Context(), io, cfg, f, m)
				if err != nil {
					return err
				}
				if err := tellOnline(io, findings, strict); err != nil {
					return err
				}
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&ask, "online", false, "look up every id in the tenant, too")
	cmd.Flags().BoolVar(&strict, "strict", false, "let warnings fail, too")
	return cmd
}

func tellProblems(io streams, all strictyaml.Problems, failed, files []string, strict bool) error {
	errs, warnings := len(failed), 0
	for _, p := range all {
		fmt.Fprintln(io.err, p)
		if p.Warning {
			warnings++
		} else {
			errs++
		}
	}
	for _, f := range failed {
		fmt.Fprintln(io.err, f)
	}
	switch {
	case errs > 0 || strict && warnings > 0:
		return fmt.Errorf("%s, %s", count(errs, "error"), count(warnings, "warning"))
	case warnings > 0:
		fmt.Fprintln(io.out, count(warnings, "warning"))
	default:
		fmt.Fprintln(io.out, "ok: "+strings.Join(files, ", "))
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func newStatus(io streams) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Ask the running daemon how it is", Args: cobra.NoArgs,
		Long: "Ask the running daemon how it is.\n\nExit codes: 0 healthy, 1 no answer or an error, 2 something needs a person.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			var st adminStatus
			if err := callAdmin(cmd.Context(), cfg.AdminSocket, "GET", "/v1/status", &st); err != nil {
				return err
			}
			if asJSON {
				err = printJSON(io.out, st)
			} else {
				err = printStatus(io.out, &st)
			}
			if err == nil && !st.Healthy {
				return &codeError{2, errors.New("")}
			}
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, st *adminStatus) error {
	var b strings.Builder
	fmt.Fprintf(&b, "scimbridge %s, pid %d, since %s\n", st.Version, st.PID, day(st.Started))
	if st.Role == roleStandby {
		b.WriteString("role      standby: another node works on the tenant\n")
	}
	fmt.Fprintf(&b, "mapping   %s, revision %.12s, loaded %s\n", st.Mapping.File, st.Mapping.Revision, day(st.Mapping.Loaded))
	if st.Mapping.Refused != "" {
		fmt.Fprintf(&b, "refused   %s, the file on disk: %s\n", day(st.Mapping.RefusedAt), strings.ReplaceAll(st.Mapping.Refused, "\n", "\n          "))
	}
	fmt.Fprintf(&b, "people    %s; %d held\n", counts(st.People), st.Held)
	fmt.Fprintf(&b, "contracts %s\n", counts(st.Records))
	fmt.Fprintf(&b, "loop      %d due, oldest %.1f s, next %s, %d passes\n", st.Due, st.Lag, orWord(st.NextDue, "nothing"), st.Passes)
	fmt.Fprintf(&b, "entra     %s, last answer %s, clock off by %.0f s, throttled %d times\n", st.Entra.URL, orWord(st.Entra.LastAnswer, "none yet"), st.Entra.SkewSecs, st.Entra.Throttled)
	printKeepingUp(&b, st)
	printPullStates(&b, st.Pulls)
	for _, t := range st.Trouble {
		fmt.Fprintf(&b, "TROUBLE   %s\n", t)
	}
	if st.Healthy {
		b.WriteString("healthy\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// counts prints a map of counts in a stable order; nothing is "none".
func counts[K ~string](m map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func newReload(io streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "reload", Short: "Make the running daemon read its mapping again", Args: cobra.NoArgs,
		Long: "Make the running daemon read its mapping again. A file with mistakes is refused, and the one in force stays in force.\n\nExit codes: 0 in force now, 1 refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			var answer struct{ Revision string }
			if err := callAdmin(cmd.Context(), cfg.AdminSocket, "POST", "/v1/reload", &answer); err != nil {
				return err
			}
			_, err = fmt.Fprintf(io.out, "mapping %.12s is in force\n", answer.Revision)
			return err
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
