package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/db"
)

func newBackup(io streams) *cobra.Command {
	var file string
	var asJSON bool
	var keep int
	cmd := &cobra.Command{
		Use: "backup FILE|FOLDER", Short: "Copy the database while everything goes on", Args: cobra.ExactArgs(1),
		Long: `Write a consistent copy of the database while the daemon serves, then open the copy and check it: that the file is whole,
and that the journal's chain is. A copy that is not whole is removed, and the command fails.

With a FOLDER the copy is named scimbridge-TIME.db in it; --keep then deletes the oldest copies of that form, after the new one
was checked. The copy holds names and addresses and is readable by its owner alone. The journal's key (DATABASE.audit-key) and
the configuration are not in it: keep those elsewhere.

Exit codes: 0 the copy is whole, 1 there is none, 64 the command line is wrong, 78 the configuration is wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			b, err := backup(cmd.Context(), cfg, args[0], keep, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(io.out, b)
			}
			_, err = fmt.Fprintf(io.out, "%s: %d bytes, %s, whole\n", b.File, b.Bytes, count(int(b.Events), "journal event"))
			for _, f := range b.Deleted {
				if err == nil {
					_, err = fmt.Fprintf(io.out, "deleted %s\n", f)
				}
			}
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().IntVar(&keep, "keep", 0, "in a folder: how many copies stay; 0: all")
	return cmd
}

// backedUp is the result of a backup, and its --json.
type backedUp struct {
	File    string   `json:"file"`
	Bytes   int64    `json:"bytes"`
	Events  int64    `json:"events"`
	Deleted []string `json:"deleted,omitempty"`
}

// backupName is the form of the copies that --keep counts; nothing else in the folder is touched.
var backupName = regexp.MustCompile(`^scimbridge-\d{8}T\d{6}Z\.db$`)

func backup(ctx context.Context, cfg *config.Config, to string, keep int, now time.Time) (*backedUp, error) {
	folder := ""
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		folder = to
		to = filepath.Join(folder, "scimbridge-"+now.UTC().Format("20060102T150405Z")+".db")
	}
	if keep < 0 || keep > 0 && folder == "" {
		return nil, &codeError{exitUsage, errors.New("--keep wants a number above 0 and an existing folder to write to")}
	}
	if cfg.OnPostgres() {
		return nil, setupError(errors.New("the database is a PostgreSQL server's: back it up there (pg_dump, or your provider's backups), or copy it into a file with: scimbridge db copy --to FILE"))
	}
	if _, err := os.Stat(cfg.Database); err != nil {
		return nil, fmt.Errorf("there is no database to back up: %w", err)
	}
	b := &backedUp{File: to}
	err := withStore(ctx, cfg, func(s *db.Store) (err error) {
		b.Events, err = s.Backup(ctx, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(to)
	if err != nil {
		return nil, err
	}
	b.Bytes = info.Size()
	if keep > 0 {
		b.Deleted, err = deleteOldest(folder, keep)
	}
	return b, err
}

// deleteOldest leaves the keep newest copies in a folder; their names sort by time.
func deleteOldest(folder string, keep int) (deleted []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !e.Type().IsRegular() || !backupName.MatchString(e.Name()) })
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, e := range entries[:max(0, len(entries)-keep)] {
		name := filepath.Join(folder, e.Name())
		if err := os.Remove(name); err != nil {
			return deleted, err
		}
		deleted = append(deleted, name)
	}
	return deleted, nil
}

func newRestore(io streams) *cobra.Command {
	var file, reason string
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use: "restore FILE --reason TEXT", Short: "Put a backup in the place of the database", Args: cobra.ExactArgs(1),
		Long: `Put a backup in the place of the database. The daemon must be stopped. The backup is checked whole first; the database that it
replaces is kept beside it. At the next start everybody is compared with Entra: what was granted since the backup and no record
explains is taken back, what is missing is granted again.

What a backup cannot know is what vendors sent after it was made: ask them for a full synchronisation. A guest who was invited
since is in Entra and in no record; when the vendor sends the person again, it waits for scimbridge contractor adopt. Tokens
that were made or revoked since are as they were.

The journal goes back, too, and two histories are never signed with one key: where a checkpoint was signed since the backup,
nothing is signed until scimbridge audit rekey.

Exit codes: 0 done, 1 failed and the old database is in place, 64 the command line is wrong, 78 the configuration is wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			if cfg.OnPostgres() {
				return setupError(errors.New("the database is a PostgreSQL server's: restore it there, or restore into a file and copy that with: scimbridge db copy"))
			}
			if err := confirm(io, yes, fmt.Sprintf("%s will take the place of %s.", args[0], cfg.Database)); err != nil {
				return err
			}
			r, err := db.Restore(cmd.Context(), args[0], cfg.Database, admin(), reason)
			if err != nil {
				return err
			}
			if err := giveToFolder(cfg.Database); err != nil {
				return err
			}
			if asJSON {
				return printJSON(io.out, r)
			}
			_, err = fmt.Fprintf(io.out, "restored %s with %s; %s will be compared with Entra\n", cfg.Database, count(int(r.Events), "journal event"), countPeople(int(r.Woken)))
			if err == nil && r.Kept != "" {
				_, err = fmt.Fprintf(io.out, "the database before is %s\n", r.Kept)
			}
			if err == nil {
				_, err = fmt.Fprintln(io.out, "next: scimbridge audit rekey --reason …, start the daemon, ask the vendors for a full synchronisation")
			}
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	reasonFlag(cmd, &reason)
	return cmd
}
