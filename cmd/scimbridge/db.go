package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/db"
)

func newDB(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "db", Short: "Move the database to another one, or check it",
		Long: `Move the database from a SQLite file to a PostgreSQL server or back, or check it, whatever it stands on. docs/scaling.md tells how
an installation moves from one machine to several nodes.`,
	}
	cmd.AddCommand(newDBCopy(io), newDBCheck(io))
	return cmd
}

func newDBCopy(io streams) *cobra.Command {
	var file, to, auth, passwordFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "copy --to DATABASE", Short: "Copy everything to another database, and compare", Args: cobra.NoArgs,
		Long: `Copy the database of the configuration to another one: from a file to PostgreSQL (--to postgres://user@host/name?sslmode=verify-full),
or back to a file (--to PATH). No daemon may work on either meanwhile. The target has to be empty; its tables are made.

Every table is then compared by its number of rows and a hash over all of them, the journal's chain is followed in the target, and
the target is checked as scimbridge db check does. A copy that was interrupted goes on where it was when the command is given again;
until it is whole, nothing else opens the target. The source is not changed.

The journal's key does not stand in the database: copy the file DATABASE.audit-key to STATE/journal.audit-key of every node.

Exit codes: 0 the copy is whole, 1 it is not, 64 the command line is wrong, 78 the configuration is wrong.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			target, err := targetOf(cfg, to, auth, passwordFile)
			if err != nil {
				return err
			}
			copied, err := copyDatabase(cmd.Context(), cfg, target, io.err)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(io.out, copied)
			}
			rows := int64(0)
			for _, n := range copied.Rows {
				rows += n
			}
			_, err = fmt.Fprintf(io.out, "copied %s in %s to %s: the same by count and hash, a whole journal of %s\nnext: set database to it in scimbridge.yaml, and copy %s beside it (scimbridge db copy --help)\n",
				count(int(rows), "row"), count(len(copied.Rows), "table"), db.Redacted(to), count(int(copied.Events), "event"), cfg.Beside(".audit-key"))
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&to, "to", "", "the database to copy to: postgres://… or the path of a file (required)")
	cmd.Flags().StringVar(&auth, "to-auth", "", "how PostgreSQL is signed in to, as database_auth: password or entra")
	cmd.Flags().StringVar(&passwordFile, "to-password-file", "", "a file with the password, as database_password_file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// targetOf reads the target's flags as the configuration would be read.
func targetOf(cfg *config.Config, to, auth, passwordFile string) (db.Config, error) {
	c := *cfg
	c.Database, c.DatabaseAuth = to, config.DatabaseAuth(auth)
	c.DatabasePasswordFile = config.CredentialFile{}
	if to == cfg.Database {
		return db.Config{}, &codeError{exitUsage, errors.New("--to names the database of the configuration itself")}
	}
	switch c.DatabaseAuth {
	case "", config.DatabaseAuthPassword, config.DatabaseAuthEntra:
	default:
		return db.Config{}, &codeError{exitUsage, fmt.Errorf("--to-auth %q is not a way to sign in; write password or entra", auth)}
	}
	conf, err := databaseConfig(&c)
	if err == nil && passwordFile != "" {
		conf.Password = func(context.Context) (string, error) {
			b, err := os.ReadFile(passwordFile)
			return strings.TrimSpace(string(b)), err
		}
	}
	conf.Target = true
	return conf, err
}

func copyDatabase(ctx context.Context, cfg *config.Config, target db.Config, w io.Writer) (copied *db.Copied, err error) {
	err = withStore(ctx, cfg, func(from *db.Store) (err error) {
		to, err := db.Open(ctx, target)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, to.Close()) }()
		tell := copyProgress(w, time.Now())
		if copied, err = db.Copy(ctx, from, to, admin(), tell); err != nil || db.IsPostgres(target.Path) {
			return err
		}
		return giveToFolder(target.Path)
	})
	return copied, err
}

// copyProgress tells once a second how far a copy is, and how fast.
func copyProgress(w io.Writer, started time.Time) func(done, total int64) {
	last, first := started, int64(-1)
	return func(done, total int64) {
		if first < 0 {
			first = done
		}
		now := time.Now()
		if now.Sub(last) < time.Second && done < total {
			return
		}
		last = now
		rate := float64(done-first) / max(now.Sub(started).Seconds(), 0.001)
		_, _ = fmt.Fprintf(w, "%d of %d rows, %.0f rows/s\n", done, total, rate)
	}
}

func newDBCheck(io streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "check", Short: "Check the database: the file or the server's constraints, the journal's chain, the counts", Args: cobra.NoArgs,
		Long: `Check the database while everything goes on: that a file is whole, or that the server vouches for its constraints and indexes; that the
counts that are kept agree with the rows; that the journal's chain and tree are unbroken. It reads everything, and may take minutes.

Exit codes: 0 all of it holds, 1 something does not, 78 the configuration is wrong.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				found, err := s.Check(cmd.Context())
				if err != nil {
					return err
				}
				events, _, err := s.VerifyJournal(cmd.Context())
				if err == nil {
					_, err = s.VerifyTrail(cmd.Context(), nil, nil)
				}
				if err != nil {
					found = append(found, "the journal is not whole: "+err.Error())
				}
				if len(found) > 0 {
					return errors.New(strings.Join(found, "\n"))
				}
				_, err = fmt.Fprintf(io.out, "%s: whole, with a journal of %s\n", s.Path(), count(int(events), "event"))
				return err
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}
