package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"scimbridge/internal/audit"
	"scimbridge/internal/config"
	"scimbridge/internal/db"
)

func auditVerify(io streams) *cobra.Command {
	var file string
	var checkpoints, keys, archives []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Prove that the journal is whole, and the one that was signed", Args: cobra.NoArgs,
		Long: `Walk the whole journal: every event's hash, the chain, the Merkle tree, every checkpoint that the database has, and those given
with --checkpoint. A checkpoint that was kept where nobody who can write to the database can write (with the auditor, in a SIEM,
on paper) proves that none of the events it covers was changed, removed or inserted since, and that the database was not rolled
back to before it. Without one, all that is shown is that the journal agrees with itself.

Exit codes: 0 whole, 1 it is not, or it could not be checked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				trusted, err := trustedKeys(cmd.Context(), keys, cfg, s)
				if err != nil {
					return err
				}
				kept, err := readCheckpoints(checkpoints, trusted)
				if err != nil {
					return err
				}
				report, err := s.VerifyTrail(cmd.Context(), kept, progressOn(io.err))
				if err != nil {
					return fmt.Errorf("the journal does NOT verify: %w", err)
				}
				checked, err := checkArchives(archives, report, trusted)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(io.out, report)
				}
				return printReport(io.out, report, checked)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "a file with checkpoints that were kept elsewhere; may be given again")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "the public key (audit key) or a file with it; without it, the machine's own; may be given again")
	cmd.Flags().StringArrayVar(&archives, "archive", nil, "an archive whose events left the journal, to be read through as well; may be given again")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// progressOn writes progress where somebody looks.
func progressOn(w io.Writer) func(done, total int64) {
	if terminalWidth(w) == 0 {
		return nil
	}
	return func(done, total int64) {
		fmt.Fprintf(w, "\rverifying %3d %%", 100*done/max(total, 1))
		if done == total {
			fmt.Fprint(w, "\r                \r")
		}
	}
}

// checkArchives reads archives through, and holds each against its record.
func checkArchives(files []string, report *audit.Report, keys []verifier) (checked []string, err error) {
	for _, file := range files {
		a, err := checkArchive(file, keys)
		if err != nil {
			return nil, fmt.Errorf("archive %s does NOT verify: %w", file, err)
		}
		found := false
		for _, r := range report.Archives {
			found = found || r.First == a.First && r.Last == a.Last && r.Hash == a.Hash
		}
		if !found {
			return nil, fmt.Errorf("archive %s is whole, but the journal has no record of it: it is of another database", file)
		}
		checked = append(checked, fmt.Sprintf("events %d to %d in %s", a.First, a.Last, file))
	}
	return checked, nil
}

func checkArchive(file string, keys []verifier) (a *audit.Archive, err error) {
	r, err := openArchive(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return audit.CheckArchive(r, nil, keys...)
}

func printReport(out io.Writer, r *audit.Report, archives []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "journal    %s", count(int(r.Events), "event"))
	if !r.LastEvent.IsZero() {
		fmt.Fprintf(&b, ", the last at %s", r.LastEvent.Format("2006-01-02 15:04:05"))
	}
	fmt.Fprintf(&b, "\nhead       %s\ntree root  %s\n", r.Head, r.Root)
	own := 0
	for _, c := range r.Checkpoints {
		if c.Kept {
			fmt.Fprintf(&b, "kept       the checkpoint of %s over %d events fits\n", c.Source, c.Size)
		} else {
			own++
		}
	}
	fmt.Fprintf(&b, "database   %s of its own fit\n", count(own, "checkpoint"))
	for _, a := range r.Archives {
		state := "which are still in the journal too"
		if a.Dropped != 0 {
			state = fmt.Sprintf("dropped (event %d); their hashes are in the tree", a.Dropped)
		}
		fmt.Fprintf(&b, "archive    %s: events %d to %d, %s\n", a.File, a.First, a.Last, state)
	}
	for _, a := range archives {
		fmt.Fprintf(&b, "archive    read through: %s\n", a)
	}
	if r.Erased > 0 {
		fmt.Fprintf(&b, "erased     the personal fields of %s\n", count(r.Erased, "event"))
	}
	if r.Covered > 0 {
		fmt.Fprintf(&b, "PROVEN     events 1 to %d are those that were signed; the chain goes on whole to event %d\n", r.Covered, r.Events)
	} else {
		b.WriteString("WHOLE      the journal agrees with itself. Only a checkpoint kept elsewhere (--checkpoint) proves that it was not written anew as a whole\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func auditCheckpoint(io streams) *cobra.Command {
	var file, output string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Sign a checkpoint over the journal and print it", Args: cobra.NoArgs,
		Long: `Sign a checkpoint over the journal as it is now and print it (C2SP tlog-checkpoint): three lines that say which log, how many
events, and the root of the Merkle tree over them, and a signature. Keep it where nobody who can write to the database can write.
serve makes them on a schedule (audit.checkpoints in the configuration). The key is made with the first one.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				sealer, err := openSealer(cmd.Context(), cfg, s, admin())
				if err != nil {
					return err
				}
				c, err := s.Seal(cmd.Context(), sealer)
				if err != nil {
					return err
				}
				out, done, err := newFile(output, io.out)
				if err != nil {
					return err
				}
				if asJSON {
					return done(printJSON(out, checkpointJSON{c.Origin, c.Size, c.Root.String(), string(c.Note), sealer.Key.Public()}))
				}
				_, err = out.Write(c.Note)
				return done(err)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVarP(&output, "output", "o", "", "a new file to write to; without it, standard output")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

type checkpointJSON struct {
	Origin    string `json:"origin"`
	Size      int64  `json:"size"`
	Root      string `json:"root"`
	Note      string `json:"note"`
	PublicKey string `json:"publicKey"`
}

func auditKey(io streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "key", Short: "Print the public key that checkpoints are verified with", Args: cobra.NoArgs,
		Long: `Print the public key that checkpoints are verified with (name+hash+base64, as C2SP signed-note has it). Give it to the auditor by
another way than the checkpoints. The key is made if there is none.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				sealer, err := openSealer(cmd.Context(), cfg, s, admin())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(io.out, sealer.Key.Public())
				return err
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func auditRekey(io streams) *cobra.Command {
	var file, reason string
	cmd := &cobra.Command{
		Use: "rekey --reason TEXT", Short: "Begin a new log with a new key", Args: cobra.NoArgs,
		Long: `Make a new key and begin a new log over the same journal: after the key was lost or may be known to others, and after a backup was
restored on purpose, since two histories are never signed with one key. The old key and the checkpoint signed last are kept beside
the new ones. The journal tells of it. Old checkpoints go on to prove what they cover, with the old public key.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				key, err := rekey(cmd.Context(), cfg, s, reason)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(io.out, key.Public())
				return err
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal (required)")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func rekey(ctx context.Context, cfg *config.Config, s *db.Store, reason string) (*audit.Key, error) {
	path, last, fixed := auditFiles(cfg)
	if fixed {
		return nil, fmt.Errorf("the key is a credential of systemd's (%s); take it out of LoadCredential= first, run this, and then make the credential from %s", path, cfg.Beside(".audit-key"))
	}
	old, err := journalKey(ctx, s)
	if err != nil {
		return nil, err
	}
	next := path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) { // of an attempt that was interrupted
		return nil, err
	}
	key, err := makeKey(next, ownerOf(cfg))
	if err != nil {
		return nil, err
	}
	// The journal first: a key that it does not name seals nothing.
	if err := tellKey(ctx, s, admin(), key, old, reason); err != nil {
		return nil, err
	}
	suffix := ".before-" + strings.ReplaceAll(key.Origin(), "/", "-")
	for _, f := range []string{path, last} {
		if err := os.Rename(f, f+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return key, os.Rename(next, path)
}
